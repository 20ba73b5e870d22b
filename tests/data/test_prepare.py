"""A source becomes a store, the same for any number of workers and after any stop; nothing is lost in silence."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segevolution.data.images import image_identity
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.msd import MSDSource
from segevolution.data.store import Store
from segevolution.errors import OutputError, StoreError
from segevolution.vocabulary import Modality

STEMS = tuple(f"hippocampus_{number:03d}" for number in range(6))


@pytest.fixture
def task(miniature: Any, tmp_path: Path) -> Path:
    return Path(miniature.msd(tmp_path / "task", STEMS, licence="CC-BY-SA 4.0"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_all_cases_are_added_once_and_then_kept(task: Path, store: Store) -> None:
    told: list[tuple[int, int, str]] = []
    first = prepare(MSDSource(task), store, progress=lambda *news: told.append(news))
    assert (first.added, first.kept, dict(first.failed)) == (STEMS, (), {})
    assert told == [(number, 6, stem) for number, stem in enumerate(STEMS, start=1)]
    fingerprint = store.fingerprint()
    second = prepare(MSDSource(task), store)
    assert (second.added, second.kept) == ((), STEMS)
    assert Store.open(store.path).fingerprint() == fingerprint
    assert store.datasets == {"hippocampus": {"source": "msd", "licence": "CC-BY-SA 4.0"}}


def test_workers_make_the_same_store_bit_for_bit(task: Path, store: Store, tmp_path: Path) -> None:
    other = Store.create(tmp_path / "other")
    prepare(MSDSource(task), store)
    prepare(MSDSource(task), other, workers=2)
    files = [path.relative_to(store.path) for path in store.path.rglob("*") if path.is_file()]
    assert files
    assert sorted(files) == sorted(path.relative_to(other.path) for path in other.path.rglob("*") if path.is_file())
    for path in files:
        assert (store.path / path).read_bytes() == (other.path / path).read_bytes(), path


def test_a_stopped_run_goes_on(task: Path, store: Store, tmp_path: Path) -> None:
    def stop(done: int, *_: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(MSDSource(task), store, progress=stop)
    assert len(store) == 2
    report = prepare(MSDSource(task), store)
    assert (len(report.kept), len(report.added)) == (2, 4)
    whole = Store.create(tmp_path / "whole")
    prepare(MSDSource(task), whole)
    assert store.fingerprint() == whole.fingerprint()


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_cases_are_skipped_with_their_reason(task: Path, store: Store, workers: int) -> None:
    (task / "labelsTr" / "hippocampus_002.nii.gz").unlink()
    (task / "imagesTr" / "hippocampus_004.nii.gz").write_bytes(b"no image")
    report = prepare(MSDSource(task), store, workers=workers)
    assert len(report.added) == 4
    assert report.failed.keys() == {"hippocampus_002", "hippocampus_004"}
    assert "has no label" in report.failed["hippocampus_002"]
    assert "hippocampus_004.nii.gz" in report.failed["hippocampus_004"]


def test_strict_stops_at_the_first_bad_case(task: Path, store: Store) -> None:
    (task / "labelsTr" / "hippocampus_002.nii.gz").unlink()
    with pytest.raises(StoreError, match=r"stopped at case hippocampus_002 because of --strict: .* has no label"):
        prepare(MSDSource(task), store, strict=True)
    assert store.names == STEMS[:2]


def test_wild_intensities_are_kept_and_noted(task: Path, store: Store, miniature: Any) -> None:
    miniature.image(task / "imagesTr" / "hippocampus_005.nii.gz", seed=9, scale=500)
    report = prepare(MSDSource(task), store)
    assert report.failed == {}
    assert report.notes.keys() == {"hippocampus_005"}
    assert "where 89" in report.notes["hippocampus_005"]
    assert store.read("hippocampus_005").volume.array.max() > 400_000


def test_the_same_names_in_two_datasets_need_a_prefix(task: Path, store: Store, miniature: Any, tmp_path: Path) -> None:
    prepare(MSDSource(task), store)
    other = MSDSource(miniature.msd(tmp_path / "second", STEMS[:1], name="Other"))
    report = prepare(other, store)
    assert "of dataset hippocampus; prepare with --prefix" in report.failed[STEMS[0]]
    assert prepare(other, store, prefix="other_").added == (f"other_{STEMS[0]}",)
    assert store.read(f"other_{STEMS[0]}").dataset == "other"


def test_an_image_that_is_there_under_another_prefix_keeps_its_name(
    task: Path, store: Store, miniature: Any, tmp_path: Path
) -> None:
    prepare(MSDSource(task), store, only=STEMS[:1])
    other = MSDSource(miniature.msd(tmp_path / "second", STEMS[:2], name="Other"))
    assert prepare(other, store).added == STEMS[1:2]
    report = prepare(other, store, prefix="other_")
    assert (report.added, report.kept) == ((f"other_{STEMS[0]}",), STEMS[1:2])
    again = prepare(other, store)
    assert (again.added, again.kept) == ((), (STEMS[1], f"other_{STEMS[0]}"))
    assert [record.dataset for record in store.cases].count("other") == 2


def test_two_cases_of_one_image_stay_two(store: Store, miniature: Any, tmp_path: Path) -> None:
    source = MSDSource(miniature.msd(tmp_path, ("P1", "1"), name="Twins"))
    miniature.image(tmp_path / "imagesTr" / "1.nii.gz", seed=5)
    miniature.image(tmp_path / "imagesTr" / "P1.nii.gz", seed=5)
    assert prepare(source, store, only=("P1",)).added == ("P1",)
    assert prepare(source, store).added == ("1",)


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(
    task: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(MSDSource(task), store, only=STEMS[:2])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("segevolution.data.store.write_array", full)
        with pytest.raises(OutputError, match="No space left on device"):
            prepare(MSDSource(task), store)
    assert store.names == STEMS[:2]
    assert len(prepare(MSDSource(task), store).added) == 4


def test_the_real_hippocampus_task_and_its_defects(shared_data: Path, store: Store) -> None:
    source = open_source("auto", shared_data / "Task04_Hippocampus")
    whole = (*source.index()[:20], "hippocampus_044")
    bad = ("hippocampus_010", "hippocampus_118", "hippocampus_281")
    report = prepare(source, store, only=(*whole, *bad))
    assert report.failed.keys() == set(bad)
    assert set(report.added) == set(whole) - set(bad)
    assert report.notes.keys() == {"hippocampus_044"}
    assert store.labelled("hippocampus") == {"hippocampus", "anterior hippocampus", "posterior hippocampus"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_against_its_modality_is_noted_and_stays_noted(tmp_path: Path, store: Store, workers: int) -> None:
    for number in range(2):
        voxels = np.random.default_rng(number).normal(24, 5, (12, 12, 12))
        voxels[2:10, 2:10] = np.random.default_rng(number).normal(1070, 30, (8, 8, 12))  # HU + 1024
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[4:8, 4:8, 4:8] = 1
        for folder, array in (("images", voxels.astype(np.int16)), ("labels", labels)):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "set" / folder / f"case{number}.nii.gz")
    (tmp_path / "set" / "labels.json").write_text('{"liver": 1}')
    source = open_source("folder", tmp_path / "set", Overrides(modality=Modality.CT))
    first = prepare(source, store, workers=workers)
    assert set(first.notes) == {"case0", "case1"}
    assert all("as if 1024 or 1000 had been added" in note for note in first.notes.values())
    assert prepare(source, store).notes == first.notes


@pytest.fixture
def two_hospitals(miniature: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders called data whose cases have the same names and other voxels."""
    for seed, hospital in enumerate("ab"):
        miniature.msd(tmp_path / hospital / "data", STEMS[:2])
        for stem in STEMS[:2]:
            miniature.image(tmp_path / hospital / "data" / "imagesTr" / f"{stem}.nii.gz", seed=10 + seed)
    return tmp_path / "a" / "data", tmp_path / "b" / "data"


@pytest.mark.parametrize("update", [False, True])
def test_another_hospitals_patients_neither_pass_for_kept_nor_replace(
    two_hospitals: tuple[Path, Path], store: Store, update: bool
) -> None:
    prepare(MSDSource(two_hospitals[0]), store)
    fingerprint = store.fingerprint()
    report = prepare(MSDSource(two_hospitals[1]), store, update=update)
    assert (report.kept, report.updated, set(report.failed)) == ((), (), set(STEMS[:2]))
    assert "--prefix and --dataset" in report.failed[STEMS[0]]
    assert store.fingerprint() == fingerprint
    assert len(prepare(MSDSource(two_hospitals[1], Overrides(dataset="b")), store, prefix="b_").added) == 2


def test_a_dataset_that_moved_is_kept_and_an_image_mended_in_its_place_is_replaced(
    task: Path, store: Store, tmp_path: Path, miniature: Any
) -> None:
    prepare(MSDSource(task), store)
    moved = task.rename(tmp_path / "moved")
    assert prepare(MSDSource(moved), store).kept == STEMS
    moved.rename(task)
    image = task / "imagesTr" / f"{STEMS[0]}.nii.gz"
    miniature.image(image, seed=77)
    os.utime(image, (0, 0))  # as a copy that keeps its date
    assert "prepare with --update" in prepare(MSDSource(task), store).notes[STEMS[0]]
    assert prepare(MSDSource(task), store, update=True).updated == STEMS[:1]


def test_a_store_of_an_earlier_version_is_kept_and_its_own_files_tell_another_hospitals(
    two_hospitals: tuple[Path, Path], store: Store
) -> None:
    prepare(MSDSource(two_hospitals[0]), store)
    for path in store.path.glob("cases/*/case.json"):
        record = json.loads(path.read_text())
        assert record.pop("image")
        path.write_text(json.dumps(record))
    assert len(prepare(MSDSource(two_hospitals[0]), store).kept) == 2
    assert len(prepare(MSDSource(two_hospitals[1]), store).failed) == 2
    shutil.rmtree(two_hospitals[0])
    assert len(prepare(MSDSource(two_hospitals[1]), store).kept) == 2  # nothing tells any more


def test_headers_of_equal_text_are_told_apart_by_their_voxels(tmp_path: Path) -> None:
    for folder, value in (("a", b"1"), ("b", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "case.mhd").write_text("ObjectType = Image\nElementDataFile = case.raw\n")
        (tmp_path / folder / "case.raw").write_bytes(value * 100)
    first, second = (image_identity(tmp_path / folder / "case.mhd") for folder in "ab")
    assert first is not None
    assert second is not None
    assert first.is_another(second)
    assert image_identity(tmp_path / "nothing.mhd") is None
