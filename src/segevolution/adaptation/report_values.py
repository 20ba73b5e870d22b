"""What report.json says, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from ..evaluation.retention import Retention
from ..evaluation.statistics import Estimate
from ..files import plain_values
from .cost import Cost
from .evidence import VerdictRow


@dataclass(frozen=True)
class Training:
    """How the training went, as the study noted it."""

    values: int
    bytes: int
    steps: int
    best_step: int | None
    finished: bool
    cost: Cost | None


def row_values(row: VerdictRow) -> dict[str, Any]:
    """A prompt kind before and after, with what its difference shows."""
    sides = {"before": row.before, "after": row.after, "difference": row.change.estimate}
    sides_values = {key: estimate_values(estimate) for key, estimate in sides.items()}
    where = {"dataset": row.dataset, "modality": row.modality, "prompt": row.prompt, "retention": row.retention}
    return {
        **where,
        **sides_values,
        "p": plain_values(row.change.p),
        "corrected_p": plain_values(row.corrected),
        "verdict": row.turn,
    }


def estimate_values(found: Estimate) -> dict[str, Any]:
    """A mean with its interval."""
    values: dict[str, Any] = plain_values(asdict(found))
    return values


def retention_values(one: Retention) -> dict[str, Any]:
    """What became of a dataset that was to be kept."""
    tested = one.equivalence
    return {
        "dataset": one.dataset,
        "modality": one.modality,
        "difference": estimate_values(one.change.estimate),
        "margin": tested.margin,
        "bounds": plain_values([tested.low, tested.high]),
        "p": plain_values(one.corrected),
        "verdict": one.verdict.value,
        "unchanged": one.unchanged,
    }


def training_values(trained: Training) -> dict[str, Any]:
    """How the training went."""
    values = {key: value for key, value in asdict(trained).items() if key != "cost"}
    if trained.cost is not None:
        values |= {**asdict(trained.cost), "steps": trained.steps, "seconds_a_step": trained.cost.seconds_a_step}
        values["measured_steps"] = trained.cost.steps
    return values
