"""The preview shows the right slices, the right way round, with what was asked; and nothing for what was not found."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from segevolution.imaging.boxes import Box
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.volume import Volume
from segevolution.inference.preview import PreviewRow, cuts, display_range, draw_preview, slice_to_show, stack_axis
from segevolution.inference.preview_panel import PLANES, Panel, draw_panel
from segevolution.vocabulary import Modality

SHAPE = (30, 20, 10)


def volume(spacing: tuple[float, float, float] = (1.0, 2.0, 4.0)) -> Volume:
    """A block of 200 in 50, RAS."""
    array = np.full(SHAPE, 50.0)
    array[0, 0, 0] = 0
    array[10:20, 5:15, 3:7] = 200
    return Volume(array, Grid(SHAPE, np.diag([*spacing, 1.0])))


BLOCK = volume().array > 100


def picture(*rows: PreviewRow, like: Volume | None = None, title: str = "") -> np.ndarray:
    return np.asarray(imread(io.BytesIO(draw_preview(like or volume(), rows, title))))


@pytest.mark.parametrize(
    ("axis", "left", "top"), [(2, 0, 1), (1, 0, 2), (0, 1, 2)], ids=["axial", "coronal", "sagittal"]
)
def test_the_patients_right_is_on_the_left_and_head_or_anterior_on_top(axis: int, left: int, top: int) -> None:
    ramp = Volume(np.random.default_rng(0).normal(size=SHAPE), Grid(SHAPE, np.eye(4)))
    axes = Figure().subplots()
    panel = Panel(PLANES[axis], 3, (np.array(SHAPE) / 2, 100.0), (0.0, 1.0))
    draw_panel(axes, ramp, panel, np.zeros(SHAPE, bool), (1, 0, 0), None)
    first, last = axes.get_xlim()
    assert first > last  # rising RAS coordinates run from right to left: R, or A, is on the left
    low, high = axes.get_ylim()
    assert low < high
    assert (PLANES[axis].across, PLANES[axis].up) == (left, top)
    assert axes.images[0].get_array().shape == (SHAPE[top], SHAPE[left])
    letters = [text.get_text() for text in axes.texts]
    assert {PLANES[axis].left, PLANES[axis].right, PLANES[axis].top, PLANES[axis].bottom} <= set(letters)
    assert any("cm" in text or "mm" in text for text in letters[5:])


def test_the_slice_shows_much_of_the_structure_near_its_middle() -> None:
    mask = np.zeros((3, 3, 30), bool)
    mask[:, :, 4:11] = True
    assert slice_to_show(mask, 2) == 7
    mask[1, 1, 11:28] = True
    assert slice_to_show(mask, 2) in (9, 10)
    assert slice_to_show(np.zeros((3, 3, 30), bool), 2) == 15


def test_a_stack_of_thick_slices_is_shown_slice_by_slice_from_top_to_bottom() -> None:
    thick = volume((1.0, 1.0, 8.0))
    assert stack_axis(thick) == 2
    assert stack_axis(volume()) is None
    assert stack_axis(volume((3.0, 3.0, 1.0))) == 2  # a slab of 10 mm
    assert [axis for axis, _ in cuts(BLOCK, None, SHAPE)] == [2, 1, 0]
    stack = cuts(BLOCK, 2, SHAPE)
    assert [axis for axis, _ in stack] == [2, 2, 2, 2]
    places = [place for _, place in stack]
    assert places == sorted(places, reverse=True)
    assert all(BLOCK[:, :, place].any() for place in places)


def test_a_row_a_structure_and_none_for_what_was_not_found() -> None:
    nothing = np.zeros(SHAPE, bool)
    one = picture(PreviewRow("liver", BLOCK))
    two = picture(PreviewRow("liver", BLOCK), PreviewRow("spleen", BLOCK))
    with_empty = picture(PreviewRow("liver", BLOCK), PreviewRow("spleen", nothing))
    assert two.shape[0] > 1.5 * one.shape[0]
    assert with_empty.shape == one.shape
    foot = slice(one.shape[0] - 30, None)
    assert (with_empty[foot, :200, 0] > 0.8).any()
    assert not (one[foot, :200, 0] > 0.8).any()
    assert picture(PreviewRow("spleen", nothing)).shape == one.shape


def test_outline_prompt_and_doubt_are_drawn() -> None:
    prompt = Prompt(volume().grid, "liver", ((15, 10, 5), (2, 2, 5)), (1, 0), Box((8, 3, 2), (22, 16, 8)))
    plain = picture(PreviewRow("liver", BLOCK))
    asked = picture(PreviewRow("liver", BLOCK, prompt))
    doubted = picture(PreviewRow("liver", BLOCK, None, 0.2, ("probably wrong",)))

    def like(image: np.ndarray, colour: tuple[float, float, float]) -> int:
        return int((np.abs(image[..., :3] - colour).max(axis=-1) < 0.12).sum())

    def blue(image: np.ndarray) -> int:
        return int((image[..., 2] - image[..., 0] > 0.2).sum())

    outline = (221 / 255, 130 / 255, 101 / 255)
    assert like(plain, outline) > like(picture(PreviewRow("liver", np.zeros(SHAPE, bool))), outline) + 100
    assert blue(asked) > blue(plain) + 100
    assert like(doubted, (1.0, 0.48, 0.42)) > like(plain, (1.0, 0.48, 0.42)) + 20


def test_a_ct_is_shown_in_hounsfield_units_and_others_by_their_own_range() -> None:
    array = np.linspace(-1000, 1500, 27).reshape(3, 3, 3)
    grid = Grid((3, 3, 3), np.eye(4))
    assert display_range(Volume(array, grid, Modality.CT)) == (-160, 240)
    assert display_range(Volume(array, grid)) == (-160, 240)
    low, high = display_range(Volume(array + 1000, grid, Modality.MRI))
    assert 0 <= low < 100
    assert 2300 < high <= 2500
