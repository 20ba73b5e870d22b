"""The Decathlon's layout is read as its tasks really are, and each fault of a copy is one sentence about one case."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.msd import MSDSource
from segevolution.data.sources.zones import behind_mm, check_zones
from segevolution.errors import FormatError, SegevolutionError, StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.formats import read_labels
from segevolution.vocabulary import STRUCTURES, Modality

BRATS = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
BRATS_LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


def test_case_carries_signal_labels_and_names(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("hippocampus_001", "hippocampus_003"))
    source = MSDSource(tmp_path)
    assert source.index() == ("hippocampus_001", "hippocampus_003")
    case = source.read("hippocampus_003")
    written = nib.load(tmp_path / "imagesTr" / "hippocampus_003.nii.gz")
    np.testing.assert_array_equal(case.volume.array, np.asanyarray(written.dataobj))
    assert case.volume.array.dtype == np.int16
    assert (case.dataset, case.patient, case.volume.modality) == ("hippocampus", "hippocampus_003", Modality.MRI)
    assert case.structures == {
        "anterior hippocampus": (1,),
        "posterior hippocampus": (2,),
        "hippocampus": (1, 2),
    }
    assert case.mask("hippocampus").sum() == 24


def test_channels_of_a_4d_image_are_cases_of_one_patient(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(
        tmp_path,
        ("BRATS_001",),
        name="BRATS",
        modality=BRATS,
        labels=BRATS_LABELS,
        values=(1, 2, 3),
        licence="CC-BY-SA",
    )
    source = MSDSource(tmp_path)
    assert source.licence == "CC-BY-SA"
    assert source.index() == ("BRATS_001_flair", "BRATS_001_t1", "BRATS_001_t1_ce", "BRATS_001_t2")
    whole = np.asanyarray(nib.load(tmp_path / "imagesTr" / "BRATS_001.nii.gz").dataobj)
    for channel, (name, sequence) in enumerate((("flair", "FLAIR"), ("t1", "T1"), ("t1_ce", "T1-CE"), ("t2", "T2"))):
        case = source.read(f"BRATS_001_{name}")
        np.testing.assert_array_equal(case.volume.array, whole[..., channel])
        assert case.volume.array.dtype == np.int16
        assert (case.patient, case.sequence, case.volume.modality) == ("BRATS_001", sequence, Modality.MRI)
        assert case.structures["brain tumour"] == (1, 2, 3)
        assert case.structures["brain tumour oedema"] == (1,)


def test_prostate_is_the_union_of_its_zones(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(
        tmp_path,
        ("prostate_00",),
        name="PROSTATE",
        modality={"0": "T2", "1": "ADC"},
        labels={"0": "background", "1": "PZ", "2": "TZ"},
    )
    case = MSDSource(tmp_path).read("prostate_00_adc")
    assert case.sequence == "ADC"
    assert case.structures == {
        "prostate peripheral zone": (1,),
        "prostate transition zone": (2,),
        "prostate": (1, 2),
    }


TASKS: dict[str, tuple[str, dict[str, str], dict[str, str], set[str], list[str | None]]] = {
    "Task01_BrainTumour": (
        "BRATS",
        BRATS,
        BRATS_LABELS,
        {"brain tumour oedema", "brain tumour non-enhancing core", "brain tumour enhancing", "brain tumour"},
        ["FLAIR", "T1", "T1-CE", "T2"],
    ),
    "Task02_Heart": ("Left Atrium", {"0": "MRI"}, {"1": "left atrium"}, {"left atrium"}, [None]),
    "Task03_Liver": ("Liver", {"0": "CT"}, {"1": "liver", "2": "cancer"}, {"liver", "liver tumour"}, [None]),
    "Task04_Hippocampus": (
        "Hippocampus",
        {"0": "MRI"},
        {"1": "Anterior", "2": "Posterior"},
        {"anterior hippocampus", "posterior hippocampus", "hippocampus"},
        [None],
    ),
    "Task05_Prostate": (
        "PROSTATE",
        {"0": "T2", "1": "ADC"},
        {"1": "PZ", "2": "TZ"},
        {"prostate peripheral zone", "prostate transition zone", "prostate"},
        ["ADC", "T2"],
    ),
    "Task06_Lung": ("LUNG", {"0": "CT"}, {"1": "cancer"}, {"lung tumour"}, [None]),
    "Task07_Pancreas": (
        "Pancreas",
        {"0": "CT"},
        {"1": "pancreas", "2": "cancer"},
        {"pancreas", "pancreas tumour"},
        [None],
    ),
    "Task08_HepaticVessel": (
        "HepaticVessel",
        {"0": "CT"},
        {"1": "Vessel", "2": "Tumour"},
        {"hepatic vessels", "liver tumour"},
        [None],
    ),
    "Task09_Spleen": ("Spleen", {"0": "CT"}, {"1": "spleen"}, {"spleen"}, [None]),
    "Task10_Colon": ("Colon", {"0": "CT"}, {"1": "colon cancer primaries"}, {"colon cancer"}, [None]),
}


@pytest.mark.parametrize("title", ["in dataset.json", "of the folder"])
@pytest.mark.parametrize("task", TASKS)
def test_words_of_all_ten_tasks_become_known_structures(miniature: Any, tmp_path: Path, task: str, title: str) -> None:
    name, modality, labels, structures, sequences = TASKS[task]
    name = name if title == "in dataset.json" else "a copy"
    folder = tmp_path / (task if title == "of the folder" else "copy")
    values = tuple(int(value) for value in labels if value != "0")
    miniature.msd(folder, ("x_1",), name=name, modality=modality, labels={"0": "background"} | labels, values=values)
    source = open_source("auto", folder)
    cases = [source.read(case) for case in source.index()]
    assert [case.sequence for case in cases] == sequences
    for case in cases:
        assert set(case.structures) == structures
        assert case.volume.modality == (Modality.CT if modality == {"0": "CT"} else Modality.MRI)
    assert structures <= set(STRUCTURES)


def test_images_to_predict_and_twins_of_the_archive_are_no_cases(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("prostate_00",), name="PROSTATE", **PROSTATE)
    miniature.image(tmp_path / "imagesTs" / "prostate_03.nii.gz", shape=(12, 14, 8, 2))
    for name in ("imagesTr/._prostate_00", "labelsTr/._prostate_00", "imagesTs/._prostate_03"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"\x00\x05\x16\x07")
    source = MSDSource(tmp_path)
    assert source.index() == ("prostate_00_adc", "prostate_00_t2")
    assert source.read("prostate_00_t2").mask("prostate").sum() == 24


PROSTATE: dict[str, Any] = {"modality": {"0": "T2", "1": "ADC"}, "labels": {"0": "background", "1": "PZ", "2": "TZ"}}


def gland(path: Path, disc: int, crescent: int) -> None:
    """A label map (12, 14, 8) of a round zone and of one that wraps it on the side of low y, the patient's back."""
    x, y = np.mgrid[:12, :14]
    inner = (x - 5) ** 2 + (y - 8) ** 2 <= 9
    outer = ((x - 5) ** 2 + (y - 6) ** 2 <= 25) & (y <= 8) & ~inner
    array = np.zeros((12, 14, 8), np.uint8)
    array[..., 2:6] = np.where(inner, disc, np.where(outer, crescent, 0))[..., None]
    nib.save(nib.Nifti1Image(array, nib.load(path).affine), path)


def test_zones_that_lie_as_zones_do_are_kept(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("prostate_00",), name="PROSTATE", **PROSTATE)
    gland(tmp_path / "labelsTr" / "prostate_00.nii.gz", disc=2, crescent=1)
    case = MSDSource(tmp_path).read("prostate_00_t2")
    assert case.structures.keys() == {"prostate peripheral zone", "prostate transition zone", "prostate"}
    assert case.remark is None


def test_zones_under_each_others_number_are_refused(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("prostate_00", "prostate_01"), name="PROSTATE", **PROSTATE)
    gland(tmp_path / "labelsTr" / "prostate_00.nii.gz", disc=1, crescent=2)
    path = tmp_path / "labelsTr" / "prostate_01.nii.gz"
    gland(path, disc=2, crescent=1)
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj)[:, ::-1], image.affine), path)
    with pytest.raises(StoreError, match=r"prostate_00_t2: .*mm in front of .* names are exchanged: exchange them in"):
        MSDSource(tmp_path).read("prostate_00_t2")
    with pytest.raises(StoreError, match=r"prostate_01_adc: .*mm in front of .* the image is upside down"):
        MSDSource(tmp_path).read("prostate_01_adc")


def test_one_zone_alone_is_called_what_its_shape_says(miniature: Any, tmp_path: Path) -> None:
    stems = ("prostate_00", "prostate_01", "prostate_02")
    miniature.msd(tmp_path, stems, name="PROSTATE", **PROSTATE)
    for stem, disc, crescent in zip(stems, (1, 0, 2), (0, 1, 0), strict=True):
        gland(tmp_path / "labelsTr" / f"{stem}.nii.gz", disc, crescent)
    whole = MSDSource(tmp_path).read("prostate_00_t2")
    assert whole.structures.keys() == {"prostate"}
    assert whole.remark is not None
    assert "as compact as a whole gland" in whole.remark
    zone = MSDSource(tmp_path).read("prostate_01_t2")
    assert zone.structures.keys() == {"prostate peripheral zone"}
    assert zone.remark is not None
    assert "is no whole gland" in zone.remark
    with pytest.raises(StoreError, match="a transition zone and no peripheral zone"):
        MSDSource(tmp_path).read("prostate_02_t2")


def test_in_all_real_prostates_label_1_lies_behind_label_2_or_is_the_whole_gland(shared_data: Path) -> None:
    structures = {"prostate peripheral zone": (1,), "prostate transition zone": (2,), "prostate": (1, 2)}
    behind, whole = [], []
    for path in sorted((shared_data / "prostate_labels").glob("prostate_*.nii.gz")):
        volume = read_labels(path)
        present = set(np.unique(volume.array).tolist())
        named = {name: values for name, values in structures.items() if present.intersection(values)}
        case = check_zones(Case(path.name[:11], path.name[:11], "msd", volume, volume.array, named))
        if case.remark is None:
            behind.append(behind_mm(case, case.labels == 1, case.labels == 2))
        else:
            assert case.structures == {"prostate": (1, 2)}
            whole.append(case.name)
    assert whole == ["prostate_18", "prostate_32"]
    assert len(behind) == 30
    assert min(behind) == pytest.approx(3.54, abs=0.01)
    assert np.median(behind) == pytest.approx(13.19, abs=0.01)


@pytest.mark.parametrize(("task", "meaning"), [("Liver", "liver tumour"), ("Lung", "lung tumour")])
def test_cancer_means_that_of_the_task(miniature: Any, tmp_path: Path, task: str, meaning: str) -> None:
    labels = {"0": "background", "1": "organ", "2": "cancer"}
    miniature.msd(tmp_path, ("x_1",), name=task, modality={"0": "CT"}, labels=labels)
    case = MSDSource(tmp_path).read("x_1")
    assert case.structures == {"organ": (1,), meaning: (2,)}
    assert (case.volume.modality, case.sequence) == (Modality.CT, None)


def test_absent_structures_are_absent(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("a",), values=(2,))
    assert MSDSource(tmp_path).read("a").structures == {"posterior hippocampus": (2,), "hippocampus": (1, 2)}


def test_frames_belong_to_one_patient_and_synonyms_are_joined(miniature: Any, tmp_path: Path) -> None:
    labels = {"0": "background", "1": "right ventricle cavity", "2": "Arota"}
    miniature.msd(tmp_path, ("patient001_frame01", "patient001_frame12", "patient010_frame01"), labels=labels)
    cases = [MSDSource(tmp_path).read(name) for name in MSDSource(tmp_path).index()]
    assert [case.patient for case in cases] == ["patient001", "patient001", "patient010"]
    assert cases[0].structures == {"right ventricle": (1,), "aorta": (2,)}


def test_patients_and_names_can_be_told(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("siteA-07-baseline", "siteA-07-later"))
    source = MSDSource(tmp_path, Overrides("mine", Modality.CT, "T2", r"^\w+-(\d+)-"))
    cases = [source.read(name) for name in source.index()]
    assert {(c.patient, c.dataset, c.sequence, c.volume.modality) for c in cases} == {("07", "mine", "T2", Modality.CT)}
    with pytest.raises(StoreError, match="regular expression with one group"):
        MSDSource(tmp_path, Overrides(patient_pattern="(")).read("siteA-07-later")


def test_sequence_in_the_name_of_the_dataset_is_read(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("chaos_01",), name="CHAOS T2-SPIR")
    source = MSDSource(tmp_path)
    assert source.dataset == "chaos_t2_spir"
    assert source.read("chaos_01").sequence == "T2-SPIR"


def test_stray_files_of_archives_are_no_cases(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("a",))
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder / "._a.nii.gz").write_bytes(b"\x00\x05\x16\x07")
        (tmp_path / folder / "notes.txt").write_text("hello")
    told = json.loads((tmp_path / "dataset.json").read_text("utf-8"))
    told["training"].append({"image": "./imagesTr/._a.nii.gz", "label": "./labelsTr/._a.nii.gz"})
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    assert MSDSource(tmp_path).index() == ("a",)


def test_each_fault_is_one_sentence_about_one_case(miniature: Any, tmp_path: Path) -> None:
    stems = ("fine", "no_label", "no_image", "small_label", "moved_label", "odd_value", "nan", "cut", "three_d")
    miniature.msd(tmp_path, stems)
    (tmp_path / "labelsTr" / "no_label.nii.gz").unlink()
    (tmp_path / "imagesTr" / "no_image.nii.gz").unlink()
    miniature.labels(tmp_path / "labelsTr" / "small_label.nii.gz", shape=(12, 14, 7))
    moved = np.diag([-1.2, 1.5, 4, 1.0])
    miniature.labels(tmp_path / "labelsTr" / "moved_label.nii.gz", affine=moved)
    miniature.labels(tmp_path / "labelsTr" / "odd_value.nii.gz", values=(1, 2, 9))
    array = np.full((12, 14, 8), np.nan, np.float32)
    nib.save(
        nib.Nifti1Image(array, nib.load(tmp_path / "imagesTr" / "cut.nii.gz").affine), tmp_path / "imagesTr/nan.nii.gz"
    )
    data = (tmp_path / "imagesTr" / "cut.nii.gz").read_bytes()
    (tmp_path / "imagesTr" / "cut.nii.gz").write_bytes(data[: len(data) // 2])
    miniature.image(tmp_path / "imagesTr" / "unlisted.nii.gz")
    source = MSDSource(tmp_path)
    assert set(source.index()) == {*stems, "unlisted"}
    reasons = {}
    for name in source.index():
        try:
            source.read(name)
        except SegevolutionError as error:
            reasons[name] = str(error)
    expected = {
        "no_label": "no_label has no label",
        "no_image": "no_image has no image",
        "small_label": "the label map has 12 x 14 x 7 voxels, the image 12 x 14 x 8",
        "moved_label": "lie on different grids of one shape (first voxels 30 mm apart",
        "odd_value": "holds the label 9",
        "nan": "NaN",
        "cut": "truncated",
        "unlisted": "unlisted has no label",
    }
    assert reasons.keys() == expected.keys()
    for name, text in expected.items():
        assert text in reasons[name]
        assert "\n" not in reasons[name]


def test_labels_stored_in_another_orientation_are_turned_not_misread(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("a",))
    path = tmp_path / "labelsTr" / "a.nii.gz"
    straight = MSDSource(tmp_path).read("a").labels
    turned = nib.load(path).as_reoriented(nib.orientations.axcodes2ornt("IPR"))
    assert turned.shape != straight.shape
    nib.save(turned, path)
    np.testing.assert_array_equal(MSDSource(tmp_path).read("a").labels, straight)


def test_a_3d_file_where_channels_are_promised_is_refused(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("BRATS_001",), name="BRATS", modality=BRATS)
    miniature.image(tmp_path / "imagesTr" / "BRATS_001.nii.gz")
    with pytest.raises(FormatError, match="has no channel 2"):
        MSDSource(tmp_path).read("BRATS_001_t1")


def test_layouts_that_are_not_there_are_refused(miniature: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no dataset\.json"):
        MSDSource(tmp_path)
    with pytest.raises(StoreError, match=r"in no layout that is known; known are .*msd, nnunet, .*folder"):
        open_source("auto", tmp_path)
    with pytest.raises(StoreError, match='did you mean "msd"'):
        open_source("mds", tmp_path)
    with pytest.raises(StoreError, match="is not a folder"):
        open_source("msd", tmp_path / "nothing")
    miniature.msd(tmp_path, ("a",), modality={"0": "photo"})
    with pytest.raises(StoreError, match=r"does not tell the modality \(it says photo\); give --modality"):
        open_source("msd", tmp_path)
    assert open_source("auto", tmp_path, Overrides(modality=Modality.US)).read("a").volume.modality is Modality.US
    miniature.msd(tmp_path, ("a",), training={"image": "x"})
    with pytest.raises(StoreError, match='"training" must be a list, not an object'):
        MSDSource(tmp_path).index()
    miniature.msd(tmp_path, ("a",))
    with pytest.raises(StoreError, match="has no case b"):
        MSDSource(tmp_path).read("b")


@pytest.mark.parametrize(
    ("folder", "dataset", "modality", "sequence", "cases", "patients", "structure"),
    [
        ("ct_abdomen_btcv", "btcv", Modality.CT, None, 26, 26, "inferior vena cava"),
        ("mr_abdomen_chaos", "chaos_t2_spir", Modality.MRI, "T2-SPIR", 14, 14, "left kidney"),
        ("mr_heart_acdc", "acdc", Modality.MRI, None, 14, 7, "left ventricle"),
    ],
)
def test_real_sets_are_read(
    shared_data: Path,
    folder: str,
    dataset: str,
    modality: Modality,
    sequence: str | None,
    cases: int,
    patients: int,
    structure: str,
) -> None:
    source = open_source("auto", shared_data / folder)
    names = source.index()
    assert len(names) == cases
    assert len({pair.stem.split("_frame")[0] for pair in source._pairs.values()}) == patients  # type: ignore[attr-defined]
    case = source.read(names[-1])
    assert (case.dataset, case.volume.modality, case.sequence) == (dataset, modality, sequence)
    assert case.patient == names[-1].split("_frame")[0]
    assert case.mask(structure).any()


def test_real_copy_of_the_hippocampus_task_loses_only_what_is_incomplete(shared_data: Path) -> None:
    source = open_source("auto", shared_data / "Task04_Hippocampus")
    assert len(source.index()) == 198
    for name, kind in (("hippocampus_010", "image"), ("hippocampus_118", "label"), ("hippocampus_281", "image")):
        with pytest.raises(StoreError, match=f"{name} has no {kind}"):
            source.read(name)
    assert set(source.read("hippocampus_001").structures) == {
        "anterior hippocampus",
        "posterior hippocampus",
        "hippocampus",
    }


def test_images_of_one_name_in_their_own_folders_are_cases_of_their_own(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ())
    header = json.loads((tmp_path / "dataset.json").read_text())
    for number in range(3):
        folder = tmp_path / f"case{number}"
        miniature.image(folder / "image.nii.gz", seed=number)
        miniature.labels(folder / "label.nii.gz")
        header["training"].append({"image": f"./{folder.name}/image.nii.gz", "label": f"./{folder.name}/label.nii.gz"})
    (tmp_path / "dataset.json").write_text(json.dumps(header))
    source = MSDSource(tmp_path)
    assert source.index() == ("case0_image", "case1_image", "case2_image")
    assert [source.read(case).patient for case in source.index()] == ["case0", "case1", "case2"]
    header["training"].append(header["training"][0] | {"label": "./case1/label.nii.gz"})
    (tmp_path / "dataset.json").write_text(json.dumps(header))
    with pytest.raises(StoreError, match="would both be the case case0_image"):
        MSDSource(tmp_path).index()


@pytest.mark.parametrize("channels", [("MRI", "MRI"), ("T2", "T2*")])
def test_channels_of_one_name_are_told_apart_by_their_numbers(
    miniature: Any, tmp_path: Path, channels: tuple[str, str]
) -> None:
    miniature.msd(tmp_path, ("a",), modality={str(number): name for number, name in enumerate(channels)})
    assert MSDSource(tmp_path).index() == ("a_channel_0", "a_channel_1")


def test_a_task_is_known_by_all_of_its_words(miniature: Any, tmp_path: Path) -> None:
    folder = tmp_path / "Task100_Vessel"
    miniature.msd(folder, ("a",), name="Vessel", labels={"0": "background", "1": "vessel"}, values=(1,))
    assert MSDSource(folder).read("a").structures == {"vessel": (1,)}
