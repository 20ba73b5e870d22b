"""Prompts drawn from a mask, in place of a person: the only code that does so, for training, validation and evaluation.

- `prompt_from_mask`: what evaluation and validation ask: exact or imprecise boxes, points, a scribble, a lasso.
- `draw_prompt`: what training asks, with the errors that `PromptSettings` lists.
- `next_click`: the next point of a person who corrects an answer.
- `prompt_generator`: the generator that dataset, case, structure and prompt seed decide.

Functions that draw take a numpy Generator and nothing else of chance. What is switched off draws no numbers, so that
it changes nothing of what the rest draws. Masks are boolean arrays of any axis order; places come in that order.
"""

from ..depth import deepest_voxel
from .boxes import Unit, jittered_box, resized_box, tight_box
from .clicks import Click, next_click
from .generator import prompt_generator
from .points import sample_points
from .prompt import SIMULATED_KINDS, draw_prompt, prompt_from_mask
from .settings import PromptSettings
from .strokes import draw_lasso, draw_scribble
from .wordings import draw_wording

__all__ = [
    "SIMULATED_KINDS",
    "Click",
    "PromptSettings",
    "Unit",
    "deepest_voxel",
    "draw_lasso",
    "draw_prompt",
    "draw_scribble",
    "draw_wording",
    "jittered_box",
    "next_click",
    "prompt_from_mask",
    "prompt_generator",
    "resized_box",
    "sample_points",
    "tight_box",
]
