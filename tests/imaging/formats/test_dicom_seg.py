"""DICOM segmentations: read back by pydicom and highdicom, voxel by voxel, with codes and references."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedCTImageStorage, SegmentationStorage

from segevolution.errors import OutputError
from segevolution.imaging.formats import check_mask_output, dicom_seg, list_series, read, write_mask, write_volume
from segevolution.imaging.grid import Array
from segevolution.imaging.legend import Label, legend
from segevolution.imaging.volume import Volume

Series = Callable[..., Path]
_TAGS: dict[str, Any] = {
    "StudyInstanceUID": "1.2.4",
    "FrameOfReferenceUID": "1.2.5",
    "PatientID": "P7",
    "PatientName": "Doe^Jane",
    "StudyDate": "20260102",
}
_ACROSS, _DOWN = np.array([0.96, 0.0, -0.28]), np.array([0.0, 1.0, 0.0])
_NORMAL = np.cross(_ACROSS, _DOWN)


def _oblique(number: int) -> dict[str, Any]:
    position = np.array([5.0, 6.0, 7.0]) + (3 - number) * 2.5 * _NORMAL
    return {"ImagePositionPatient": position.tolist(), "ImageOrientationPatient": [*_ACROSS, *_DOWN]}


def _map(volume: Volume) -> Array:
    """Labels 1 and 2, no symmetry in any axis; 3 is nowhere."""
    array = np.zeros(volume.grid.shape, np.uint8)
    array[0:2, 1:4, 0:2] = 1
    array[3, 4, 3] = 2
    array[2, 0, 1:] = 2
    return array


def _places(data: pydicom.Dataset, segment: int) -> np.ndarray:
    """(n, 3) LPS millimetres of a segment's voxels, by the frames' own tags alone."""
    shared = data.SharedFunctionalGroupsSequence[0]
    between_rows, between_columns = (float(step) for step in shared.PixelMeasuresSequence[0].PixelSpacing)
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    found = [np.zeros((0, 3))]
    for frame, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment:
            rows, columns = np.nonzero(frame)
            corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            steps = columns[:, None] * between_columns * cosines[0] + rows[:, None] * between_rows * cosines[1]
            found.append(corner + steps)
    return np.concatenate(found)


def _sorted(places: np.ndarray) -> np.ndarray:
    return places[np.lexsort(np.round(places, 3).T)]


def _written(folder: Path, tmp_path: Path, labels: tuple[Label, ...] = ()) -> tuple[pydicom.Dataset, Volume, Array]:
    volume = read(folder)
    array = _map(volume)
    write_mask(array, volume, tmp_path / "out.dcm", labels=labels)
    return pydicom.dcmread(tmp_path / "out.dcm"), volume, array


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(lambda number: {}, id="axial"),
        pytest.param(lambda number: {"ImagePositionPatient": [-10, -20, 6 - 2 * number]}, id="reversed"),
        pytest.param(_oblique, id="oblique-reversed"),
    ],
)
def test_every_voxel_lies_where_the_series_has_it(
    each: Callable[[int], dict[str, Any]], dicom_series: Series, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom")
    labels = legend(["liver", "left kidney", "spleen"])
    data, volume, array = _written(dicom_series(each=each, **_TAGS), tmp_path, labels)
    assert data.SegmentationType == "BINARY"
    assert [segment.SegmentLabel for segment in data.SegmentSequence] == ["liver", "left kidney", "spleen"]
    for label in labels:
        expected = volume.grid.to_mm(np.argwhere(array == label.value)) * [-1, -1, 1]
        places = _places(data, label.value)
        assert len(places) == (array == label.value).sum()
        np.testing.assert_allclose(_sorted(places), _sorted(expected), atol=1e-3)
    geometry = highdicom.seg.segread(tmp_path / "out.dcm").get_volume(combine_segments=True)
    np.testing.assert_array_equal(
        np.bincount(np.asarray(geometry.array, int).ravel(), minlength=4)[1:],
        np.bincount(array.ravel(), minlength=4)[1:],
    )


def test_patient_study_and_slices_are_those_of_the_series(dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = dicom_series(**_TAGS)
    data, volume, _ = _written(folder, tmp_path, legend(["liver", "spleen"]))
    for name, value in _TAGS.items():
        assert data[name].value == value
    slices = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file) for file in folder.iterdir()}
    reference = data.ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == "1.2.3"
    assert {item.ReferencedSOPInstanceUID for item in reference.ReferencedInstanceSequence} == set(slices)
    assert data.SeriesInstanceUID != "1.2.3"
    for group in data.PerFrameFunctionalGroupsSequence:
        source = slices[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        place = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(np.array(place, float), np.array(source.ImagePositionPatient, float))
    assert volume.origin is not None
    assert all("PixelData" not in header for header in volume.origin.source.headers)


def test_segments_have_codes_colours_and_sides(dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    labels = legend(["right kidney", "liver tumour", "my lesion"])
    data, *_ = _written(dicom_series(**_TAGS), tmp_path, labels)
    kidney, tumour, free = data.SegmentSequence
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "24028007"
    assert kidney.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
    assert tumour.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert tumour.AnatomicRegionSequence[0].CodeValue == "10200004"
    private = free.SegmentedPropertyTypeCodeSequence[0]
    assert (private.CodingSchemeDesignator, private.CodeMeaning) == ("99SEGEVOLUTION", "my lesion")
    assert all(len(set(segment.RecommendedDisplayCIELabValue)) > 1 for segment in data.SegmentSequence)


@pytest.mark.parametrize("characters", ["ISO_IR 100", None])
def test_names_in_any_script_come_back(characters: str | None, dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    patient = {"PatientName": "Müller^J" if characters else "Miller^J", "SpecificCharacterSet": characters}
    data, *_ = _written(dicom_series(**_TAGS | patient), tmp_path, legend(["Läsion", "病変"]))
    assert [segment.SegmentLabel for segment in data.SegmentSequence] == ["Läsion", "病変"]
    assert str(data.PatientName) == patient["PatientName"]


def test_values_without_names_are_numbered_in_order(dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = read(dicom_series(**_TAGS))
    array = _map(volume).astype(np.uint16) * 300
    write_mask(array, volume, tmp_path / "a.dcm")
    data = pydicom.dcmread(tmp_path / "a.dcm")
    assert [segment.SegmentLabel for segment in data.SegmentSequence] == ["label 300", "label 600"]
    assert len(_places(data, 2)) == (array == 600).sum()


def test_an_empty_mask_is_a_segment_without_voxels(dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = read(dicom_series(**_TAGS))
    write_mask(np.zeros(volume.grid.shape, np.uint8), volume, tmp_path / "a.dcm", labels=legend(["liver"]))
    data = pydicom.dcmread(tmp_path / "a.dcm")
    assert len(data.SegmentSequence) == 1
    assert not data.pixel_array.any()


def test_frames_of_one_file_in_any_order(dicom_dataset: Callable[..., pydicom.Dataset], tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    heights = [4.0, 0.0, 6.0, 2.0]
    pixels = np.arange(4 * 5 * 4, dtype=np.uint16).reshape(4, 5, 4)
    shared, groups = pydicom.Dataset(), []
    measures, turn = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness, turn.ImageOrientationPatient = [1.5, 0.75], 2, [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    for number, height in enumerate(heights):
        place, content, group = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient, content.DimensionIndexValues = [-10, -20, height], [1, number + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        groups.append(group)
    tags = {"NumberOfFrames": 4, "SharedFunctionalGroupsSequence": [shared]}
    tags["PerFrameFunctionalGroupsSequence"] = groups
    data = dicom_dataset(pixels, **tags, **_TAGS, SOPClassUID=EnhancedCTImageStorage, Rows=5, Columns=4)
    data.save_as(tmp_path / "frames.dcm")
    written, volume, array = _written(tmp_path / "frames.dcm", tmp_path, legend(["liver", "spleen"]))
    for value in (1, 2):
        expected = volume.grid.to_mm(np.argwhere(array == value)) * [-1, -1, 1]
        np.testing.assert_allclose(_sorted(_places(written, value)), _sorted(expected), atol=1e-3)


def test_a_segmentation_beside_its_series_is_no_further_series(dicom_series: Series) -> None:
    pytest.importorskip("highdicom")
    folder = dicom_series(**_TAGS)
    before = read(folder)
    write_mask(_map(before), before, folder / "seg.dcm")
    assert pydicom.dcmread(folder / "seg.dcm").SOPClassUID == SegmentationStorage
    assert len(list_series(folder)) == 1
    np.testing.assert_array_equal(read(folder).array, before.array)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"StudyInstanceUID": None}, "does not say its StudyInstanceUID", id="no-study"),
        pytest.param({"FrameOfReferenceUID": None}, "does not say its FrameOfReferenceUID", id="no-frame"),
    ],
)
def test_a_series_that_cannot_be_referred_to_is_refused(
    change: dict[str, Any], words: str, dicom_series: Series, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    volume = read(dicom_series(**_TAGS | change))
    with pytest.raises(OutputError, match=words):
        write_mask(_map(volume), volume, tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()


def test_what_is_no_series_or_was_turned_is_refused(dicom_series: Series, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = read(dicom_series(**_TAGS))
    turned, _ = volume.canonical()
    with pytest.raises(OutputError, match="no longer lies on the grid"):
        write_mask(_map(turned), turned, tmp_path / "a.dcm")
    with pytest.raises(OutputError, match="refers to a DICOM series, and plain is none"):
        check_mask_output(tmp_path / "a.dcm", Volume(volume.array, volume.grid, name="plain"))
    with pytest.raises(OutputError, match="holds no signal"):
        write_volume(volume, tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()


def test_without_the_extra_a_sentence_says_how_to_install_it(
    dicom_series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_seg, "find_spec", lambda name: None)
    volume = read(dicom_series(**_TAGS))
    with pytest.raises(OutputError, match=r'pip install "segevolution\[dicom\]"'):
        write_mask(_map(volume), volume, tmp_path / "a.dcm")
