"""DICOM series: where their voxels lie, and every fault that other readers pass over in silence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedSRStorage

from segevolution.errors import FormatError
from segevolution.imaging.formats import list_series, read, read_labels, write_mask
from segevolution.vocabulary import Modality

Series = Callable[..., Path]


def _refused(path: Path, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_slices_are_ordered_by_place_and_axes_are_columns_rows_slices(dicom_series: Series) -> None:
    volume = read(dicom_series())
    column, row, number = np.indices((4, 5, 4))
    np.testing.assert_array_equal(volume.array, 100 * number + 10 * row + column)
    assert volume.array.dtype == np.int16
    assert volume.modality is Modality.CT
    assert volume.grid.orientation == "LPS"
    # PixelSpacing says rows first: 1.5 mm between rows, 0.75 mm between columns.
    assert volume.grid.spacing == pytest.approx((0.75, 1.5, 2.0))
    np.testing.assert_allclose(volume.grid.to_mm([1, 2, 3])[0], [10 - 0.75, 20 - 3, 6])


def test_an_oblique_series_lies_where_its_tags_say(dicom_series: Series) -> None:
    across, down = np.array([0.96, 0.0, -0.28]), np.array([0.0, 1.0, 0.0])
    normal = np.cross(across, down)

    def place(number: int) -> dict[str, object]:
        position = np.array([5.0, 6.0, 7.0]) + (3 - number) * 2.5 * normal
        return {"ImagePositionPatient": position.tolist(), "ImageOrientationPatient": [*across, *down]}

    volume = read(dicom_series(each=place))
    lps = np.array([5.0, 6, 7]) + 2 * 0.75 * across + 3 * 1.5 * down + 1 * 2.5 * normal
    np.testing.assert_allclose(volume.grid.to_mm([2, 3, 1])[0], lps * [-1, -1, 1], atol=1e-9)
    assert volume.array[2, 3, 1] == 200 + 30 + 2  # number 2 lies second along the normal


def test_a_mask_for_a_series_lies_on_it(dicom_series: Series, tmp_path: Path) -> None:
    volume = read(dicom_series())
    for name in ("mask.nii.gz", "mask.nrrd"):
        write_mask(volume.array > 100, volume, tmp_path / name)
        mask = read_labels(tmp_path / name)
        assert mask.grid.close_to(volume.grid, 1e-5)
        np.testing.assert_array_equal(mask.array, volume.array > 100)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        (1, -1024, np.int16),
        (2, 0, np.int16),
        (1000, 0, np.int32),
        (0.5, 0, np.float32),
        (0.5, -1024, np.float32),
        (None, None, np.int16),
    ],
)
def test_slope_and_intercept_are_applied(
    slope: float | None, intercept: float | None, dtype: type, dicom_series: Series
) -> None:
    volume = read(dicom_series(RescaleSlope=slope, RescaleIntercept=intercept))
    assert volume.array.dtype == dtype
    expected = (1024 + 312) * (1 if slope is None else slope) + (intercept or 0)
    assert volume.array[2, 1, 3] == expected


def test_an_unknown_modality_is_none_and_what_is_said_wins(dicom_series: Series) -> None:
    folder = dicom_series(Modality="OT")
    assert read(folder).modality is None
    assert read(folder, modality=Modality.MRI).modality is Modality.MRI
    assert read(folder, modality=Modality.MRI).remarks == ()


def test_what_is_said_against_the_header_wins_and_is_told(dicom_series: Series) -> None:
    folder = dicom_series(Modality="CT")
    assert read(folder, modality="CT").remarks == ()
    volume = read(folder, modality="mr")
    assert volume.modality is Modality.MRI
    assert volume.remarks == (f"{folder}: the DICOM header says CT; it is taken as MRI, as you said",)


def with_tags(folder: Path, name: str, first: object, second: object) -> Path:
    """The series with another value of a tag in every other slice; None leaves it out."""
    for number, file in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(file)
        value = second if number % 2 else first
        if value is not None:
            setattr(data, name, value)
        data.save_as(file)
    return folder


@pytest.mark.parametrize(
    ("name", "first", "second", "said"),
    [
        ("PatientID", "x", "y", "slices of several patients"),
        ("FrameOfReferenceUID", "1.2", "1.3", "several frames of reference"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"], "several parts of the signal"),
    ],
)
def test_slices_that_are_not_of_one_thing_are_no_volume(
    name: str, first: object, second: object, said: str, dicom_series: Series
) -> None:
    _refused(with_tags(dicom_series(), name, first, second), said)


@pytest.mark.parametrize(
    ("name", "first", "second", "said"),
    [
        ("EchoTime", 5, 90, "echo times from 5 to 90 ms"),
        ("EchoTime", 84.1, 84.12, None),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "M", "NORM"], "2 image types"),
        ("AcquisitionNumber", 1, 2, None),
        ("PatientID", "x", None, None),
    ],
)
def test_slices_of_one_series_may_differ_a_little_and_more_is_said(
    name: str, first: object, second: object, said: str | None, dicom_series: Series
) -> None:
    remarks = read(with_tags(dicom_series(), name, first, second)).remarks
    assert len(remarks) == (said is not None)
    assert said is None or said in remarks[0]


def test_several_series_are_listed_and_one_is_chosen(dicom_series: Series) -> None:
    dicom_series((0, 1, 2), SeriesInstanceUID="1.2.3", name="both")
    folder = dicom_series(
        (0, 1, 2, 3, 4), name="more", SeriesInstanceUID="1.2.4", Modality="MR", SeriesDescription="t2"
    )
    folder.rename(folder.parent / "both" / "deeper")
    both = folder.parent / "both"
    infos = list_series(both)
    assert [(info.uid, info.modality, info.description, info.slices) for info in infos] == [
        ("1.2.4", "MR", "t2", 5),
        ("1.2.3", "CT", "small", 3),
    ]
    _refused(both, r'2 series; choose one with --series: 1\.2\.4 \(MR, "t2", 5 slices\); 1\.2\.3 \(CT, "small", 3')
    assert read(both, series="1.2.3").array.shape == (4, 5, 3)
    chosen = read(both, series="1.2.4")
    assert chosen.modality is Modality.MRI
    assert chosen.origin is not None
    assert chosen.origin.series == "1.2.4"
    with pytest.raises(FormatError, match=r"no series 9\.9; it holds 1\.2\.4"):
        read(both, series="9.9")


def test_other_files_beside_the_series_are_passed_over(
    dicom_series: Series, dicom_dataset: Callable[..., pydicom.Dataset]
) -> None:
    folder = dicom_series()
    (folder / "readme.txt").write_text("hello")
    (folder / "labels.json").write_text("{}")
    report = dicom_dataset(np.zeros((5, 4), np.uint16), SeriesInstanceUID="9", Modality="SR", PixelData=None)
    del report.Rows, report.Columns
    report.file_meta.MediaStorageSOPClassUID = EnhancedSRStorage
    report.save_as(folder / "report.dcm")
    assert read(folder).array.shape == (4, 5, 4)


def test_a_missing_slice_is_refused(dicom_series: Series) -> None:
    _refused(dicom_series((0, 2, 6, 8, 10)), r"misses 1 slice: between 98\.dcm and 97\.dcm lie 4\.00 mm")
    _refused(dicom_series((0, 2, 6, 8, 14, 16), name="three"), "misses 3 slices")


def test_duplicated_slices_are_refused(dicom_series: Series) -> None:
    _refused(dicom_series((0, 2, 2, 4, 6)), r"duplicated slices: 9[78]\.dcm and 9[78]\.dcm")
    _refused(dicom_series((0, 0, 2, 2, 4, 4), name="echoes"), "duplicated slices")
    _refused(dicom_series((3, 3), name="twice"), "duplicated slices")


def test_uneven_slices_are_refused_and_rounded_positions_are_not(dicom_series: Series) -> None:
    _refused(dicom_series((0, 2, 4.6, 6.6, 9.1)), "uneven distances, from 2.00 to 2.60 mm")
    _refused(dicom_series((*range(0, 40, 2), *np.arange(40, 62, 2.19)), name="drift"), "uneven distances")
    assert read(dicom_series((0, 1.3, 2.5, 3.8, 5.0), name="rounded")).grid.spacing[2] == pytest.approx(1.25)


@pytest.mark.parametrize(("tag", "value"), [("RescaleSlope", 1.5), ("RescaleIntercept", -1000)])
def test_a_slope_or_intercept_that_changes_by_slice_is_refused(tag: str, value: float, dicom_series: Series) -> None:
    _refused(dicom_series(each=lambda number: {tag: value} if number == 2 else {}), "changes by slice .*97.dcm")


def test_gantry_tilt_is_refused(dicom_series: Series) -> None:
    folder = dicom_series(each=lambda number: {"ImagePositionPatient": [-10, -20 + 0.5 * number, 2 * number]})
    _refused(folder, "sheared.*gantry tilt")


@pytest.mark.parametrize(("sideways", "sheared"), [(0.01, False), (0.03, True)])
def test_a_shear_of_half_a_degree_is_rounding_and_more_is_tilt(
    sideways: float, sheared: bool, dicom_series: Series
) -> None:
    """38 mm of stack: 0.2 mm of sideways shift pass, 0.6 mm do not."""
    folder = dicom_series(
        tuple(range(0, 40, 2)), each=lambda number: {"ImagePositionPatient": [-10, sideways * number, 2 * number]}
    )
    if sheared:
        _refused(folder, "sheared")
    else:
        assert read(folder).array.shape[2] == 20


def test_slices_that_are_no_stack_are_refused(dicom_series: Series) -> None:
    upright = [1, 0, 0, 0, 0, -1]
    folder = dicom_series(each=lambda number: {"ImageOrientationPatient": upright} if number == 3 else {})
    _refused(folder, "not parallel")
    folder = dicom_series(name="sizes", each=lambda number: {"PixelSpacing": [1, 1]} if number == 3 else {})
    _refused(folder, "different size or pixel spacing")


def test_one_slice_is_no_volume(dicom_series: Series) -> None:
    folder = dicom_series((0,))
    _refused(folder, "one slice of 4 x 5 pixels")
    _refused(folder / "99.dcm", "give the folder")


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": None}, "where its pixels lie"),
        ({"ImageOrientationPatient": None}, "where its pixels lie"),
        ({"PixelSpacing": None}, "where its pixels lie"),
        ({"PixelSpacing": [0, 1]}, "voxel spacing of 1 x 0"),
        ({"PixelSpacing": ["nan", "1"]}, "voxel spacing|truncated or damaged|where its pixels lie"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "impossible position or orientation"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colours"),
        ({"PixelData": None}, "no pixels"),
    ],
)
def test_a_slice_that_cannot_be_placed_or_shown_is_refused(
    tags: dict[str, object], words: str, dicom_series: Series
) -> None:
    _refused(dicom_series(**tags), words)


def test_colour_is_refused(dicom_series: Series) -> None:
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    _refused(dicom_series(PixelData=bytes(5 * 4 * 2 * 3), **colour), "colours")


def test_empty_folders_and_folders_without_dicom_are_refused(tmp_path: Path) -> None:
    _refused(tmp_path, "empty folder")
    (tmp_path / "notes.txt").write_text("hello")
    _refused(tmp_path, "holds no DICOM image")
    with pytest.raises(FormatError, match="holds no DICOM image"):
        list_series(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.3, 0.6, 0.95])
def test_a_truncated_slice_is_refused_by_its_name(keep: float, dicom_series: Series) -> None:
    folder = dicom_series()
    file = folder / "97.dcm"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(FormatError, match=r"97\.dcm"):
        read(folder)


def _enhanced(make: Callable[..., pydicom.Dataset], frames: int, placed: bool) -> pydicom.Dataset:
    pixels = np.arange(frames * 20, dtype=np.uint16).reshape(frames, 5, 4)
    data = make(pixels[0], RescaleSlope=None, RescaleIntercept=None, ImageOrientationPatient=None, PixelSpacing=None)
    data.NumberOfFrames, data.PixelData, data.Modality = frames, pixels.tobytes(), "MR"
    if not placed:
        return data
    orientation, measures, shared, rescale = (pydicom.Dataset() for _ in range(4))
    orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 0.75]
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, 1
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [rescale]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(frames):
        position, group = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = [0, 0, -3 * number]  # against the normal
        group.PlanePositionSequence = [position]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    return data


def test_an_enhanced_multi_frame_file_is_read(dicom_dataset: Callable[..., pydicom.Dataset], tmp_path: Path) -> None:
    _enhanced(dicom_dataset, 3, placed=True).save_as(tmp_path / "enhanced.dcm")
    for path in (tmp_path / "enhanced.dcm", tmp_path):
        volume = read(path)
        assert volume.array.shape == (4, 5, 3)
        assert volume.array[1, 2, 0] == 2 * (40 + 2 * 4 + 1) + 1
        assert volume.grid.to_mm([0, 0, 0])[0].tolist() == [0, 0, -6]
        assert volume.modality is Modality.MRI
    assert list_series(tmp_path)[0].slices == 3


def test_frames_without_a_place_are_refused(dicom_dataset: Callable[..., pydicom.Dataset], tmp_path: Path) -> None:
    _enhanced(dicom_dataset, 3, placed=False).save_as(tmp_path / "cine.dcm")
    _refused(tmp_path / "cine.dcm", "3 frames without a place")


def test_what_macos_leaves_in_archives_is_passed_over(dicom_series: Series) -> None:
    folder = dicom_series()
    whole = read(folder)
    (folder / "__MACOSX").mkdir()
    for stray in ("._99.dcm", "__MACOSX/98.dcm"):
        (folder / stray).write_bytes(b"\0\x05\x16\x07")
    np.testing.assert_array_equal(read(folder).array, whole.array)
