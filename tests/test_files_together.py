"""S11: several files appear together or not at all."""

from pathlib import Path

import pytest

from segevolution.errors import OutputError
from segevolution.files import replacing_together


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }


def write_all(paths: list[Path], beside: str | None = None, *, force: bool = True) -> None:
    with replacing_together(paths, force=force) as temporary:
        for path in temporary:
            path.write_text("new")
        if beside is not None:
            temporary[0].with_name(beside).write_text("new")


def test_all_files_appear_with_what_was_written_beside_them(tmp_path: Path) -> None:
    mask, key = tmp_path / "new" / "mask.mhd", tmp_path / "elsewhere" / "mask.json"
    with replacing_together([mask, key]) as temporary:
        temporary[0].write_text("mask")
        temporary[0].with_suffix(".zraw").write_text("voxels")
        temporary[1].write_text("key")
        assert not mask.exists()
        assert not key.exists()
    expected = {"new/mask.mhd": "mask", "new/mask.zraw": "voxels", "elsewhere/mask.json": "key"}
    assert contents(tmp_path) == expected


def test_a_failure_while_writing_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mask").write_text("old mask")
    (tmp_path / "key").write_text("old key")
    before = contents(tmp_path)
    paths = [tmp_path / "mask", tmp_path / "key", tmp_path / "folder" / "deeper" / "preview"]

    def write_and_fail() -> None:
        with replacing_together(paths) as temporary:
            temporary[0].write_text("new mask")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert contents(tmp_path) == before
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_failure_while_renaming_leaves_everything_as_it_was(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("mask", "key", "preview")
    for name in names:
        (tmp_path / name).write_text(f"old {name}")
    before, rename, calls = contents(tmp_path), Path.replace, []

    def failing_rename(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", failing_rename)
    with pytest.raises(OutputError, match="No space left"):
        write_all([tmp_path / name for name in names])
    assert contents(tmp_path) == before


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old")
    with pytest.raises(OutputError, match="exists already"), replacing_together([tmp_path / "key"], force=False):
        pass
    # A file that only the body writes is guarded too.
    with pytest.raises(OutputError, match="exists already"):
        write_all([tmp_path / "mask"], beside="key", force=False)
    assert contents(tmp_path) == {"key": "old"}
