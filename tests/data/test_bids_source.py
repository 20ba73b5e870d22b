"""BIDS datasets with labels in derivatives: which label is of which image, and what its voxels are called."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.bids import BIDSSource
from segevolution.data.store import Store
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

TABLE = "index\tname\tabbreviation\n0\tBackground\tBG\n1\tLeft-Kidney\tLK\n2\tliver\tLI\n"


@pytest.fixture
def dataset(miniature: Any, tmp_path: Path) -> Path:
    """Two subjects; two sessions of the first, one with two runs; strays; a second pipeline without labels."""
    root = tmp_path / "ds"
    manual = root / "derivatives" / "manual"
    for number, stem in enumerate(
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w", "sub-01/ses-2/anat/sub-01_ses-2_run-1_T2w",
         "sub-01/ses-2/anat/sub-01_ses-2_run-2_T2w", "sub-02/anat/sub-02_acq-fast_FLAIR")
    ):  # fmt: skip
        miniature.image(root / f"{stem}.nii.gz", seed=number)
        miniature.labels(manual / f"{stem.rsplit('_', 1)[0]}_space-orig_dseg.nii.gz", values=(1, 2) if number else (2,))
    (manual / "dseg.tsv").write_text(TABLE)
    description = {"Name": "Kidneys & more", "BIDSVersion": "1.9.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "participants.tsv").write_text("participant_id\tsite\nsub-01\tNorth\nsub-02\tn/a\n")
    for stray in (manual / "sub-02" / "anat" / "._sub-02_acq-fast_dseg.nii.gz", root / "__MACOSX" / "sub-01" / "x.nii"):
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"\x00\x05\x16\x07")
    miniature.labels(
        root / "derivatives" / "fmriprep" / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_desc-brain_mask.nii.gz"
    )
    return root


def place(path: Path, value: int) -> np.ndarray:
    """Where the voxels of a value lie in the patient, in millimetres, sorted."""
    image: Any = nib.load(path)
    voxels = np.argwhere(np.asanyarray(image.dataobj) == value)
    return np.array(sorted(nib.affines.apply_affine(image.affine, voxels).tolist()))


def test_labels_are_those_of_the_same_session_and_run(dataset: Path) -> None:
    source = open_source("auto", dataset)
    assert isinstance(source, BIDSSource)
    assert (source.dataset, source.licence) == ("kidneys_more", "CC0")
    assert source.index() == (
        "sub-01_ses-1_T1w",
        "sub-01_ses-2_run-1_T2w",
        "sub-01_ses-2_run-2_T2w",
        "sub-02_acq-fast_FLAIR",
    )
    first, second = source.read("sub-01_ses-1_T1w"), source.read("sub-01_ses-2_run-2_T2w")
    assert first.structures.keys() == {"liver"}
    assert second.structures.keys() == {"liver", "left kidney"}
    assert (first.patient, first.sequence, first.site) == ("sub-01", "T1", "North")
    assert (second.patient, second.sequence, second.volume.modality) == ("sub-01", "T2", Modality.MRI)
    other = source.read("sub-02_acq-fast_FLAIR")
    assert (other.patient, other.sequence, other.site) == ("sub-02", "FLAIR", None)


def test_every_voxel_lies_where_its_file_says(dataset: Path, miniature: Any) -> None:
    """Labels that were written in another axis order than their image."""
    label = dataset / "derivatives" / "manual" / "sub-02" / "anat" / "sub-02_acq-fast_space-orig_dseg.nii.gz"
    drawn: Any = nib.load(label)
    nib.save(nib.as_closest_canonical(drawn), label)
    case = BIDSSource(dataset).read("sub-02_acq-fast_FLAIR")
    for structure, value in (("left kidney", 1), ("liver", 2)):
        found = case.volume.grid.to_mm(np.argwhere(case.mask(structure)))
        np.testing.assert_allclose(np.array(sorted(found.tolist())), place(label, value), atol=1e-4)
    image: Any = nib.load(dataset / "sub-02" / "anat" / "sub-02_acq-fast_FLAIR.nii.gz")
    np.testing.assert_array_equal(case.volume.array, np.asanyarray(image.dataobj))


def test_masks_of_one_structure_each_may_overlap(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "sub-1" / "anat" / "sub-1_ce-gd_T1w.nii.gz")
    folder = tmp_path / "derivatives" / "raters" / "sub-1" / "anat"
    masks = {
        "prostate": miniature.labels(folder / "sub-1_ce-gd_label-prostate_mask.nii.gz", values=(1, 1)),
        "right kidney": miniature.labels(folder / "sub-1_ce-gd_label-rightKidney_desc-manual_mask.nii.gz", values=(1,)),
        "lesion": miniature.labels(folder / "sub-1_ce-gd_label-lesion_dseg.nii.gz", values=(1, 1, 1)),
    }
    miniature.labels(folder / "sub-1_ce-gd_desc-brain_mask.nii.gz")
    case = BIDSSource(tmp_path).read("sub-1_ce-gd_T1w")
    assert case.structures.keys() == masks.keys()
    for structure, mask in masks.items():
        np.testing.assert_array_equal(case.mask(structure), mask != 0)
    assert case.sequence == "T1-CE"


def test_ct_is_told_by_its_suffix(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "sub-1" / "ct" / "sub-1_ct.nii.gz")
    miniature.labels(tmp_path / "derivatives" / "m" / "sub-1" / "ct" / "sub-1_label-liver_mask.nii.gz")
    case = BIDSSource(tmp_path, Overrides("mine")).read("sub-1_ct")
    assert (case.volume.modality, case.sequence, case.dataset) == (Modality.CT, None, "mine")


@pytest.mark.parametrize("way", ["word", "space", "sources"])
def test_a_label_that_names_its_image_is_of_no_other(tmp_path: Path, miniature: Any, way: str) -> None:
    for suffix in ("T1w", "T2w"):
        miniature.image(tmp_path / "sub-1" / "anat" / f"sub-1_{suffix}.nii.gz")
    folder = tmp_path / "derivatives" / "m" / "sub-1" / "anat"
    name = {"word": "sub-1_T2w_label-SC_mask", "space": "sub-1_space-T2w_label-SC_mask"}.get(way, "sub-1_label-SC_mask")
    miniature.labels(folder / f"{name}.nii.gz")
    if way == "sources":
        (folder / f"{name}.json").write_text('{"Sources": ["bids:raw:sub-1/anat/sub-1_T2w.nii.gz"]}')
    source = BIDSSource(tmp_path)
    assert source.index() == ("sub-1_T2w",)
    assert source.read("sub-1_T2w").structures.keys() == {"spinal cord"}


def test_a_label_that_names_no_image_is_of_all_with_its_entities(tmp_path: Path, miniature: Any) -> None:
    for suffix in ("T1w", "T2w"):
        miniature.image(tmp_path / "sub-1" / "anat" / f"sub-1_{suffix}.nii.gz")
    miniature.image(tmp_path / "sub-1" / "anat" / "sub-1_run-2_T2w.nii.gz")
    miniature.labels(tmp_path / "derivatives" / "m" / "sub-1" / "anat" / "sub-1_label-SC_mask.nii.gz")
    assert BIDSSource(tmp_path).index() == ("sub-1_T1w", "sub-1_T2w")


def test_the_nearest_table_of_the_labels_own_entities_counts(dataset: Path) -> None:
    folder = dataset / "derivatives" / "manual"
    (folder / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_space-orig_dseg.tsv").write_text("index\tname\n2\tspleen\n")
    (folder / "sub-01" / "ses-2" / "anat" / "sub-01_ses-9_dseg.tsv").write_text("index\tname\n1\tlung\n2\tlung\n")
    source = BIDSSource(dataset)
    assert source.read("sub-01_ses-1_T1w").structures.keys() == {"spleen"}
    assert source.read("sub-01_ses-2_run-1_T2w").structures.keys() == {"left kidney", "liver"}
    (folder / "dseg.tsv").rename(dataset / "dseg.tsv")
    assert BIDSSource(dataset).read("sub-01_ses-2_run-1_T2w").structures.keys() == {"left kidney", "liver"}


def test_several_pipelines_are_refused_and_one_can_be_given(dataset: Path, miniature: Any) -> None:
    miniature.labels(dataset / "derivatives" / "auto" / "sub-02" / "anat" / "sub-02_acq-fast_label-spleen_mask.nii.gz")
    with pytest.raises(StoreError, match=r"several pipelines \(auto, manual\); give the folder of one"):
        BIDSSource(dataset)
    source = BIDSSource(dataset / "derivatives" / "auto")
    assert source.read("sub-02_acq-fast_FLAIR").structures.keys() == {"spleen"}
    assert source.dataset == "kidneys_more"


def test_what_does_not_fit_is_one_sentence_each(dataset: Path, miniature: Any) -> None:
    manual = dataset / "derivatives" / "manual"
    miniature.image(dataset / "sub-03" / "anat" / "sub-03_T1w.nii.gz")
    miniature.labels(manual / "sub-04" / "anat" / "sub-04_dseg.nii.gz")
    miniature.labels(manual / "sub-02" / "anat" / "sub-02_acq-fast_label-liver_mask.nii.gz")
    miniature.labels(manual / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_space-orig_dseg.nii.gz", values=(1, 7))
    miniature.labels(
        manual / "sub-01" / "ses-2" / "anat" / "sub-01_ses-2_run-1_space-orig_dseg.nii.gz", shape=(12, 14, 9)
    )
    reasons = {
        "sub-03_T1w": "sub-03_T1w has no label",
        "sub-04_dseg": "sub-04_dseg has no image",
        "sub-02_acq-fast_FLAIR": "liver in more than one file",
        "sub-01_ses-1_T1w": "holds the label 7, which has no name",
        "sub-01_ses-2_run-1_T2w": "has 12 x 14 x 9 voxels",
    }
    source = BIDSSource(dataset)
    for case, reason in reasons.items():
        with pytest.raises(SegevolutionError, match=reason):
            source.read(case)
    (manual / "dseg.tsv").unlink()
    with pytest.raises(StoreError, match="has no table of names"):
        BIDSSource(dataset).read("sub-01_ses-2_run-2_T2w")


def test_labels_of_a_template_are_no_labels(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii.gz")
    (tmp_path / "dataset_description.json").write_text("{}")
    miniature.labels(
        tmp_path / "derivatives" / "m" / "sub-1" / "anat" / "sub-1_space-MNI152NLin6Asym_dseg.nii.gz", values=(1,)
    )
    with pytest.raises(StoreError, match="has no labels"):
        BIDSSource(tmp_path)


def test_a_dataset_becomes_a_store(dataset: Path, tmp_path: Path) -> None:
    store = Store.ensure(tmp_path / "store")
    report = prepare(BIDSSource(dataset), store)
    assert (len(report.added), report.failed) == (4, {})
    assert {record.patient for record in store.cases} == {"sub-01", "sub-02"}
    assert store.datasets["kidneys_more"]["licence"] == "CC0"


def test_white_matter_beside_a_spinal_cord_is_not_the_cerebrums(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "sub-1" / "anat" / "sub-1_T2w.nii.gz")
    folder = tmp_path / "derivatives" / "m" / "sub-1" / "anat"
    for name in ("WM", "SC"):
        miniature.labels(folder / f"sub-1_label-{name}_mask.nii.gz")
    assert BIDSSource(tmp_path).read("sub-1_T2w").structures.keys() == {"white matter", "spinal cord"}
    (folder / "sub-1_label-SC_mask.nii.gz").unlink()
    assert BIDSSource(tmp_path).read("sub-1_T2w").structures.keys() == {"cerebral white matter"}


def test_a_hemisphere_is_a_side(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii.gz")
    folder = tmp_path / "derivatives" / "m" / "sub-1" / "anat"
    miniature.labels(folder / "sub-1_hemi-L_label-hippocampus_mask.nii.gz")
    assert BIDSSource(tmp_path).read("sub-1_T1w").structures.keys() == {"left hippocampus"}
    miniature.labels(folder / "sub-1_hemi-R_label-hippocampus_mask.nii.gz")
    source = BIDSSource(tmp_path)
    assert source.read("sub-1_T1w").structures.keys() == {"left hippocampus", "right hippocampus"}
    assert any('"hippocampus" is called left hippocampus' in decision.text for decision in source.decisions)
