"""What other programs read of our files: names and colours of labels; and what we read of Slicer: points and a box."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.errors import OutputError, PromptError
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.formats.label_tables import CARET, UNKNOWN, itk_snap_table
from segevolution.imaging.formats.mrk_json import read_markups
from segevolution.imaging.grid import Grid
from segevolution.imaging.legend import legend
from segevolution.imaging.volume import Volume

SHAPE = (12, 10, 8)
AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 3.0, -20], [0, -1.25, 0, 30], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
LABELS = legend(["liver", "right <kidney>", "spleen"])


def label_map() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 3:6, 1:4] = 1
    array[8:10, 1:2, 5:7] = 2
    return array


def volume() -> Volume:
    return Volume(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), GRID)


def test_no_two_structures_share_a_colour_and_each_keeps_its_own() -> None:
    names = [f"structure {number}" for number in range(14)]
    labels = legend(["liver", *names, "spleen"])
    assert len({label.colour for label in labels}) == 16
    assert [label.value for label in labels] == list(range(1, 17))
    assert labels[0].colour == legend(["liver"])[0].colour == legend(["spleen", "liver"])[1].colour


def test_a_segmentation_of_slicer_names_and_colours_every_segment(tmp_path: Path) -> None:
    path = tmp_path / "mask.seg.nrrd"
    write_mask(label_map(), volume(), path, labels=LABELS)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, label_map())
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert fields["Segment1_Name"] == "right <kidney>"
    assert fields["Segment0_LabelValue"] == "1"
    assert fields["Segment0_Extent"] == "2 4 3 5 1 3"
    assert fields["Segment2_Extent"] == "0 -1 0 -1 0 -1"
    assert [round(255 * float(part)) for part in fields["Segment0_Color"].split()] == list(LABELS[0].colour)
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    corner = image.TransformIndexToPhysicalPoint((2, 3, 1))
    np.testing.assert_allclose(np.array(corner) * (-1, -1, 1), (AFFINE @ [2, 3, 1, 1])[:3], atol=1e-4)
    ours = read_labels(path)
    np.testing.assert_array_equal(ours.array, label_map())
    assert ours.grid.close_to(GRID)


def test_pynrrd_reads_the_same_segments(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    path = tmp_path / "mask.seg.nrrd"
    write_mask(label_map(), volume(), path, labels=LABELS)
    array, header = nrrd.read(str(path))
    np.testing.assert_array_equal(array, label_map())
    assert header["Segment0_Name"] == "liver"
    assert header["Segment2_Name"] == "spleen"


def test_a_segmentation_without_names_has_a_segment_a_value(tmp_path: Path) -> None:
    path = tmp_path / "mask.seg.nrrd"
    write_mask(label_map() > 0, volume(), path)
    image = sitk.ReadImage(str(path))
    assert image.GetMetaData("Segment0_Name") == "label 1"
    assert "Segment1_Name" not in image.GetMetaDataKeys()
    with pytest.raises(OutputError, match="exists already"):
        write_mask(label_map(), volume(), path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_names_stand_in_the_header_of_a_nifti_and_disturb_no_reader(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"scan{suffix}"
    nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), AFFINE).to_filename(source)
    path = tmp_path / f"mask{suffix}"
    write_mask(label_map(), read(source), path, labels=LABELS)
    image: Any = nib.load(path)
    np.testing.assert_array_equal(np.asarray(image.dataobj), label_map())
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert image.header.extensions.get_codes() == [UNKNOWN, CARET]
    content = image.header.extensions[0].get_content()
    assert content == image.header.extensions[1].content.rstrip(b"\x00")
    table = ElementTree.fromstring(content).find("VolumeInformation/LabelTable")
    assert table is not None
    assert {int(row.attrib["Key"]): row.text for row in table} == {1: "liver", 2: "right <kidney>", 3: "spleen"}
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, label_map())
    np.testing.assert_array_equal(read_labels(path).array, label_map())


def test_the_table_of_itk_snap_has_a_line_a_label() -> None:
    rows = [line.split(None, 7) for line in itk_snap_table(LABELS).splitlines() if not line.startswith("#")]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert rows[1] == ["1", *map(str, LABELS[0].colour), "1", "1", "1", '"liver"']


def markups(path: Path, *parts: dict[str, Any]) -> Path:
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    path.write_text(json.dumps({"@schema": f"{schema}markups-schema-v1.0.3.json#", "markups": list(parts)}))
    return path


def fiducial(*voxels: tuple[float, float, float], system: str = "LPS", **more: Any) -> dict[str, Any]:
    sign = np.array([-1, -1, 1]) if system in ("LPS", "1") else np.ones(3)
    spots = [{"label": "F-1", "position": ((AFFINE @ [*voxel, 1])[:3] * sign).tolist()} for voxel in voxels]
    return {"type": "Fiducial", "coordinateSystem": system, "controlPoints": spots, "display": {"x": 1}, **more}


def roi(low: tuple[float, float, float], high: tuple[float, float, float]) -> dict[str, Any]:
    """An ROI drawn to the outer faces of voxels, with axes of the image and in LPS, as Slicer saves it."""
    centre = (AFFINE @ [*((np.array(low) + high) / 2), 1])[:3] * (-1, -1, 1)
    size = (np.array(high) - low + 1) * GRID.spacing
    axes = np.diag([-1.0, -1, 1]) @ (AFFINE[:3, :3] / GRID.spacing)
    return {
        "type": "ROI",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "roiType": "Box",
        "center": centre.tolist(),
        "size": size.tolist(),
        "orientation": axes.ravel().tolist(),
        "insideOut": False,
        "controlPoints": [{"label": "R-1", "position": centre.tolist()}],
    }


@pytest.mark.parametrize("system", ["LPS", "RAS", "0", "1"])
def test_points_of_slicer_are_the_voxels_they_were_set_on(tmp_path: Path, system: str) -> None:
    true_system = {"0": "RAS", "1": "LPS"}.get(system, system)
    on = fiducial((2, 3, 1), (4, 4, 2), system=true_system) | {"coordinateSystem": system}
    off = fiducial((9, 9, 7), system=true_system, name="liver negative") | {"coordinateSystem": system}
    prompt = read_markups(markups(tmp_path / "p.mrk.json", on, off)).prompt(GRID, "liver")
    np.testing.assert_allclose(prompt.points, [(2, 3, 1), (4, 4, 2), (9, 9, 7)], atol=1e-9)
    assert prompt.labels == (1, 1, 0)
    assert prompt.text == "liver"


@pytest.mark.parametrize(
    "name", ["NegativePoints", "Negative1", "negatives", "neg1", "BackgroundPoints", "liver_off", "off-2", "OffPoints"]
)
def test_points_are_off_the_structure_however_their_list_says_so(name: str, tmp_path: Path) -> None:
    on = [fiducial((2, 3, 1), name=other) for other in ("F", "kick-off", "off-target", "offset", "negligible")]
    file = markups(tmp_path / "p.mrk.json", *on, fiducial((9, 9, 7), name=name))
    prompt = read_markups(file).prompt(GRID)
    assert prompt.labels == (1,) * len(on) + (0,)
    assert prompt.notes == ("p.mrk.json holds 5 points on the structure and 1 off it, by their names",)


def test_an_roi_is_a_box_of_voxels(tmp_path: Path) -> None:
    prompt = read_markups(markups(tmp_path / "p.mrk.json", roi((2, 3, 1), (6, 7, 5)))).prompt(GRID)
    assert prompt.box is not None
    assert prompt.box.voxels == ((2, 3, 1), (6, 7, 5))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "neither a point nor a box"),
        ([fiducial((1, 1, 1), name="background")], "only negative points"),
        ([fiducial((99, 1, 1))], "lies outside the image"),
        ([roi((1, 1, 1), (2, 2, 2))] * 2, "holds 2 boxes"),
        ([roi((1, 1, 1), (2, 2, 2)) | {"roiType": "Sphere"}], "no plain box"),
        ([{"type": "Line"}], "markup of type Line"),
        ([fiducial((1, 1, 1)) | {"coordinateUnits": "um"}], "is in um"),
        ([{"type": "Fiducial", "controlPoints": 5}], "controlPoints"),
    ],
    ids=["empty", "negative-only", "outside", "two-boxes", "sphere", "line", "micrometres", "damaged"],
)
def test_markups_that_cannot_be_a_prompt_are_refused_in_a_sentence(
    tmp_path: Path, parts: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(PromptError, match=said):
        read_markups(markups(tmp_path / "p.mrk.json", *parts)).prompt(GRID)
