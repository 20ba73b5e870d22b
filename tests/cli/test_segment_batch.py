"""Many scans in one call: names, table, what goes on where a call was stopped, and what one bad file does."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segevolution.cli.app import main
from segevolution.errors import FormatError
from segevolution.imaging.formats import read, read_labels, write_volume
from segevolution.inference import networks
from segevolution.inference.batch import COLUMNS, TABLE
from segevolution.inference.question_digest import question_digest
from segevolution.inference.request import SegmentRequest
from segevolution.inference.scan_inputs import find_scans
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig

SHAPE = (24, 20, 8)
AFFINE = np.diag([-2.0, 2.0, 4.0, 1.0])
Run = Callable[..., tuple[int, str, str]]


def signal(seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).uniform(20, 60, SHAPE)
    array[6:14, 6:12, 2:6] = 400
    return np.rint(array).astype(np.int16)


def scan(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(signal(seed), AFFINE).to_filename(path)
    return path


def dicom_series(folder: Path, uid: str, description: str, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, plane in enumerate(signal(seed).transpose(2, 1, 0)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[uid, str(number)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.SeriesDescription, data.Modality = uid, description, "CT"
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing, data.ImageOrientationPatient = [2, 2], [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient, data.InstanceNumber = [0, 0, 4 * number], number + 1
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, -100
        data.PixelData = plane.astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{description}{number}.dcm", data, enforce_file_format=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object, text: bool = True) -> tuple[int, str, str]:
        status = 0
        try:
            main(["segment", *map(str, words), *(("--text", "liver") if text else ()), "--model", str(model)])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    return [scan(tmp_path / "in" / f"p{number}.nii.gz", number) for number in (1, 2, 3)]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_several_scans_go_into_a_folder_by_their_names_and_the_model_is_loaded_once(
    run: Run, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    load = networks.load
    monkeypatch.setattr(networks, "load", lambda *names, **more: loads.append(names) or load(*names, **more))
    out = tmp_path / "out"
    status, printed, err = run(*scans, "--text", "spleen", "-o", out, "--preview", out / "look", "--json")
    assert status == 0, err
    assert len(loads) == 1
    for path in scans:
        name = path.name.removesuffix(".nii.gz")
        assert read_labels(out / f"{name}_seg.nii.gz").grid.close_to(read(path).grid)
        assert json.loads((out / f"{name}_seg.json").read_text("utf-8"))["image"] == str(path)
        assert (out / "look" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = table(out)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["scan"], row["structure"], row["label"]) for row in rows[:2]] == [
        ("p1", "spleen", "1"),
        ("p1", "liver", "2"),
    ]
    assert len(rows) == 6
    report = json.loads(printed)
    assert [entry["scan"] for entry in report["scans"]] == ["p1", "p2", "p3"]
    mask = read_labels(out / rows[1]["file"]).array == 2
    assert int(rows[1]["voxels"]) == mask.sum()


@pytest.mark.parametrize("how", ["folder", "pattern", "folder-with-subfolders"])
def test_a_folder_or_a_pattern_stands_for_its_scans(scans: list[Path], tmp_path: Path, how: str) -> None:
    what = {"folder": scans[0].parent, "pattern": scans[0].parent / "p*.nii.gz", "folder-with-subfolders": tmp_path}
    found, _ = find_scans([what[how]])
    assert [entry.path for entry in found] == scans
    assert [entry.name for entry in found] == ["p1", "p2", "p3"]


def test_masks_beside_their_images_are_no_scans(run: Run, scans: list[Path], tmp_path: Path) -> None:
    assert run(scans[0])[0] == 0
    found, notes = find_scans([scans[0].parent])
    assert [entry.path for entry in found] == scans
    assert notes == ("1 masks of an earlier call were left out, p1_seg.nii.gz the first",)


def test_scans_of_one_name_take_their_folders_into_it(tmp_path: Path) -> None:
    paths = [scan(tmp_path / patient / "anat" / "T2.nii.gz") for patient in ("a", "b")]
    found, _ = find_scans([*paths, paths[0], scan(tmp_path / "T1.nrrd.nii.gz")])
    assert [entry.name for entry in found] == ["a_anat_T2", "b_anat_T2", "T1.nrrd"]


def test_a_study_of_several_series_is_segmented_series_by_series(run: Run, tmp_path: Path) -> None:
    for number, uid in enumerate(("1.2.3.1", "1.2.3.2")):
        dicom_series(tmp_path / "study" / f"s{number}", uid, f"series {number}", number)
    status, _, err = run(tmp_path / "study")
    assert status == 2
    assert "holds 2 scans (study, study_2)" in err
    assert "--series" in err
    status, _, err = run(tmp_path / "study", "-o", tmp_path / "out")
    assert status == 0, err
    names = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert names == ["study_2_seg.nii.gz", "study_seg.nii.gz"]
    series = {json.loads(path.read_text("utf-8"))["series"] for path in (tmp_path / "out").glob("*.json")}
    assert series == {"1.2.3.1", "1.2.3.2"}
    status, _, err = run(tmp_path / "study", "--series", "1.2.3.2", "-o", tmp_path / "one.nii.gz")
    assert status == 0, err


def test_a_bad_file_stops_no_other_and_the_status_says_so(run: Run, scans: list[Path], tmp_path: Path) -> None:
    good = scans[1].read_bytes()
    scans[1].write_bytes(good[:300])
    out = tmp_path / "out"
    status, _, err = run(scans[0].parent, "-o", out, "--quiet")
    assert status == 1
    assert [line for line in err.splitlines() if line.startswith("failed: p2: ")]
    assert [(row["scan"], row["status"]) for row in table(out)] == [("p1", "done"), ("p2", "failed"), ("p3", "done")]
    assert "p2.nii.gz" in (out / "p2_seg.failed.txt").read_text("utf-8")
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    scans[1].write_bytes(good)
    status, _, err = run(scans[0].parent, "-o", out)
    assert status == 0, err
    assert "1 of 3 scans are left to do" in err
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert [row["status"] for row in table(out)] == ["done"] * 3
    assert not list(out.glob("*.failed.txt"))


def test_a_name_too_long_for_its_mask_fails_alone(run: Run, scans: list[Path], tmp_path: Path) -> None:
    name = "x" * 245
    scan(scans[0].parent / f"{name}.nii.gz")
    out = tmp_path / "out"
    for left in (3, 1):  # of the second call, the long name alone
        status, _, err = run(*scans[:2], scans[0].parent / f"{name}.nii.gz", "-o", out)
        assert status == 1, err
        assert f"failed: {name}: " in err
        assert "its name is too long" in err
        assert f"{left} scans" in err or f"{left} of 3 scans" in err
        rows = [(row["scan"], row["status"]) for row in table(out)]
        assert rows == [("p1", "done"), ("p2", "done"), (name, "failed")]


def test_an_image_in_the_place_of_a_mask_stops_the_call(run: Run, scans: list[Path], tmp_path: Path) -> None:
    other = scans[2].rename(scans[2].with_name("p1_seg.nii.gz"))
    before = other.read_bytes()
    status, _, err = run(scans[0], other, "-o", scans[0].parent, "--force")
    assert (status, "p1_seg.nii.gz is the image itself" in err) == (2, True), err
    assert other.read_bytes() == before
    assert sorted(scans[0].parent.iterdir()) == [scans[0], other, scans[1]]


def test_a_call_by_a_pattern_of_the_shell_goes_on_where_its_masks_lie(run: Run, scans: list[Path]) -> None:
    folder = scans[0].parent
    for left in ("2 scans", "0 of 2 scans"):
        status, _, err = run(*sorted(folder.glob("p[12]*.nii.gz")), "-o", folder)
        assert status == 0, err
        assert left in err
    assert not list(folder.glob("*_seg_seg*"))
    status, _, err = run(*sorted(folder.glob("p1*.nii.gz")))  # one scan is left: as if it were given alone
    assert (status, "p1_seg.nii.gz exists already" in err) == (2, True)


def test_a_name_of_two_lines_is_told_in_one(run: Run, tmp_path: Path) -> None:
    scan(tmp_path / "in" / "new\nline.nii.gz")
    status, printed, err = run(tmp_path / "in", "-o", tmp_path / "out")
    assert status == 0, err
    assert "line" not in [*(line[:4] for line in err.splitlines()), *(line[:4] for line in printed.splitlines())]
    assert "new\\nline" in printed


def test_a_name_that_is_no_utf_8_is_one_sentence_and_stops_no_other(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "in" / os.fsdecode(b"m\xff.nii.gz")
    try:
        scan(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    status, _, err = run(odd)
    assert (status, "m\\udcff.nii.gz has a name that is not UTF-8" in err) == (2, True)
    scan(tmp_path / "in" / "p1.nii.gz")
    status, _, err = run(tmp_path / "in", "-o", tmp_path / "out", "--json")
    assert status == 1
    assert [(row["scan"], row["status"]) for row in table(tmp_path / "out")] == [
        ("m\\udcff", "failed"),
        ("p1", "done"),
    ]


def test_parts_share_the_scans_out_and_the_table_holds_all(run: Run, scans: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*scans, "-o", out, "--part", "2/2")[0] == 0
    assert [row["scan"] for row in table(out)] == ["p2"]
    assert run(*scans, "-o", out, "--part", "1/2")[0] == 0
    assert [row["scan"] for row in table(out)] == ["p1", "p2", "p3"]


def test_what_is_done_is_done_again_only_for_another_question_with_force(
    run: Run, scans: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(*scans, "-o", out)[0] == 0
    status, _, err = run(*scans, "-o", out, "--largest")
    assert status == 2
    assert "answers another question" in err
    assert run(*scans, "-o", out, "--largest", "--force")[0] == 0
    (out / "p2_seg.nii.gz").unlink()  # as a call that was killed between two files may leave it
    status, _, err = run(*scans, "-o", out, "--largest")
    assert status == 0, err
    assert (out / "p2_seg.nii.gz").is_file()
    assert "1 of 3 scans are left to do" in err


def test_markups_are_found_by_the_names_of_scans_and_one_without_fails_alone(
    run: Run, scans: list[Path], tmp_path: Path
) -> None:
    for name in ("p1", "p3"):
        place = (AFFINE @ [10, 9, 4, 1])[:3] * (-1, -1, 1)
        spot = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [{"position": place.tolist()}]}
        path = tmp_path / "prompts" / f"{name}.mrk.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"markups": [spot]}))
    status, _, err = run(*scans, "--markups", tmp_path / "prompts", "-o", tmp_path / "out", text=False)
    assert status == 1
    assert "failed: p2: " in err
    assert read_labels(tmp_path / "out" / "p3_seg.nii.gz").array[10, 9, 4] == 1


def markups(path: Path, voxel: tuple[int, int, int]) -> Path:
    path.parent.mkdir(exist_ok=True)
    place = (AFFINE @ [*voxel, 1])[:3] * (-1, -1, 1)
    spot = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [{"position": place.tolist()}]}
    path.write_text(json.dumps({"markups": [spot]}))
    return path


def test_a_moved_point_and_voxels_that_changed_beside_their_header_are_another_question(
    run: Run, scans: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "mhd"
    folder.mkdir()
    write_volume(read(scans[0]), folder / "p1.mhd")
    markups(tmp_path / "prompts" / "p1.mrk.json", (10, 9, 4))
    words = (folder, "--markups", tmp_path / "prompts", "-o", tmp_path / "out")
    assert run(*words)[0] == 0
    assert "0 of 1 scans are left to do" in run(*words)[2]
    markups(tmp_path / "prompts" / "p1.mrk.json", (9, 8, 3))
    status, _, err = run(*words)
    assert (status, "answers another question" in err) == (2, True)
    assert run(*words, "--force")[0] == 0
    os.utime(folder / "p1.zraw", (1, 1))
    assert run(*words)[0] == 2


def test_slices_that_changed_in_place_are_another_question_and_further_series_are_not(run: Run, tmp_path: Path) -> None:
    study, words = tmp_path / "study", (tmp_path / "study", "-o", tmp_path / "out")
    for number in (1, 2):
        dicom_series(study / f"s{number}", f"1.2.3.{number}", f"s{number}", number)
    assert run(*words)[0] == 0
    dicom_series(study / "s3", "1.2.3.3", "s3", 3)
    status, _, err = run(*words)
    assert (status, "1 of 3 scans are left" in err) == (0, True)
    os.utime(study / "s1" / "s13.dcm", (1, 1))
    status, _, err = run(*words)
    assert (status, "has changed since" in err) == (2, True)


def test_an_adapter_counts_by_what_its_files_hold(tmp_path: Path) -> None:
    image, adapter = scan(tmp_path / "p1.nii.gz"), tmp_path / "adapter"
    adapter.mkdir()
    request = SegmentRequest(image, ("liver",), adapter=adapter)
    (adapter / "weights.safetensors").write_bytes(b"first")
    first = question_digest(request)
    os.utime(adapter / "weights.safetensors", (1, 1))
    assert question_digest(request) == first
    (adapter / "weights.safetensors").write_bytes(b"other")
    assert question_digest(request) != first


def test_another_format_of_masks_is_not_done_by_the_first(run: Run, scans: list[Path], tmp_path: Path) -> None:
    assert run(scans[0], scans[1], "-o", tmp_path / "out")[0] == 0
    for more in ((), ("--force",)):
        status, _, err = run(scans[0], scans[1], "-o", tmp_path / "out", "--format", ".nrrd", *more)
        assert (status, "p1_seg.json is the key of p1_seg.nii.gz" in err) == (2, True)


def test_split_has_a_folder_a_scan_and_formats_can_be_chosen(run: Run, scans: list[Path], tmp_path: Path) -> None:
    assert run(*scans[:2], "--split", "-o", tmp_path / "split")[0] == 0
    assert (tmp_path / "split" / "p2" / "liver.nii.gz").is_file()
    assert run(*scans[:2], "--format", ".seg.nrrd", "-o", tmp_path / "slicer")[0] == 0
    assert (tmp_path / "slicer" / "p1_seg.seg.nrrd").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--box", "1,1,1,5,5,5", "-o", "{}"), "belong to one image"),
        ((), "give a folder"),
        (("-o", "{}", "--part", "3/2"), 'part "3/2" is none'),
        (("-o", "{}", "--preview", "x.png"), "is a folder"),
        (("-o", "{}", "--markups", "x.mrk.json"), "is no folder"),
        (("-o", "{}", "--text", "livr"), 'did you mean "liver"?'),
    ],
    ids=["box", "no-folder", "part", "preview", "markups", "unknown-structure"],
)
def test_what_is_wrong_for_all_scans_is_one_sentence_and_nothing_is_written(
    run: Run, scans: list[Path], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "out"
    status, _, err = run(*scans, *(word.format(out) for word in words), "--quiet")
    assert status == 2
    assert said in err.splitlines()[-1]
    assert not out.exists()


def test_a_pattern_without_a_match_and_a_folder_without_a_scan_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="matches no file"):
        find_scans([tmp_path / "*.nii.gz"])
    with pytest.raises(FormatError, match=str(tmp_path)):
        find_scans([tmp_path])
