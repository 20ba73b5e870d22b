"""The store gives back what it was given, by window, whatever happens to the processes that fill it."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import blosc2
import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from segevolution.data.prepare import prepare
from segevolution.data.sources import open_source
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


SIGNALS = ("bool", "uint8", "int16", ">i2", ">u2", "uint32", "int32", "int64", "float16", "float32", ">f4", "float64")


@pytest.mark.parametrize("dtype", SIGNALS)
def test_signal_and_labels_come_back_without_loss(store: Store, dtype: str) -> None:
    case = make_case(dtype=dtype)
    store.add(case)
    back = Store.open(store.path).read(case.name)
    expected, turn = case.volume.canonical()
    np.testing.assert_array_equal(back.volume.array, expected.array)
    assert back.volume.array.dtype == case.volume.array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back.labels, turn.apply(case.labels))
    assert back.labels.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint32", "int64", "uint64", "float64"])
def test_wide_numbers_are_not_rounded(store: Store, dtype: str) -> None:
    case = make_case(dtype=dtype)
    array = case.volume.array + (2**31 + 1 if dtype == "uint32" else 2**52 + 1)
    store.add(replace(case, volume=replace(case.volume, array=array.astype(dtype))))
    back = store.read(case.name).volume.array
    assert back.dtype == dtype
    assert np.sort(back, axis=None).tolist() == np.sort(array, axis=None).tolist()


@pytest.mark.parametrize(
    ("dtype", "most", "stored"),
    [
        ("bool", 1, "uint8"),
        ("int64", 255, "uint8"),
        (">i2", 300, "uint16"),
        ("float32", 256, "uint16"),
        ("float64", 2, "uint8"),
        ("uint64", 65535, "uint16"),
    ],
)
def test_label_maps_of_any_dtype_keep_their_values(store: Store, dtype: str, most: int, stored: str) -> None:
    case = make_case()
    labels = np.where(case.labels > 0, most, 0).astype(dtype)
    record = store.add(replace(case, labels=labels, structures={"liver": (most,)}))
    back = store.read(case.name).labels
    assert back.dtype == stored
    assert np.unique(back).tolist() == [0, most]
    assert record.voxels["liver"] == np.count_nonzero(labels)


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, 65536])
def test_what_is_no_label_map_is_refused(store: Store, value: float) -> None:
    case = make_case()
    labels = case.labels.astype(np.float64)
    labels[0, 0, 0] = value
    with pytest.raises(StoreError, match=r"liver_01: the label map (holds values that are|reaches 65536)"):
        store.add(replace(case, labels=labels))
    assert len(store) == 0


def test_a_scaled_file_can_be_given_its_stored_numbers_back(shared_data: Path, store: Store) -> None:
    source = open_source("auto", shared_data / "ct_abdomen_btcv")
    first = source.index()[0]
    prepare(source, store, only=[first])
    kept = store.read(first)
    assert kept.volume.origin is not None
    raw = nib.load(kept.volume.origin.path).dataobj
    expected, _ = replace(
        kept.volume, array=np.asarray(raw.get_unscaled()), grid=store.record(first).source_grid
    ).canonical()
    stored = np.rint((kept.volume.array.astype(np.float64) - raw.inter) / raw.slope)
    np.testing.assert_array_equal(stored, expected.array)
    np.testing.assert_allclose(kept.volume.array, expected.array * raw.slope + raw.inter, atol=2e-5)


def test_arrays_of_any_layout_are_read(store: Store) -> None:
    # As version 0.1 wrote them before the layouts of today were measured.
    case = make_case()
    store.add(case)
    folder = store.path / "cases" / case.name
    whole, labels = store.read_window(case.name, (0, 0, 0), store.record(case.name).shape)
    for name, array, shuffle in (("signal", whole, "SHUFFLE"), ("labels", labels, "BITSHUFFLE")):
        cparams = blosc2.CParams(codec=blosc2.Codec.ZSTD, clevel=3, filters=[getattr(blosc2.Filter, shuffle)])
        path = folder / f"{name}.b2nd"
        blosc2.asarray(array, chunks=(16, 16, 8), blocks=(8, 8, 4), urlpath=str(path), mode="w", cparams=cparams)
    Store.open(store.path).verify(case.name)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_voxel(store: Store, threads: int) -> None:
    store.add(make_case())
    Store(store.path, threads=threads).verify("liver_01")


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


def test_update_replaces_what_differs_or_is_damaged_and_nothing_else(store: Store) -> None:
    store.add(make_case())
    written = store.written("liver_01")
    store.add(make_case(), update=True)
    assert store.written("liver_01") == written
    changed = make_case(seed=7)
    store.add(changed, update=True)
    np.testing.assert_array_equal(store.read("liver_01").volume.array, changed.volume.canonical()[0].array)
    signal_file = store.path / "cases" / "liver_01" / "signal.b2nd"
    content = signal_file.read_bytes()
    signal_file.write_bytes(content[:-100])
    store.add(changed, update=True)
    assert signal_file.read_bytes() == content
    assert [path.name for path in (store.path / "cases").iterdir()] == ["liver_01"]


def test_a_folder_without_a_record_is_replaced(store: Store) -> None:
    store.add(make_case())
    (store.path / "cases" / "liver_01" / "case.json").unlink()
    Store.open(store.path).add(make_case())
    Store.open(store.path).verify("liver_01")


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
    from segevolution.files import process_name

    (store.path / "cases" / f".partial-{process_name()}-abc").mkdir()
    assert str(os.getpid()) in process_name()
    assert store.sweep() == 0


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="the system does not tell of ended processes")
def test_a_process_that_ended_unasked_is_swept(store: Store) -> None:
    from segevolution.files import process_name

    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        host = process_name().rpartition("-")[0]
        (store.path / "cases" / f".partial-{host}-{child.pid}-abc").mkdir()
        assert store.sweep() == 1


def test_rests_of_other_machines_are_swept_after_a_day(store: Store) -> None:
    old, young = (store.path / "cases" / f".partial-elsewhere-1-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    assert store.sweep() == 1
    assert young.exists()


def test_processes_that_make_one_store_at_once_share_it(tmp_path: Path) -> None:
    path = tmp_path / "new"
    workers = [multiprocessing.get_context("fork").Process(target=_add_all, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(Store.open(path)) == 6
    assert {entry.name for entry in path.iterdir()} == {"cases", "datasets", "store.json"}


def _add_all(path: Path) -> None:
    for number in range(6):
        Store.ensure(path).add(make_case(f"case_{number}"))


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


def test_what_was_skipped_is_kept_until_nothing_is(store: Store) -> None:
    store.note_skipped("chaos", {"b": "no label", "a": "no image"})
    assert Store.open(store.path).skipped == {"chaos": {"a": "no image", "b": "no label"}}
    store.note_skipped("amos", {"c": "truncated"})
    store.note_skipped("chaos", {})
    assert Store.open(store.path).skipped == {"amos": {"c": "truncated"}}
    store.note_skipped("amos", {})
    assert Store.open(store.path).skipped == {}
    assert not (store.path / "skipped").exists()


def test_datasets_are_described(store: Store) -> None:
    store.describe("chaos", {"licence": "CC BY-NC-SA 4.0"})
    assert Store.open(store.path).datasets == {"chaos": {"licence": "CC BY-NC-SA 4.0"}}
