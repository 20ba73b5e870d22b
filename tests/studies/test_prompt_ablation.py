"""The shipped ablation of prompts changes one thing a row, and then all."""

from dataclasses import replace

import pytest

from segevolution.imaging.simulated_prompts import PromptSettings
from segevolution.studies.reading import load_recipe

RECIPE = load_recipe("prompt_ablation")
SETTINGS = {method.name: RECIPE.fit_of(method).settings for method in RECIPE.methods if method.trained_as == "lora"}
PARTS = ["templates", "synonyms", "boxes", "few_and_many_points", "border_points", "wrong_points"]


def changed(name: str) -> set[str]:
    plain, own = vars(SETTINGS["lora"].prompt), vars(SETTINGS[name].prompt)
    return {key for key in plain if plain[key] != own[key]}


@pytest.mark.parametrize("name", PARTS)
def test_a_row_differs_from_plain_lora_by_one_augmentation(name):
    assert changed(name)
    assert replace(SETTINGS[name], prompt=SETTINGS["lora"].prompt) == SETTINGS["lora"]
    assert all(not changed(name) & changed(other) for other in PARTS if other != name)


def test_the_last_row_has_every_augmentation_that_there_is():
    assert changed("lora") == set()
    assert changed("all") == set().union(*map(changed, PARTS))
    later = set(vars(PromptSettings())) - {
        "combinations",
        "positive",
        "negative",
        "box_jitter",
        "exact_boxes",
        "coarse",
    }
    assert changed("all") == later - {"crowd", "clicks"}  # clicks are other questions, not other draws
    assert SETTINGS["all_combinations"].sample.all_combinations
