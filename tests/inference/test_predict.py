"""From files to files in Python, and on a real scan whose labels lie in another orientation."""

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from segevolution.errors import AdapterError, CheckpointError, DeviceError
from segevolution.imaging.formats import read, read_labels
from segevolution.inference.confidence import Confidence
from segevolution.inference.load import load
from segevolution.inference.outputs import file_name
from segevolution.inference.predict import _best_first, predict
from segevolution.inference.request import SegmentRequest
from segevolution.inference.segment_report import _notes_of_answers
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


def test_a_loaded_model_is_ready_to_answer(model: Path) -> None:
    backbone = load(model, device="cpu")
    assert not backbone.training
    assert backbone.device.type == "cpu"
    with pytest.raises(CheckpointError, match="no model is called"):
        load("no-such-model")
    with pytest.raises(AdapterError, match="no-such-adapter is neither an adapter folder nor the name of"):
        load(model, adapter="no-such-adapter")
    with pytest.raises(DeviceError, match="is not a device"):
        load(model, device="abacus")


def test_outputs_lie_beside_the_image_and_keep_its_format(tmp_path: Path) -> None:
    for name, mask, key in (
        ("scan.nii.gz", "scan_seg.nii.gz", "scan_seg.json"),
        ("scan.nrrd", "scan_seg.nrrd", "scan_seg.json"),
        ("scan.mha", "scan_seg.mha", "scan_seg.json"),
    ):
        request = SegmentRequest(tmp_path / name, ("liver",))
        assert request.outputs.masks == (tmp_path / mask,)
        assert request.outputs.key == tmp_path / key
    (tmp_path / "series").mkdir()
    assert SegmentRequest(tmp_path / "series", ("liver",)).outputs.masks == (tmp_path / "series_seg.nii.gz",)
    split = SegmentRequest(tmp_path / "scan.nii", ("liver", "prostate/uterus"), split=True)
    assert split.outputs.masks == (tmp_path / "scan_seg" / "liver.nii", tmp_path / "scan_seg" / "prostate_uterus.nii")
    assert file_name("right kidney") == "right_kidney"


def test_a_dicom_folder_is_segmented_on_its_grid_whatever_the_labels_orientation(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    folder = shared_data / "ct_abdomen_dicom"
    labels = read_labels(folder / "labels.nii.gz")
    places = np.argwhere(labels.array == np.bincount(labels.array[labels.array > 0]).argmax())
    in_mm = labels.grid.to_mm(places)
    low, high = in_mm.min(axis=0), in_mm.max(axis=0)
    inside = in_mm[np.abs(in_mm - in_mm.mean(axis=0)).sum(axis=1).argmin()]
    output = tmp_path / "mask.nii.gz"
    request = SegmentRequest(
        folder,
        points=(inside,),
        box=(*low, *high),
        mm=True,
        model=str(model),
        windows="off",
        output=output,
        device="cpu",
    )
    report = predict(request)
    volume, written = read(folder), read_labels(output)
    assert volume.grid.orientation != labels.grid.orientation
    assert written.grid.close_to(volume.grid, 1e-2)
    assert report.encodings == 1
    assert report.structures[0].voxels == written.array.sum() > 0
    found = written.grid.to_mm(np.argwhere(written.array))
    margin = 25  # mm, two voxels of the tiny network; a mirrored mask would be further off
    assert (found.min(axis=0) >= low - margin).all()
    assert (found.max(axis=0) <= high + margin).all()
    assert np.abs(found - inside).max(axis=1).min() < margin


def test_the_key_says_everything_that_was_asked_and_changes_an_answer(model: Path, tmp_path: Path) -> None:
    series = np.random.default_rng(0).normal(100, 20, (20, 20, 10, 2)).astype(np.float32)
    nibabel.save(nibabel.nifti1.Nifti1Image(series, np.diag([2.0, 2, 2, 1])), tmp_path / "scan.nii.gz")
    options = {"smooth": 3.0, "largest": True, "windows": "off", "drop_islands": False, "time": 1}
    predict(SegmentRequest(tmp_path / "scan.nii.gz", box=(2, 2, 2, 15, 15, 8), model=str(model), **options))
    key = json.loads((tmp_path / "scan_seg.json").read_text("utf-8"))
    assert {name: key["asked"][name] for name in options} == options
    shown_elsewhere = {"output", "preview", "force", "device", "max_gigabytes", "slices"}
    renamed = {"mm": "unit", "texts": "labels", "address": "image"}
    for field in fields(SegmentRequest):
        assert field.name in shown_elsewhere or {field.name, renamed.get(field.name)} & ({*key} | {*key["asked"]})


def test_alternatives_come_by_expected_overlap_where_it_is_known() -> None:
    assert _best_first([Confidence(value, (), None) for value in (0.03, 0.42, 0.46)]) == [2, 1, 0]
    assert _best_first([Confidence(value, (), None) for value in (0.03, None, 0.46)]) == [0, 1, 2]


def test_a_note_on_one_alternative_says_which() -> None:
    answers = [SimpleNamespace(notes=notes) for notes in (("box cut", "6% lay apart"), ("box cut",), ("box cut",))]
    assert tuple(_notes_of_answers(answers, numbered=True)) == ("box cut", "alternative 1: 6% lay apart")
    assert tuple(_notes_of_answers(answers, numbered=False)) == ("box cut", "6% lay apart")
