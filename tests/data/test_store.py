"""The store gives back what it was given, by window, whatever happens to the processes that fill it."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from segevolution.data.store import Store
from segevolution.errors import OutputError, StoreError, VolumeError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Origin, Volume
from segevolution.vocabulary import Modality

LAS = np.array([[-1.5, 0.1, 0, 40], [0, 2, 0.2, -30], [0, 0, 3, 12], [0, 0, 0, 1.0]])


def make_case(
    name: str = "liver_01", dtype: npt.DTypeLike = np.int16, affine: np.ndarray = LAS, seed: int = 0, **facts: object
) -> Case:
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 4000, (19, 33, 12)).astype(dtype)
    labels = np.zeros(array.shape, np.int64)
    labels[2:7, 5:20, 3:8] = 1
    labels[8:12, 5:20, 3:8] = 2
    volume = Volume(
        array, Grid(array.shape, affine), Modality.MRI, name, Origin(Path("raw") / name, "nifti", header=b"\x00\xff")
    )
    structures = {"liver": (1,), "kidney": (1, 2), "spleen": (3,)}
    settings: dict[str, object] = {"sequence": "T2-SPIR", "site": "A"} | facts
    return Case(name, "patient_1", "chaos", volume, labels, structures, **settings)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "int32", "float32", "float64"])
def test_signal_and_labels_come_back_without_loss(store: Store, dtype: str) -> None:
    case = make_case(dtype=dtype)
    store.add(case)
    back = Store.open(store.path).read(case.name)
    expected, turn = case.volume.canonical()
    np.testing.assert_array_equal(back.volume.array, expected.array)
    assert back.volume.array.dtype == case.volume.array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back.labels, turn.apply(case.labels))
    assert back.labels.dtype == np.uint8


def test_facts_come_back(store: Store) -> None:
    case = make_case()
    record = store.add(case)
    back = store.read(case.name)
    for key in ("name", "patient", "dataset", "sequence", "site"):
        assert getattr(back, key) == getattr(case, key) == getattr(record, key)
    assert back.volume.modality is Modality.MRI
    assert back.volume.origin == case.volume.origin
    assert record.source_grid.orientation == "LAS"
    np.testing.assert_array_equal(record.source_affine, LAS)


def test_voxels_keep_their_place_in_the_patient(store: Store) -> None:
    case = make_case()
    store.add(case)
    back = store.read(case.name)
    assert back.volume.grid.orientation == "RAS"
    index = np.argwhere(case.labels == 2)
    there = np.rint(back.volume.grid.to_voxel(case.volume.grid.to_mm(index))).astype(int)
    assert (back.labels[tuple(there.T)] == 2).all()
    np.testing.assert_array_equal(back.volume.array[tuple(there.T)], case.volume.array[tuple(index.T)])
    np.testing.assert_allclose(back.volume.grid.spacing, case.volume.grid.spacing)


def test_absent_structures_are_not_listed_and_present_ones_are_counted(store: Store) -> None:
    record = store.add(make_case())
    assert dict(record.structures) == {"kidney": (1, 2), "liver": (1,)}
    assert store.labelled("chaos") == {"kidney", "liver"}
    assert dict(record.voxels) == {"kidney": 375 + 300, "liver": 375}


def test_window_equals_the_slice_of_the_whole(store: Store) -> None:
    big = make_case()
    array = np.random.default_rng(1).normal(size=(150, 140, 40)).astype(np.float32)
    labels = (array > 0).astype(np.uint8)
    big = Case("big", "p", "d", Volume(array, Grid(array.shape, np.eye(4))), labels, {"liver": (1,)})
    store.add(big)
    signal_window, label_window = store.read_window("big", (100, 3, 9), (141, 135, 38))
    np.testing.assert_array_equal(signal_window, array[100:141, 3:135, 9:38])
    np.testing.assert_array_equal(label_window, labels[100:141, 3:135, 9:38])


@pytest.mark.parametrize(("start", "stop"), [((-1, 0, 0), (3, 3, 3)), ((0, 0, 0), (20, 3, 3)), ((4, 4, 4), (4, 5, 5))])
def test_window_outside_is_refused(store: Store, start: tuple[int, int, int], stop: tuple[int, int, int]) -> None:
    store.add(make_case())
    with pytest.raises(StoreError, match=r"not inside a volume of shape \(19, 33, 12\)"):
        store.read_window("liver_01", start, stop)


def test_adding_twice_changes_nothing_and_another_case_of_that_name_is_refused(store: Store) -> None:
    store.add(make_case())
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*") if path.is_file()}
    store.add(make_case())
    assert before == {path: path.stat().st_mtime_ns for path in store.path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="another case named liver_01"):
        store.add(make_case(seed=7))


def test_cases_are_sorted_and_selected(store: Store) -> None:
    for name in ("c", "a", "b"):
        store.add(make_case(name))
    assert [record.name for record in store.cases] == ["a", "b", "c"]
    assert len(store.select(modality=Modality.MRI)) == 3
    assert store.select(modality=Modality.CT) == ()
    assert store.select(structures=["spleen"]) == ()
    assert [record.name for record in store.select(structures=["spleen", "liver"], names=["b", "c"])] == ["b", "c"]
    assert store.select(patients=["nobody"]) == ()
    assert len(store.select(datasets=["chaos"], patients=["patient_1"])) == 3


def test_fingerprint_depends_on_content_only(tmp_path: Path) -> None:
    one, two, three = (Store.create(tmp_path / name) for name in ("1", "2", "3"))
    for name in ("a", "b"):
        one.add(make_case(name))
    for name in ("b", "a"):
        two.add(make_case(name))
    three.add(make_case("a"))
    three.add(make_case("b", sequence="T1"))
    assert one.fingerprint() == two.fingerprint() != three.fingerprint()


def test_bad_volumes_and_names_are_refused_and_leave_nothing(store: Store) -> None:
    case = make_case(dtype=np.float32)
    case.volume.array[3, 3, 3] = np.nan
    with pytest.raises(VolumeError, match="NaN"):
        store.add(case)
    with pytest.raises(StoreError, match="cannot be the name"):
        store.add(make_case("../evil"))
    negative = make_case()
    negative.labels[0, 0, 0] = -1
    with pytest.raises(StoreError, match="negative"):
        store.add(negative)
    assert list((store.path / "cases").iterdir()) == []


def test_a_write_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segevolution.data.store.write_json", full)
    with pytest.raises(OutputError, match="No space left on device"):
        store.add(make_case())
    assert list((store.path / "cases").iterdir()) == []
    assert len(store) == 0


def test_killed_process_leaves_no_case_and_its_rest_is_swept(store: Store) -> None:
    killed = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "import segevolution.data.store as module\n"
        "from test_store import make_case\n"
        "module.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "module.Store.open(sys.argv[1]).add(make_case())\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(store.path), str(Path(__file__).parent)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((store.path / "cases").iterdir())) == 1
    assert store.names == ()
    assert store.sweep() == 1
    assert list((store.path / "cases").iterdir()) == []


def test_living_processes_are_not_swept(store: Store) -> None:
    from segevolution.files import _owner

    (store.path / "cases" / f".partial-{_owner()}-abc").mkdir()
    assert str(os.getpid()) in _owner()
    assert store.sweep() == 0


def _add_all(path: Path) -> None:
    for number in range(6):
        Store.open(path).add(make_case(f"case_{number}"))


def test_processes_that_add_the_same_cases_at_once_do_not_clash(store: Store) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=_add_all, args=(store.path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert store.names == tuple(f"case_{number}" for number in range(6))
    for name in store.names:
        store.verify(name)


def test_damage_is_noticed(store: Store) -> None:
    store.add(make_case())
    folder = store.path / "cases" / "liver_01"
    other = Store.create(store.path.parent / "other")
    other.add(make_case(seed=3))
    (folder / "signal.b2nd").write_bytes((other.path / "cases" / "liver_01" / "signal.b2nd").read_bytes())
    with pytest.raises(StoreError, match="is damaged: its content changed"):
        store.verify("liver_01")
    (folder / "signal.b2nd").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="missing or damaged"):
        store.read("liver_01")
    (folder / "case.json").write_text(json.dumps({"name": "liver_01"}))
    with pytest.raises(StoreError, match="record of case liver_01 is damaged"):
        Store.open(store.path).record("liver_01")


def test_store_travels_to_workers(store: Store) -> None:
    store.add(make_case())
    assert pickle.loads(pickle.dumps(store)).read("liver_01").name == "liver_01"


def test_opening_what_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no store\.json"):
        Store.open(tmp_path)
    (tmp_path / "store.json").write_text('{"format": "segevolution store", "version": 99}')
    with pytest.raises(StoreError, match="version 99"):
        Store.open(tmp_path)


def test_create_replaces_a_store_only_by_force_and_other_folders_never(store: Store, tmp_path: Path) -> None:
    store.add(make_case())
    with pytest.raises(OutputError, match="exists already"):
        Store.create(store.path)
    assert len(Store.create(store.path, force=True)) == 0
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "thesis.tex").write_text("!")
    with pytest.raises(OutputError, match="is not a store"):
        Store.create(precious, force=True)
    assert (precious / "thesis.tex").exists()


def test_unknown_case_says_where_to_look(store: Store) -> None:
    with pytest.raises(StoreError, match="has no case nothing; it holds 0 cases"):
        store.read("nothing")
    assert "nothing" not in store


def test_datasets_are_described(store: Store) -> None:
    store.describe("chaos", {"licence": "CC BY-NC-SA 4.0"})
    assert Store.open(store.path).datasets == {"chaos": {"licence": "CC BY-NC-SA 4.0"}}
