"""DICOM segmentations as labels: of every type, in any order of frames, on the image's grid or refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_objects import AXIAL, OBLIQUE, Stack, binary, code, segment, segmentation, series
from segevolution.errors import FormatError
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.formats.dicom_structures import describe_structures, read_structures
from segevolution.imaging.grid import Array
from segevolution.imaging.legend import legend
from segevolution.imaging.volume import Volume


def _masks(stack: Stack) -> dict[str, np.ndarray]:
    """Two masks (rows, columns, slices) that share voxels, without any symmetry; the last slice is empty."""
    liver, tumour = np.zeros(stack.shape, bool), np.zeros(stack.shape, bool)
    liver[1:6, 1:5, 0:3] = True
    liver[6, 2, 1] = True
    tumour[2:4, 3:6, 1:4] = True
    return {"Liver": liver, "my lesion": tumour}


def _on_the_grid(mask: np.ndarray) -> Array:
    """(rows, columns, slices) as the reader has a series: (columns, rows, slices)."""
    return mask.transpose(1, 0, 2)


def _mask_of(structures: object, number: int) -> Array:
    places, shape = structures.places[number], structures.grid.shape  # type: ignore[attr-defined]
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[places] = True
    return mask.reshape(shape)


@pytest.mark.parametrize("cosines", [pytest.param(AXIAL, id="axial"), pytest.param(OBLIQUE, id="oblique")])
@pytest.mark.parametrize("order", ["as they are", "backwards", "shuffled"])
def test_segments_lie_where_their_frames_say_whatever_their_order(
    cosines: tuple[tuple[float, float, float], ...], order: str, tmp_path: Path
) -> None:
    stack = Stack(cosines=cosines)  # type: ignore[arg-type]
    image = read(series(tmp_path / "ct", stack))
    masks = _masks(stack)
    frames = [(n, k, mask[..., k]) for n, mask in enumerate(masks.values(), 1) for k in range(4) if mask[..., k].any()]
    frames = frames[::-1] if order == "backwards" else frames
    if order == "shuffled":
        frames = [frames[place] for place in np.random.default_rng(3).permutation(len(frames))]
    names = [segment(number, name) for number, name in enumerate(masks, 1)]
    structures = read_structures(segmentation(tmp_path / "seg.dcm", names, frames, stack), image)
    assert [name.written for name in structures.names] == ["Liver", "my lesion"]
    for number, mask in enumerate(masks.values(), 1):
        np.testing.assert_array_equal(_mask_of(structures, number), _on_the_grid(mask))


def test_the_image_may_have_its_axes_turned(tmp_path: Path) -> None:
    stack = Stack(cosines=OBLIQUE)
    image = read(series(tmp_path / "ct", stack))
    turned, turn = image.canonical()
    path = binary(tmp_path / "seg.dcm", _masks(stack), stack)
    for number in (1, 2):
        expected = turn.apply(_mask_of(read_structures(path, image), number))
        np.testing.assert_array_equal(_mask_of(read_structures(path, turned), number), expected)


def test_a_label_map_segmentation_and_fractions_are_read_by_the_same_grid(tmp_path: Path) -> None:
    stack = Stack()
    image = read(series(tmp_path / "ct", stack))
    liver = _masks(stack)["Liver"]
    numbers = np.where(liver, 3, 0).astype(np.uint8)
    numbers[8, 6, 4] = 7
    frames = [(None, place, numbers[..., place]) for place in (4, 0, 2, 1)]
    named = [segment(0, "Background"), segment(3, "Liver"), segment(7, "dot")]
    path = segmentation(tmp_path / "map.dcm", named, frames, stack, kind="LABELMAP")
    np.testing.assert_array_equal(read_labels(path, like=image).array, _on_the_grid(numbers))
    shares = (liver * 100).astype(np.uint8)  # of at most 200: one half, which is inside
    shares[0, 0, 0], shares[0, 1, 0] = 99, 200
    frames = [(1, place, shares[..., place]) for place in range(3)]
    path = segmentation(tmp_path / "share.dcm", [segment(1, "Liver")], frames, stack, kind="FRACTIONAL")
    structures = read_structures(path, image)
    np.testing.assert_array_equal(_mask_of(structures, 1), _on_the_grid(shares >= 100))
    assert "inside from 0.5 on" in structures.remarks[0]


def test_what_was_written_is_read_voxel_by_voxel_with_its_names(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    image = read(series(tmp_path / "ct", Stack(cosines=OBLIQUE)))
    array = np.zeros(image.grid.shape, np.uint8)
    array[1:3, 2:5, 1:4], array[5, 7, 0] = 1, 3
    names = ["right kidney", "liver", "kidney tumour"]
    write_mask(array, image, tmp_path / "out.dcm", labels=legend(names))
    np.testing.assert_array_equal(read_labels(tmp_path / "out.dcm", like=image).array, array)
    assert [name.coded for name in describe_structures(tmp_path / "out.dcm").names] == names


def test_without_an_image_a_segmentation_has_the_grid_of_its_frames(tmp_path: Path) -> None:
    stack = Stack(cosines=OBLIQUE)
    image = read(series(tmp_path / "ct", stack))
    dots = np.zeros(stack.shape, bool)
    dots[4, 2, [1, 4]] = True  # slices 2 and 3 are left out
    own = read_labels(binary(tmp_path / "seg.dcm", {"dot": dots}, stack))
    assert own.grid.shape == (7, 9, 4)
    expected = image.grid.to_mm(np.argwhere(_on_the_grid(dots)))
    np.testing.assert_allclose(own.grid.to_mm(np.argwhere(own.array == 1)), expected, atol=1e-3)


def test_codes_say_what_a_segment_is_where_they_are_known(tmp_path: Path) -> None:
    right = {"SegmentedPropertyTypeModifierCodeSequence": [code("24028007")]}
    old = code("T-62000", scheme="SRT")
    named = [
        segment(1, "Segment_1", code("64033007", **right)),
        segment(2, "Segment_2", old),
        segment(3, "tumor", code("108369006"), AnatomicRegionSequence=[code("64033007", **{})]),
        segment(4, "odd", code("85756007")),
        segment(5, "plain"),
    ]
    mask = np.ones((9, 7), bool)
    path = segmentation(tmp_path / "seg.dcm", named, [(number, 0, mask) for number in range(1, 6)])
    described = describe_structures(path)
    assert [name.coded for name in described.names] == ["right kidney", "liver", "kidney tumour", None, None]
    assert described.series == {"1.2.3"}


def _frames() -> list[tuple[int | None, int, np.ndarray]]:
    return [(1, place, np.ones((9, 7), bool)) for place in range(3)]


def _half_the_slices(path: Path) -> Path:
    coarse = replace(Stack(), gap=4.0, slices=3)
    return segmentation(path, [segment(1, "a")], _frames(), coarse)


def _half_the_slices_unsaid(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), replace(Stack(), gap=4.0), apart=None)


def _finer(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), replace(Stack(), between=(0.75, 0.75)))


def _turned(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), Stack(cosines=OBLIQUE))


def _beyond(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), replace(Stack(), corner=(-10.0, -20.0, 36.0)))


def _elsewhere(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), uid="9.9", FrameOfReferenceUID="7.7")


def _unnamed(path: Path) -> Path:
    return segmentation(path, [segment(2, "a")], _frames())


def _twice(path: Path) -> Path:
    return segmentation(path, [segment(1, "a"), segment(1, "b")], _frames())


def _without_segments(path: Path) -> Path:
    return segmentation(path, [], _frames())


def _without_places(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), PerFrameFunctionalGroupsSequence=[])


def _of_no_type(path: Path) -> Path:
    return segmentation(path, [segment(1, "a")], _frames(), SegmentationType="SURFACE")


def _cut(path: Path) -> Path:
    whole = segmentation(path, [segment(1, "a")], _frames())
    whole.write_bytes(whole.read_bytes()[:-15])
    return whole


def _impossible_fractions(path: Path) -> Path:
    made = segmentation(path, [segment(1, "a")], _frames(), kind="FRACTIONAL")
    data = pydicom.dcmread(made)
    data.MaximumFractionalValue = 0
    data.save_as(made)
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_half_the_slices, "slices 4 mm apart where the image has 2 mm"),
        (_half_the_slices_unsaid, "slices 4 mm apart where the image has 2 mm"),
        (_finer, "lies on another grid than the image"),
        (_turned, "lies on another grid than the image"),
        (_beyond, r"has 63 voxels outside the image of 7 x 9 x 5 voxels"),
        (_elsewhere, "another frame of reference"),
        (_unnamed, "names no segment 1"),
        (_twice, "one number to two segments"),
        (_without_segments, "without any segment"),
        (_without_places, "holds 3 frames, but says of 0 where they lie"),
        (_of_no_type, r"unknown type \(SURFACE\)"),
        (_cut, "is truncated"),
        (_impossible_fractions, "fractions of 0, which is impossible"),
    ],
)
def test_what_does_not_belong_to_the_image_is_refused_in_a_sentence(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    image = read(series(tmp_path / "ct"))
    with pytest.raises(FormatError, match=words) as refusal:
        read_structures(make(tmp_path / "seg.dcm"), image)
    assert "\n" not in str(refusal.value)


def test_a_sparse_segmentation_that_states_its_distance_is_no_coarser_grid(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    frames = [(1, place, np.ones((9, 7), bool)) for place in (0, 2, 4)]
    structures = read_structures(segmentation(tmp_path / "seg.dcm", [segment(1, "a")], frames), image)
    assert sorted(set(np.nonzero(_mask_of(structures, 1))[2].tolist())) == [0, 2, 4]


def test_another_image_in_the_same_frame_of_reference_and_on_the_same_grid_will_do(tmp_path: Path) -> None:
    second_echo = read(series(tmp_path / "ct", uid="5.5"))
    path = binary(tmp_path / "seg.dcm", _masks(Stack()))
    assert len(read_structures(path, second_echo).places[1]) == _masks(Stack())["Liver"].sum()


def test_overlapping_segments_are_no_label_map(tmp_path: Path) -> None:
    image = read(series(tmp_path / "ct"))
    path = binary(tmp_path / "seg.dcm", _masks(Stack()))
    with pytest.raises(FormatError, match='"Liver" and "my lesion" overlap'):
        read_labels(path, like=image)


def test_a_segmentation_is_no_image(tmp_path: Path) -> None:
    path = binary(tmp_path / "seg.dcm", _masks(Stack()))
    with pytest.raises(FormatError, match="holds labels and no signal"):
        read(path)


def test_a_folder_that_holds_one_segmentation_is_that_segmentation(tmp_path: Path) -> None:
    (tmp_path / "seg").mkdir()
    dot = np.zeros(Stack().shape, bool)
    dot[1, 2, 0] = dot[1, 2, 1] = True
    binary(tmp_path / "seg" / "1-1.dcm", {"dot": dot})
    assert read_labels(tmp_path / "seg").array.sum() == 2


def test_a_label_beyond_a_byte_and_a_name_of_two_lines_are_taken_with_care(tmp_path: Path) -> None:
    image: Volume = read(series(tmp_path / "ct"))
    frames = [(300, 0, np.ones((9, 7), bool))]
    path = segmentation(tmp_path / "seg.dcm", [segment(300, "a\tb\r c")], frames)
    labels = read_labels(path, like=image)
    assert labels.array.max() == 300
    assert describe_structures(path).names[0].written == "a b c"
