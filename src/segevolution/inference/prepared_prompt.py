"""Convert a person's prompt to what one network takes of one volume, or refuse it in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from ..imaging.boxes import point
from ..imaging.grid import Grid
from ..imaging.prompt_conversion import adapted
from ..imaging.prompts import Prompt, voxels_from_mm
from ..imaging.volume import Volume
from ..models.spec import Spec
from ..vocabulary import canonical, require_known


@dataclass(frozen=True)
class PreparedPrompt:
    """What was said and what the network is asked.

    Attributes:
        prompt: as it was said, with the text's canonical name.
        asked: the same in kinds that the network accepts.
        notes: how it was understood: what was cut off, and what was turned into what.
    """

    prompt: Prompt
    asked: Prompt
    notes: tuple[str, ...]


def understood(prompt: Prompt, spec: Spec, volume: Volume) -> PreparedPrompt:
    """Check a prompt against a network and a volume, and adapt it to what the network accepts.

    Raises:
        PromptError: it belongs to another grid, or no rule turns a kind of it into one that the network accepts.
        VocabularyError: a text that the network was not trained on.
        VolumeError: a text names one side of the body, and the volume does not say which side is which.
    """
    adapted(prompt, spec.accepts)
    if prompt.grid is not volume.grid and not volume.grid.close_to(prompt.grid):
        raise PromptError(f"the prompt belongs to another grid than {volume.name}; make it on the volume's own grid.")
    prompt = replace(prompt, grid=volume.grid)
    if prompt.text is not None:
        name = require_known(prompt.text, spec.structures) if spec.structures else canonical(prompt.text)
        volume.require_sides(name)
        if not any(character.isalnum() for character in name):
            raise PromptError("the text is empty; name a structure, such as liver.")
        prompt = replace(prompt, text=name)
    accepted_prompt, notes = adapted(prompt, spec.accepts)
    return PreparedPrompt(prompt, accepted_prompt, (*prompt.notes, *notes, *_contradictions(prompt)))


def _contradictions(prompt: Prompt) -> tuple[str, ...]:
    """What was said to be on the structure and off it, a sentence each: a network may well find nothing then."""
    sides: dict[tuple[int, ...], set[int]] = {}
    for place, label in zip(prompt.points, prompt.labels, strict=True):
        sides.setdefault(tuple(round(index) for index in place), set()).add(label)
    return tuple(
        f"the point {','.join(map(str, voxel))} was said to be on the structure and off it, and an empty mask may be "
        "all that fits both; take one of them back"
        for voxel, labels in sides.items()
        if len(labels) > 1
    )


def drawn(
    grid: Grid, where: Sequence[Sequence[float]] | npt.NDArray[np.bool_], what: str, *, mm: bool
) -> npt.NDArray[Any]:
    """What a person drew: a boolean array (X, Y, Z) as it is, or positions as voxel indices (N, 3), not rounded.

    Raises:
        PromptError: it is empty, of another shape than the grid, or leaves it; `what` names it.
    """
    array = np.asarray(where)
    if array.ndim == 3 and array.dtype == np.bool_:
        if array.shape != grid.shape or not array.any():
            raise PromptError(f"the {what} needs at least one voxel of an array of the image's shape {grid.shape}.")
        return array
    places = [point(place) for place in where]
    if not places:
        raise PromptError(f"the {what} needs positions x,y,z, at least one.")
    if mm:
        return voxels_from_mm(grid, places, f"{what} at")
    for place in places:
        Prompt(grid, points=(place,), labels=(1,))
    return np.asarray(places)
