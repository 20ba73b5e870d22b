"""CHAOS in miniature: every mask lies on the slice it was drawn on, whichever way the files run, or is refused.

The scene is made in millimetres. Slices are cut from it at the places that their tags say, masks in file-name order,
so that a reader is right exactly where its voxels agree with the scene at their own places in the patient.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.chaos import CHAOSSource
from segevolution.data.sources.slice_masks import border_contrast, pair_slices
from segevolution.data.store import Store
from segevolution.errors import FormatError, SegevolutionError, StoreError
from segevolution.imaging.case import Case
from segevolution.vocabulary import Modality

COLUMNS, ROWS, STEP = 26, 22, 3.0
SPACING = (2.5, 2.0)  # between rows, between columns, as PixelSpacing says it
CORNER = (-30.0, -25.0)  # LPS of the first pixel of every slice
HEIGHTS = tuple(100 + STEP * number for number in range(7))
WITH_Z, AGAINST_Z = HEIGHTS, HEIGHTS[::-1]
NAMES = {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}
# LPS boxes (x, y, z from and to), none of which is its own mirror image in z, and what they look like.
BOXES = {
    "liver": ((-24, 2), (-20, 12), (105.0, 130.0)),
    "spleen": ((8, 18), (-18, -2), (110.0, 130.0)),
    "right kidney": ((-20, -10), (14, 24), (95.0, 107.0)),
    "left kidney": ((6, 16), (14, 24), (95.0, 110.0)),
}
CT_HU = {"liver": 110, "spleen": 130, "right kidney": 180, "left kidney": 180, "": -60}
MR_SIGNAL = {"liver": 120, "spleen": 380, "right kidney": 300, "left kidney": 310, "": 30}


def structures_at(lps: np.ndarray) -> np.ndarray:
    """(..., 3) LPS millimetres -> (...) names of the structures there, "" for none."""
    names = np.full(lps.shape[:-1], "", "<U12")
    for name, box in BOXES.items():
        inside = [(low <= lps[..., axis]) & (lps[..., axis] < high) for axis, (low, high) in enumerate(box)]
        names[np.logical_and.reduce(inside)] = name
    return names


def cut(height: float) -> np.ndarray:
    """(rows, columns) of the scene at a height."""
    rows, columns = np.indices((ROWS, COLUMNS))
    places = [CORNER[0] + columns * SPACING[1], CORNER[1] + rows * SPACING[0], np.full(rows.shape, height)]
    return structures_at(np.stack(places, -1))


def levels_of(names: np.ndarray, levels: dict[str, int]) -> np.ndarray:
    return np.vectorize(lambda name: levels.get(name, 0), otypes=[np.uint8])(names)


class Miniature:
    """Writes series in CHAOS's layout; files are given in the order of their names."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def dicom(
        self,
        folder: Path,
        heights: Sequence[float],
        stems: Sequence[str],
        looks: dict[str, int],
        *,
        modality: str = "MR",
        intercept: int = 0,
        seed: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        uid, rng = generate_uid(), np.random.default_rng(seed)
        for stem, height in zip(stems, heights, strict=True):
            signal = np.vectorize(looks.get)(cut(height)) + rng.integers(0, 9, (ROWS, COLUMNS))
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
            meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
            data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
            data.Modality, data.SeriesInstanceUID = modality, uid
            data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            data.ImagePositionPatient, data.PixelSpacing = [*CORNER, height], list(SPACING)
            data.SliceThickness = 3.2  # more than the distance of the slices, as in CHAOS: it places nothing
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.Rows, data.Columns = signal.shape
            data.BitsAllocated = data.BitsStored = 16
            data.HighBit, data.PixelRepresentation = 15, 0
            data.RescaleSlope, data.RescaleIntercept = 1, intercept
            data.PixelData = (signal - intercept).astype(np.uint16).tobytes()
            data.save_as(folder / f"{stem}.dcm")

    def png(self, path: Path, grey: np.ndarray, mode: str = "L") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey.astype(np.uint8)).convert(mode).save(path)

    def ct(
        self,
        person: str = "1",
        heights: Sequence[float] = AGAINST_Z,
        *,
        stems: Sequence[str] | None = None,
        mode: str = "1",
        level: int = 255,
        part: str = "Train_Sets",
    ) -> Path:
        folder = self.root / part / "CT" / person
        stems = stems or [f"i{number:04d},0000b" for number in range(22, 22 + len(heights))]
        self.dicom(folder / "DICOM_anon", heights, stems, CT_HU, modality="CT", intercept=-1000)
        for number, height in enumerate(heights, start=22):
            self.png(folder / "Ground" / f"liver_GT_{number:03d}.png", levels_of(cut(height), {"liver": level}), mode)
        return folder

    def spir(self, person: str = "1", heights: Sequence[float] = WITH_Z, levels: dict[str, int] = NAMES) -> Path:
        folder = self.root / "Train_Sets" / "MR" / person / "T2SPIR"
        stems = [f"IMG-0002-{number:05d}" for number in range(1, 1 + len(heights))]
        self.dicom(folder / "DICOM_anon", heights, stems, MR_SIGNAL)
        for stem, height in zip(stems, heights, strict=True):
            self.png(folder / "Ground" / f"{stem}.png", levels_of(cut(height), levels))
        return folder

    def dual(self, person: str = "1", inward: Sequence[float] = WITH_Z, outward: Sequence[float] = WITH_Z) -> Path:
        """Phases take turns in the numbering: out of phase has the odd files, in phase the even ones."""
        folder = self.root / "Train_Sets" / "MR" / person / "T1DUAL"
        odd, even = ([f"IMG-0004-{2 * number + first:05d}" for number in range(len(inward))] for first in (1, 2))
        darker = {name: signal // 2 for name, signal in MR_SIGNAL.items()}
        self.dicom(folder / "DICOM_anon" / "InPhase", inward, even, MR_SIGNAL)
        self.dicom(folder / "DICOM_anon" / "OutPhase", outward, odd, darker, seed=1)
        for stem, height in zip(even, inward, strict=True):
            self.png(folder / "Ground" / f"{stem}.png", levels_of(cut(height), NAMES))
        return folder


@pytest.fixture
def chaos(tmp_path: Path) -> Miniature:
    return Miniature(tmp_path / "chaos")


def assert_true_to_the_scene(case: Case, names: set[str], looks: dict[str, int] | None = None) -> None:
    """Every voxel's label, and its signal up to the noise, is what the scene holds at its place in the patient."""
    indices = np.argwhere(np.ones(case.labels.shape, bool))
    scene = structures_at(case.volume.grid.to_mm(indices) * [-1, -1, 1]).reshape(case.labels.shape)
    assert set(case.structures) == names
    for name in names:
        np.testing.assert_array_equal(case.mask(name), scene == name)
    np.testing.assert_array_equal(case.labels > 0, np.isin(scene, list(names)))
    if looks is not None:
        noise = case.volume.array - np.vectorize(looks.get)(scene)
        assert noise.min() >= 0
        assert noise.max() <= 8


@pytest.mark.parametrize("heights", [WITH_Z, AGAINST_Z], ids=["with z", "against z"])
@pytest.mark.parametrize(("mode", "level"), [("1", 255), ("L", 255), ("L", 1), ("L", 63)])
def test_ct_masks_lie_in_the_liver_whichever_way_the_files_run(
    chaos: Miniature, heights: Sequence[float], mode: str, level: int
) -> None:
    chaos.ct("1", heights, mode=mode, level=level)
    source = CHAOSSource(chaos.root)
    assert source.index() == ("chaos_ct_1",)
    case = source.read("chaos_ct_1")
    # The kidneys and the spleen are in the image; without labels they are no structures of the case.
    assert_true_to_the_scene(case, {"liver"}, CT_HU)
    assert case.volume.array.dtype == np.int16
    assert case.volume.grid.spacing == pytest.approx((2.0, 2.5, 3.0))
    assert (case.name, case.patient, case.dataset) == ("chaos_ct_1", "ct_1", "chaos")
    assert (case.volume.modality, case.sequence, case.part) == (Modality.CT, None, None)
    assert case.volume.origin is not None
    assert case.volume.origin.path == (chaos.root / "Train_Sets/CT/1/DICOM_anon").resolve()


@pytest.mark.parametrize("heights", [WITH_Z, AGAINST_Z], ids=["with z", "against z"])
def test_t2_spir_masks_hold_four_organs_each_in_its_place(chaos: Miniature, heights: Sequence[float]) -> None:
    chaos.spir("13", heights)
    case = CHAOSSource(chaos.root).read("chaos_mr_13_t2_spir")
    assert_true_to_the_scene(case, set(NAMES), MR_SIGNAL)
    assert (case.patient, case.volume.modality, case.sequence) == ("mr_13", Modality.MRI, "T2-SPIR")


@pytest.mark.parametrize("outward", [WITH_Z, AGAINST_Z], ids=["out with z", "out against z"])
@pytest.mark.parametrize("inward", [WITH_Z, AGAINST_Z], ids=["in with z", "in against z"])
def test_one_mask_serves_both_phases_by_place(
    chaos: Miniature, inward: Sequence[float], outward: Sequence[float]
) -> None:
    chaos.dual("1", inward, outward)
    source = CHAOSSource(chaos.root)
    assert source.index() == ("chaos_mr_1_t1_in", "chaos_mr_1_t1_out")
    inside, outside = source.read("chaos_mr_1_t1_in"), source.read("chaos_mr_1_t1_out")
    assert_true_to_the_scene(inside, set(NAMES), MR_SIGNAL)
    assert_true_to_the_scene(outside, set(NAMES), {name: signal // 2 for name, signal in MR_SIGNAL.items()})
    assert (inside.sequence, outside.sequence) == ("T1-IN", "T1-OUT")
    assert inside.patient == outside.patient == "mr_1"
    assert outside.volume.origin is not None
    assert outside.volume.origin.path.name == "OutPhase"


def test_files_are_ranked_by_the_numbers_in_their_names(chaos: Miniature) -> None:
    folder = chaos.ct("1", AGAINST_Z, stems=[f"i{number}" for number in range(6, 13)])
    for mask in sorted((folder / "Ground").iterdir()):  # 22 to 28 become 7 to 13, without leading zeros
        mask.rename(mask.with_name(f"liver_GT_{int(mask.stem[-3:]) - 15}.png"))
    assert_true_to_the_scene(CHAOSSource(chaos.root).read("chaos_ct_1"), {"liver"}, CT_HU)


def test_cases_are_the_same_from_every_folder_that_may_be_given(chaos: Miniature) -> None:
    chaos.ct("1")
    chaos.spir("1")
    chaos.dual("1")
    every = ("chaos_ct_1", "chaos_mr_1_t1_in", "chaos_mr_1_t1_out", "chaos_mr_1_t2_spir")
    for folder in (chaos.root, chaos.root / "Train_Sets"):
        source = open_source("auto", folder)
        assert isinstance(source, CHAOSSource)
        assert source.index() == every
    assert open_source("auto", chaos.root / "Train_Sets" / "CT").index() == every[:1]
    assert open_source("auto", chaos.root / "Train_Sets" / "MR").index() == every[1:]
    people = {CHAOSSource(chaos.root).read(name).patient for name in every}
    assert people == {"ct_1", "mr_1"}, "CT and MR of one number are two people"


def test_strays_and_test_sets_without_masks_are_no_cases(chaos: Miniature) -> None:
    folder = chaos.ct("1")
    shutil.rmtree(chaos.ct("3", part="Test_Sets") / "Ground")
    for stray in (
        folder / "DICOM_anon" / "._i0022,0000b.dcm",
        folder / "Ground" / "._liver_GT_022.png",
        chaos.root / "__MACOSX" / "Train_Sets" / "CT" / "1" / "._Ground",
        chaos.root / "Train_Sets" / "CT" / "._1",
        chaos.root / "Train_Sets" / "CT" / ".DS_Store",
        folder / "Ground" / "Thumbs.db",
    ):
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"\0\x05\x16\x07stray")
    source = CHAOSSource(chaos.root)
    assert source.index() == ("chaos_ct_1",)
    assert_true_to_the_scene(source.read("chaos_ct_1"), {"liver"}, CT_HU)


def test_a_folder_without_masks_is_not_chaos(chaos: Miniature, tmp_path: Path) -> None:
    shutil.rmtree(chaos.ct("3", part="Test_Sets") / "Ground")
    assert not CHAOSSource.recognises(chaos.root)
    with pytest.raises(StoreError, match="CHAOS's layout"):
        CHAOSSource(chaos.root)
    assert not CHAOSSource.recognises(tmp_path / "nowhere")


def test_a_series_that_is_there_twice_is_told(chaos: Miniature) -> None:
    chaos.ct("3")
    shutil.copytree(chaos.root / "Train_Sets" / "CT" / "3", chaos.root / "CT" / "3")
    with pytest.raises(StoreError, match=r"chaos_ct_3 is in .*CT.3 and in .*Train_Sets.CT.3; keep one of the two"):
        CHAOSSource(chaos.root).index()


def test_a_persons_own_words_win(chaos: Miniature) -> None:
    chaos.spir("1")
    overrides = Overrides(dataset="abdomen", sequence="T2", patient_pattern=r"(mr_\d)")
    case = CHAOSSource(chaos.root, overrides).read("chaos_mr_1_t2_spir")
    assert (case.dataset, case.sequence, case.patient) == ("abdomen", "T2", "mr_1")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("liver", 55, 70), ("right kidney", 110, 135), ("left kidney", 175, 200), ("spleen", 240, 255)],
)
def test_grey_levels_count_with_both_ends_and_not_beyond(chaos: Miniature, name: str, low: int, high: int) -> None:
    for level in (low, high):
        chaos.spir(levels=NAMES | {name: level})
        assert_true_to_the_scene(CHAOSSource(chaos.root).read("chaos_mr_1_t2_spir"), set(NAMES))
    for level in (low - 1, *((high + 1,) if high < 255 else ())):
        chaos.spir(levels=NAMES | {name: level})
        refused(chaos, "chaos_mr_1_t2_spir", f"grey level {level}, which means no structure")


def refused(chaos: Miniature, case: str, words: str) -> None:
    with pytest.raises(SegevolutionError, match=words) as caught:
        CHAOSSource(chaos.root).read(case)
    assert "\n" not in str(caught.value)


def _masks_of_the_reverse(folder: Path) -> None:
    masks = sorted((folder / "Ground").iterdir())
    content = [mask.read_bytes() for mask in masks]
    for mask, other in zip(masks, reversed(content), strict=True):
        mask.write_bytes(other)


def _half_cut(folder: Path) -> None:
    path = folder / "Ground" / "liver_GT_023.png"
    path.write_bytes(path.read_bytes()[:40])


def _all(grey: np.ndarray, mode: str = "L") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for mask in (folder / "Ground").iterdir():
            Image.fromarray(grey.astype(np.uint8)).convert(mode).save(mask)

    return write


BLANK = np.zeros((ROWS, COLUMNS))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "Ground/liver_GT_028.png").unlink(), "7 slices and 6 masks;"),
        (lambda folder: (folder / "Ground/liver_GT_024.png").unlink(), "6 masks, and mask number 24 is missing"),
        (
            lambda folder: (folder / "Ground/liver_GT_024.png").rename(folder / "Ground/liver_GT_029.png"),
            "7 slices and 7 masks, and mask number 24 is missing",
        ),
        (lambda folder: (folder / "DICOM_anon/i0022,0000b.dcm").unlink(), "6 slices and 7 masks"),
        (lambda folder: shutil.rmtree(folder / "Ground"), "holds no PNG"),
        (lambda folder: shutil.rmtree(folder / "DICOM_anon"), "has no images"),
        (_masks_of_the_reverse, "fit the slices in reverse order"),
        (_half_cut, "truncated or damaged"),
        (_all(np.full((COLUMNS, ROWS), 255)), "has 22 x 26 pixels, its slice i0022,0000b.dcm 26 x 22"),
        (_all(BLANK, "RGB"), "not a PNG of 8-bit grey levels"),
        (_all(np.full(BLANK.shape, 126)), "grey level 126"),
        (_all(BLANK), "all of its masks are empty"),
        (_all(np.full(BLANK.shape, 255)), "HU on average, where a liver has"),
    ],
)
def test_a_damaged_series_is_refused_in_one_sentence(
    chaos: Miniature, damage: Callable[[Path], Any], words: str
) -> None:
    chaos.ct("2")
    damage(chaos.ct("1"))
    refused(chaos, "chaos_ct_1", words)
    assert CHAOSSource(chaos.root).read("chaos_ct_2").structures == {"liver": (1,)}, "the others stay usable"


def test_masks_in_reverse_are_refused_in_both_phases(chaos: Miniature) -> None:
    _masks_of_the_reverse(chaos.dual())
    for phase in ("in", "out"):
        refused(chaos, f"chaos_mr_1_t1_{phase}", "fit the slices in reverse order")


def test_a_slice_whose_namesake_is_missing_is_named(chaos: Miniature) -> None:
    folder = chaos.dual()
    (folder / "Ground" / "IMG-0004-00006.png").unlink()
    refused(chaos, "chaos_mr_1_t1_in", "the slice img-0004-00006 has no mask")
    refused(chaos, "chaos_mr_1_t1_out", "the slice img-0004-00006 has no mask")


def test_phases_that_do_not_share_their_places_are_refused(chaos: Miniature) -> None:
    chaos.dual("1", WITH_Z, [height + 1.5 for height in WITH_Z])
    refused(chaos, "chaos_mr_1_t1_out", "different grids")
    assert_true_to_the_scene(CHAOSSource(chaos.root).read("chaos_mr_1_t1_in"), set(NAMES))


def test_a_series_of_another_modality_than_its_folder_is_refused(chaos: Miniature) -> None:
    folder = chaos.spir()
    (chaos.root / "Train_Sets/CT").mkdir()
    (folder).rename(chaos.root / "Train_Sets/CT/7")
    refused(chaos, "chaos_ct_7", "lies under CT, but its files say MRI")


def test_an_unknown_case_is_refused(chaos: Miniature) -> None:
    chaos.ct()
    refused(chaos, "chaos_ct_9", "has no case chaos_ct_9; it has 1 cases")


def test_names_pair_by_stem_before_rank() -> None:
    masks = [Path(f"{stem}.png") for stem in ("a3", "a1", "a2")]
    assert pair_slices("case", ["A1.dcm", "a2.dcm", "a3.dcm"], masks) == {
        "A1.dcm": Path("a1.png"),
        "a2.dcm": Path("a2.png"),
        "a3.dcm": Path("a3.png"),
    }
    with pytest.raises(StoreError, match="the mask a2 has no slice"):
        pair_slices("case", ["a1.dcm", "a3.dcm"], masks)


def test_border_contrast_is_one_for_labels_that_have_nothing_to_do_with_the_image() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 40, 20))
    labels = np.zeros(noise.shape, np.uint8)
    labels[10:30, 10:30] = 1
    assert border_contrast(noise, labels) == pytest.approx(1, abs=0.1)
    assert border_contrast(noise + 20 * labels, labels) > 10
    assert border_contrast(-5 * (noise + 20 * labels), labels) == pytest.approx(
        border_contrast(noise + 20 * labels, labels), rel=1e-5
    )
    assert border_contrast(noise, np.zeros_like(labels)) == 0


def test_a_prepared_store_holds_every_label_at_its_place(chaos: Miniature, tmp_path: Path) -> None:
    chaos.ct("1", AGAINST_Z)
    chaos.ct("2", WITH_Z)
    chaos.dual("1", AGAINST_Z, WITH_Z)
    chaos.spir("1")
    _masks_of_the_reverse(chaos.spir("2"))
    store = Store.create(tmp_path / "store")
    report = prepare(CHAOSSource(chaos.root), store)
    assert set(report.added) == {
        "chaos_ct_1",
        "chaos_ct_2",
        "chaos_mr_1_t1_in",
        "chaos_mr_1_t1_out",
        "chaos_mr_1_t2_spir",
    }
    assert list(report.failed) == ["chaos_mr_2_t2_spir"]
    assert store.datasets == {"chaos": {"source": "chaos", "licence": "CC BY-NC-SA 4.0"}}
    for name in report.added:
        case = store.read(name)
        assert case.volume.grid.orientation == "RAS"
        assert_true_to_the_scene(case, {"liver"} if "_ct_" in name else set(NAMES))
        assert store.record(name).person == ("chaos", name[6:10])


def test_real_masks_lie_in_tissue_of_a_liver(shared_data: Path) -> None:
    source = open_source("auto", shared_data / "ct_liver_chaos")
    assert isinstance(source, CHAOSSource)
    assert source.index() == ("chaos_ct_1",)
    case = source.read("chaos_ct_1")
    assert case.labels.shape == (512, 512, 12)
    assert case.volume.grid.spacing == pytest.approx((0.7266, 0.7266, 2.0), abs=1e-3)
    signal, liver = case.volume.array, case.mask("liver")
    assert 130 < signal[liver].mean() < 155
    assert ((signal[liver] > 60) & (signal[liver] < 220)).mean() > 0.95
    assert border_contrast(signal, liver) > 1.5 * border_contrast(signal, liver[:, :, ::-1])
    # The file i0022 is the highest slice, and its mask is the highest plane of the label map.
    png = np.asarray(Image.open(shared_data / "ct_liver_chaos/CT/1/Ground/liver_GT_022.png"))
    np.testing.assert_array_equal(case.labels[:, :, -1].T > 0, png > 0)
    assert case.volume.grid.to_mm([[0, 0, 11]])[0, 2] == pytest.approx(1646.5)


def test_real_files_turned_round_are_refused(shared_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "CT" / "1"
    shutil.copytree(shared_data / "ct_liver_chaos" / "CT" / "1", copy)
    _masks_of_the_reverse(copy)
    with pytest.raises(StoreError, match="reverse order"):
        CHAOSSource(tmp_path).read("chaos_ct_1")


def test_a_mask_that_is_no_png_blames_its_file(chaos: Miniature) -> None:
    folder = chaos.ct()
    path = folder / "Ground" / "liver_GT_025.png"
    path.write_bytes(b"not an image")
    with pytest.raises(FormatError, match="liver_GT_025"):
        CHAOSSource(chaos.root).read("chaos_ct_1")
