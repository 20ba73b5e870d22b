"""Whether looking closer helps, and whether that depends on how exact the prompt was: windows against windows, paired.

A second look that only helps with exact boxes, and takes more away the worse they are, lives on what the box gives
away of the truth. One that helps as much with inexact boxes looks at the image.
"""

import numpy as np
import pandas as pd

from ..blocks import Block, Heading, Table, Text
from ..cells import count_cell, paired_cell
from ..coordinates import complete, in_words, present, varying
from ..statistics import by_patient, grouped, paired
from .results import StudyResults, question_in_words

_SAME = ("run", "case", "structure", "prompt_seed")

_HOW = (
    "Paired difference of Dice between two ways to look closer at the same question, averaged within patients. Boxes "
    "of each error stand apart. Where the gain is there with exact boxes only, the second look passes on what the box "
    "gave away; where it stays with inexact ones, it comes from the image. Against exact boxes: by how much the gain "
    "is larger or smaller than with exact boxes, over the same patients."
)


def windows_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = present(complete(results.table))
    ways = list(dict.fromkeys(rows["windows"]))
    if len(ways) < 2:
        return []
    base = "off" if "off" in ways else ways[-1]
    coordinates = [name for name in varying(rows) if name != "windows"]
    lines = []
    for (method, dataset, modality, prompt, context), group in grouped(
        rows, ("method", "dataset", "modality", "prompt", "context")
    ):
        if group.groupby([*_SAME, *coordinates], observed=True)["dice"].nunique().max() < 2:
            continue  # a method that never looks closer
        exact: dict[tuple[str, tuple[str, str]], float] = {}
        for _, part in group.groupby([*coordinates] or ["prompt"], sort=False, observed=True):
            values = [str(part[name].iloc[0]) for name in coordinates]
            words = question_in_words(rows, prompt, context)
            words += "".join(f", {word}" for word in (in_words(coordinates, values, prompt),) if word)
            for way in ways:
                if way == base:
                    continue
                gains = _gains(part, way, base)
                if (part["jitter"] == 0).all() and (part["click"] == 0).all():
                    exact |= {(way, person): gain for person, gain in gains.items()}
                against = [gain - exact[way, person] for person, gain in gains.items() if (way, person) in exact]
                change = paired_cell(np.array(list(gains.values())))
                further = paired_cell(np.array(against))
                where = (method, f"{modality} ({dataset})", words)
                means = [f"{float(part[part['windows'] == one]['dice'].mean()):.3f}" for one in (base, way)]
                lines.append((*where, way or "as preferred", *means, change, further, count_cell(len(gains))))
    columns = ("method", "data", "prompt", "windows", f"{base}: answers", "answers", "gain", "against exact boxes")
    return [
        Heading(f"Windows against {base or 'as preferred'}"),
        Text((_HOW,)),
        Table((*columns, "patients"), tuple(lines)),
    ]


def _gains(part: pd.DataFrame, way: str, base: str) -> dict[tuple[str, str], float]:
    """(dataset, patient) -> mean difference of Dice over the same questions."""
    sides = part[part["windows"].isin([way, base])]
    renamed = sides.assign(method=sides["windows"], windows="")
    return by_patient(paired(renamed, way, base))
