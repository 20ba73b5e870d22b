"""A made-up table of results, small enough to compute by hand."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segevolution.evaluation.analysis import Analysis, PrimaryQuestion, RetentionQuestion
from segevolution.evaluation.plots.training import Trace, TrainingCurve
from segevolution.evaluation.report import write_report
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


@pytest.fixture(scope="session")
def written_report(
    make_table: Callable[[Sequence[dict[str, Any]]], pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """A whole report on disk: its folder, table, analysis and curves.

    Seven patients of MRI and four of CT; names hold what HTML and LaTeX read as their own; one distance is infinite.
    """
    rng = np.random.default_rng(5)
    evil = "lora_1 & <script>alert(1)</script>"
    rows = []
    for dataset, modality, count in (("chaos", "MRI", 7), ("btcv", "CT", 4)):
        for patient in range(count):
            for structure in ("left_kidney 100%", "<script>alert(2)</script>"):
                for prompt in ("text", "text+box"):
                    where = {"dataset": dataset, "modality": modality, "patient": f"{dataset}{patient}"}
                    what = {**where, "structure": structure, "prompt": prompt}
                    level = float(rng.uniform(0.3, 0.6))
                    far = math.inf if patient == 0 else 10.0
                    rows.append({**what, "dice": level, "hd95_mm": far, "predicted_iou": level})
                    gain = float(rng.uniform(0.1, 0.3))
                    rows.append({**what, "method": evil, "run": "lora-s0", "dice": level + gain})
    table = make_table(rows)
    primary = PrimaryQuestion(evil, "base", "chaos", "text")
    analysis = Analysis("<script>toy", "base", primary=primary, retention=RetentionQuestion(("btcv",)))
    curves = (TrainingCurve("lora-s0", Trace((0, 5, 10), (1.0, 0.7, 0.5)), Trace((5, 10), (0.3, 0.6)), 10),)
    folder: Path = tmp_path_factory.mktemp("report")
    write_report(table, folder, analysis, (), curves, latex=True)
    return SimpleNamespace(folder=folder, table=table, analysis=analysis, curves=curves, method=evil)
