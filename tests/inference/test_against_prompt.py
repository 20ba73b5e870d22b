"""An answer that sets its own prompt aside is doubted, and one that keeps to it is not."""

import numpy as np
import pytest

from segevolution.imaging.boxes import Box
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.regions import Region
from segevolution.inference.against_prompt import against_prompt

GRID = Grid((30, 30, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
MASK = np.zeros(GRID.shape, bool)
MASK[5:15, 5:15, 5:10] = True
INSIDE, BESIDE, FAR = (10.0, 10.0, 7.0), (4.0, 10.0, 7.0), (25.0, 25.0, 15.0)


def points(*placed: tuple[tuple[float, float, float], int]) -> Prompt:
    return Prompt(GRID, points=tuple(place for place, _ in placed), labels=tuple(label for _, label in placed))


def scribble(*voxels: tuple[int, int, int]) -> Prompt:
    return Prompt(GRID, scribbles=Region(np.array(voxels), np.ones(len(voxels), np.uint8)))


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(GRID, text="liver"),
        points((INSIDE, 1)),
        points((BESIDE, 1)),
        points((INSIDE, 1), (FAR, 1)),
        points((INSIDE, 1), (FAR, 0)),
        Prompt(GRID, box=Box((5.0, 5.0, 5.0), (14.0, 14.0, 9.0))),
        Prompt(GRID, box=Box((0.0, 0.0, 0.0), (29.0, 29.0, 19.0))),
        scribble((10, 10, 7), (25, 25, 15)),
    ],
)
def test_an_answer_that_keeps_to_its_prompt_is_not_doubted_for_it(prompt: Prompt) -> None:
    assert against_prompt(MASK, prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (points((FAR, 1)), "the point that was set on it lies off it"),
        (points((FAR, 1), (FAR, 1), (INSIDE, 1)), "2 of the 3 points that were set on it lie off it"),
        (points((FAR, 1), ((0.0, 0.0, 0.0), 1)), "all 2 points that were set on it lie off it"),
        (points((INSIDE, 1), (INSIDE, 0)), "the point that was set off it lies on it"),
        (points((INSIDE, 1), (INSIDE, 0), (FAR, 0)), "1 of the 2 points that were set off it lies on it"),
        (Prompt(GRID, box=Box((20.0, 20.0, 12.0), (25.0, 25.0, 15.0))), "100% of it lies outside its box"),
        (Prompt(GRID, box=Box((5.0, 5.0, 5.0), (14.0, 7.0, 9.0))), "60% of it lies outside its box"),
        (scribble((10, 10, 7), (25, 25, 15), (26, 25, 15)), "only 33% of what was scribbled on it lies on it"),
    ],
)
def test_an_answer_that_sets_its_prompt_aside_is_told(prompt: Prompt, said: str) -> None:
    assert against_prompt(MASK, prompt) == (said,)


def test_an_answer_tells_all_that_it_sets_aside() -> None:
    prompt = Prompt(GRID, points=(FAR,), labels=(1,), box=Box((20.0, 20.0, 12.0), (25.0, 25.0, 15.0)))
    assert len(against_prompt(MASK, prompt)) == 2
