"""Jobs are plain data: they can be pickled, written as JSON, and done in any process that sees the folder."""

import ast
import dataclasses
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import segevolution
from segevolution.recipes.stores import StoreRef
from segevolution.studies import execute, run, workspace
from segevolution.studies.facts import DatasetFacts, read_bases
from segevolution.studies.plan import plan, plan_data
from segevolution.studies.study import run_study
from segevolution.studies.workspace import Workspace


@pytest.fixture
def planned(toy_recipe, toy_root, changed):
    """The toy study's jobs of preparation and its plan, with a shift and simulated patients."""
    data = [*toy_recipe.model_dump(exclude_unset=True)["data"]]
    extra = {
        "name": "made",
        "simulate": {"patients": 2, "modality": "MRI", "spacing": [3, 3, 3], "names": {"1": "liver"}},
    }
    recipe = changed(toy_recipe, shifts=[{"name": "noise", "strengths": [0.1]}], box_jitter=[0, 3], clicks=1)
    facts = {}
    for entry in recipe.data:
        ref = StoreRef(entry.name, str(toy_root / entry.path))
        store = ref.open(toy_root)
        facts[entry.name] = DatasetFacts(store.cases, store.fingerprint(), ref)
    made = plan(recipe, facts, read_bases(recipe.bases))
    return plan_data(changed(toy_recipe, data=[*data, extra]), toy_root), made


def jobs_of(planned):
    preparations, made = planned
    return [*preparations, *made.trainings, *made.evaluations, made.report]


def test_every_job_comes_back_equal_from_pickle_and_from_json(planned):
    jobs = jobs_of(planned)
    assert {type(job).__name__ for job in jobs} == {"PrepareJob", "TrainJob", "EvaluateJob", "ReportJob"}
    for job in jobs:
        assert pickle.loads(pickle.dumps(job)) == job
        assert TypeAdapter(type(job)).validate_json(TypeAdapter(type(job)).dump_json(job)) == job


def test_a_job_cannot_be_changed_and_holds_nothing_but_plain_values(planned):
    for job in jobs_of(planned):
        with pytest.raises(dataclasses.FrozenInstanceError):
            job.key = "other"
        json.dumps(dataclasses.asdict(job))  # no network, no open file, no recipe


def _imports(name):
    """The modules of ours that a module imports, and those that these import."""
    seen, waiting = set(), [name]
    root = Path(segevolution.__file__).parent
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        tree = ast.parse(Path(importlib.import_module(module).__file__).read_text("utf-8"))
        package = (
            module
            if Path(importlib.import_module(module).__file__).name == "__init__.py"
            else module.rpartition(".")[0]
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*base, *([node.module] if node.module else [])])
                for found in (origin, *(f"{origin}.{alias.name}" for alias in node.names)):
                    path = root.parent / Path(*found.split("."))
                    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
                        waiting.append(found)
    return seen


@pytest.mark.parametrize("module", [run, execute, workspace])
def test_below_planning_nobody_sees_a_recipe(module):
    found = _imports(module.__name__)
    assert "segevolution.training.settings" in found
    assert not {name for name in found if name.rpartition(".")[2] in ("recipe", "plan", "reading", "asking")}


SCRIPT = """
import pickle, sys
from pathlib import Path
from segevolution.studies.execute import execute
from segevolution.studies.workspace import Workspace
with open(sys.argv[1], "rb") as stream:
    jobs = pickle.load(stream)
workspace = Workspace(Path(sys.argv[2]), device="cpu", quiet=True)
for job in jobs:
    execute(job, workspace)
assert not {"segevolution.studies.recipe", "segevolution.studies.plan"} & set(sys.modules)
"""


@pytest.mark.long
def test_pickled_jobs_done_in_another_process_give_the_same_study(
    toy_recipe, toy_root, changed, tmp_path, planned, plain_pictures
):
    _, made = planned
    folder = tmp_path / "elsewhere"
    recipe = changed(toy_recipe, shifts=[{"name": "noise", "strengths": [0.1]}], box_jitter=[0, 3], clicks=1)
    pickled = tmp_path / "jobs.pickle"
    pickled.write_bytes(pickle.dumps([*made.trainings, *made.evaluations]))
    subprocess.run([sys.executable, "-c", SCRIPT, pickled, folder], check=True)
    there = Workspace(folder)
    assert all(there.results.has(job.part) for job in made.evaluations)
    here = run_study(recipe, tmp_path / "here", root=toy_root, device="cpu", quiet=True)
    found = run_study(recipe, folder, root=toy_root, device="cpu", quiet=True)
    assert (found.trained, found.measured, found.missing) == ((), 0, 0)
    steady = [name for name in here.table.columns if name != "seconds"]
    assert found.table[steady].equals(here.table[steady])
