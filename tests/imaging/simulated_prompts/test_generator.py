"""Dataset, case, structure and prompt seed each decide what is drawn, and nothing else does."""

import itertools

import numpy as np

from segevolution.imaging.grid import Grid
from segevolution.imaging.simulated_prompts import prompt_from_mask, prompt_generator, resized_box, tight_box


def test_each_of_the_four_names_decides_what_is_drawn() -> None:
    names = (0, "chaos", "case1", "liver")
    others = (1, "amos", "case2", "spleen")
    draws = {}
    for swapped in itertools.product((False, True), repeat=4):
        told = [other if swap else name for swap, name, other in zip(swapped, names, others, strict=True)]
        draws[tuple(prompt_generator(*told).integers(0, 2**32, 4))] = swapped  # type: ignore[arg-type]
    assert len(draws) == 16
    again = prompt_generator(*names).integers(0, 2**32, 4)  # type: ignore[arg-type]
    assert draws[tuple(again)] == (False,) * 4


def test_a_later_kind_of_prompt_draws_from_its_own_numbers() -> None:
    plain, scribble, lasso = (
        prompt_generator(0, "chaos", "case1", "liver", purpose).random() for purpose in (None, "scribble", "lasso")
    )
    assert len({plain, scribble, lasso}) == 3


def test_two_datasets_with_equal_case_names_are_asked_at_other_points() -> None:
    mask = np.ones((9, 9, 9), bool)
    points = {
        dataset: prompt_from_mask(
            mask, Grid(mask.shape, np.eye(4)), {"point"}, "liver", prompt_generator(0, dataset, "case1", "liver")
        ).points
        for dataset in ("chaos", "amos")
    }
    assert points["chaos"] != points["amos"]


def test_a_box_is_enlarged_and_shrunk_by_a_share_of_its_sides() -> None:
    mask = np.zeros((40, 40, 40), bool)
    mask[10:20, 10:14, 10:11] = True
    larger, smaller = (resized_box(tight_box(mask), share, mask.shape) for share in (0.5, -0.5))
    assert (larger.low, larger.high) == ((7, 9, 10), (22, 14, 10))
    assert (smaller.low, smaller.high) == ((12, 11, 10), (17, 12, 10))
    assert resized_box(tight_box(mask), 0.0, mask.shape) == tight_box(mask)
    assert resized_box(tight_box(mask), 9.0, mask.shape).high == (39, 31, 15)


def test_the_deepest_point_needs_no_chance() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[2:7, 3:8, 1:6] = True
    grid = Grid(mask.shape, np.eye(4))
    rng = np.random.default_rng(0)
    prompt = prompt_from_mask(mask, grid, {"point"}, "liver", rng, positive=5, deepest=True)
    assert (prompt.points, prompt.labels) == (((4, 5, 3),), (1,))
    assert rng.random() == np.random.default_rng(0).random()
