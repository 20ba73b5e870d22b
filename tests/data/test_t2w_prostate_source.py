"""The TIFF set: slices become a volume whose place is assumed and said, and whose spacing is never made up."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from segevolution.data.prepare import prepare
from segevolution.data.sources import open_source
from segevolution.data.sources.t2w_prostate import T2WProstateSource
from segevolution.data.store import Store
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

SPACING = "case,spacing_x,spacing_y,spacing_z\n*,0.5,0.6,3\n"


def tiff(path: Path, pages: np.ndarray, *, description: str = "", dots: tuple[float, float, int] | None = None) -> None:
    """(Z, Y, X) as a multi-page TIFF, compressed; `dots`: x and y resolution and its unit (2 inch, 3 centimetre)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if description:
        tags[270] = description
    if dots:
        tags[282], tags[283], tags[296] = dots
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=others, compression="tiff_lzw", tiffinfo=tags)


def zones(*, upside_down: bool = False) -> np.ndarray:
    """(Z, Y, X) = (5, 16, 20): a disc, value 2, with a crescent, value 1, below it in the picture, so behind."""
    y, x = np.mgrid[:16, :20]
    disc = (y - 6) ** 2 + (x - 9) ** 2 <= 16
    crescent = ((y - 8) ** 2 + (x - 9) ** 2 <= 36) & (y >= 6) & ~disc
    page = np.where(disc, 2, np.where(crescent, 1, 0)).astype(np.uint8)
    stack = np.zeros((5, 16, 20), np.uint8)
    stack[1:4] = page[::-1] if upside_down else page
    return stack


def patient(folder: Path, number: int, *, pages: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
    """P_00n.tiff of noise, and its mask."""
    noise = np.random.default_rng(number).integers(0, 60_000, (5, 16, 20)).astype(np.uint16)
    tiff(folder / "T2_IMAGES" / f"P_{number:03d}.tiff", noise if pages is None else pages)
    tiff(folder / "LABELS" / f"P_{number:03d}_SEG.tiff", zones() if mask is None else mask)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients, a table that says nothing of spacing, and what archives leave."""
    home = tmp_path / "data" / "prostate_dataset"
    for number in (1, 2):
        patient(home, number)
    (home / "T2_IMAGES" / "._P_001.tiff").write_bytes(b"\x00\x05\x16\x07")
    (home / "patients.csv").write_text("ID,Age,PSA\nP_001,61,4.5\nP_002,58,9.1\n")
    patient(tmp_path / "data" / "__MACOSX", 3)
    return home


def test_pages_rows_and_columns_go_to_head_back_and_left(folder: Path) -> None:
    (folder / "spacing.csv").write_text(SPACING)
    source = open_source("auto", folder.parent)
    assert isinstance(source, T2WProstateSource)
    assert source.index() == ("P_001", "P_002")
    case = source.read("P_001")
    assert (case.patient, case.sequence, case.volume.modality) == ("P_001", "T2", Modality.MRI)
    assert case.volume.grid.orientation == "LPS"
    assert case.volume.array.dtype == np.uint16
    pages = np.random.default_rng(1).integers(0, 60_000, (5, 16, 20))
    for z, y, x in np.ndindex(5, 16, 20):
        right_anterior_superior = (-0.5 * x, -0.6 * y, 3 * z)
        index = np.rint(case.volume.grid.to_voxel(right_anterior_superior)[0]).astype(int)
        assert case.volume.array[tuple(index)] == pages[z, y, x]
        assert case.labels[tuple(index)] == zones()[z, y, x]


def test_zones_keep_their_values_and_are_one_prostate(folder: Path) -> None:
    (folder / "spacing.csv").write_text(SPACING)
    case = T2WProstateSource(folder).read("P_002")
    assert case.structures == {"prostate": (1, 2)}
    assert np.unique(case.labels).tolist() == [0, 1, 2]
    assert case.mask("prostate").sum() == np.count_nonzero(zones())


def test_what_is_assumed_is_said_in_the_case_and_when_it_is_prepared(folder: Path, tmp_path: Path) -> None:
    (folder / "spacing.csv").write_text(SPACING)
    store = Store.create(tmp_path / "store")
    for _ in range(2):
        report = prepare(open_source("auto", folder), store)
        assert report.failed == {}
        assert report.notes.keys() == {"P_001", "P_002"}
        assert "TIFF has no patient space" in report.notes["P_001"]
        assert "with the spacing of spacing.csv" in report.notes["P_001"]
    assert store.read("P_001").remark == report.notes["P_001"]


def test_without_a_spacing_nothing_is_made_up(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"P_001: neither a table nor P_001.tiff tells .* along x; write it into"):
        T2WProstateSource(folder).read("P_001")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID,Pixel Spacing (mm),Slice spacing\nP_001.tiff,0.5\\0.6,3.0\n", (0.5, 0.6, 3)),
        ("patient;VoxelSize\nP_001_SEG;0,5 x 0,6 x 3,3\n", (0.5, 0.6, 3.3)),
        ("name,PixelSpacing,SpacingBetweenSlices\np_001,0.45,3\n", (0.45, 0.45, 3)),
    ],
)
def test_spacing_is_read_from_recognisable_columns(
    folder: Path, text: str, expected: tuple[float, float, float]
) -> None:
    (folder / "patients.csv").write_text(text)
    case = T2WProstateSource(folder).read("P_001")
    assert case.volume.grid.spacing == pytest.approx(expected)
    assert case.remark is not None
    assert "spacing of patients.csv" in case.remark
    with pytest.raises(StoreError, match="neither a table"):
        T2WProstateSource(folder).read("P_002")


def test_a_persons_own_spacing_goes_before_the_table(folder: Path) -> None:
    (folder / "patients.csv").write_text("ID,VoxelSize\nP_001,9 9 9\n")
    (folder / "spacing.csv").write_text("case,spacing_x,spacing_y,spacing_z\nP_001,0.5,0.6,3\n")
    assert T2WProstateSource(folder).read("P_001").volume.grid.spacing == pytest.approx((0.5, 0.6, 3))
    (folder / "spacing.csv").write_text(SPACING)
    assert T2WProstateSource(folder).read("P_001").volume.grid.spacing == pytest.approx((0.5, 0.6, 3))


IMAGEJ = "ImageJ=1.53t\nimages=5\nslices=5\nunit=mm\nspacing=3.0\n"


@pytest.mark.parametrize(
    ("description", "dots", "table", "expected"),
    [
        (IMAGEJ, (2.0, 1.6, 1), "", (0.5, 0.625, 3)),
        ("", (50.8, 50.8, 2), "ID,Slice spacing\nP_001,3.3\n", (0.5, 0.5, 3.3)),
        ("", (20.0, 25.0, 3), "ID,Slice spacing\nP_001,3.3\n", (0.5, 0.4, 3.3)),
    ],
)
def test_spacing_is_read_from_tags_that_mean_it(
    folder: Path,
    description: str,
    dots: tuple[float, float, int],
    table: str,
    expected: tuple[float, float, float],
) -> None:
    (folder / "patients.csv").write_text(table)
    tiff(folder / "T2_IMAGES" / "P_001.tiff", zones() * 7, description=description, dots=dots)
    case = T2WProstateSource(folder).read("P_001")
    assert case.volume.grid.spacing == pytest.approx(expected)
    assert case.remark is not None
    assert "the TIFF's tags" in case.remark


@pytest.mark.parametrize("dots", [(72.0, 72.0, 2), (25.4, 25.4, 2), (28.35, 28.35, 3), (1.0, 1.0, 1)])
def test_resolutions_that_programs_write_unasked_are_no_spacing(folder: Path, dots: tuple[float, float, int]) -> None:
    (folder / "patients.csv").write_text("ID,Slice spacing\nP_001,3\n")
    tiff(folder / "T2_IMAGES" / "P_001.tiff", zones() * 7, dots=dots)
    with pytest.raises(StoreError, match="tells the voxel spacing along x; write"):
        T2WProstateSource(folder).read("P_001")


def test_faults_are_one_sentence_about_one_case(folder: Path) -> None:
    (folder / "spacing.csv").write_text(SPACING)
    for number in range(3, 12):
        patient(folder, number)
    images, labels = folder / "T2_IMAGES", folder / "LABELS"
    (labels / "P_003_SEG.tiff").unlink()
    (images / "P_004.tiff").unlink()
    whole = (images / "P_005.tiff").read_bytes()
    (images / "P_005.tiff").write_bytes(whole[: len(whole) // 2])
    (images / "P_006.tiff").write_text("no image")
    patient(folder, 7, mask=zones() * np.arange(20, dtype=np.uint8))
    patient(folder, 8, mask=zones()[:4])
    patient(folder, 9, pages=np.zeros((5, 16, 20, 3), np.uint8))
    patient(folder, 10, pages=zones()[:1])
    patient(folder, 11, mask=zones(upside_down=True))
    source = T2WProstateSource(folder)
    reasons = {}
    for name in source.index():
        try:
            source.read(name)
        except SegevolutionError as error:
            reasons[name] = str(error)
    expected = {
        "P_003": "P_003 has no label",
        "P_004": "P_004 has no image",
        "P_005": "P_005.tiff cannot be read: it is truncated or damaged",
        "P_006": "P_006.tiff is not a TIFF image",
        "P_007": "a label map of two zones holds 0 and at most two",
        "P_008": "the label map has 20 x 16 x 4 voxels, the image 20 x 16 x 5",
        "P_009": "holds colours (RGB)",
        "P_010": "P_010.tiff has one page",
        "P_011": "in front of the other, so its rows do not run from front to back",
    }
    assert reasons.keys() == expected.keys()
    for name, text in expected.items():
        assert text in reasons[name]
        assert "\n" not in reasons[name]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "T2_IMAGES").mkdir()
    assert not T2WProstateSource.recognises(tmp_path)
    with pytest.raises(StoreError, match="holds no T2_IMAGES and LABELS"):
        T2WProstateSource(tmp_path)
