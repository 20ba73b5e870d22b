"""Data that changed after a study or an adaptation had read them are never used as they were."""

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest

from segevolution.adaptation.data import bring
from segevolution.data.sources import Overrides
from segevolution.errors import RecipeError
from segevolution.recipes.dataset import Dataset
from segevolution.recipes.source_files import list_files
from segevolution.recipes.stores import open_dataset, prepare_job
from segevolution.studies.forecast import forecast
from segevolution.studies.recipe import Recipe
from segevolution.vocabulary import Modality

DATASET = Dataset(name="mine", path="mine", modality="MRI")


def patients(folder, names, seed=0, value=100.0):
    """Write patients in a plain layout; `value` is what the labelled organ has beside the noise."""
    for place in (folder / "images", folder / "labels"):
        place.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng(seed + number)
        labels = np.zeros((8, 8, 6), np.uint8)
        labels[2:6, 2:6, 2:4] = 1
        image = rng.normal(300, 5, labels.shape).astype(np.float32) + value * labels
        for place, array in (("images", image), ("labels", labels)):
            nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 4.0, 1.0])), folder / place / f"{name}.nii.gz")
    (folder / "labels.json").write_text(json.dumps({"1": "liver"}))


def correct_labels(folder, name):
    path = folder / "labels" / f"{name}.nii.gz"
    labels = np.roll(np.asarray(nib.load(path).dataobj), 1, axis=0)
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2.0, 4.0, 1.0])), path)


def withdraw(folder, name):
    for place in ("images", "labels"):
        (folder / place / f"{name}.nii.gz").unlink()


@pytest.fixture
def prepared(tmp_path):
    def prepared(root="A", run="run", **how):
        return open_dataset(prepare_job(DATASET, tmp_path / root), tmp_path / run / "data", **how).store

    return prepared


def test_another_root_with_the_same_path_is_read(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1", "p2"])
    patients(tmp_path / "B" / "mine", ["p1", "q3"], seed=50)
    prepared()
    other = prepared("B")
    assert other.names == ("p1", "q3")
    assert other.fingerprint() == prepared("B", "fresh").fingerprint()


def test_corrected_labels_are_read_and_a_patient_who_was_withdrawn_is_dropped(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1", "p2"])
    before = prepared().record("p1").sha256
    correct_labels(tmp_path / "A" / "mine", "p1")
    withdraw(tmp_path / "A" / "mine", "p2")
    after = prepared()
    assert after.names == ("p1",)
    assert after.record("p1").sha256 != before


def test_a_plan_counts_no_store_of_data_that_changed_since(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1", "p2"])
    recipe = Recipe.model_validate(
        {"name": "plan", "base": "segvol-mini", "data": [DATASET.model_dump()], "methods": [{"name": "base"}]}
    )
    prepared()
    (before,) = forecast(recipe, tmp_path / "run", root=tmp_path / "A").datasets
    withdraw(tmp_path / "A" / "mine", "p2")
    (after,) = forecast(recipe, tmp_path / "run", root=tmp_path / "A").datasets
    assert [(one.state, one.patients) for one in (before, after)] == [("prepared", 2), ("to be prepared", 1)]


def test_once_measured_changed_data_are_refused_by_name_and_the_store_stays(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1", "p2", "p3"])
    before = prepared().fingerprint()
    correct_labels(tmp_path / "A" / "mine", "p1")
    withdraw(tmp_path / "A" / "mine", "p2")
    with pytest.raises(
        RecipeError, match=r"no longer holds .* \(changed: p1; gone: p2\); choose another folder with -o"
    ):
        prepared(measured=True)
    store = prepared("A", "run2")
    assert store.names == ("p1", "p3")
    shutil.rmtree(tmp_path / "run" / "data" / "mine")  # what the sentence says
    assert prepared(measured=True).fingerprint() == store.fingerprint() != before


def test_identical_files_elsewhere_or_with_later_times_go_on_with_what_was_measured(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1", "p2"])
    before = prepared()
    written = before.written("p1")
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    assert prepared("B", measured=True).written("p1") == written
    for path in (tmp_path / "B").rglob("*.nii.gz"):
        os.utime(path, (2e9, 2e9))
    assert prepared("B", measured=True).written("p1") == written


def test_patients_who_are_new_are_added_to_those_that_are_there(tmp_path, prepared):
    patients(tmp_path / "A" / "mine", ["p1"])
    written = prepared().written("p1")
    patients(tmp_path / "more", ["p2"], seed=9)
    shutil.copytree(tmp_path / "more", tmp_path / "A" / "mine", dirs_exist_ok=True, ignore=lambda *_: ["labels.json"])
    assert prepared().names == ("p1", "p2")
    assert prepared().written("p1") == written


@pytest.mark.parametrize("corrected", [False, True])
def test_a_folder_of_an_earlier_version_has_no_listing_and_goes_on(tmp_path, prepared, corrected):
    patients(tmp_path / "A" / "mine", ["p1"])
    before = prepared()
    sha256, written, note = before.record("p1").sha256, before.written("p1"), tmp_path / "run" / "data" / "mine.json"
    note.write_text(json.dumps({key: value for key, value in json.loads(note.read_text()).items() if key != "files"}))
    if corrected:
        correct_labels(tmp_path / "A" / "mine", "p1")
        os.utime(tmp_path / "A" / "mine" / "labels" / "p1.nii.gz", (2e9, 2e9))
    after = prepared()
    assert (after.record("p1").sha256 != sha256) == corrected
    assert (after.written("p1") != written) == corrected


def test_an_adaptation_reads_again_what_changed_and_says_so(tmp_path):
    patients(tmp_path / "mine", ["p1", "p2"])
    (tmp_path / "work").mkdir()
    how = ("auto", Overrides(modality=Modality.MRI))
    before = bring(tmp_path / "mine", tmp_path / "work", *how)
    assert not any(line.startswith("read again") for line in before.decisions)
    correct_labels(tmp_path / "mine", "p1")
    withdraw(tmp_path / "mine", "p2")
    after = bring(tmp_path / "mine", tmp_path / "work", *how)
    assert after.store.names == ("p1",)
    assert after.decisions[0].startswith("read again, since files were changed or deleted: ")
    assert after.store.fingerprint() == bring(tmp_path / "mine", tmp_path / "work2", *how).store.fingerprint()


def test_a_linked_folder_is_listed_once_however_links_lead(tmp_path):
    patients(tmp_path / "mine", ["a", "b"])
    (tmp_path / "mine" / "images" / "again").symlink_to(tmp_path / "mine", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.txt").touch()
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    listed = list_files(tmp_path / "mine", tmp_path / "run")
    assert sorted(listed) == [
        *("images/a.nii.gz", "images/b.nii.gz", "labels.json", "labels/a.nii.gz", "labels/b.nii.gz", "linked/c.txt"),
    ]
