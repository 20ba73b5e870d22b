"""How many patients a method needs: Dice against the number of patients it learned from."""

from functools import partial

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import count_cell, interval_cell, paired_cell
from ..coordinates import complete, plain_rows
from ..curves import CurvePanel, curve
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

_HOW = (
    "The same tested patients at every number. Intervals hold both sources of variance, patients and training seeds. "
    "What is not trained is a line without slope. Against: paired difference to the reference."
)


def learning_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = plain_rows(complete(results.table))
    trained = rows[rows["trained_on"] > 0]
    if trained.groupby(["family", "cohort"])["trained_on"].nunique().max() < 2 if len(trained) else True:
        return []
    reference = results.reference
    panels, lines = [], []
    for (dataset, modality, prompt, context), group in grouped(rows, ("dataset", "modality", "prompt", "context")):
        question, curves = question_in_words(rows, prompt, context), []
        numbers = sorted(set(group["trained_on"]) - {0})
        still = group[group["method"] == reference]
        for (family, cohort), mine in grouped(group, ("family", "cohort")):
            label = f"{family} ({cohort})" if cohort else family
            if (mine["trained_on"] == 0).all():
                parts = [(float(number), mine) for number in numbers]
            else:
                parts = [
                    (float(number), mine[mine["trained_on"] == number]) for number in sorted(set(mine["trained_on"]))
                ]
            shot_curve = curve(label, parts)
            if shot_curve is None:
                continue
            curves.append(shot_curve)
            before = (
                curve(reference, [(at, still) for at in shot_curve.at]) if len(still) and family != reference else None
            )
            for place, interval in enumerate(shot_curve.intervals):
                change = "–"
                if before is not None:
                    ours, theirs = shot_curve.shared(before)
                    change = paired_cell(ours[:, place] - theirs[:, place])
                if (mine["trained_on"] == 0).all() and place:
                    continue
                number = "–" if (mine["trained_on"] == 0).all() else f"{shot_curve.at[place]:g}"
                seeds = str(mine[mine["trained_on"] == shot_curve.at[place]]["seed"].nunique() or 1)
                where = (f"{modality} ({dataset})", question, label, number)
                lines.append((*where, interval_cell(interval), change, seeds, count_cell(interval.count)))
        if curves:
            panels.append(
                CurvePanel(f"{modality} ({dataset}), {question}", "patients to learn from", tuple(curves), even=True)
            )
    columns = ("data", "prompt", "method", "learned from", "Dice", "against", "seeds", "patients")
    return [
        Heading("Patients to learn from"),
        Text((_HOW,)),
        Picture("learning", "Dice against the number of patients to learn from.", partial(draw_curves, tuple(panels))),
        Table(columns, tuple(lines)),
    ]
