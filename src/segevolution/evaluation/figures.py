"""Pictures of a report: one chart of its table, and slices of cases that a rule chooses, not a person."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..imaging.case import Case
from ..imaging.grid import Array
from .coordinates import plain_rows
from .statistics import by_patient, estimate, grouped

Mask = npt.NDArray[np.bool_]

TRUTH, REFERENCE, ADAPTED = "#ffffff", "#ff9f1c", "#2ec4ff"
COLOURS = ("#7a7a7a", "#2176ae", "#d1495b", "#66a182", "#8e5572", "#edae49")
CT_WINDOW = (-160.0, 240.0)  # HU
PANEL, ABOVE, BELOW = 3.2, 0.5, 0.35  # inches: width of a slice, room for titles, room for the legend


@dataclass(frozen=True)
class ChosenCase:
    """A case to be drawn.

    Attributes:
        rank: "best", "median" or "worst" (or "only") of its dataset, by the mean Dice of `method`.
        dice: that mean, over structures and runs.
        reference_dice: of the reference on the same case; NaN without one.
        run: the run of `method` whose masks are drawn.
    """

    dataset: str
    modality: str
    case: str
    method: str
    run: str
    rank: str
    dice: float
    reference_dice: float


def choose_cases(table: pd.DataFrame, method: str, reference: str, prompt: str) -> list[ChosenCase]:
    """Best, median and worst case of each dataset, by mean Dice of `method` with `prompt` on unchanged scans.

    The rule: cases are ordered by that mean, ties by name; the median is the lower one of an even number. With
    several runs of the method, the first one that tested the case is drawn. Two cases have no median.
    """
    rows = plain_rows(table)
    rows = rows[(rows["prompt"] == prompt) & (rows["context"] == table["context"].iloc[0])]
    choices = []
    for (dataset, modality), group in grouped(rows, ("dataset", "modality")):
        method_rows = group[group["method"] == method]
        scores = (
            method_rows.groupby("case")["dice"].mean().reset_index().sort_values(["dice", "case"], ignore_index=True)
        )
        others = group[group["method"] == reference].groupby("case")["dice"].mean()
        for rank, place in _ranks(len(scores)).items():
            case = str(scores["case"][place])
            run = str(method_rows[method_rows["case"] == case]["run"].iloc[0])
            other = float(others.get(case, np.nan))
            choices.append(ChosenCase(dataset, modality, case, method, run, rank, float(scores["dice"][place]), other))
    return choices


def _ranks(count: int) -> dict[str, int]:
    """Name -> place among `count` cases in ascending order."""
    if count > 2:
        return {"best": count - 1, "median": (count - 1) // 2, "worst": 0}
    return [{}, {"only": 0}, {"best": 1, "worst": 0}][count]


def draw_slice(case: Case, answers: Mapping[str, Mapping[str, Mask]], structures: Sequence[str], title: str) -> bytes:
    """One axial slice three or more times: the image, then the truth against each answer, outlined.

    The slice is the one with the most true voxels of all structures, as a radiologist sees it: the patient's right
    is on the left, anterior up.

    Args:
        case: in any axis order.
        answers: name -> structure -> (X, Y, Z) mask on the case's grid; drawn in the order given.
        structures: those whose truth is outlined.
        title: written above.

    Returns:
        PNG.
    """
    volume, turn = case.volume.canonical()
    truths = [turn.apply(case.mask(name)) for name in structures]
    level = int(np.argmax(sum(truth.sum(axis=(0, 1)) for truth in truths)))
    image = _as_seen(volume.array[:, :, level])
    low, high = CT_WINDOW if case.volume.modality == "CT" else np.percentile(volume.array, (1, 99))
    spacing = volume.grid.spacing
    aspect = spacing[1] / spacing[0]
    columns = 1 + len(answers)
    wide, tall = PANEL * columns, PANEL * image.shape[0] * aspect / image.shape[1]
    figure = Figure(figsize=(wide, tall + ABOVE + BELOW), dpi=110, facecolor="black")
    floor, height = BELOW / (tall + ABOVE + BELOW), tall / (tall + ABOVE + BELOW)
    axes = [figure.add_axes((place / columns, floor, 0.985 / columns, height)) for place in range(columns)]
    for place, axis in enumerate(axes):
        axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect, interpolation="nearest")
        axis.set_axis_off()
        axis.text(0.01, 0.5, "R", color="#888888", transform=axis.transAxes, fontsize=8)
        if place == 0:
            axis.set_title("image", color="white", fontsize=9)
            continue
        name = list(answers)[place - 1]
        colour = REFERENCE if place == 1 and len(answers) > 1 else ADAPTED
        for truth in truths:
            _outline(axis, _as_seen(truth[:, :, level]), TRUTH)
        for mask in answers[name].values():
            _outline(axis, _as_seen(turn.apply(mask)[:, :, level]), colour)
        axis.set_title(name, color=colour, fontsize=9)
    figure.text(0.5, 0.99, title, color="white", fontsize=10, ha="center", va="top")
    handles = [Line2D([], [], color=TRUTH, label="label"), *_answer_handles(answers)]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, labelcolor="white", fontsize=8)
    return png_bytes(figure)


def draw_chart(table: pd.DataFrame, methods: Sequence[str], prompts: Sequence[str]) -> bytes:
    """Mean Dice over patients with its 95 % interval, a panel a dataset, a group a prompt; dots are patients."""
    groups = list(grouped(table, ("dataset", "modality")))
    figure = Figure(figsize=(max(6.0, 1.5 * len(prompts)), 2.7 * len(groups)), dpi=110, layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    step = 0.8 / max(len(methods), 1)
    for panel, ((dataset, modality), rows) in zip(panels, groups, strict=True):
        for row, method in enumerate(methods):
            colour = COLOURS[row % len(COLOURS)]
            for column, prompt in enumerate(prompts):
                part = rows[(rows["method"] == method) & (rows["prompt"] == prompt)]
                if part.empty:
                    continue
                place = column - 0.4 + step * (row + 0.5)
                mean_dice = estimate(part)
                panel.bar(place, mean_dice.mean, 0.9 * step, color=colour, label=method if column == 0 else None)
                panel.plot(
                    np.full(mean_dice.patients, place),
                    list(by_patient(part).values()),
                    ".",
                    color="black",
                    ms=3,
                    alpha=0.5,
                )
                if not np.isnan(mean_dice.low):
                    panel.plot([place, place], [mean_dice.low, mean_dice.high], color="black", lw=1.3)
        panel.set_xticks(range(len(prompts)), prompts)
        panel.set_ylim(0, 1)
        panel.set_ylabel("Dice")
        panel.set_title(f"{modality} ({dataset}), {rows['patient'].nunique()} patients", fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#dddddd", lw=0.6)
        panel.set_axisbelow(True)
    found_handles = panels[0].get_legend_handles_labels()
    figure.legend(*found_handles, loc="outside lower center", ncols=len(methods), frameon=False)
    return png_bytes(figure)


def _answer_handles(answers: Mapping[str, object]) -> list[Line2D]:
    colours = [REFERENCE, ADAPTED] if len(answers) > 1 else [ADAPTED]
    return [Line2D([], [], color=colour, label=name) for name, colour in zip(answers, colours, strict=False)]


def _as_seen(plane: Array) -> Array:
    """A canonical axial plane (X to the Right, Y to Anterior) -> rows down from anterior, columns from the Right."""
    return np.asarray(plane[::-1, ::-1].T)


def _outline(axis: Axes, mask: Array, colour: str) -> None:
    if mask.any():
        axis.contour(mask.astype(float), levels=[0.5], colors=colour, linewidths=0.9)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    return stream.getvalue()
