"""A person's own folder, and nnU-Net's, become cases."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.data.overview import overview
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.collection import decisions_of
from segevolution.data.sources.folder import FolderSource
from segevolution.data.sources.nnunet import NnUNetSource
from segevolution.data.store import Store
from segevolution.errors import FormatError, StoreError
from segevolution.imaging.case import Case
from segevolution.vocabulary import Modality


@pytest.fixture
def nnunet(miniature: Any, tmp_path: Path) -> Path:
    for stem in ("p1", "p2_frame03"):
        for channel in (0, 1):
            miniature.image(tmp_path / "imagesTr" / f"{stem}_{channel:04d}.nii.gz", seed=channel)
        miniature.labels(tmp_path / "labelsTr" / f"{stem}.nii.gz", values=(1, 2, 3))
    header = {
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "pz": 1, "tz": 2, "prostate": [1, 2], "lesion": 3, "ignore": 4},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "name": "Dataset005_Prostate",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(header))
    return tmp_path


def test_nnunet_channels_are_cases_of_one_patient(nnunet: Path, miniature: Any, tmp_path: Path) -> None:
    source = open_source("auto", nnunet)
    assert isinstance(source, NnUNetSource)
    assert source.index() == ("p1_adc", "p1_t2", "p2_frame03_adc", "p2_frame03_t2")
    case = source.read("p2_frame03_adc")
    expected = miniature.image(tmp_path / "again.nii.gz", seed=1)
    np.testing.assert_array_equal(case.volume.array, expected)
    assert (case.patient, case.sequence, case.volume.modality) == ("p2", "ADC", Modality.MRI)
    assert case.dataset == "dataset005_prostate"
    assert case.structures == {
        "prostate peripheral zone": (1,),
        "prostate transition zone": (2,),
        "prostate": (1, 2),
        "lesion": (3,),
    }


def test_nnunet_cases_with_ignored_voxels_or_a_missing_channel_are_refused(nnunet: Path, miniature: Any) -> None:
    miniature.labels(nnunet / "labelsTr" / "p1.nii.gz", values=(1, 4))
    (nnunet / "imagesTr" / "p2_frame03_0001.nii.gz").unlink()
    source = NnUNetSource(nnunet)
    with pytest.raises(StoreError, match='marked "ignore" cannot be used'):
        source.read("p1_t2")
    with pytest.raises(StoreError, match=r"p2_frame03_0001\.nii\.gz is missing"):
        source.read("p2_frame03_adc")
    assert source.read("p2_frame03_t2").patient == "p2"


@pytest.mark.parametrize("folders", [("images", "labels"), ("imagesTr", "labelsTr")])
@pytest.mark.parametrize("labels", [{"1": "Liver", "2": "kidney_right"}, {"liver": 1, "right kidney": 2}])
def test_plain_folder_with_a_labels_file(
    miniature: Any, tmp_path: Path, folders: tuple[str, str], labels: dict[str, Any]
) -> None:
    miniature.image(tmp_path / folders[0] / "scan_7.nii")
    miniature.labels(tmp_path / folders[1] / "scan_7.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    source = open_source("auto", tmp_path, Overrides("clinic", Modality.MRI))
    assert isinstance(source, FolderSource)
    case = source.read("scan_7")
    assert case.structures == {"liver": (1,), "right kidney": (2,)}
    assert (case.dataset, case.volume.modality) == ("clinic", Modality.MRI)


def test_plain_folder_asks_for_what_it_cannot_know(miniature: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither imagesTr and labelsTr nor images and labels"):
        FolderSource(tmp_path)
    miniature.image(tmp_path / "images" / "a.nii.gz")
    miniature.labels(tmp_path / "labels" / "a.nii.gz")
    with pytest.raises(StoreError, match=r"labels\.json cannot be read"):
        FolderSource(tmp_path)
    (tmp_path / "labels.json").write_text('{"liver": "one"}')
    with pytest.raises(StoreError, match="give --modality"):
        FolderSource(tmp_path)
    with pytest.raises(StoreError, match="neither value to name nor name to value"):
        FolderSource(tmp_path, Overrides(modality=Modality.CT))


def described(folder: Path, **told: Any) -> Path:
    """A labels.json that says where the files are."""
    folder.mkdir(exist_ok=True)
    (folder / "labels.json").write_text(json.dumps(told))
    return folder


def in_patient(path: Path, value: int) -> list[list[float]]:
    """Where the voxels of a value lie, in millimetres, by nibabel alone."""
    image: Any = nib.load(path)
    places = nib.affines.apply_affine(image.affine, np.argwhere(np.asanyarray(image.dataobj) == value))
    return sorted(np.round(places, 3).tolist())


def in_case(case: Case, structure: str) -> list[list[float]]:
    return sorted(np.round(case.volume.grid.to_mm(np.argwhere(case.mask(structure))), 3).tolist())


def as_dicom(path: Path, folder: Path) -> None:
    """The slices of a NIfTI file as a DICOM series."""
    image = sitk.ReadImage(str(path))
    folder.mkdir(parents=True)
    across = image.GetDirection()
    turned = [across[column + 3 * row] for column in (0, 1) for row in range(3)]
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetSize()[2]):
        piece = image[:, :, number]
        position = image.TransformIndexToPhysicalPoint((0, 0, number))
        for tag, value in {
            "0008|0060": "MR",
            "0008|0018": f"1.2.3.{number + 1}",
            "0020|000e": "1.2.3",
            "0020|0032": "\\".join(map(str, position)),
            "0020|0037": "\\".join(map(str, turned)),
        }.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number:03d}.dcm"))
        writer.Execute(piece)


def test_patterns_find_files_of_any_folders_and_formats(miniature: Any, tmp_path: Path) -> None:
    (tmp_path / "segs").mkdir()
    for number, (patient, case) in enumerate((("P1", "a"), ("P1", "b"), ("P2", "a"))):
        miniature.image(tmp_path / "scans" / "north" / patient / f"{case}_t2.nii.gz", seed=number)
        drawn = tmp_path / "drawn" / f"{patient}-{case}.nii.gz"
        miniature.labels(drawn, values=(1, 2) if number != 1 else (2, 1))
        sitk.WriteImage(sitk.ReadImage(str(drawn)), str(tmp_path / "segs" / f"{patient}-{case}.nrrd"))
    for stray in ("scans/north/P1/._a_t2.nii.gz", "__MACOSX/scans/north/P1/a_t2.nii.gz", "scans/north/P1/a_t1.nii.gz"):
        (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stray).write_bytes(b"stray")
    described(
        tmp_path,
        name="Clinic 7",
        labels={"liver": 1, "organs": [1, 2]},
        images="**/{patient}/{case}_t2.nii.gz",
        masks="segs/{patient}-{case}.nrrd",
        modality="mr",
        sequence="T2",
        licence="ours",
    )
    source = open_source("auto", tmp_path)
    assert isinstance(source, FolderSource)
    assert source.index() == ("P1_a", "P1_b", "P2_a")
    case = source.read("P1_b")
    assert (case.patient, case.sequence, case.dataset, source.licence) == ("P1", "T2", "clinic_7", "ours")
    assert case.volume.modality is Modality.MRI
    assert case.structures == {"liver": (1,), "organs": (1, 2)}
    assert in_case(case, "liver") == in_patient(tmp_path / "drawn" / "P1-b.nii.gz", 1)
    image: Any = nib.load(tmp_path / "scans" / "north" / "P1" / "b_t2.nii.gz")
    np.testing.assert_array_equal(case.volume.array, np.asanyarray(image.dataobj))


def test_one_mask_a_structure_beside_dicom_folders(miniature: Any, tmp_path: Path) -> None:
    """Overlapping masks; the second patient lacks one."""
    for case in ("p1", "p2"):
        miniature.image(tmp_path / f"{case}.nii.gz", seed=5)
        as_dicom(tmp_path / f"{case}.nii.gz", tmp_path / "data" / case / "T1")
        miniature.labels(tmp_path / "data" / case / "Liver.nii.gz", values=(1, 1, 1))
    miniature.labels(tmp_path / "data" / "p1" / "lesion.nii.gz", values=(7,))
    masks = {"liver": "data/{case}/Liver.nii.gz", "Liver tumour": "data/{case}/lesion.nii.gz"}
    described(tmp_path, images="data/{case}/T1", masks=masks, modality="MRI", patient="^(p)")
    source = FolderSource(tmp_path, Overrides("dicoms", sequence="T1"))
    first, second = source.read("p1"), source.read("p2")
    assert first.structures.keys() == {"liver", "liver tumour"}
    assert (first.mask("liver") & first.mask("liver tumour")).any()
    assert in_case(first, "liver") == in_patient(tmp_path / "data" / "p1" / "Liver.nii.gz", 1)
    assert in_case(first, "liver tumour") == in_patient(tmp_path / "data" / "p1" / "lesion.nii.gz", 7)
    assert second.structures.keys() == {"liver"}
    assert (first.patient, first.sequence, first.dataset) == ("p", "T1", "dicoms")
    image: Any = nib.load(tmp_path / "p1.nii.gz")
    voxel = image.affine @ [3, 4, 5, 1]
    x, y, z = np.rint(first.volume.grid.to_voxel(voxel[:3])[0]).astype(int)
    assert first.volume.array[x, y, z] == np.asanyarray(image.dataobj)[3, 4, 5]


def test_masks_beside_their_images_are_no_images(miniature: Any, tmp_path: Path) -> None:
    for case in ("Case00", "Case01"):
        miniature.image(tmp_path / f"{case}.nii.gz")
        miniature.labels(tmp_path / f"{case}_segmentation.nii.gz")
    described(
        tmp_path,
        labels={"1": "a", "2": "b"},
        images="{case}.nii.gz",
        masks="{case}_segmentation.nii.gz",
        modality="CT",
    )
    source = FolderSource(tmp_path)
    assert source.index() == ("Case00", "Case01")
    assert source.read("Case01").structures == {"a": (1,), "b": (2,)}


def test_images_may_share_one_mask(miniature: Any, tmp_path: Path) -> None:
    for phase in ("in", "out"):
        miniature.image(tmp_path / "p1" / f"{phase}.nii.gz")
    miniature.labels(tmp_path / "p1" / "mask" / "m.nii.gz")
    described(
        tmp_path,
        labels={"1": "a", "2": "b"},
        images="{patient}/{case}.nii.gz",
        masks="{patient}/mask/m.nii.gz",
        modality="MRI",
    )
    source = FolderSource(tmp_path)
    assert source.index() == ("p1_in", "p1_out")
    assert source.read("p1_out").patient == "p1"


def test_images_without_labels_are_cases_too(miniature: Any, tmp_path: Path) -> None:
    """For pre-training: the store takes them, labels are empty, nothing that lies beside is taken for a mask."""
    voxels = miniature.image(tmp_path / "p1" / "a.nii.gz", seed=1)
    miniature.image(tmp_path / "p2" / "a.nii.gz", seed=2)
    miniature.labels(tmp_path / "p1" / "other" / "m.nii.gz")
    described(tmp_path, images="{patient}/{case}.nii.gz", masks=None, modality="MRI")
    source = open_source("auto", tmp_path)
    store = Store.create(tmp_path / "store")
    assert prepare(source, store).added == ("p1_a", "p2_a")
    case = store.read("p1_a")
    assert (case.patient, case.volume.modality, case.structures) == ("p1", Modality.MRI, {})
    assert not case.labels.any()
    np.testing.assert_array_equal(np.sort(case.volume.array, axis=None), np.sort(voxels, axis=None))
    assert [(row.structure, row.cases) for row in overview(store.cases)] == [("(all)", 2)]
    (tmp_path / "p1" / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"a\.nii\.gz"):
        source.read("p1_a")


def test_halves_of_pairs_are_missed_by_name(miniature: Any, tmp_path: Path) -> None:
    for case in ("a", "b"):
        miniature.image(tmp_path / "i" / f"{case}.nii.gz")
    for case in ("b", "c"):
        miniature.labels(tmp_path / "m" / f"{case}.nii.gz")
    described(tmp_path, labels={"1": "x", "2": "y"}, images="i/{case}.nii.gz", masks="m/{case}.nii.gz", modality="CT")
    source = FolderSource(tmp_path)
    assert source.index() == ("a", "b", "c")
    with pytest.raises(StoreError, match="a has no label"):
        source.read("a")
    with pytest.raises(StoreError, match=r"c has no image: .*i/c\.nii\.gz is missing"):
        source.read("c")
    assert source.read("b").structures.keys() == {"x", "y"}
    described(tmp_path, images="i/{case}.nii.gz", masks={"x": "m/{case}.nii.gz"}, modality="CT")
    with pytest.raises(StoreError, match="a has no mask"):
        FolderSource(tmp_path).read("a")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": "I/{case}.nii.gz"}, "no file is found by 'I/{case}.nii.gz'; mind capital letters"),
        ({"masks": {"liver": "m/{case}_Liver.nii.gz"}}, "no file is found by 'm/{case}_Liver.nii.gz'"),
        ({"images": "i/{subject}.nii.gz"}, "holds {subject}; known are {case} and {patient}"),
        ({"images": "i/a.nii.gz"}, "needs {case}"),
        ({"images": "../i/{case}.nii.gz"}, "no pattern of files below its folder"),
        ({"masks": "m/{patient}/{case}.nii.gz"}, "has a group in braces that 'i/{case}.nii.gz' has not"),
        ({"masks": ""}, 'has "images" but no "masks"'),
        ({"masks": None}, 'names "labels", but its "masks" are null'),
        ({"modalty": "CT"}, 'did you mean "modality"?'),
        ({"modality": None}, "give --modality"),
        ({"sequence": 2}, '"sequence" must be a text'),
        ({"labels": None}, 'has no "labels"'),
        ({"images": "*/{case}.nii*"}, "make it narrower"),
    ],
)
def test_mistakes_in_labels_json_are_one_sentence(
    miniature: Any, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    miniature.image(tmp_path / "i" / "a.nii.gz")
    miniature.image(tmp_path / "i" / "a.nii")
    miniature.labels(tmp_path / "m" / "a.nii.gz")
    told = {"labels": {"1": "x"}, "images": "i/{case}.nii.gz", "masks": "m/{case}.nii.gz", "modality": "CT"}
    described(tmp_path, **(told | change))
    with pytest.raises(StoreError) as caught:
        FolderSource(tmp_path)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("layout", ["folder", "msd", "nnunet"])
def test_labelled_test_and_validation_parts_are_cases_of_their_part(
    layout: str, miniature: Any, tmp_path: Path
) -> None:
    suffix = "_0000" if layout == "nnunet" else ""
    for stem, end in (("a1", "Tr"), ("a2", "Ts"), ("a3", "Val"), ("a1", "Val"), ("a4", "Ts")):
        miniature.image(tmp_path / f"images{end}" / f"{stem}{suffix}.nii.gz")
        if stem != "a4":
            miniature.labels(tmp_path / f"labels{end}" / f"{stem}.nii.gz", (1,))
    miniature.labels(tmp_path / "labels" / "a9.nii.gz", (1,))
    pair = {"image": "./imagesTr/a1.nii.gz", "label": "./labelsTr/a1.nii.gz"}
    name, header = {
        "folder": ("labels.json", {"modality": "MRI", "labels": {"1": "liver"}}),
        "msd": ("dataset.json", {"modality": {"0": "MRI"}, "labels": {"1": "liver"}, "training": [pair]}),
        "nnunet": ("dataset.json", {"channel_names": {"0": "T2"}, "labels": {"liver": 1}, "file_ending": ".nii.gz"}),
    }[layout]
    (tmp_path / name).write_text(json.dumps(header))
    source = open_source("auto", tmp_path)
    assert source.name == layout
    assert {case: source.read(case).part for case in source.index()} == {
        "a1": "train",
        "a2": "test",
        "a3": "validation",
    }
    texts = [decision.text for decision in decisions_of(source) if decision.kind == "not read"]
    assert texts == [
        "labelsVal/a1.nii.gz (another part has a case of that name: rename one)",
        "labels/a9.nii.gz (imagesTr and labelsTr are)",
    ]


def test_a_dataset_of_one_part_names_none(miniature: Any, tmp_path: Path) -> None:
    """So that its cases are those that earlier versions made."""
    miniature.image(tmp_path / "imagesTr" / "a1.nii.gz")
    miniature.labels(tmp_path / "labelsTr" / "a1.nii.gz", (1,))
    miniature.image(tmp_path / "imagesTs" / "a2.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps({"modality": "MRI", "labels": {"1": "liver"}}))
    assert [FolderSource(tmp_path).read(case).part for case in FolderSource(tmp_path).index()] == [None]


def test_empty_labels_are_said(miniature: Any, tmp_path: Path) -> None:
    miniature.image(tmp_path / "images" / "a1.nii.gz")
    miniature.labels(tmp_path / "labels" / "a1.nii.gz", ())
    (tmp_path / "labels.json").write_text(json.dumps({"modality": "MRI", "labels": {"1": "liver"}}))
    report = prepare(FolderSource(tmp_path), Store.create(tmp_path / "store"))
    assert report.notes["a1"].startswith("its labels are empty: it counts as a patient")
