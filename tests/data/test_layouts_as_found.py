"""Layouts as people have them: nnU-Net of both versions, strays, undeclared channels, no stated orientation."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.cli.app import main
from segevolution.data.audit import check
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.collection import decisions_of
from segevolution.data.sources.nnunet import NnUNetSource
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.data.synthesis.label_names import table_beside
from segevolution.errors import StoreError
from segevolution.imaging.formats import read, write_mask
from segevolution.imaging.legend import legend
from segevolution.vocabulary import Modality

LABELS = {"background": 0, "liver": 1, "spleen": 2}


def described(folder: Path, name: str = "dataset.json", **header: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(header))
    return folder


def nnunet(miniature: Any, folder: Path, stems: tuple[str, ...], channels: int = 1, **header: Any) -> Path:
    for seed, stem in enumerate(stems):
        for channel in range(channels):
            miniature.image(folder / "imagesTr" / f"{stem}_{channel:04d}.nii.gz", seed=seed * 10 + channel)
        miniature.labels(folder / "labelsTr" / f"{stem}.nii.gz")
    return described(folder, **({"channel_names": {"0": "CT"}, "labels": LABELS, "file_ending": ".nii.gz"} | header))


def texts(source: Any, kind: str) -> list[str]:
    return [decision.text for decision in decisions_of(source) if decision.kind == kind]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_nnunet_v1_is_told_from_the_decathlon_by_the_numbers_of_its_channels(miniature: Any, tmp_path: Path) -> None:
    header: dict[str, Any] = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "spleen"}}
    stems = ("case_001", "case_002")
    header["training"] = [{"image": f"./imagesTr/{s}.nii.gz", "label": f"./labelsTr/{s}.nii.gz"} for s in stems]
    folder = nnunet(miniature, tmp_path / "v1", stems, **header)
    raw = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    described(folder, **{key: value for key, value in raw.items() if key not in ("channel_names", "file_ending")})
    source = open_source("auto", folder)
    assert isinstance(source, NnUNetSource)
    assert source.index() == stems
    assert source.read("case_001").structures == {"liver": (1,), "spleen": (2,)}
    with pytest.raises(StoreError, match="layout of nnU-Net v1"):
        open_source("msd", folder)


def test_a_decathlon_whose_names_end_in_four_digits_stays_the_decathlon(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("case_0000", "case_0001"))
    assert open_source("auto", tmp_path).name == "msd"
    assert open_source("auto", tmp_path).index() == ("case_0000", "case_0001")


def test_nnunet_v2_lists_files_elsewhere_only_where_that_is_allowed(miniature: Any, tmp_path: Path) -> None:
    for stem in ("x", "y"):
        miniature.image(tmp_path / "far" / f"{stem}.nii.gz")
        miniature.labels(tmp_path / "truth" / f"{stem}.nii.gz")
    listed = {
        "x": {"images": ["../far/x.nii.gz"], "label": "../truth/x.nii.gz"},
        "y": {"images": [str(tmp_path / "far" / "y.nii.gz")], "label": str(tmp_path / "truth" / "y.nii.gz")},
        "../../EVIL": {"images": ["../far/x.nii.gz"], "label": "../truth/x.nii.gz"},
    }
    folder = described(
        tmp_path / "set", channel_names={"0": "CT"}, labels={"liver": "1", "spleen": "2"}, dataset=listed
    )
    store = Store.create(tmp_path / "store")
    refused = prepare(open_source("auto", folder), store).failed
    assert set(refused) == set(listed)
    assert all("outside the dataset's own folder" in refused[stem] for stem in ("x", "y"))
    report = prepare(open_source("auto", folder, Overrides(allow_outside=True)), store)
    assert report.added == ("x", "y")
    assert "cannot be the name of a case" in report.failed["../../EVIL"]
    assert store.read("y").structures == {"liver": (1,), "spleen": (2,)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "set", "store", "truth"]


@pytest.mark.parametrize("place", ["../far/", "./imagesTr/../../far/", "/"])
def test_the_decathlon_lists_files_elsewhere_only_where_that_is_allowed(
    place: str, miniature: Any, tmp_path: Path
) -> None:
    miniature.image(tmp_path / "far" / "x.nii.gz")
    miniature.labels(tmp_path / "set" / "labelsTr" / "x.nii.gz")
    (tmp_path / "set" / "imagesTr").mkdir()
    image = f"{tmp_path / 'far'}/x.nii.gz" if place == "/" else f"{place}x.nii.gz"
    folder = described(
        tmp_path / "set",
        modality={"0": "CT"},
        labels={"1": "liver", "2": "spleen"},
        training=[{"image": image, "label": "./labelsTr/x.nii.gz"}],
    )
    with pytest.raises(StoreError, match="outside the dataset's own folder"):
        open_source("msd", folder).read("x")
    assert open_source("msd", folder, Overrides(allow_outside=True)).read("x").structures


def test_only_files_of_the_stated_ending_are_read_and_others_are_named(miniature: Any, tmp_path: Path) -> None:
    folder = nnunet(miniature, tmp_path, ("a1", "a2", "a3"))
    stray = sitk.ReadImage(str(folder / "labelsTr" / "a3.nii.gz")) * 0
    sitk.WriteImage(stray, str(folder / "labelsTr" / "a3.nrrd"))
    source = open_source("auto", folder)
    assert source.read("a3").structures == {"liver": (1,), "spleen": (2,)}
    assert texts(source, "not read") == ["labelsTr/a3.nrrd (only files that end in .nii.gz are)"]


def test_without_a_stated_ending_the_usual_one_is_read_and_a_tie_is_refused(miniature: Any, tmp_path: Path) -> None:
    for stem in ("a", "b"):
        miniature.image(tmp_path / "images" / f"{stem}.nii.gz")
        miniature.labels(tmp_path / "labels" / f"{stem}.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "images" / "a.nii.gz")), str(tmp_path / "images" / "a.nrrd"))
    described(tmp_path, "labels.json", liver=1, spleen=2)
    source = open_source("auto", tmp_path, Overrides(modality=Modality.CT))
    assert source.read("a").volume.origin.path.name == "a.nii.gz"  # type: ignore[union-attr]
    assert texts(source, "not read") == ["images/a.nrrd (another file of that name is)"]
    shutil.move(tmp_path / "images" / "b.nii.gz", tmp_path / "b.nii.gz")
    with pytest.raises(StoreError, match="nothing tells which is meant"):
        open_source("auto", tmp_path, Overrides(modality=Modality.CT)).read("a")


def test_channels_that_nobody_declared_are_named(miniature: Any, tmp_path: Path) -> None:
    source = open_source("auto", nnunet(miniature, tmp_path / "nnunet", ("p1", "p2"), channels=3))
    assert texts(source, "channel")[0].startswith("the images of channel _0001, _0002 are not read")
    folder = miniature.msd(tmp_path / "msd", ("a",), modality={"0": "T1w", "1": "T2w"})
    miniature.image(folder / "imagesTr" / "a.nii.gz", shape=(12, 14, 8, 3))
    case = open_source("msd", folder).read("a_t1")
    assert case.remark == "its image has 3 channels and dataset.json declares 2: the others are not read."


def test_labels_of_a_slicer_segmentation_and_with_noise_of_rounding(miniature: Any, tmp_path: Path) -> None:
    for seed, stem in enumerate(("p1", "p2")):
        miniature.image(tmp_path / "images" / f"{stem}.nii.gz", seed)
    drawn = miniature.labels(tmp_path / "drawn.nii.gz")
    (tmp_path / "labels").mkdir()
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "drawn.nii.gz")), str(tmp_path / "labels" / "p1.seg.nrrd"))
    affine = nib.load(tmp_path / "drawn.nii.gz").affine  # type: ignore[attr-defined]
    nib.save(nib.Nifti1Image(drawn.astype(np.float32) * np.float32(1.0000153), affine), tmp_path / "labels/p2.nii.gz")
    described(tmp_path, "labels.json", liver=1, spleen=2)
    source = open_source("auto", tmp_path, Overrides(modality=Modality.CT))
    for case in ("p1", "p2"):
        np.testing.assert_array_equal(source.read(case).labels, drawn)


def test_a_folder_of_dicom_files_is_an_image(shared_data: Path, tmp_path: Path) -> None:
    series = shared_data / "ct_abdomen_dicom"
    (tmp_path / "images" / "p1").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    for path in series.glob("*.dcm"):
        shutil.copy(path, tmp_path / "images" / "p1")
    shutil.copy(series / "labels.nii.gz", tmp_path / "labels" / "p1.nii.gz")
    values = np.unique(np.asanyarray(nib.load(series / "labels.nii.gz").dataobj))  # type: ignore[attr-defined]
    described(tmp_path, "labels.json", **{f"organ {int(value)}": int(value) for value in values if value})
    source = open_source("auto", tmp_path, Overrides(modality=Modality.CT))
    assert source.index() == ("p1",)
    case = source.read("p1")
    assert case.volume.modality is Modality.CT
    assert len(case.structures) == np.count_nonzero(values)


@pytest.fixture
def unstated(miniature: Any, tmp_path: Path) -> Path:
    """Images and labels whose NIfTI headers have neither transform."""
    folder = tmp_path / "unstated"
    for kind, write in (("images", miniature.image), ("labels", miniature.labels)):
        array = write(folder / kind / "q.nii.gz")
        bare = nib.Nifti1Image(array, None)
        bare.header.set_zooms((1.2, 1.5, 4.0))
        nib.save(bare, folder / kind / "q.nii.gz")
    return described(folder, "labels.json", liver=1, spleen=2)


def test_files_that_do_not_say_where_their_axes_point_are_refused_or_taken_as_stated(
    unstated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "prepare", "auto", unstated, tmp_path / "store", "--modality", "CT") == 2
    assert "say it with --orientation" in capsys.readouterr().err
    arguments = ("data", "prepare", "auto", unstated, tmp_path / "store", "--modality", "CT", "--orientation")
    assert run(*arguments, "XYZ") == 2
    assert run(*arguments, "LPS") == 0
    record = Store.open(tmp_path / "store").record("q")
    assert record.source_affine[0, 0] < 0
    assert record.source_affine[1, 1] < 0
    assert record.structures == {"liver": (1,), "spleen": (2,)}


def test_nothing_to_prepare_is_an_error_that_says_what_lies_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = described(tmp_path / "pictures", "labels.json", liver=1)
    for name in ("images/a.png", "images/b.png", "labels/a.xyz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert run("data", "prepare", "auto", folder, tmp_path / "store", "--modality", "CT") == 2
    error = capsys.readouterr().err
    assert "images holds 2 .png files" in error
    assert "labels holds 1 .xyz file" in error
    assert not (tmp_path / "store").exists()
    assert run("data", "prepare", "auto", folder / "images", tmp_path / "store") == 2
    assert "It holds 2 .png files" in capsys.readouterr().err


def test_a_damaged_description_is_named_where_the_layout_is_looked_for(tmp_path: Path) -> None:
    described(tmp_path, training=None, modality={"x": "MRI"})
    with pytest.raises(StoreError, match=r'dataset\.json: "modality.x": a channel is a whole number in quotes'):
        open_source("auto", tmp_path)


def test_what_was_decided_is_printed_and_kept_in_the_store(
    miniature: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = ("P01_visit1", "P01_visit2", "P02_visit1")
    folder = nnunet(miniature, tmp_path / "set", stems, labels={"Arota": 1, "spleen": 2})
    assert run("data", "prepare", "auto", folder, tmp_path / "store") == 0
    error = capsys.readouterr().err
    assert 'renamed: "Arota" is called aorta' in error
    assert "patients: 3 files, 2 patients: grouped by their names without visit (P01_visit1 is of P01)" in error
    kept = Store.open(tmp_path / "store").decisions["set"]
    assert {"kind": "renamed", "text": '"Arota" is called aorta'} in kept
    who = tmp_path / "who.csv"
    who.write_text("\n".join(f"{stem},{number}" for number, stem in enumerate(stems)))
    assert run("data", "prepare", "auto", folder, tmp_path / "other", "--patient-from", who) == 0
    assert {record.patient for record in Store.open(tmp_path / "other").cases} == {"0", "1", "2"}


FOLDS = [{"train": ["p1", "p2"], "val": ["p3"]}, {"train": ["p2", "p3"], "val": ["p1"]}]


def test_splits_of_nnunet_stand_for_all_channels_of_a_case(miniature: Any, tmp_path: Path) -> None:
    folder = nnunet(miniature, tmp_path / "set", ("p1", "p2", "p3"), channels=2, channel_names={"0": "T1w", "1": "T2w"})
    splits = tmp_path / "splits_final.json"
    splits.write_text(json.dumps(FOLDS))
    store = tmp_path / "store"
    assert run("data", "prepare", "auto", folder, store, "--split", f"{splits}:1", "--quiet") == 0
    parts = {record.name: record.part for record in Store.open(store).cases}
    assert parts["p1_t1"] == parts["p1_t2"] == "validation"
    assert parts["p3_t1"] == "train"
    assert run("data", "split", store, tmp_path / "split.json", "--split", splits, "--quiet") == 0
    split = Split.load(tmp_path / "split.json")
    assert split.validation == ("p3_t1", "p3_t2")
    audit = check([Store.open(store)], split=Split.load(splits))
    assert not [finding for finding in audit.findings if finding.check == "split" and finding.severity == "error"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json:2", json.dumps(FOLDS), "has no fold 2; it has 2"),
        ("a.json", json.dumps([{"train": ["a"]}]), '"val" is missing'),
        ("a.pkl", "x", "is a pickle, which is never opened"),
    ],
)
def test_a_split_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name.partition(":")[0]).write_text(content)
    with pytest.raises(StoreError, match=sentence):
        Split.load(tmp_path / name)


def test_patients_that_are_no_people_are_a_finding(miniature: Any, tmp_path: Path) -> None:
    def findings(name: str, stems: tuple[str, ...], **overrides: Any) -> list[str]:
        folder = nnunet(miniature, tmp_path / name, stems)
        store = Store.create(tmp_path / f"store_{name}")
        prepare(open_source("auto", folder, Overrides(**overrides)), store)
        return [finding.message for finding in check([store]).findings if finding.check == "patients"]

    assert "all 3 files of one are of one patient" in findings("one", ("a1", "a2", "a3"), patient_pattern="^(a)")[0]
    torn = findings("torn", ("s1_visit1", "s1_visit2", "s2_visit1"), patient_pattern="^(.*)$")
    assert "s1_visit1, s1_visit2 may be one person" in torn[0]
    assert "do not tell for certain" in findings("open", ("R01_001", "R01_002", "R01_003", "R01_004", "R02_001"))[0]
    pair = ("case_0800", "case_0801")
    assert 'names share their beginning ("case_080")' in findings("pair", pair)[0]
    assert findings("said", pair, patient_pattern="(.*)") == []
    assert findings("fine", ("s1_visit1", "s1_visit2", "s2_visit1")) == []
    assert findings("plain", ("case_001", "case_002", "case_004")) == []


def test_channels_whose_names_differ_in_a_sign_are_both_cases(miniature: Any, tmp_path: Path) -> None:
    folder = nnunet(miniature, tmp_path / "set", ("a1",), channels=2, channel_names={"0": "T2", "1": "T2*"})
    assert open_source("auto", folder).index() == ("a1_channel_0", "a1_channel_1")


@pytest.mark.parametrize("layout", ["nnunet", "msd", "folder"])
def test_images_in_folders_of_their_own_are_named(miniature: Any, tmp_path: Path, layout: str) -> None:
    images = "images" if layout == "folder" else "imagesTr"
    if layout == "msd":
        miniature.msd(tmp_path, ("p1",))
    elif layout == "nnunet":
        nnunet(miniature, tmp_path, ("p1",))
    else:
        miniature.image(tmp_path / "images" / "p1.nii.gz")
        miniature.labels(tmp_path / "labels" / "p1.nii.gz")
        (tmp_path / "labels.json").write_text('{"liver": 1, "spleen": 2}')
    miniature.image(tmp_path / images / "p3" / "003.nii.gz")
    source = open_source(layout, tmp_path, Overrides(modality=Modality.CT))
    assert any(f"{images}/p3/003.nii.gz (in a folder of its own" in text for text in texts(source, "not read"))
    assert len(source.index()) == 1


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz"])
def test_names_in_the_label_file_that_contradict_the_datasets_are_a_fault(
    miniature: Any, tmp_path: Path, ending: str
) -> None:
    for name in ("p1", "p2"):
        miniature.image(tmp_path / "images" / f"{name}.nii.gz")
    like = read(tmp_path / "images" / "p1.nii.gz")
    array = np.zeros(like.grid.shape, np.uint8)
    array[2:4, 2:4, 2:4], array[5:8, 2:4, 2:4] = 1, 2
    (tmp_path / "labels").mkdir()
    for name, names in (("p1", ["liver", "spleen"]), ("p2", ["spleen", "liver"])):
        write_mask(array, like, tmp_path / "labels" / f"{name}{ending}", labels=legend(names))
    (tmp_path / "labels.json").write_text('{"1": "liver", "2": "spleen"}')
    source = open_source("folder", tmp_path, Overrides(modality=Modality.CT))
    assert set(source.read("p1").structures) == {"liver", "spleen"}
    with pytest.raises(StoreError, match="itself calls its label 1 spleen, but its dataset calls it liver"):
        source.read("p2")
    (tmp_path / "labels.json").write_text('{"1": "region", "2": "other region"}')
    source = open_source("folder", tmp_path, Overrides(modality=Modality.CT))
    assert set(source.read("p1").structures) == {"region", "other region"}


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz"])
def test_a_label_map_that_names_its_values_needs_no_table_and_contradicts_none(
    miniature: Any, tmp_path: Path, ending: str
) -> None:
    miniature.image(tmp_path / "a.nii.gz")
    like, label_map, table = read(tmp_path / "a.nii.gz"), tmp_path / f"map{ending}", tmp_path / "labels.json"
    write_mask(np.ones(like.grid.shape, np.uint8), like, label_map, labels=legend(["spleen"]))
    assert table_beside(label_map) == {1: "spleen"}
    table.write_text('{"1": "liver"}')
    with pytest.raises(StoreError, match="itself calls its label 1 spleen"):
        table_beside(label_map)
