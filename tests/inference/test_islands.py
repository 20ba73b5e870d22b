"""An organ in one piece loses its islands; what is drawn, clicked on, or may go on outside stays."""

from typing import Any

import numpy as np
import pytest

from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.regions import Region
from segevolution.inference.islands import without_islands

GRID = Grid((20, 20, 20), np.eye(4))


def with_island(size: int = 2, at: int = 12) -> Any:
    mask = np.zeros(GRID.shape, np.bool_)
    mask[3:8, 3:8, 3:8] = True
    mask[at : at + size, 5:7, 5:7] = True
    return mask


def test_an_island_goes_and_is_told() -> None:
    mask = with_island()
    tidy, note = without_islands(mask, Prompt(GRID, "liver"))
    assert tidy.sum() == 125
    assert mask.sum() == 133, "the mask that came in stays as it was"
    assert note == "6% of the answer lay apart from the liver and was left out"


def test_a_speck_goes_without_a_word() -> None:
    mask = with_island()
    mask[12:14, 5:7, 5:7] = False
    mask[15, 15, 15] = True
    tidy, note = without_islands(mask, Prompt(GRID, "liver"))
    assert (tidy.sum(), note) == (125, None)


def test_pieces_of_like_size_stay() -> None:
    mask = with_island()
    mask[12:17, 5:10, 5:10] = True
    assert without_islands(mask, Prompt(GRID, "liver")) == (mask, None)


@pytest.mark.parametrize("name", ["aorta", "kidney", None])
def test_what_is_not_one_organ_stays(name: str | None) -> None:
    mask = with_island()
    prompt = Prompt(GRID, name) if name else Prompt.make(GRID, box=(0, 0, 0, 19, 19, 19))
    assert without_islands(mask, prompt)[0] is mask


def test_what_touches_the_border_stays() -> None:
    mask = with_island(at=18)
    assert without_islands(mask, Prompt(GRID, "liver"))[0] is mask


def test_what_was_clicked_on_stays_and_what_was_clicked_away_does_not() -> None:
    mask = with_island()
    clicked = Prompt(GRID, "liver", points=((12.4, 5.0, 6.0),), labels=(1,))
    assert without_islands(mask, clicked)[0] is mask
    away = Prompt(GRID, "liver", points=((12.4, 5.0, 6.0),), labels=(0,))
    assert without_islands(mask, away)[0].sum() == 125


def test_what_was_drawn_stays() -> None:
    mask = with_island()
    scribble = Region.along(np.array([[12.0, 5.0, 5.0], [13.0, 6.0, 6.0]]), GRID.shape)
    assert without_islands(mask, Prompt(GRID, "liver", scribbles=scribble))[0] is mask


def test_nothing_stays_nothing() -> None:
    mask = np.zeros(GRID.shape, np.bool_)
    assert without_islands(mask, Prompt(GRID, "liver")) == (mask, None)
