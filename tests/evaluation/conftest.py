"""A made-up table of results, small enough to compute by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

from segevolution.evaluation.results import SCHEMA
from segevolution.metrics import METRICS

MakeRow = Callable[..., dict[str, Any]]


def row(**values: Any) -> dict[str, Any]:
    """A row of SCHEMA with defaults for what a test does not care about."""
    patient = values.get("patient", "p1")
    defaults: dict[str, Any] = {
        "run": values.get("method", "base"),
        "method": "base",
        "seed": 0,
        "base": "segvol-mini",
        "family": values.get("method", "base"),
        "cohort": "",
        "trained_on": 0,
        "dataset": "chaos",
        "case": f"{patient}_scan",
        "patient": patient,
        "modality": "MRI",
        "sequence": "T2",
        "labels": "manual",
        "structure": "liver",
        "prompt": "text",
        "prompt_seed": 0,
        "context": "known",
        "shift": "none",
        "strength": 0.0,
        "unit": "",
        "jitter": 0.0,
        "jitter_unit": "",
        "points": 0,
        "windows": "",
        "click": 0,
        **dict.fromkeys(METRICS, float("nan")),
        "dice": 0.5,
        "nsd": 0.4,
        "nsd_tolerance_mm": 2.0,
        "hd95_mm": 10.0,
        "volume_error": 0.1,
        "predicted_iou": 0.3,
        "voxels": 100,
        "predicted_voxels": 90,
        "predicted_ml": 0.9,
        "warnings": float("nan"),
        "seconds": 0.5,
        "encodings": 1,
        "decodings": 2,
    }
    return {**defaults, **values}


@pytest.fixture(scope="session")
def make_row() -> MakeRow:
    return row


@pytest.fixture(scope="session")
def make_table() -> Callable[[Sequence[dict[str, Any]]], pd.DataFrame]:
    return lambda rows: pd.DataFrame([row(**values) for values in rows], columns=SCHEMA.names)
