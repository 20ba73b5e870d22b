"""MONAI itself, unmodified, checks and runs the bundle."""

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import segevolution
from segevolution.cli.app import main
from segevolution.data.synthesis.patients import simulate_case
from segevolution.errors import PromptError, VocabularyError
from segevolution.exports.label_map_network import LabelMapNetwork
from segevolution.exports.monai_bundle import IGNITE, MONAI, export_bundle
from segevolution.imaging.formats import write_volume
from segevolution.vocabulary import Modality

from .conftest import Lab, everything_in

STRUCTURES = ("liver", "spleen", "left kidney")
# What MONAI's schema of 2024-07-25 asks for, in short.
TENSOR = {
    "type": "object",
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
}
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in (*TEXTS, "copyright", "intended_use", "data_source")},
        **{name: {"type": "object"} for name in ("changelog", "required_packages_version")},
        "network_data_format": {
            "type": "object",
            "properties": {
                part: {"type": "object", "patternProperties": {"^.+$": TENSOR}, "minProperties": 1}
                for part in ("inputs", "outputs")
            },
            "required": ["inputs", "outputs"],
        },
    },
    "required": [*TEXTS, "copyright", "required_packages_version", "network_data_format"],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """segvol-mini-2 with its MRI expert, and one image."""
    folder = tmp_path_factory.mktemp("exported") / "abdomen_mri"
    export_bundle("segvol-mini-2", folder, adapter="segvol-mini-mri", structures=STRUCTURES, modality="MRI")
    case = simulate_case(11, modality=Modality.MRI, sequence="T1", spacing=(5.0, 5.0, 6.0))
    (folder / "images").mkdir()
    write_volume(case.volume, folder / "images" / "mr.nii.gz")
    return folder


@pytest.mark.server
def test_a_run_of_the_bundle_gives_the_mask_of_segment_bit_for_bit(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monai_bundle = pytest.importorskip("monai.bundle", reason="MONAI is not installed; see make test-server")
    pytest.importorskip("ignite", reason="pytorch-ignite is not installed; see make test-server")
    monkeypatch.chdir(bundle)
    monai_bundle.run(
        config_file="configs/inference.json",
        dataset_dir="images",
        output_dir=str(tmp_path / "masks"),
        device="$torch.device('cpu')",
        logging_file=False,
    )
    texts = [word for name in STRUCTURES for word in ("--text", name)]
    image, ours = bundle / "images" / "mr.nii.gz", tmp_path / "ours.nii.gz"
    line = ["segment", str(image), "--modality", "MRI", "--model", "segvol-mini-2", "--adapter", "segvol-mini-mri"]
    with pytest.raises(SystemExit) as left:
        main([*line, *texts, "-o", str(ours), "--device", "cpu", "--quiet"])
    assert left.value.code in (0, None)
    theirs, expected = nib.load(tmp_path / "masks" / "mr_seg.nii.gz"), nib.load(ours)
    assert len(np.unique(expected.dataobj)) > 2
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_allclose(theirs.affine, expected.affine, atol=1e-5)
    assert theirs.get_data_dtype() == np.uint8


@pytest.mark.server
def test_monai_finds_the_metadata_and_the_network_as_they_say(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monai_bundle = pytest.importorskip("monai.bundle", reason="MONAI is not installed; see make test-server")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed; see make test-server")
    pytest.importorskip("ignite", reason="pytorch-ignite is not installed; see make test-server")
    metadata, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.json"
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    # MONAI would fetch the schema; the one above lies there already.
    monkeypatch.setattr("monai.bundle.scripts.download_url", lambda **_: None)
    monai_bundle.verify_metadata(str(metadata), filepath=str(tmp_path / "schema.json"))
    monkeypatch.chdir(bundle)
    monai_bundle.verify_net_in_out("network_def", str(metadata), str(inference), device="cpu", any=40)
    workflow = monai_bundle.ConfigWorkflow(str(inference), str(metadata), logging_file=False, workflow_type="infer")
    workflow.initialize()
    assert not workflow.check_properties()
    broken = {key: value for key, value in json.loads(metadata.read_text("utf-8")).items() if key != "task"}
    (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(ValueError, match="task"):
        monai_bundle.verify_metadata(str(tmp_path / "broken.json"), filepath=str(tmp_path / "schema.json"))


def test_metadata_say_what_each_label_is_and_which_packages_it_needs(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text("utf-8"))
    answer = metadata["network_data_format"]["outputs"]["pred"]
    assert answer["channel_def"] == {"0": "background", "1": "liver", "2": "spleen", "3": "left kidney"}
    assert metadata["network_data_format"]["inputs"]["image"]["modality"] == "MR"
    assert metadata["required_packages_version"]["segevolution"] == segevolution.__version__


def test_the_versions_that_a_bundle_names_are_those_of_the_tests() -> None:
    lock = (Path(__file__).parents[2] / "requirements-server.lock").read_text("utf-8")
    both = lock + (Path(__file__).parents[2] / "requirements.lock").read_text("utf-8")
    assert re.search(rf"^monai=={re.escape(MONAI)}$", both, re.MULTILINE)
    assert re.search(rf"^pytorch-ignite=={re.escape(IGNITE)}$", lock, re.MULTILINE)


def test_a_bundle_names_licences_and_no_patients(bundle: Path) -> None:
    assert "btcv: not clear" in (bundle / "docs" / "data_license.txt").read_text("utf-8")
    assert "Research use only" in (bundle / "LICENSE").read_text("utf-8")
    assert "btcv_04" not in everything_in(bundle)
    assert "not a medical device" in (bundle / "docs" / "README.md").read_text("utf-8")
    assert not list(bundle.rglob("*.pt"))


def test_without_names_a_bundle_segments_all_that_the_model_knows(tmp_path: Path) -> None:
    names = LabelMapNetwork("segvol-mini").structures
    assert {"left kidney", "right kidney"} <= set(names)
    assert "kidney" not in names


def test_a_bundle_asks_by_names_only_and_only_by_those_that_are_known(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="zorblax"):
        export_bundle("segvol-mini", tmp_path / "bundle", structures=("zorblax",))
    with pytest.raises(VocabularyError, match="X-ray"):
        export_bundle("segvol-mini", tmp_path / "bundle", structures=("liver",), modality="X-ray")
    with pytest.raises(PromptError, match="each named once"):
        export_bundle("segvol-mini", tmp_path / "bundle", structures=("liver", "Liver"))
    with pytest.raises(PromptError, match="reads no text"):
        export_bundle(lab.textless, tmp_path / "bundle", structures=("liver",))
    assert not (tmp_path / "bundle").exists()
