"""Texts as people put them: other names of a structure, other sentences round it."""

import numpy as np

from ...vocabulary import Wording, other_names
from .masks import Rng
from .settings import PromptSettings


def draw_wording(structure: str, rng: Rng, settings: PromptSettings) -> Wording | None:
    """Other words for a text prompt; None leaves it in the network's own."""
    template = name = None
    if settings.templates:
        weights = np.array(list(settings.templates.values()), float)
        template = list(settings.templates)[rng.choice(weights.size, p=weights / weights.sum())]
    if settings.synonyms and rng.random() < settings.synonyms:
        names = other_names(structure)
        name = names[rng.integers(len(names))] if names else None
    return None if template is None and name is None else Wording(name, template)
