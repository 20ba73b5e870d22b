"""`segevolution segment`, end to end with a tiny network: what it writes, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from segevolution.adapters.artifact import save_adapter
from segevolution.adapters.lora import LoraAdapter
from segevolution.cli.app import main
from segevolution.imaging.formats import read, read_labels
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig

AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 3.0, -20], [0, -1.25, 0, 30], [0, 0, 0, 1]])
SHAPE = (40, 36, 18)
ORGAN = (10, 12, 6)


def signal() -> npt.NDArray[np.float32]:
    """A dim body with one bright organ, in a file order that is not canonical."""
    array = np.random.default_rng(0).uniform(20, 60, SHAPE)
    x, y, z = np.ogrid[:40, :36, :18]
    array[((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1] = 400
    return array.astype(np.float32)


def write(path: Path, array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64] = AFFINE) -> Path:
    nib.Nifti1Image(array, affine).to_filename(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.nii.gz", signal())


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: object) -> tuple[int, str, str]:
        arguments = ["segment", *map(str, words)]
        if "--model" not in arguments:
            arguments += ["--model", str(model)]
        status = 0
        try:
            main(arguments)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


Run = Callable[..., tuple[int, str, str]]


def test_two_texts_give_one_label_map_on_the_scans_grid_with_a_key(run: Run, scan: Path) -> None:
    status, out, err = run(scan, "--text", "liver", "--text", "right kidney", "--modality", "CT")
    assert status == 0, err
    written = scan.with_name("scan_seg.nii.gz")
    labels, image = read_labels(written), read(scan)
    assert labels.array.shape == SHAPE
    assert labels.array.dtype == np.uint8
    np.testing.assert_allclose(labels.grid.affine, image.grid.affine)
    assert set(np.unique(labels.array)) <= {0, 1, 2}
    assert labels.array[ORGAN] in (1, 2)
    key = json.loads(scan.with_name("scan_seg.json").read_text("utf-8"))
    assert key["labels"] == {"1": "liver", "2": "right kidney"}
    assert key["modality"] == "CT"
    assert "right kidney" in out
    assert str(written) in err


def test_split_writes_one_file_a_structure(run: Run, scan: Path, tmp_path: Path) -> None:
    status, _, err = run(scan, "--text", "liver", "--text", "right kidney", "--split", "-o", tmp_path / "out")
    assert status == 0, err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "liver.nii.gz",
        "right_kidney.nii.gz",
        "segmentation.json",
    ]
    assert read_labels(tmp_path / "out" / "liver.nii.gz").array.max() == 1


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_the_mask_is_written_in_the_format_of_its_name(run: Run, scan: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"mask{suffix}"
    assert run(scan, "--box", "3,5,2,18,18,10", "-o", output)[0] == 0
    labels = read_labels(output)
    assert labels.array.shape == SHAPE
    assert labels.array[ORGAN] == 1
    assert labels.grid.close_to(read(scan).grid)


def series(folder: Path) -> Path:
    """The scan's voxels as a DICOM series whose file names run against the stack."""
    folder.mkdir()
    array = signal().astype(np.int16)
    for number in range(array.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"1.2.9.{number + 1}"
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.4", "1.2.5"
        data.Modality, data.PatientID, data.InstanceNumber = "CT", "P7", number + 1
        data.ImagePositionPatient, data.ImageOrientationPatient = [-30, -20, 3 * number], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.Rows, data.Columns = [1.25, 1.5], array.shape[1], array.shape[0]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.PixelData = np.ascontiguousarray(array[:, :, number].T).tobytes()
        data.save_as(folder / f"{99 - number}.dcm", enforce_file_format=True)
    return folder


def test_a_dicom_series_gets_a_dicom_segmentation(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = series(tmp_path / "series")
    words = ("--text", "liver", "--text", "right kidney", "--colours", "--probabilities", "percent")
    assert run(folder, *words, "-o", tmp_path / "mask.dcm")[0] == 0
    assert run(folder, *words, "-o", tmp_path / "other.nii.gz")[0] == 0
    expected = read_labels(tmp_path / "other.nii.gz").array
    data = pydicom.dcmread(tmp_path / "mask.dcm")
    assert [segment.SegmentLabel for segment in data.SegmentSequence] == ["liver", "right kidney"]
    assert data.PatientID == "P7"
    found = np.zeros_like(expected)
    for frame, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        depth = round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]) / 3)
        found[:, :, depth][frame.T > 0] = number
    np.testing.assert_array_equal(found, expected)
    assert found.any()
    assert (tmp_path / "mask_liver_probability.nii.gz").is_file()


def test_a_dicom_segmentation_of_what_is_no_series_is_refused_before_the_model_is_looked_for(
    run: Run, scan: Path, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    words = ("--text", "liver", "--model", "no-such-model", "-o", tmp_path / "mask.dcm")
    assert_refused(run, tmp_path, "refers to a DICOM series, and scan is none", scan, *words)


def test_without_the_extra_a_dicom_segmentation_is_refused(
    run: Run, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segevolution.imaging.formats.dicom_seg.find_spec", lambda name: None)
    words = ("--text", "liver", "-o", tmp_path / "mask.dcm")
    assert_refused(run, tmp_path, 'pip install "segevolution[dicom]"', scan, *words)


def test_a_point_in_millimetres_equals_the_voxel_it_names(run: Run, scan: Path, tmp_path: Path) -> None:
    x, y, z = (AFFINE @ [*ORGAN, 1])[:3]
    assert x > 0 > y - 20
    assert run(scan, "--point", "10,12,6", "-o", tmp_path / "voxel.nii.gz")[0] == 0
    assert run(scan, "--point", f"{x},{y},{z}", "--mm", "-o", tmp_path / "mm.nii.gz")[0] == 0
    first, second = (read_labels(tmp_path / f"{name}.nii.gz").array for name in ("voxel", "mm"))
    assert first[ORGAN] == 1
    np.testing.assert_array_equal(first, second)


def test_a_number_below_zero_is_read_as_a_number(run: Run, scan: Path, tmp_path: Path) -> None:
    status, _, err = run(scan, "--point", "-15.5,-2.0,15.0", "--mm", "-o", tmp_path / "mask.nii.gz")
    assert status == 0, err
    status, _, err = run(scan, "--point", "-3,4,5", "-o", tmp_path / "voxel.nii.gz")
    assert status == 2
    assert "point (-3, 4, 5) lies outside the image; its voxels run over x 0..39, y 0..35, z 0..17" in err


def test_a_box_that_reaches_beyond_the_image_is_cut_and_the_answer_says_so(
    run: Run, scan: Path, tmp_path: Path
) -> None:
    status, out, err = run(scan, "--box", "-4,5,2,18,18,10", "--json", "-o", tmp_path / "cut.nii.gz")
    assert status == 0, err
    assert any("up to 4 voxels beyond the image" in note for note in json.loads(out)["notes"])
    status, _, _ = run(scan, "--box", "0,5,2,18,18,10", "-o", tmp_path / "inside.nii.gz")
    assert status == 0
    cut, inside = (read_labels(tmp_path / f"{name}.nii.gz").array for name in ("cut", "inside"))
    np.testing.assert_array_equal(cut, inside)


def test_negative_points_and_box_together_with_one_text(run: Run, scan: Path, tmp_path: Path) -> None:
    words = ("--text", "liver", "--point", "10,12,6", "--negative-point", "30,30,15", "--box", "3,5,2,18,18,10")
    status, _, err = run(scan, *words, "-o", tmp_path / "mask.nii.gz")
    assert status == 0, err
    labels = read_labels(tmp_path / "mask.nii.gz").array
    assert labels[ORGAN] == 1
    assert labels[30, 30, 15] == 0


def test_statistics_are_those_of_the_written_mask(run: Run, scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "mask.nii.gz"
    status, out, _ = run(scan, "--box", "3,5,2,18,18,10", "--statistics", "--json", "-o", output)
    assert status == 0
    (row,) = json.loads(out)["structures"]
    mask = read_labels(output).array > 0
    assert row["voxels"] == mask.sum()
    assert row["volume_ml"] == pytest.approx(mask.sum() * 1.5 * 1.25 * 3 / 1000, abs=1e-3)
    assert row["mean_intensity"] == pytest.approx(signal()[mask].mean(), rel=1e-4)
    status, out, _ = run(scan, "--box", "3,5,2,18,18,10", "--statistics", "-o", tmp_path / "second.nii.gz")
    assert "volume (ml)" in out
    assert f"{mask.sum()}" in out


def test_candidates_are_three_files_with_their_predicted_overlap(run: Run, scan: Path, tmp_path: Path) -> None:
    status, _, err = run(scan, "--box", "3,5,2,18,18,10", "--candidates", "-o", tmp_path / "mask.nii.gz")
    assert status == 0, err
    assert [(tmp_path / f"mask_{number}.nii.gz").is_file() for number in (1, 2, 3)] == [True] * 3
    rows = json.loads((tmp_path / "mask.json").read_text("utf-8"))["structures"]
    overlaps = [row["predicted_iou"] for row in rows]
    assert len(set(overlaps)) == 3
    assert overlaps == sorted(overlaps, reverse=True)


def test_a_preview_is_a_picture(run: Run, scan: Path, tmp_path: Path) -> None:
    picture = tmp_path / "look.png"
    assert run(scan, "--box", "3,5,2,18,18,10", "--preview", picture, "-o", tmp_path / "mask.nii.gz")[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "shift", "said"),
    [
        (("--modality", "mr"), 0, "modality: MRI, as you said"),
        ((), 0, "modality: not said, and its values are not those of CT; name it, for instance with --modality MRI"),
        ((), -1000, "modality: not said; with values down to -980 it looks like CT; name it with --modality"),
    ],
)
def test_what_was_assumed_and_what_it_is_for_are_said(
    run: Run, tmp_path: Path, words: tuple[str, ...], shift: float, said: str
) -> None:
    scan = write(tmp_path / "scan.nii.gz", np.rint(signal() + shift).astype(np.int16))
    status, out, err = run(scan, "--box", "3,5,2,18,18,10", *words, "-o", tmp_path / "mask.nii.gz")
    assert status == 0
    lines = err.strip().splitlines()
    assert lines[-2:] == [said, "for research, not a medical device"]
    assert lines[0] == f"wrote {tmp_path / 'mask.nii.gz'}"
    assert "modality" not in out
    assert json.loads((tmp_path / "mask.json").read_text("utf-8"))["notes"] == lines[-2:]


def test_a_structure_that_is_not_found_has_an_empty_mask_and_a_note(run: Run, scan: Path, tmp_path: Path) -> None:
    blind = TinyBackbone(TinyConfig(window=(8, 32, 32)))
    blind.voxels.bias.data[0] = -1000.0
    save_model(blind, tmp_path / "blind")
    words = ("--text", "liver", "--text", "spleen", "--preview", tmp_path / "look.png", "--statistics", "--json")
    output = tmp_path / "mask.nii.gz"
    status, out, err = run(scan, *words, "--model", tmp_path / "blind", "-o", output)
    assert status == 0, err
    assert not read_labels(output).array.any()
    printed = json.loads(out)
    assert [row["mean_intensity"] for row in printed["structures"]] == [None, None]
    assert printed["notes"][1:3] == [
        "liver: not found; its mask is empty",
        "spleen: not found; its mask is empty",
    ]
    assert "spleen: not found; its mask is empty" in err
    assert (tmp_path / "look.png").is_file()


def test_windows_and_quiet(run: Run, scan: Path, tmp_path: Path) -> None:
    for windows in ("roi", "lattice", "off"):
        output = tmp_path / f"{windows}.nii.gz"
        status, _, err = run(scan, "--box", "3,5,2,18,18,10", "--windows", windows, "--quiet", "-o", output)
        assert (status, err) == (0, "")
        assert read_labels(output).array[ORGAN] == 1


def test_an_existing_output_is_replaced_only_with_force(run: Run, scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "mask.nii.gz"
    output.write_bytes(b"precious")
    status, _, err = run(scan, "--text", "liver", "-o", output)
    assert (status, output.read_bytes()) == (2, b"precious")
    assert "exists already; use --force" in err
    assert run(scan, "--text", "liver", "-o", output, "--force")[0] == 0
    assert read_labels(output).array.shape == SHAPE


def test_an_adapter_takes_part_and_one_of_another_base_is_refused(
    run: Run, scan: Path, model: Path, tmp_path: Path
) -> None:
    for folder, seed in (("right", 0), ("wrong", 1)):
        base = TinyBackbone(TinyConfig(window=(8, 32, 32), seed=seed))
        adapter = LoraAdapter()
        adapter.attach(base)
        save_adapter(adapter, base, tmp_path / folder)
    status, _, err = run(scan, "--text", "liver", "--adapter", tmp_path / "right", "-o", tmp_path / "mask.nii.gz")
    assert status == 0, err
    before = sorted(tmp_path.iterdir())
    status, _, err = run(scan, "--text", "liver", "--adapter", tmp_path / "wrong", "-o", tmp_path / "other.nii.gz")
    assert status == 2
    assert "was trained on another base" in err
    assert sorted(tmp_path.iterdir()) == before


def no_file(folder: Path) -> Path:
    return folder / "missing.nii.gz"


def truncated(folder: Path) -> Path:
    path = write(folder / "bad.nii.gz", signal())
    path.write_bytes(path.read_bytes()[:4000])
    return path


def text_file(folder: Path) -> Path:
    path = folder / "notes.nii.gz"
    path.write_text("this is no image " * 50)
    return path


def flat(folder: Path) -> Path:
    return write(folder / "bad.nii.gz", signal()[:, :, 0])


def over_time(folder: Path) -> Path:
    return write(folder / "bad.nii.gz", np.stack([signal()] * 2, axis=-1))


def without_spacing(folder: Path) -> Path:
    path = write(folder / "bad.nii", signal())
    content = bytearray(path.read_bytes())
    content[80:84] = bytes(4)  # pixdim[1]
    content[252:256] = bytes(4)  # qform and sform codes, so that pixdim counts
    path.write_bytes(content)
    return path


def with_nan(folder: Path) -> Path:
    array = signal()
    array[0, 0, 0] = np.nan
    return write(folder / "bad.nii.gz", array)


def constant(folder: Path) -> Path:
    return write(folder / "bad.nii.gz", np.ones(SHAPE, np.float32))


def empty_folder(folder: Path) -> Path:
    path = folder / "series"
    path.mkdir()
    return path


def coloured(folder: Path) -> Path:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return write(folder / "bad.nii.gz", np.zeros(SHAPE, kind))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_file, "does not exist"),
        (truncated, "bad.nii.gz"),
        (text_file, "notes.nii.gz"),
        (flat, "has 2 dimensions (40 x 36)"),
        (over_time, "has 4 dimensions (40 x 36 x 18 x 2)"),
        (without_spacing, "spacing"),
        (with_nan, "NaN or infinity in 1 voxels"),
        (constant, "is constant"),
        (empty_folder, "series"),
        (coloured, "bad.nii.gz"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    image = make(tmp_path)
    assert_refused(run, tmp_path, said, image, "--text", "liver")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no prompt was given"),
        (("--negative-point", "3,3,3"), "only negative points were given"),
        (("--point", "40,3,3"), "lies outside the image; its voxels run over x 0..39"),
        (("--point", "900,3,3", "--mm"), "the point (900, 3, 3) mm lies outside the image, which spans"),
        (("--box", "0,36,0,39,40,17"), "the box lies outside the image altogether; its voxels run over x 0..39"),
        (("--box", "900,0,0,990,9,9", "--mm"), "mm lies outside the image, which spans"),
        (("--box", "9,0,0,3,35,17"), "box is inverted"),
        (("--box", "1,2,3"), "takes 6 numbers"),
        (("--point", "3,4"), "takes 3 numbers"),
        (("--point", "3,four,5"), '--point "3,four,5" cannot be read'),
        (("--point", "3,nan,5"), "cannot be read"),
        (("--text", "livr"), 'did you mean "liver"?'),
        (("--text", "liver", "--text", "Liver"), "asked for twice"),
        (("--text", "liver", "--text", "spleen", "--point", "3,4,5"), "points and a box describe one structure"),
        (("--text", "liver", "--text", "spleen", "--candidates"), "--candidates are of one structure"),
        (("--text", "liver", "--modality", "X-ray"), '"X-ray" is not a modality; known are CT, MRI, PET, US'),
        (("--text", "liver", "--series", "1.2.3"), "no DICOM folder"),
        (("--text", "liver", "--device", "gpu7"), "is not a device"),
        (("--text", "liver", "--model", "no-such-model"), 'no model is called "no-such-model"'),
        (("--text", "liver", "--adapter", "no-such-adapter"), "no-such-adapter is neither an adapter folder nor"),
        (("--text", "liver", "-o", "mask.txt"), "has no suffix that can be written"),
        (("--text", "liver", "--preview", "look.jpg"), "must end in .png"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_one_sentence(
    run: Run, scan: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    assert_refused(run, tmp_path, said, scan, *words)


def test_a_folder_that_is_no_model_is_refused(run: Run, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert_refused(run, tmp_path, "is not a model folder", scan, "--text", "liver", "--model", tmp_path / "folder")


def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_looked_for(
    run: Run, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    words = ("--text", "liver", "--model", "no-such-model", "-o")
    assert_refused(run, tmp_path, "is not a folder", scan, *words, tmp_path / "file" / "mask.nii.gz")
    assert_refused(run, tmp_path, "is the image itself", scan, *words, scan, "--force")


def assert_refused(run: Run, folder: Path, said: str, *words: object) -> None:
    before = {path: path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}
    status, out, err = run(*words)
    assert status == 2, (out, err)
    assert err.startswith("segevolution: ")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert out == ""
    after = {path: path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}
    assert after == before
