"""The badge "zero-shot" is given only where nothing speaks against it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segevolution.data.record import CaseRecord, record_of
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.studies.jobs import Plan
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.studies.zero_shot import badges, torn
from segevolution.vocabulary import Modality


def records(dataset: str, patients: list[str], modality: Modality) -> list[CaseRecord]:
    signal = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    volume = Volume(signal, Grid(signal.shape, np.eye(4)), modality, dataset)
    labels = (signal > 100).astype(np.uint8)
    made = [Case(f"{name}_x", name, dataset, volume, labels, {"liver": (1,)}) for name in patients]
    return [record_of(case, volume.grid) for case in made]


@pytest.fixture
def planned(plan_of: Callable[..., Plan]) -> Callable[..., Plan]:
    """Every patient but the first two of the first dataset is tested by the base and by a LoRA."""

    def planned(base: str = "segvol-mini", **cases: list[CaseRecord]) -> Plan:
        return plan_of(_recipe(base, *cases), cases)

    return planned


def _recipe(base: str, *names: str) -> Recipe:
    data = [{"name": name, "path": name, "train": 2 if number == 0 else 0} for number, name in enumerate(names)]
    methods = [{"name": "base"}, {"name": "lora"}]
    return Recipe.model_validate({"name": "toy", "base": base, "data": data, "methods": methods, "fit": {"steps": 1}})


def test_data_that_the_base_saw_are_refused_with_the_reason(planned: Callable[..., Plan]) -> None:
    ours = {
        "btcv": records("btcv", ["btcv_00", "btcv_01", "btcv_02", "btcv_04"], Modality.CT),
        "chaos": records("chaos", ["1", "2"], Modality.MRI),
    }
    found = badges(planned(**ours).evaluations, ours)
    assert found["chaos"] == "zero-shot"
    assert found["btcv"].startswith("not zero-shot: ")
    assert "2 cases seen in training (BTCV" in found["btcv"]
    assert badges(planned("BAAI/SegVol", **ours).evaluations, ours)["btcv"].startswith("not zero-shot: 2 of 2 cases")


def test_held_out_patients_earn_the_badge(planned: Callable[..., Plan]) -> None:
    ours = {
        "ours": records("ours", ["p", "q"], Modality.CT),
        "btcv": records("btcv", ["btcv_04", "btcv_29"], Modality.CT),
    }
    assert badges(planned(**ours).evaluations, ours) == {"btcv": "zero-shot"}


def test_a_base_of_unknown_training_earns_none(planned: Callable[..., Plan]) -> None:
    ours = {"ours": records("ours", ["p", "q", "r"], Modality.CT)}
    assert badges(planned("my/model", **ours).evaluations, ours) == {
        "ours": "not zero-shot: what my/model was trained on is not known"
    }


def test_a_base_of_partly_known_training_earns_none(planned: Callable[..., Plan]) -> None:
    ours = {"chaos": records("chaos", ["p", "q", "r"], Modality.MRI)}
    (badge,) = badges(planned("litemedsam", **ours).evaluations, ours).values()
    assert badge.startswith("not zero-shot: its encoder was distilled from MedSAM")


def test_a_patient_in_two_datasets_of_a_study_is_told(planned: Callable[..., Plan]) -> None:
    ours = {
        "t1": records("brats", ["p", "q"], Modality.MRI),
        "t2": records("brats", ["p", "r"], Modality.MRI),
    }
    made = planned(**ours)
    (sentence,) = torn(made.trainings, made.evaluations, ours)
    assert sentence.startswith("lora-s0 is tested on patients that it learned from: brats/p;")
    apart = {"t1": ours["t1"], "t2": records("other", ["p", "r"], Modality.MRI)}
    made = planned(**apart)
    assert torn(made.trainings, made.evaluations, apart) == []


def test_report_and_manifest_carry_the_badge(
    toy_recipe: Recipe,
    toy_root: Path,
    tmp_path: Path,
    quick_fit: Any,
    plain_pictures: None,
    changed: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segevolution.studies.zero_shot.base_of", lambda name: "segvol")
    store = Store.open(toy_root / "ct")
    assert {record.dataset for record in store.cases} == {"ct"}
    monkeypatch.setattr(
        "segevolution.studies.zero_shot.seen_by", lambda base, dataset, record: "BTCV" if dataset == "ct" else None
    )
    recipe = changed(toy_recipe, methods=[{"name": "base"}], prompts=["box"])
    outcome = run_study(recipe, tmp_path / "run", root=toy_root, device="cpu", quiet=True, fit=quick_fit)
    text = (tmp_path / "run" / "report.md").read_text("utf-8")
    table = text.split("| method |")[0]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    assert "unadapted base" in rows["tested on"]
    assert "not zero-shot: 2 of 2 cases seen in training (BTCV)" in rows["CT (ct)"]
    assert rows["MRI (mri)"].rstrip(" |").endswith("| zero-shot")
    assert '"unadapted_base": "zero-shot"' in (tmp_path / "run" / "manifest.json").read_text("utf-8")
    assert isinstance(outcome.table, pd.DataFrame)
