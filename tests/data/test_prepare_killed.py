"""Kill -9 and a full disk: whatever happens to `prepare`, running it again makes the store that no accident would."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segevolution.data.prepare import prepare
from segevolution.data.sources.msd import MSDSource
from segevolution.data.store import Store
from segevolution.errors import OutputError

STEMS = tuple(f"hippocampus_{number:03d}" for number in range(4))
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.unlink", "shutil.rmtree")


@pytest.fixture
def task(miniature: Any, tmp_path: Path) -> Path:
    folder = Path(miniature.msd(tmp_path / "task", STEMS))
    (folder / "labelsTr" / "hippocampus_002.nii.gz").unlink()
    return folder


@pytest.fixture
def undisturbed(task: Path, tmp_path: Path) -> dict[str, bytes | None]:
    store = Store.ensure(tmp_path / "undisturbed")
    prepare(MSDSource(task), store)
    return tree(store.path)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path under a folder, hidden ones too, with its bytes; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def _prepare_until(moment: int, task: Path, store: Path, told: Any) -> None:
    """Prepare, but be killed when something in the store is touched for the `moment`-th time."""
    touched = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal touched
        if event in TOUCHES and any(str(store) in str(value) for value in arguments):
            touched += 1
            if touched == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    prepare(MSDSource(task), Store.ensure(store))
    told.send(touched)


def prepare_until(moment: int, task: Path, store: Path) -> int | None:
    """How often the store was touched until the end; None where the process was killed before it."""
    context = multiprocessing.get_context("fork")
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_until, args=(moment, task, store, tell))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return int(hear.recv()) if process.exitcode == 0 else None


def test_killed_at_any_moment_it_ends_in_the_same_store(
    task: Path, tmp_path: Path, undisturbed: dict[str, bytes | None]
) -> None:
    touches = prepare_until(0, task, tmp_path / "counted")
    assert touches is not None
    assert touches > 30
    assert tree(tmp_path / "counted") == undisturbed
    moments = {1, 2, 3, 4, 5, touches - 1, touches, *random.Random(0).sample(range(6, touches - 1), 12)}
    for moment in sorted(moments):
        store = tmp_path / f"killed_{moment}"
        assert prepare_until(moment, task, store) is None
        prepare(MSDSource(task), Store.ensure(store))
        assert tree(store) == undisturbed, moment


def test_killed_again_and_again_it_ends_in_the_same_store(
    task: Path, tmp_path: Path, undisturbed: dict[str, bytes | None]
) -> None:
    chance, store, kills = random.Random(1), tmp_path / "store", 0
    while prepare_until(chance.randint(1, 25), task, store) is None:
        kills += 1
        if (store / "store.json").exists():
            for name in Store.open(store).names:
                Store.open(store).verify(name)
    assert kills > 3
    assert tree(store) == undisturbed


def test_killed_command_leaves_no_process_and_goes_on(
    task: Path, tmp_path: Path, undisturbed: dict[str, bytes | None]
) -> None:
    store = tmp_path / "store"
    line = [sys.executable, "-c", "from segevolution.cli.app import main; main()", "data", "prepare", "msd"]
    line += [str(task), str(store), "--workers", "2", "--quiet"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for _ in range(3000):
        if process.poll() is not None or any((store / "cases").glob("*")):
            break
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    # The pipe ends when the last process that holds it has gone: the workers leave with their parent.
    process.communicate(timeout=60)
    assert subprocess.run(line, check=False, capture_output=True).returncode == 1  # one case has no label
    assert tree(store) == undisturbed


def test_a_second_run_touches_nothing(task: Path, tmp_path: Path) -> None:
    store = Store.ensure(tmp_path / "store")
    prepare(MSDSource(task), store)
    before = {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))}
    prepare(MSDSource(task), Store.ensure(store.path))
    assert {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))} == before


def test_a_disk_that_takes_no_more_is_one_sentence_and_status_2(
    task: Path, tmp_path: Path, miniature: Any, undisturbed: dict[str, bytes | None]
) -> None:
    store = tmp_path / "store"
    big = STEMS[3]
    size = max(len(content or b"") for content in undisturbed.values())
    small_task = tmp_path / "task"
    miniature.image(small_task / "imagesTr" / f"{big}.nii.gz", 3, (48, 40, 32))
    miniature.labels(small_task / "labelsTr" / f"{big}.nii.gz", (1, 2), (48, 40, 32))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size, resource.RLIM_INFINITY))

    line = [sys.executable, "-c", "from segevolution.cli.app import main; main()", "data", "prepare", "msd"]
    line += [str(task), str(store), "--workers", "2", "--quiet"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 2
    assert done.stderr == f"segevolution: {store / 'cases' / big} cannot be written: File too large.\n"
    kept = Store.open(store)
    assert big not in kept
    for name in kept.names:
        kept.verify(name)
    assert subprocess.run(line, check=False, capture_output=True).returncode == 1  # one case has no label
    assert Store.open(store).names == (STEMS[0], STEMS[1], big)


@pytest.mark.parametrize("refused", ["segevolution.data.store.write_array", "segevolution.data.store.write_json"])
def test_a_full_disk_leaves_a_whole_store(
    task: Path, tmp_path: Path, undisturbed: dict[str, bytes | None], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.ensure(tmp_path / "store")
    prepare(MSDSource(task), store, only=STEMS[:1])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(refused, full)
        with pytest.raises(OutputError, match=r"hippocampus_001 cannot be written: No space left on device\."):
            prepare(MSDSource(task), store)
    assert store.names == STEMS[:1]
    prepare(MSDSource(task), store)
    assert tree(store.path) == undisturbed
