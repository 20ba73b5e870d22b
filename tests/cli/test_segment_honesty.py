"""S1, S2, S11 and section 4 at the command line: what nobody stated is said, and outputs appear together."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.errors import PromptError, VolumeError
from segevolution.imaging.formats import read, read_labels
from segevolution.inference import predict as predict_module
from segevolution.inference import preview as preview_module
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig

Run = Callable[..., tuple[int, str]]
BOX = ("--box", "3,5,2,18,18,10")


def signal() -> np.ndarray:
    array = np.random.default_rng(0).uniform(20, 60, (40, 36, 18))
    x, y, z = np.ogrid[:40, :36, :18]
    array[((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1] = 400
    return np.rint(array).astype(np.int16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A scan whose header states no orientation."""
    image = nib.Nifti1Image(signal(), None)
    image.header.set_zooms((1.5, 1.25, 3))
    nib.save(image, tmp_path / "bare.nii.gz")
    return tmp_path / "bare.nii.gz"


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str]:
        status = 0
        try:
            main(["segment", *map(str, words), "--model", str(model)])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, capsys.readouterr().err

    return call


def test_a_side_is_refused_where_the_orientation_is_not_stated(run: Run, bare: Path) -> None:
    status, err = run(bare, "--text", "left kidney", "--modality", "MRI")
    assert status == 2
    assert '"left kidney" cannot be told from the other side' in err
    assert "--orientation LAS" in err
    assert [path.name for path in bare.parent.iterdir()] == [bare.name]
    status, err = run(bare, "--text", "left kidney", "--modality", "MRI", "--orientation", "RAS")
    assert status == 0, err
    key = json.loads((bare.parent / "bare_seg.json").read_text("utf-8"))
    assert key["orientation"] == "RAS"
    # The mask says of its place what the image says, so that viewers lay one on the other.
    mask, image = nib.load(bare.parent / "bare_seg.nii.gz"), nib.load(bare)
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert int(mask.header["sform_code"]) == int(mask.header["qform_code"]) == 0


def test_other_answers_carry_a_warning_that_quiet_does_not_hide(run: Run, bare: Path) -> None:
    status, err = run(bare, *BOX, "--modality", "MRI", "--quiet")
    assert status == 0
    assert err.startswith("warning: bare does not say where its axes point; LAS was assumed")
    notes = json.loads((bare.parent / "bare_seg.json").read_text("utf-8"))["notes"]
    assert notes[0] == err.removeprefix("warning: ").splitlines()[0]


def test_millimetres_are_refused_where_the_orientation_is_not_stated(run: Run, bare: Path) -> None:
    status, err = run(bare, "--point", "1,2,3", "--mm")
    assert status == 2
    assert "points and a box in millimetres need that" in err


def test_a_session_refuses_a_side_and_a_list_of_texts(model: Path, bare: Path) -> None:
    session = Session(load(model, device="cpu"), read(bare, modality="MRI"))
    with pytest.raises(VolumeError, match="cannot be told from the other side"):
        session.segment(text="right kidney")
    with pytest.raises(PromptError, match="the name of one structure"):
        session.segment(text=["liver", "spleen"])  # type: ignore[call-overload]


def test_a_ct_that_is_not_in_hu_is_said(run: Run, tmp_path: Path) -> None:
    array = np.full((40, 36, 18), 24, np.int16)
    array[5:35, 5:30] = 1064
    array[10:20, 10:20, 4:9] = 1120
    noise = np.random.default_rng(0).integers(-12, 12, array.shape)
    nib.save(nib.Nifti1Image((array + noise).astype(np.int16), np.eye(4)), tmp_path / "ct.nii.gz")
    status, err = run(tmp_path / "ct.nii.gz", *BOX, "--modality", "CT")
    assert status == 0
    assert "warning: this CT is not in HU: its soft tissue lies near 1064" in err
    assert "subtract that" in err


def test_the_input_is_checked_before_what_exists_already(run: Run, bare: Path) -> None:
    (bare.parent / "bare_seg.nii.gz").write_bytes(b"precious")
    bare.write_bytes(bare.read_bytes()[:1000])
    status, err = run(bare, *BOX)
    assert status == 2
    assert "bare.nii.gz is truncated" in err


@pytest.mark.parametrize("words", [(), ("--split",)])
@pytest.mark.parametrize("fails", ["write_json", "write_preview"])
def test_masks_key_and_preview_appear_together_or_not_at_all(
    words: tuple[str, ...], fails: str, run: Run, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*BOX, "--modality", "MRI", "--preview", bare.parent / "look.png", *words)
    assert run(bare, *options)[0] == 0
    before = {path: path.read_bytes() for path in bare.parent.rglob("*") if path.is_file()}
    assert len(before) == 4

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preview_module if fails == "write_preview" else predict_module, fails, full_disk)
    status, err = run(bare, *options, "--force", "--box", "3,5,2,12,12,8")
    assert status == 2
    assert "No space left" in err
    assert {path: path.read_bytes() for path in bare.parent.rglob("*") if path.is_file()} == before


def test_one_time_point_is_segmented(run: Run, tmp_path: Path) -> None:
    series = np.stack([signal(), signal() * 2], axis=-1)
    nib.save(nib.Nifti1Image(series, np.eye(4)), tmp_path / "cine.nii.gz")
    assert "--time 0 to --time 1" in run(tmp_path / "cine.nii.gz", *BOX)[1]
    status, err = run(tmp_path / "cine.nii.gz", *BOX, "--time", "1")
    assert status == 0, err
    assert read_labels(tmp_path / "cine_seg.nii.gz").array.shape == (40, 36, 18)


def test_the_output_is_named_after_the_link_that_was_typed(run: Run, bare: Path) -> None:
    """S12."""
    link = bare.parent / "sub-01_T2w.nii.gz"
    link.symlink_to(bare)
    assert run(link, *BOX)[0] == 0
    assert (bare.parent / "sub-01_T2w_seg.nii.gz").is_file()
