"""What `segment` writes beside a label map: probabilities, tables, segments, cleaned masks, all structures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.cli.app import main
from segevolution.imaging.formats import read, read_labels, write_volume
from segevolution.inference.cleaning import largest_piece, smoothed
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig

AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 3.0, -20], [0, -1.25, 0, 30], [0, 0, 0, 1]])
SHAPE = (40, 36, 18)
BOX = ("--box", "3,5,2,18,18,10")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).uniform(20, 60, SHAPE)
    x, y, z = np.ogrid[:40, :36, :18]
    array[((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1] = 400
    nib.Nifti1Image(array.astype(np.float32), AFFINE).to_filename(tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        status = 0
        try:
            main(["segment", *map(str, words), "--model", str(model)])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.parametrize(("kind", "dtype", "half"), [("float", np.float32, 0.5), ("percent", np.uint8, 50)])
def test_a_map_of_probability_is_the_mask_where_it_exceeds_a_half(
    run: Run, scan: Path, tmp_path: Path, kind: str, dtype: type, half: float
) -> None:
    output = tmp_path / "out.nii.gz"
    status, _, err = run(scan, *BOX, "--text", "liver", "--probabilities", kind, "-o", output)
    assert status == 0, err
    image: Any = nib.load(tmp_path / "out_liver_probability.nii.gz")
    values = np.asarray(image.dataobj)
    assert values.dtype == dtype
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    mask = read_labels(output).array > 0
    assert mask.any()
    assert (values[mask] >= half).all()
    assert (values[~mask] <= half).all()
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["probabilities"] == ["out_liver_probability.nii.gz"]


def test_split_keeps_the_value_of_the_key(run: Run, scan: Path, tmp_path: Path) -> None:
    words = ("--text", "liver", "--text", "right kidney", "--split", "--colours", "-o", tmp_path / "out")
    assert run(scan, *words)[0] == 0
    key = json.loads((tmp_path / "out" / "segmentation.json").read_text("utf-8"))
    assert key["labels"] == {"1": "liver", "2": "right kidney"}
    for value, name in ((1, "liver"), (2, "right_kidney")):
        assert set(np.unique(read_labels(tmp_path / "out" / f"{name}.nii.gz").array)) == {0, value}
    table = (tmp_path / "out" / "labels.txt").read_text("utf-8")
    assert '"right kidney"' in table


def test_a_segmentation_for_slicer_carries_the_names_asked_for(run: Run, scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.seg.nrrd"
    status, _, err = run(scan, "--text", "liver", "--text", "spleen", "-o", output, "--probabilities", "percent")
    assert status == 0, err
    image = sitk.ReadImage(str(output))
    assert [image.GetMetaData(f"Segment{number}_Name") for number in (0, 1)] == ["liver", "spleen"]
    assert (tmp_path / "out.json").is_file()
    assert (tmp_path / "out_spleen_probability.nrrd").is_file()


def test_markups_of_slicer_are_the_same_prompt_as_numbers(run: Run, scan: Path, tmp_path: Path) -> None:
    corners = np.array([AFFINE @ [2.5, 4.5, 1.5, 1], AFFINE @ [18.5, 18.5, 10.5, 1]])[:, :3] * (-1, -1, 1)
    centre, size = corners.mean(axis=0), np.abs(corners[1] - corners[0])
    roi = {"type": "ROI", "coordinateSystem": "LPS", "roiType": "Box", "center": centre.tolist(), "size": size.tolist()}
    (tmp_path / "box.mrk.json").write_text(json.dumps({"markups": [roi]}))
    assert run(scan, *BOX, "-o", tmp_path / "numbers.nii.gz")[0] == 0
    status, _, err = run(scan, "--markups", tmp_path / "box.mrk.json", "-o", tmp_path / "markups.nii.gz")
    assert status == 0, err
    first, second = (read_labels(tmp_path / f"{name}.nii.gz").array for name in ("numbers", "markups"))
    np.testing.assert_array_equal(first, second)


def test_all_structures_leaves_out_what_is_not_believed_and_names_it(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bright organ has 2 ml: plausible for an adrenal gland and for what no volume is known of, not for a liver."""
    save_model(
        TinyBackbone(
            TinyConfig(structures=("liver", "kidney", "right kidney", "left kidney", "right adrenal gland", "muscle"))
        ),
        tmp_path / "six",
    )
    words = ("segment", scan, "--all", "--model", tmp_path / "six", "-o", tmp_path / "out.nii.gz")
    with pytest.raises(SystemExit, match="0"):
        main([str(word) for word in words])
    err = capsys.readouterr().err
    labels = json.loads((tmp_path / "out.json").read_text("utf-8"))["labels"]
    assert not {"liver", "kidney"} & set(labels.values())
    (doubted,) = (line for line in err.splitlines() if line.startswith("doubted and left out"))
    assert "liver" in doubted
    assert " kidney" not in doubted.replace("right kidney", "").replace("left kidney", "")  # asked by its sides alone
    assert set(labels) == {str(number) for number in range(1, len(labels) + 1)}
    assert "muscle" in labels.values()
    assert set(np.unique(read_labels(tmp_path / "out.nii.gz").array)) <= {0, *map(int, labels)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all", "--text", "liver"), "leave out other prompts"),
        (("--text", "liver", "--smooth", "-1"), "--smooth -1 is impossible"),
        ((*BOX, "--markups", "x.mrk.json"), "give either"),
        (("--text", "liver", "--markups", "x.mrk.json"), "x.mrk.json"),
        (("--text", "liver", "--candidates", "--probabilities", "float"), "do not go together"),
        (("--text", "liver", "--part", "1/2"), "--part shares several images out"),
    ],
    ids=["all-and-text", "smooth", "markups-and-box", "markups-missing", "candidates", "part"],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(
    run: Run, scan: Path, words: tuple[str, ...], said: str
) -> None:
    status, out, err = run(scan, *words)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in scan.parent.iterdir()] == [scan.name]


def test_check_asks_once_more_and_says_what_moved(run: Run, scan: Path, tmp_path: Path) -> None:
    status, _, err = run(scan, *BOX, "--check", "-o", tmp_path / "out.nii.gz")
    assert status == 0, err
    assert run(scan, *BOX, "-o", tmp_path / "plain.nii.gz")[0] == 0
    first, second = (read_labels(tmp_path / f"{name}.nii.gz").array for name in ("out", "plain"))
    np.testing.assert_array_equal(first, second)


def test_largest_keeps_one_piece_and_smooth_rounds_without_erasing() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[2:12, 2:12, 2:12] = True
    mask[15, 15, 15] = True
    one = largest_piece(mask)
    assert one.sum() == 1000
    assert largest_piece(one) is one
    soft = smoothed(one, (1.0, 1.0, 2.0), 1.5)
    assert not soft[2, 2, 2]
    assert soft[7, 7, 7]
    assert abs(int(soft.sum()) - 1000) < 200
    speck = np.zeros((20, 20, 20), bool)
    speck[5, 5, 5] = True
    assert smoothed(speck, (1.0, 1.0, 1.0), 3.0) is speck


def test_cleaned_masks_are_written(run: Run, scan: Path, tmp_path: Path) -> None:
    assert run(scan, *BOX, "-o", tmp_path / "plain.nii.gz")[0] == 0
    assert run(scan, *BOX, "--largest", "--smooth", "2", "-o", tmp_path / "clean.nii.gz")[0] == 0
    plain, clean = (read_labels(tmp_path / f"{name}.nii.gz").array > 0 for name in ("plain", "clean"))
    assert clean.any()
    assert largest_piece(clean) is clean
    assert (plain != clean).any()
    assert read(scan).grid.close_to(read_labels(tmp_path / "clean.nii.gz").grid)


def test_force_leaves_no_file_of_the_answer_before(run: Run, scan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "split"
    words = (scan, *BOX, "--split", "-o", folder)
    assert run(*words, "--text", "liver", "--probabilities", "float", "--colours")[0] == 0
    status, _, err = run(*words, "--text", "spleen", "--force")
    assert status == 0, err
    assert sorted(path.name for path in folder.iterdir()) == ["segmentation.json", "spleen.nii.gz"]
    assert "removed with the answer before: liver.nii.gz" in err


def test_a_key_of_other_masks_and_another_json_file_are_never_replaced(run: Run, scan: Path, tmp_path: Path) -> None:
    assert run(scan, *BOX, "--text", "liver", "-o", tmp_path / "a.nii.gz")[0] == 0
    key = (tmp_path / "a.json").read_text()
    status, _, err = run(scan, *BOX, "--text", "spleen", "-o", tmp_path / "a.nrrd", "--force")
    assert (status, "a.json is the key of a.nii.gz" in err) == (2, True)
    assert (tmp_path / "a.json").read_text() == key
    (tmp_path / "sub.json").write_text('{"EchoTime": 0.08}')
    status, _, err = run(scan, *BOX, "-o", tmp_path / "sub.nii", "--force")
    assert (status, "sub.json is no key of masks" in err) == (2, True)
    assert (tmp_path / "sub.json").read_text() == '{"EchoTime": 0.08}'


def test_the_voxels_of_a_detached_header_are_the_image_itself(run: Run, scan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mhd"
    folder.mkdir()
    write_volume(read(scan), folder / "m.mhd")
    (folder / "m.mhd").rename(folder / "m_header.mhd")
    before = (folder / "m.zraw").read_bytes()
    status, _, err = run(folder / "m_header.mhd", *BOX, "-o", folder / "m.mhd", "--force")
    assert (status, "m.zraw is the image itself, or holds its voxels" in err) == (2, True)
    assert (folder / "m.zraw").read_bytes() == before


def test_an_image_is_never_removed_with_the_answer_before(run: Run, scan: Path, tmp_path: Path) -> None:
    words = (*BOX, "--text", "liver", "--probabilities", "percent", "-o", tmp_path / "out.nii.gz")
    assert run(scan, *words)[0] == 0
    image = tmp_path / "out_liver_probability.nii.gz"
    link = tmp_path / "link.nii.gz"
    link.symlink_to(image.name)
    before = image.read_bytes()
    for name in (image, link):
        status, _, err = run(name, *BOX, "--text", "spleen", "-o", tmp_path / "out.nii.gz", "--force")
        assert (status, "would be removed together with out.json" in err) == (2, True), err
        assert len(err.strip().splitlines()) == 1
    folder = tmp_path / "split"
    assert run(scan, *BOX, "--text", "liver", "--split", "-o", folder)[0] == 0
    write_volume(read(scan), folder / "liver.nii.gz", force=True)  # as a person who edits there may
    status, _, err = run(folder / "liver.nii.gz", *BOX, "--text", "spleen", "--split", "-o", folder, "--force")
    assert (status, "would be removed together with segmentation.json" in err) == (2, True), err
    assert image.read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["liver.nii.gz", "segmentation.json"]


def test_markups_are_never_removed_with_the_answer_before(run: Run, scan: Path, tmp_path: Path) -> None:
    assert run(scan, *BOX, "--colours", "-o", tmp_path / "out.nii.gz")[0] == 0
    table = tmp_path / "out_labels.txt"
    table.write_text(json.dumps({"markups": []}))
    status, _, err = run(scan, "--markups", table, "-o", tmp_path / "out.nii.gz", "--force")
    assert status == 2, err
    assert table.is_file()


def test_links_to_content_that_was_not_fetched_are_not_replaced(run: Run, scan: Path, tmp_path: Path) -> None:
    mask, key = tmp_path / "out.nii.gz", tmp_path / "out.json"
    mask.symlink_to(".git/annex/objects/mask")
    status, _, err = run(scan, *BOX, "-o", mask)
    assert (status, "out.nii.gz exists already" in err) == (2, True)
    key.symlink_to(".git/annex/objects/key")
    status, _, err = run(scan, *BOX, "-o", mask, "--force")
    assert (status, "out.json is a link to nothing" in err) == (2, True)
    assert mask.is_symlink()
    assert key.is_symlink()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--point", "1_0,10,8"), '--point "1_0,10,8" cannot be read'),
        (("--text", "liver", "--adapter", ""), "the name of an adapter is empty"),
        (("--text", "liver", "--adapter", "NONE"), 'did you mean "none"?'),
    ],
    ids=["digits-parted-by-a-line", "empty-adapter", "none-in-capitals"],
)
def test_a_word_that_means_nothing_is_refused_by_its_name(
    run: Run, scan: Path, words: tuple[str, ...], said: str
) -> None:
    status, _, err = run(scan, *words)
    assert (status, said in err) == (2, True), err


@pytest.mark.parametrize("words", [("", "--text", "liver"), ("scan.nii.gz", "--text", "liver", "--model", "")])
def test_an_empty_word_is_not_the_folder_here(
    words: tuple[str, ...], scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(scan.parent)
    with pytest.raises(SystemExit, match="2"):
        main(["segment", *words])
    assert "is empty" in capsys.readouterr().err
