"""RT structure sets: written and read again voxel by voxel, and what others draw, laid on the series or refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_objects import AXIAL, OBLIQUE, Stack, series, structure_set
from segevolution.errors import FormatError, OutputError
from segevolution.imaging.formats import check_mask_output, read, read_labels, write_mask, write_volume
from segevolution.imaging.formats.dicom_structures import describe_structures, read_structures
from segevolution.imaging.grid import Array
from segevolution.imaging.legend import legend
from segevolution.imaging.volume import Volume

Corners = list[tuple[float, float]]
_BLOCK: Corners = [(0.5, 1.5), (4.5, 1.5), (4.5, 6.5), (0.5, 6.5)]  # columns 1..4, rows 2..6
_HOLE: Corners = [(1.5, 2.5), (3.5, 2.5), (3.5, 4.5), (1.5, 4.5)]  # columns 2..3, rows 3..4


def _mask(structures: object, number: int = 1) -> Array:
    places, shape = structures.places[number], structures.grid.shape  # type: ignore[attr-defined]
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[places] = True
    return mask.reshape(shape)


def _labels(volume: Volume) -> Array:
    """A structure with a hole and two pieces, one of a single voxel, one at the border, and one that is nowhere."""
    array = np.zeros(volume.grid.shape, np.uint8)
    array[1:6, 1:8, 1:4] = 1
    array[2:4, 3:5, 2] = 0
    array[6, 8, 0] = 1
    array[0, :, :] = 2
    array[2, 3, 2] = 2
    return array


@pytest.mark.parametrize("cosines", [pytest.param(AXIAL, id="axial"), pytest.param(OBLIQUE, id="oblique")])
def test_a_label_map_comes_back_voxel_by_voxel(cosines: tuple[tuple[float, ...], ...], tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct", Stack(cosines=cosines)))  # type: ignore[arg-type]
    array, names = _labels(image), ["liver", "left kidney", "my lesion"]
    write_mask(array, image, tmp_path / "out.rtstruct.dcm", labels=legend(names))
    np.testing.assert_array_equal(read_labels(tmp_path / "out.rtstruct.dcm", like=image).array, array)
    described = describe_structures(tmp_path / "out.rtstruct.dcm")
    assert [name.written for name in described.names] == names
    assert [name.coded for name in described.names] == names
    assert described.series == {"1.2.3"}


def test_a_structure_set_refers_to_the_series_and_each_contour_to_its_slice(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", PatientName="Doe^Jane", StudyDate="20260102")
    image = read(folder)
    write_mask(_labels(image), image, tmp_path / "out.rtstruct.dcm", labels=legend(["liver", "left kidney"]))
    data = pydicom.dcmread(tmp_path / "out.rtstruct.dcm")
    assert (data.Modality, data.PatientName, data.PatientID, data.StudyDate) == (
        "RTSTRUCT",
        "Doe^Jane",
        "P7",
        "20260102",
    )
    assert data.SeriesInstanceUID != "1.2.3"
    slices = {str(header.SOPInstanceUID): header for header in map(pydicom.dcmread, folder.iterdir())}
    (frame,) = data.ReferencedFrameOfReferenceSequence
    (referred,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in referred.ContourImageSequence} == set(slices)
    heights = set()
    for region in data.ROIContourSequence:
        assert len(region.ROIDisplayColor) == 3
        for contour in region.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            source = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            np.testing.assert_allclose(points[:, 2], source.ImagePositionPatient[2], atol=1e-4)
            assert contour.NumberOfContourPoints == len(points)
            assert all(len(str(text)) <= 16 for text in contour.ContourData)
            heights.add(float(source.ImagePositionPatient[2]))
    assert len(heights) == 5


def test_names_in_any_script_come_back(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct", PatientName="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100"))
    for names in (["liver"], ["Läsion", "病変"]):
        path = tmp_path / f"{len(names)}.rtstruct.dcm"
        write_mask(np.minimum(_labels(image), len(names)), image, path, labels=legend(names))
        assert [name.written for name in describe_structures(path).names] == names
        assert str(pydicom.dcmread(path).PatientName) == "Müller^Jürgen"


def test_a_structure_without_a_voxel_is_an_roi_without_contours(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    array = np.zeros(image.grid.shape, np.uint8)
    write_mask(array, image, tmp_path / "out.rtstruct.dcm", labels=legend(["liver"]))
    structures = read_structures(tmp_path / "out.rtstruct.dcm", image)
    assert [name.written for name in structures.names] == ["liver"]
    assert structures.places[1].size == 0


def test_frames_of_one_file_are_referred_to_by_their_numbers(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    assert image.origin is not None
    source = image.origin.source
    assert source is not None
    only = pydicom.Dataset()
    only.update(source.headers[0])
    one_file = type(source)((only,), (4, 3, 0, 1, 2), source.affine)
    origin = type(image.origin)(image.origin.path, "dicom", series="1.2.3", source=one_file)
    framed = Volume(image.array, image.grid, name="frames", origin=origin)
    array = np.zeros(image.grid.shape, np.uint8)
    array[2, 3, 1] = 1
    write_mask(array, framed, tmp_path / "out.rtstruct.dcm", labels=legend(["dot"]))
    (contour,) = pydicom.dcmread(tmp_path / "out.rtstruct.dcm").ROIContourSequence[0].ContourSequence
    assert contour.ContourImageSequence[0].ReferencedFrameNumber == 4


def test_what_is_no_series_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    plain = Volume(image.array, image.grid, name="plain")
    path = tmp_path / "out.rtstruct.dcm"
    with pytest.raises(OutputError, match="an RT structure set, which refers to a DICOM series, and plain is none"):
        check_mask_output(path, plain)
    with pytest.raises(OutputError, match="no longer lies on the grid"):
        write_mask(_labels(image.canonical()[0]), image.canonical()[0], path)
    with pytest.raises(OutputError, match="holds no signal"):
        write_volume(image, path)
    assert list(tmp_path.iterdir()) == [tmp_path / "ct"]
    with pytest.raises(FormatError, match="holds contours and no signal"):
        read(structure_set(path, {"a": [(0, _BLOCK)]}))


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_contours_of_one_slice_are_pieces_and_holes(kind: str, tmp_path: Path) -> None:
    stack = Stack(cosines=OBLIQUE)
    image = read(series(tmp_path / "ct", stack))
    piece: Corners = [(4.6, 6.6), (6.4, 6.6), (6.4, 8.4), (4.6, 8.4)]
    contours = {"liver": [(1, _HOLE), (1, _BLOCK), (1, piece), (2, _BLOCK)]}
    found = _mask(read_structures(structure_set(tmp_path / "rt.dcm", contours, stack, kind=kind), image))
    expected = np.zeros(image.grid.shape, bool)
    expected[1:5, 2:7, 1:3] = True
    expected[2:4, 3:5, 1] = False
    expected[5:7, 7:9, 1] = True
    np.testing.assert_array_equal(found, expected)


def test_overlapping_structures_keep_all_their_voxels(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    structures = read_structures(structure_set(tmp_path / "rt.dcm", {"a": [(0, _BLOCK)], "b": [(0, _HOLE)]}), image)
    assert (structures.places[1].size, structures.places[2].size) == (20, 4)
    with pytest.raises(FormatError, match='"a" and "b" overlap'):
        read_labels(tmp_path / "rt.dcm", like=image)


def test_points_and_lines_enclose_nothing_and_that_is_said(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    structures = read_structures(structure_set(tmp_path / "rt.dcm", {"iso": [(0, _BLOCK[:1])]}, kind="POINT"), image)
    assert structures.places[1].size == 0
    assert '"iso" has 1 contours that enclose nothing' in structures.remarks[0]


def _between_slices(path: Path) -> Path:
    return structure_set(path, {"liver": [(0, _BLOCK), (1.4, _BLOCK)]})


def _out_of_plane(path: Path) -> Path:
    return structure_set(path, {"liver": [(0, _BLOCK)]}, Stack(cosines=OBLIQUE))


def _beyond(path: Path) -> Path:
    return structure_set(path, {"liver": [(6, _BLOCK)]})


def _every_second(path: Path) -> Path:
    return structure_set(path, {"liver": [(0, _BLOCK), (2, _BLOCK), (4, _BLOCK)]})


def _miscounted(path: Path) -> Path:
    return _with_contour(path, NumberOfContourPoints=7)


def _two_coordinates(path: Path) -> Path:
    return _with_contour(path, ContourData=["1", "2", "3", "4"])


def _far_away(path: Path) -> Path:
    return _with_contour(path, ContourData=["1e9", "2", "3"] * 4)


def _of_nothing(path: Path) -> Path:
    return structure_set(path, {})


def _unnamed(path: Path) -> Path:
    data = pydicom.dcmread(structure_set(path, {"liver": [(0, _BLOCK)]}))
    data.ROIContourSequence[0].ReferencedROINumber = 5
    data.save_as(path)
    return path


def _no_numbers(path: Path) -> Path:
    structure_set(path, {"liver": [(0, _BLOCK)]})
    content = path.read_bytes()
    assert b"30.0000" in content
    path.write_bytes(content.replace(b"30.0000", b"3o.0000"))
    return path


def _with_contour(path: Path, **values: object) -> Path:
    data = pydicom.dcmread(structure_set(path, {"liver": [(0, _BLOCK)]}))
    for name, value in values.items():
        setattr(data.ROIContourSequence[0].ContourSequence[0], name, value)
    data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_between_slices, r'"liver", contour 2, does not lie in a slice of the image: it is up to 0.80 mm off'),
        (_out_of_plane, "does not lie in a slice of the image"),
        (_beyond, "beyond the image's slices"),
        (_every_second, "drawn every 4 mm where slices are 2 mm apart"),
        (_miscounted, "announces 7 points and holds 4"),
        (_two_coordinates, "is no list of places"),
        (_far_away, "is no list of places"),
        (_of_nothing, "without any structure"),
        (_unnamed, "contours of a structure 5 that it does not name"),
        (_no_numbers, "truncated or damaged"),
    ],
)
def test_contours_that_do_not_belong_to_the_series_are_refused_in_a_sentence(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    image = read(series(tmp_path / "ct"))
    with pytest.raises(FormatError, match=words) as refusal:
        read_structures(make(tmp_path / "rt.dcm"), image)
    assert "\n" not in str(refusal.value)


def test_without_its_series_a_structure_set_has_no_voxels(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="on the series that they were drawn on"):
        read_labels(structure_set(tmp_path / "rt.dcm", {"a": [(0, _BLOCK)]}))


def test_a_series_of_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct", uid="8.8", FrameOfReferenceUID="6.6"))
    with pytest.raises(FormatError, match=r"another frame of reference than ct.*\(1\.2\.3\)"):
        read_structures(structure_set(tmp_path / "rt.dcm", {"a": [(0, _BLOCK)]}), image)
