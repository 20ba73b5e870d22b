"""The badge "zero-shot" is given only where nothing speaks against it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segevolution.data.images import ImageIdentity
from segevolution.data.record import CaseRecord, record_of
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Origin, Volume
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


def of_files(cases: list[CaseRecord], folder: Path, **changes: Any) -> list[CaseRecord]:
    """The same cases as a store has them that was made of files: each of an image of its own."""
    made = []
    for record in cases:
        path = str(folder / f"{record.name}.nii.gz")
        image = ImageIdentity(path, f"content of {record.patient}")
        signal = (*record.signal[:-1], float(ord(record.patient)))
        made.append(replace(record, image=image, origin=Origin(Path(path), "nifti"), signal=signal, **changes))
    return made


@pytest.mark.parametrize("copied", ["no", "bytes", "saved anew"])
def test_one_folder_under_two_names_holds_the_same_patients(
    planned: Callable[..., Plan], tmp_path: Path, copied: str
) -> None:
    """A store that a study makes is of a dataset that is called as the recipe calls it."""
    names = ["p", "q", "r"]
    twin = of_files(records("b", names, Modality.MRI), tmp_path / ("a" if copied == "no" else "b"))
    if copied == "saved anew":
        twin = [replace(record, image=None) for record in twin]
    ours = {"a": of_files(records("a", names, Modality.MRI), tmp_path / "a"), "b": twin}
    made = planned(**ours)
    (sentence,) = torn(made.trainings, made.evaluations, ours)
    taught = {name.case.removesuffix("_x") for name in made.trainings[0].train}
    assert sentence.startswith(
        f"lora-s0 is tested on patients that it learned from: {', '.join(sorted(f'b/{one}' for one in taught))};"
    )
    assert made.report.warnings == (sentence,)
    assert made.report.external == ()


def test_other_scans_of_a_patient_are_known_by_the_shared_one(planned: Callable[..., Plan], tmp_path: Path) -> None:
    scans = [
        replace(record, name=f"{record.name}{visit}")
        for visit in (1, 2)
        for record in records("a", ["p", "q"], Modality.MRI)
    ]
    a, b = (of_files([replace(scan, dataset=name) for scan in scans], tmp_path) for name in "ab")
    ours = {"a": [record for record in a if record.name != "p_x2"], "b": b}
    made = planned(**ours)
    (sentence,) = torn(made.trainings, made.evaluations, ours)
    assert "b/p, b/q" in sentence
    assert {job.part.case for job in made.evaluations if job.part.dataset == "b"} > {"p_x2"}


def test_one_folder_may_stand_twice_with_patients_of_their_own(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    names = ["p", "q", "r", "s"]
    ours = {name: of_files(records(name, names, Modality.MRI), tmp_path) for name in ("taught", "tested")}
    recipe = _recipe("segvol-mini", *ours).model_dump()
    recipe["data"][0] |= {"patients": ["p", "q"]}
    recipe["data"][1] |= {"patients": ["r", "s"]}
    made = plan_of(Recipe.model_validate(recipe), ours)
    assert made.report.warnings == ()
    assert made.report.external == ()


def test_another_site_of_one_store_is_external(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    store = of_files(records("all", ["p", "q"], Modality.MRI), tmp_path, site="A")
    store += of_files(records("all", ["r", "s"], Modality.MRI), tmp_path, site="B")
    ours = {"here": store, "elsewhere": store}
    recipe = _recipe("segvol-mini", *ours).model_dump()
    recipe["data"][0] |= {"sites": ["A"]}
    recipe["data"][1] |= {"sites": ["B"]}
    made = plan_of(Recipe.model_validate(recipe), ours)
    assert made.report.warnings == ()
    assert made.report.external == ("elsewhere",)


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
