"""What a mixture's card says after a study: its gate on held-out cases, and what is left of CT."""

import pytest
import torch

from segevolution.adapters import attached, describe
from segevolution.data.store import Store
from segevolution.evaluation.questions import Questions, simulated_prompts
from segevolution.evaluation.results import PartName
from segevolution.files import sha256
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.recipes.stores import StoreRef
from segevolution.studies.jobs import EvaluateJob
from segevolution.studies.mixture_card import WholeView, whole_views
from segevolution.studies.study import run_study
from segevolution.studies.workspace import Workspace


@pytest.fixture
def study(toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures, changed):
    """Run the toy study with mixtures of such settings."""

    def study(**settings):
        methods = [{"name": "base"}, {"name": "moe", "kind": "mixture", "settings": {"rank": 2, **settings}}]
        recipe = changed(toy_recipe, methods=methods, prompts=["box", "text+box"])
        return run_study(recipe, tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=quick_fit)

    study.folder = tmp_path / "out"
    study.adapter = tmp_path / "out" / "models" / "moe-s0" / "adapter"
    return study


def stamps(folder):
    return {path: (path.stat().st_mtime_ns, sha256(path)) for path in folder.rglob("*") if path.is_file()}


def test_the_card_holds_the_gate_on_the_tested_cases_and_ct_to_the_last_bit(study):
    study()
    card = describe(study.adapter)["card"]
    assert card["gate"]["confusion"] == {"CT": {"identity": 2, "MRI": 0}, "MRI": {"identity": 0, "MRI": 2}}
    assert card["gate"]["load"] == {"identity": 0.5, "MRI": 0.5}
    assert (card["gate"]["asked"], card["gate"]["abstained"]) == (4, 0)
    kept = card["ct_retention"]
    assert kept["difference"] == {"mean": 0.0, "low": None, "high": None, "patients": 2, "rows": 2 * 2 * 2}
    assert kept["text+box"]["rows"] == 2 * 2
    assert (kept["unchanged"], kept["datasets"], kept["prompts"]) == (True, ["ct"], ["box", "text+box"])
    page = (study.adapter / "README.md").read_text("utf-8")
    assert "## Gate" in page
    assert "## Ct retention" in page
    assert card["data"][-1].endswith("(replayed)")  # what the training said stays


def test_ct_that_an_expert_answers_is_reported_as_the_table_has_it(study):
    done = study(table={"CT": "MRI"})
    kept = describe(study.adapter)["card"]["ct_retention"]
    rows = done.table[done.table["modality"] == "CT"].groupby(["method", "patient"])["dice"].mean()
    assert kept["difference"]["mean"] == pytest.approx((rows["moe"] - rows["base"]).mean())
    assert kept["kept"] == {"ct, CT": "too few patients"}
    assert not kept["unchanged"]


def test_a_second_call_leaves_the_card_as_it_is(study):
    study()
    before = stamps(study.folder)
    study()
    assert stamps(study.folder) == before


def test_a_study_killed_before_its_card_writes_that_alone(study, monkeypatch, quick_fit):
    class Killed(BaseException):
        """Stands for kill -9."""

    def die(*given):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("segevolution.studies.mixture_card.gate_report", die)
        with pytest.raises(Killed):
            study()
    assert "gate" not in describe(study.adapter)["card"]
    before = {path: stamp for path, stamp in stamps(study.folder).items() if study.adapter not in path.parents}
    again = study()
    assert (again.trained, again.measured, len(quick_fit.calls)) == ((), 0, 1)
    assert describe(study.adapter)["card"]["gate"]["asked"] == 4
    after = stamps(study.folder)
    assert all(after[path] == stamp for path, stamp in before.items())


def test_a_learned_gate_is_shown_whole_views_and_says_how_often_it_abstained(study):
    study(gate="learned", confidence=0.99)
    gate = describe(study.adapter)["card"]["gate"]
    assert (gate["gate"], gate["asked"], gate["abstained"]) == ("learned", 4, 4)
    assert gate["confusion"]["MRI"] == {"identity": 2, "MRI": 0}


def test_a_task_gate_is_asked_for_the_structures_of_each_tested_case(study):
    study(gate="task", experts=["liver"])
    gate = describe(study.adapter)["card"]["gate"]
    assert gate["confusion"] == {"liver": {"identity": 0, "liver": 4}, "spleen": {"identity": 4, "liver": 0}}


def test_a_whole_view_is_what_a_session_encodes_first(study, toy_root, monkeypatch):
    study(gate="learned")
    backbone = load(toy_root / "tiny", adapter=study.adapter, device="cpu")
    store, ref = Store.open(toy_root / "ct"), StoreRef("ct", str(toy_root / "ct"))
    job = EvaluateJob(PartName("moe-s0", "ct", "ct0", ""), "moe", 0, "tiny", None, ref, "exact", Questions())
    (view,) = whole_views(backbone, attached(backbone), [job], Workspace(study.folder))
    assert isinstance(view, WholeView)
    assert [context.structure for context in view.contexts] == ["liver", "spleen"]
    seen = []
    encode = backbone.encode
    monkeypatch.setattr(backbone, "encode", lambda images, told: seen.append(images) or encode(images, told))
    case = store.read("ct0")
    prompt = simulated_prompts(case, "liver", Questions(prompts=("box",)))["box"]
    Session(backbone, case.volume, windows="off").segment([prompt])
    assert torch.equal(seen[0], view.images)
