"""Whether looking closer helps, and whether that depends on how exact the prompt was: windows against windows, paired.

A second look that only helps with exact boxes, and takes more away the worse they are, lives on what the box gives
away of the truth. One that helps as much with inexact boxes looks at the image.
"""

from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Table, Text
from ..cells import MISSING, Cell, count_cell, paired_cell
from ..coordinates import complete, in_words, present, varying
from ..patient_values import PatientValues, Person, by_patient, combine, last_minus_first, paired, patient_values
from ..statistics import grouped
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
        exact: dict[tuple[str, ...], PatientValues] = {}
        for _, part in group.groupby([*coordinates] or ["prompt"], sort=False, observed=True):
            values = {name: str(part[name].iloc[0]) for name in coordinates}
            words = question_in_words(rows, prompt, context)
            words += "".join(f", {word}" for word in (in_words(coordinates, [*values.values()], prompt),) if word)
            others = [value for name, value in values.items() if name not in ("jitter", "jitter_unit")]
            for way in ways:
                if way == base:
                    continue
                gains = patient_values(part, partial(_gains, way=way, base=base))
                if (part["jitter"] == 0).all():
                    exact[way, *others] = gains
                further = Cell(MISSING)
                if (way, *others) in exact:
                    further = paired_cell(combine((exact[way, *others], gains), last_minus_first), reach=2.0)
                where = (method, f"{modality} ({dataset})", words)
                means = [f"{float(part[part['windows'] == one]['dice'].mean()):.3f}" for one in (base, way)]
                count = count_cell(len(gains.values))
                lines.append((*where, way or "as preferred", *means, paired_cell(gains), further, count))
    columns = ("method", "data", "prompt", "windows", f"{base}: answers", "answers", "gain", "against exact boxes")
    return [
        Heading(f"Windows against {base or 'as preferred'}"),
        Text((_HOW,)),
        Table((*columns, "patients"), tuple(lines)),
    ]


def _gains(part: pd.DataFrame, way: str, base: str) -> dict[Person, float]:
    """(dataset, patient) -> mean difference of Dice over the same questions."""
    sides = part[part["windows"].isin([way, base])]
    renamed = sides.assign(method=sides["windows"], windows="")
    return by_patient(paired(renamed, way, base))
