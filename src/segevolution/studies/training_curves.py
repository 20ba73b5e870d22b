"""What the trainings of a study left of their course: losses and validation, from models/RUN/fit/curves."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..documents import read_json
from ..errors import RecipeError, SegevolutionError
from ..evaluation.plots.training import Trace, TrainingCurve

_SCORE = "validation/score"
_CALL = re.compile(r"\d+")


class _TrainingNote(BaseModel):
    """trained.json."""

    model_config = ConfigDict(extra="ignore")

    best_step: int | None = None


def training_curves(models: Path, runs: Iterable[str]) -> list[TrainingCurve]:
    """The curves of the runs that left any, in their order; what is damaged is left out, since no result rests on it.

    Args:
        models: the folder of the study's runs.
        runs: their names.
    """
    curves = []
    for run in dict.fromkeys(runs):
        log = _log(models / run / "fit" / "curves")
        losses = [name for name in map(str, log.columns) if name.startswith("train/")]
        if not losses:
            continue
        loss = _trace(log, log[losses].sum(axis=1, min_count=1))
        validation = _trace(log, log[_SCORE]) if _SCORE in log else None
        if loss.steps:
            kept_step = _kept_step(models / run / "trained.json")
            curves.append(TrainingCurve(run, loss, validation if validation and validation.steps else None, kept_step))
    return curves


def _log(folder: Path) -> pd.DataFrame:
    """The rows of all calls of a run by step; of steps that a stopped call repeated, the later call's."""
    if not folder.is_dir():
        return pd.DataFrame()
    calls = sorted((path for path in folder.iterdir() if _CALL.fullmatch(path.name)), key=lambda path: int(path.name))
    parts: list[pd.DataFrame] = []
    for call in calls:
        part = _numbers(call / "metrics.csv")
        if part is not None:
            parts = [*(before[before["step"] < part["step"].min()] for before in parts), part]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _numbers(path: Path) -> pd.DataFrame | None:
    """A file of one call as numbers; None where it is not there, empty or damaged."""
    try:
        part = pd.read_csv(path)
    except (OSError, ValueError):
        return None
    part = part.apply(pd.to_numeric, errors="coerce")
    return part[part["step"].notna()] if "step" in part and len(part) else None


def _trace(log: pd.DataFrame, values: "pd.Series[float]") -> Trace:
    there = values.notna()
    return Trace(tuple(map(float, log["step"][there])), tuple(map(float, values[there])))


def _kept_step(path: Path) -> int | None:
    """The step whose weights were taken, if validation chose it."""
    try:
        return read_json(path, _TrainingNote, error=RecipeError).best_step
    except SegevolutionError:
        return None
