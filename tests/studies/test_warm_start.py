"""Methods that start from a ready adapter: trained on, or measured as it is."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from segevolution.adapters import create, describe, save_adapter
from segevolution.adapters.mixture import combine
from segevolution.data.store import Store
from segevolution.errors import RecipeError
from segevolution.evaluation.results import PartName
from segevolution.files import sha256
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.load import load
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone
from segevolution.studies.facts import read_bases
from segevolution.studies.ready_adapter import ReadyAdapter, describe_case, read_ready
from segevolution.studies.recipe import Method, Recipe
from segevolution.studies.study import run_study
from segevolution.studies.warm_start import starts_of, taught_before
from segevolution.vocabulary import Modality


@pytest.fixture
def lora(toy_root, tmp_path):
    """Make a LoRA of rank 2 whose weights are drawn by a seed, as a folder with a card."""

    def lora(name, seed=0, **card):
        torch.manual_seed(seed)
        backbone = load(toy_root / "tiny", device="cpu")
        adapter = create("lora", {"rank": 2})
        adapter.attach(backbone)
        adapter.load_state({key: 0.1 * torch.randn_like(value) for key, value in adapter.state().items()})
        said = {"base": "tiny", "data": ["elsewhere/e1"], "licences": {"elsewhere": "CC0"}, **card}
        save_adapter(adapter, backbone, tmp_path / name, said, force=True)
        return tmp_path / name

    return lora


@pytest.fixture
def both(lora, toy_root, tmp_path):
    """Two LoRAs as the experts of a learned gate that nothing has taught yet."""
    folders = {"CT": lora("ct_lora", 1, data=["here/ct9"]), "MRI": lora("mri_lora", 2)}
    backbone = load(toy_root / "tiny", device="cpu")
    mixture, card = combine(folders, backbone, {"gate": "learned", "confidence": 0.2})
    save_adapter(mixture, backbone, tmp_path / "both", card)
    return tmp_path / "both"


@pytest.fixture
def study(toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures, changed):
    """Run the toy study with the base and these methods."""

    def study(*methods, **values):
        recipe = changed(toy_recipe, methods=[{"name": "base"}, *methods], prompts=["box"], **values)
        return run_study(recipe, tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=quick_fit)

    study.models = tmp_path / "out" / "models"
    return study


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def test_only_the_gate_of_combined_experts_trains(study, both, quick_fit):
    done = study({"name": "gated", "kind": "mixture", "start": str(both)})
    assert done.trained == ("gated-s0",)
    before, after = weights(both), weights(study.models / "gated-s0" / "adapter")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert moved == {name for name in before if name.startswith("gate.")}
    card = describe(study.models / "gated-s0" / "adapter")["card"]
    assert card["gate"]["asked"] == 4
    assert card["started_from"] == str(both)
    old = [entry for entry in card["data"] if "(before" in entry]
    assert [entry.split(" (")[0] for entry in old] == ["here/ct9", "elsewhere/e1"]
    assert card["licences"]["elsewhere"] == "CC0"


def test_its_settings_are_the_folders_own_unless_said(study, both):
    study({"name": "gated", "kind": "mixture", "start": str(both), "settings": {"confidence": 0.3}})
    own, made = (describe(folder)["settings"] for folder in (both, study.models / "gated-s0" / "adapter"))
    assert made == {**own, "confidence": 0.3}


def test_a_lora_is_tuned_from_its_own_weights_and_measured_as_it_is(study, lora, quick_fit):
    folder = lora("simmim")
    tuned = {"name": "tuned", "kind": "lora", "start": str(folder)}
    done = study(tuned, {"name": "asis", "kind": "lora", "start": str(folder), "train": False}, seeds=[0, 1])
    assert done.trained == ("tuned-s0", "tuned-s1")
    assert len(quick_fit.calls) == 2
    assert set(done.table["run"]) == {"base", "tuned-s0", "tuned-s1", "asis"}
    kept = study.models / "asis" / "adapter" / "adapter_model.safetensors"
    assert sha256(kept) == sha256(folder / "adapter_model.safetensors")
    old, new = weights(folder), weights(study.models / "tuned-s0" / "adapter")
    assert all((new[name] - old[name]).abs().max() < 0.5 for name in old)  # QuickFit adds 0.05 of a normal draw
    assert any(not torch.equal(new[name], old[name]) for name in old)
    dice = done.table[done.table["run"].isin(["base", "asis"])].pivot_table(
        index=["case", "structure"], columns="run", values="dice"
    )
    assert (dice["asis"] != dice["base"]).any()
    again = study(tuned, {"name": "asis", "kind": "lora", "start": str(folder), "train": False}, seeds=[0, 1])
    assert (again.trained, again.measured) == ((), 0)


def test_other_weights_in_the_folder_are_another_job(study, lora):
    asis = {"name": "asis", "kind": "lora", "start": str(lora("simmim")), "train": False}
    first = study(asis).table
    lora("simmim", seed=5)
    done = study(asis)
    assert done.measured == 4
    assert not done.table["dice"].equals(first["dice"])
    lora("simmim", seed=5, title="another card")
    assert study(asis).measured == 0


def test_measuring_alone_needs_no_patient_to_train_on(study, lora, toy_recipe):
    data = [{"name": "mri", "path": "mri", "labels": "exact", "test": 2}]
    done = study({"name": "asis", "kind": "lora", "start": str(lora("simmim")), "train": False}, data=data)
    assert done.measured == 4


def test_a_run_tested_on_what_its_start_learned_from_is_said_so_in_report_and_manifest(study, lora, capsys):
    data = ["ct/ct0", "ct/ct1", "ct/ct2", "ct/ct3 (replayed)"]
    study({"name": "asis", "kind": "lora", "start": str(lora("simmim", data=data)), "train": False})
    page = (study.models.parent / "report.md").read_text("utf-8")
    assert (
        "asis is tested on cases that what it started from had learned from, or on others of the same patients: ct/ct"
        in page
    )
    manifest = json.loads((study.models.parent / "manifest.json").read_text("utf-8"))
    assert manifest["recipe"]["methods"][1]["train"] is False


def test_a_start_that_does_not_fit_is_refused_before_anything_is_done(study, lora, both, toy_root, tmp_path):
    folder = str(lora("simmim"))
    other = TinyBackbone()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    save_model(other, tmp_path / "other")
    for method, values, sentence in [
        (
            {"kind": "lora", "start": str(tmp_path / "none")},
            {},
            "methods.m.start: .*none is neither an adapter folder nor the name of an adapter that ships",
        ),
        ({"kind": "lora", "start": str(both)}, {}, "is a mixture adapter, not lora; say kind: mixture"),
        ({"kind": "lora", "start": folder}, {"base": str(tmp_path / "other")}, "belongs to another base"),
        ({"kind": "lora", "start": folder, "settings": {"rnk": 3}}, {}, 'methods.m.settings: "rnk".*"rank"'),
    ]:
        with pytest.raises(RecipeError, match=sentence):
            study({"name": "m", **method}, **values)
    assert not study.models.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "base", "start": "a"}, "base starts from no adapter"),
        ({"name": "s", "kind": "scratch", "start": "a"}, "scratch starts from no adapter"),
        ({"name": "lora", "train": False}, "give start"),
        ({"name": "lora", "train": False, "start": "a", "fit": {"steps": 3}}, "neither settings nor fit"),
    ],
)
def test_what_cannot_start_or_stay_is_one_sentence(values, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Method.model_validate(values)


def test_all_patients_can_stand_beside_numbers_of_them(study, quick_fit):
    done = study({"name": "lora", "settings": {"rank": 2}}, shots=[1, "all"])
    assert done.trained == ("lora-1shot-s0", "lora-all-s0")
    assert list(dict.fromkeys(done.table["method"])) == ["base", "lora (1 shot)", "lora (all shots)"]
    assert [len(call["groups"][0][1]) for call in quick_fit.calls] == [1, 2]


def test_an_adapter_that_ships_is_started_from_by_its_name(toy_root):
    values = {
        "name": "expert",
        "base": "segvol-mini-2",
        "data": [{"name": "ct", "path": str(toy_root / "ct")}],
        "methods": [
            {"name": "base"},
            {"name": "expert", "kind": "mixture", "start": "segvol-mini-mri", "train": False},
        ],
    }
    recipe = Recipe.model_validate(values)
    start = starts_of(recipe, read_bases(recipe.bases))["expert"]
    assert "btcv/btcv_00" in start.taught
    assert list(start.licences)


SCANS = {"pre": ("p0_scan0", "p1_scan0"), "post": ("p0_scan1", "p2_scan0")}


def longitudinal(name, dataset, seed):
    """A scan of the patient whom its name begins with."""
    labels = np.zeros((8, 8, 6), np.uint8)
    labels[2:6, 2:6, 2:4] = 1
    signal = np.random.default_rng(seed).normal(300, 5, labels.shape).astype(np.float32)
    volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 4.0, 1.0])), Modality.MRI, name)
    return Case(name, name.split("_scan")[0], dataset, volume, labels, {"liver": (1,)})


@pytest.fixture
def clinics(tmp_path):
    """Stores of one dataset, `longi`: before and after treatment; `other` holds another clinic's patient p0."""
    for number, (name, cases) in enumerate(SCANS.items()):
        store = Store.create(tmp_path / "clinics" / name)
        for seed, case in enumerate(cases):
            store.add(longitudinal(case, "longi", 10 * number + seed))
    Store.create(tmp_path / "clinics" / "other").add(longitudinal("p0_scan0", "elsewhere", 77))
    return tmp_path / "clinics"


@pytest.fixture
def warnings_of(clinics):
    """What a plan says of a ready adapter that learned from p0_scan0 of `pre`, tested on one case."""
    taught = Store.open(clinics / "pre").record("p0_scan0")
    names, described = ("longi/p0_scan0",), (describe_case("longi", taught),)

    def warnings_of(store, case, dataset="longi", patients=None):
        record = Store.open(clinics / store).record(case)
        job = SimpleNamespace(part=PartName("asis", dataset, case, "key"))
        training = SimpleNamespace(run="asis", method="asis")
        start = ReadyAdapter("mark", names, {}, described if patients is None else patients)
        return taught_before([training], [job], {"asis": start}, {dataset: [record]})

    return warnings_of


def test_a_patient_whom_the_start_learned_from_is_known_by_person_and_by_scan(warnings_of):
    for store, case, dataset in (
        ("pre", "p0_scan0", "longi"),
        ("pre", "p0_scan0", "ours"),
        ("post", "p0_scan1", "longi"),
        ("post", "p0_scan1", "ours"),
    ):
        (sentence,) = warnings_of(store, case, dataset)
        assert "asis is tested on cases that what it started from had learned from, or on others" in sentence
        assert f"{dataset}/{case}; its results on them are too good" in sentence


def test_nobody_is_warned_of_people_who_cannot_be_the_same(warnings_of):
    assert warnings_of("pre", "p1_scan0") == []
    assert warnings_of("other", "p0_scan0") == []
    assert warnings_of("other", "p0_scan0", "longi") == []  # the study's dataset has that name, its people are others


def test_a_card_of_names_alone_leaves_open_whose_other_cases_are(warnings_of):
    (same,) = warnings_of("pre", "p0_scan0", patients=())
    assert "longi/p0_scan0; its results" in same
    (open_question,) = warnings_of("post", "p0_scan1", patients=())
    assert "had learned from is not known: of longi its card says cases alone" in open_question
    assert warnings_of("other", "p0_scan0", "elsewhere", patients=()) == []


def test_a_card_says_whose_cases_were_learned_from(study, lora):
    study({"name": "lora", "settings": {"rank": 2}})
    folder = study.models / "lora-s0" / "adapter"
    start = read_ready(folder)
    assert {match["case"] for match in start.known} == {entry.split(" (")[0] for entry in start.taught}
    assert all(match["person"].split("/")[0] in ("ct", "mri") for match in start.known)
