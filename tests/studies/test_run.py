import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from segevolution.adapters import describe
from segevolution.errors import RecipeError
from segevolution.evaluation.patient_values import paired
from segevolution.evaluation.results import Results, read_table
from segevolution.files import sha256
from segevolution.imaging.prompts import PromptKind
from segevolution.inference.load import load
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.studies import facts, methods
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.training.checkpoint_file import step_of, write_checkpoint
from segevolution.training.fit_result import FitResult


@pytest.fixture
def study(toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures):
    """Run the toy study into one folder; `fit` and the recipe can be exchanged."""

    def study(recipe=toy_recipe, fit=quick_fit):
        return run_study(recipe, tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=fit)

    study.folder = tmp_path / "out"
    return study


def stamps(folder):
    return {path: (path.stat().st_mtime_ns, sha256(path)) for path in folder.rglob("*") if path.is_file()}


def test_a_study_measures_base_and_method_on_the_same_held_out_cases(study, quick_fit):
    done = study()
    table = read_table(study.folder / "results.parquet")
    assert table.equals(done.table)
    # 2 methods x (2 CT + 2 MRI cases) x 2 structures x 2 prompts
    assert len(table) == 2 * 4 * 2 * 2
    asked = ["dataset", "case", "structure", "prompt"]
    base, lora = (table[table["method"] == name][asked].reset_index(drop=True) for name in ("base", "lora"))
    assert base.equals(lora)
    assert set(table["run"]) == {"base", "lora-s0"}
    (call,) = quick_fit.calls
    taught = {name for _, names in call["groups"] for name in names}
    assert len(taught) == 3
    assert not taught & set(table["case"])
    assert not table["dice"].isna().any()


def test_a_second_call_does_nothing_and_touches_no_file(study, quick_fit):
    study()
    before = stamps(study.folder)
    again = study()
    assert (again.trained, again.measured) == ((), 0)
    assert len(quick_fit.calls) == 1
    assert stamps(study.folder) == before
    assert len(again.table) == 32


class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


def test_a_study_killed_while_measuring_goes_on_and_ends_as_an_uninterrupted_one(study, monkeypatch, tmp_path):
    written = Results.write
    count = 0

    def write(self, part, rows, masks=None):
        nonlocal count
        count += 1
        if count == 6:  # in the middle of the second run
            raise Killed
        written(self, part, rows, masks)

    monkeypatch.setattr(Results, "write", write)
    with pytest.raises(Killed):
        study()
    assert not (study.folder / "results.parquet").exists()
    kept = {path: stamp for path, stamp in stamps(study.folder).items() if path.suffix == ".parquet"}
    assert len(kept) == 5
    done = study()
    assert (done.trained, done.measured) == ((), 3)
    after = stamps(study.folder)
    assert all(after[path] == stamp for path, stamp in kept.items())
    study.folder.rename(tmp_path / "interrupted")
    steady = ["run", "case", "structure", "prompt", "dice", "nsd", "predicted_iou", "predicted_voxels"]
    assert done.table[steady].equals(study().table[steady])


def test_a_study_killed_while_training_goes_on_in_the_same_folder(study, quick_fit):
    def die(backbone, groups, settings, folder, **rest):
        folder.mkdir(parents=True)
        write_checkpoint(folder / "last.ckpt", {"global_step": 1})
        raise Killed

    with pytest.raises(Killed):
        study(fit=die)
    base = [path for path in stamps(study.folder) if path.suffix == ".parquet"]
    assert len(base) == 4
    done = study()
    assert done.trained == ("lora-s0",)
    assert step_of(quick_fit.calls[0]["folder"] / "last.ckpt") == 1
    assert done.measured == 4


def test_a_half_written_adapter_does_not_count(study, monkeypatch, quick_fit):
    saved = methods.save_adapter

    def save(*given, **rest):
        saved(*given, **rest)
        raise Killed

    monkeypatch.setattr(methods, "save_adapter", save)
    with pytest.raises(Killed):
        study()
    monkeypatch.setattr(methods, "save_adapter", saved)
    assert study().trained == ("lora-s0",)
    assert len(quick_fit.calls) == 2


def test_a_longer_training_repeats_its_run_only_and_keeps_what_was_there(study, toy_recipe, changed, quick_fit):
    study()
    old = sha256(study.folder / "models" / "lora-s0" / "adapter" / "adapter_model.safetensors")
    base = stamps(study.folder / "parts" / "base")
    done = study(changed(toy_recipe, fit={**toy_recipe.fit, "steps": 4}))
    assert (done.trained, done.measured) == (("lora-s0",), 4)
    assert stamps(study.folder / "parts" / "base") == base
    aside = [path for path in (study.folder / "models").iterdir() if path.name != "lora-s0"]
    assert [sha256(path / "adapter" / "adapter_model.safetensors") for path in aside] == [old]
    assert quick_fit.calls[-1]["settings"].steps == 4


def test_another_prompt_is_measured_anew_without_training(study, toy_recipe, changed, quick_fit):
    study()
    done = study(changed(toy_recipe, prompts=["text", "box", "text+box"]))
    assert (done.trained, done.measured) == ((), 8)
    assert set(done.table["prompt"]) == {"text", "box", "text+box"}
    assert len(quick_fit.calls) == 1


def test_a_dropped_method_leaves_the_table_and_the_report(study, toy_recipe, changed):
    study()
    done = study(changed(toy_recipe, methods=[{"name": "base"}]))
    assert (done.measured, set(done.table["method"])) == (0, {"base"})
    assert "lora" not in (study.folder / "report.md").read_text("utf-8")


def test_a_lost_report_is_written_again_from_the_parts(study):
    study()
    text = (study.folder / "report.md").read_text("utf-8")
    for name in ("report.html", "report.md", "results.parquet"):
        (study.folder / name).unlink()
    assert study().measured == 0
    assert (study.folder / "report.md").read_text("utf-8") == text


def test_any_lost_file_of_a_report_is_written_again(study):
    study()
    files = {path for path in study.folder.rglob("*") if path.is_file()}
    for lost in ("report.md", "tables"):
        path = study.folder / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert study().measured == 0
        assert {path for path in study.folder.rglob("*") if path.is_file()} == files


def test_a_folder_of_another_study_is_refused(study, toy_recipe, changed):
    study()
    with pytest.raises(RecipeError, match="holds the study toy; choose another folder with -o"):
        study(changed(toy_recipe, name="other"))


def test_every_seed_and_fold_has_a_run_of_its_own(study, toy_recipe, changed, quick_fit):
    data = [toy_recipe.data[0].model_dump(exclude_unset=True), {"name": "mri", "path": "mri", "train": 1, "folds": 2}]
    done = study(changed(toy_recipe, data=data, seeds=[0, 1], prompts=["box"]))
    runs = {f"lora-s{seed}-f{fold}" for seed in (0, 1) for fold in (0, 1)}
    assert set(done.table["run"]) == {"base", *runs}
    assert [call["settings"].seed for call in quick_fit.calls] == [0, 0, 1, 1]
    mri = done.table[(done.table["dataset"] == "mri") & (done.table["method"] == "lora")]
    assert mri.groupby("case")["run"].nunique().to_list() == [2, 2, 2, 2]
    assert set(done.table[done.table["run"] == "lora-s1-f0"]["seed"]) == {1}


def test_validation_cases_are_neither_learned_from_nor_tested_and_choose_the_weights(
    study, toy_recipe, changed, quick_fit
):
    data = [
        {"name": "ct", "path": "ct", "test": 1},
        {"name": "mri", "path": "mri", "train": 1, "validation": 2, "test": 1},
    ]
    done = study(changed(toy_recipe, data=data))
    (call,) = quick_fit.calls
    taught = {name for _, names in call["groups"] for name in names}
    validated = {case.name for group in call["validation"] for case in group.cases}
    assert (len(taught), len(validated)) == (1, 2)
    assert not taught & validated
    tested = set(done.table["case"])
    assert not tested & (taught | validated)
    assert taught | validated | tested >= {f"mri{number}" for number in range(4)}
    manifest = json.loads((study.folder / "manifest.json").read_text("utf-8"))
    assert manifest["runs"]["lora-s0"]["validation"] == sorted(f"mri/{name}" for name in validated)


def test_two_bases_are_compared_on_the_same_questions(study, toy_recipe, toy_root, changed, quick_fit):
    save_model(TinyBackbone(TinyConfig(seed=3)), toy_root / "second")
    methods = [{"name": "base"}, {"name": "second", "base": str(toy_root / "second")}]
    done = study(changed(toy_recipe, methods=methods))
    assert dict(done.table.groupby("method")["base"].first()) == {
        "base": str(toy_root / "tiny"),
        "second": str(toy_root / "second"),
    }
    found = paired(done.table, "second", "base")
    assert len(found) == 4 * 2 * 2
    assert found["dice"].abs().max() > 0
    page = (study.folder / "report.md").read_text("utf-8")
    assert "| second | " in page.split("## Differences against base")[1]


def test_shifts_are_measured_at_each_strength_and_change_no_row_of_the_unchanged(study, toy_recipe, changed, tmp_path):
    plain = study()
    (tmp_path / "out").rename(tmp_path / "plain")
    wishes = [{"name": "noise", "strengths": [0.1, 0.3]}, {"name": "bias_field", "strengths": [0.5]}]
    done = study(changed(toy_recipe, shifts=wishes))
    steady = [name for name in plain.table.columns if name != "seconds"]
    same = done.table[done.table["shift"] == "none"].reset_index(drop=True)
    assert same[steady].equals(plain.table[steady])
    counts = done.table.groupby(["dataset", "shift", "strength"]).size()
    assert dict(counts) == {
        **{(name, "none", 0.0): 16 for name in ("ct", "mri")},
        **{(name, "noise", strength): 16 for name in ("ct", "mri") for strength in (0.1, 0.3)},
        ("mri", "bias_field", 0.5): 16,
    }
    assert done.measured == 16 // 2 + 2 * 8 + 4
    page = (study.folder / "report.md").read_text("utf-8")
    assert "text, unchanged |" in page
    assert "text, noise 0.3" in page
    assert "bias_field is not applied to 4 of 4 cases of ct" in page


def test_replayed_cases_come_with_their_weight(study, toy_recipe, changed, quick_fit):
    study(changed(toy_recipe, fit={**toy_recipe.fit, "replay": 0.25}))
    (taught, mri), (replayed, ct) = quick_fit.calls[0]["groups"]
    assert (taught, [name[:3] for name in mri]) == (1.0, ["mri", "mri"])
    assert (replayed, [name[:2] for name in ct]) == (0.25, ["ct"])


@pytest.mark.parametrize(
    ("shown", "kept", "exchanged"),
    [
        ({}, 0.0, False),
        ({"MRI": 0.3}, 0.0, False),
        ({"MRI": 0.3}, 0.1, False),
        ({"MRI": 0.3}, 0.25, True),
        ({"MRI": 0.6}, 0.0, True),
        ({"CT": 1.0, "MRI": 0.3}, 0.0, True),
    ],
)
def test_who_learned_scans_as_they_are_from_nothing_is_not_asked_with_exchanged_greys(
    study, toy_recipe, changed, quick_fit, shown, kept, exchanged
):
    fit = {**toy_recipe.fit, "intensity": {"recontrast": {"share": shown}}, "start_share": kept}
    study(changed(toy_recipe, fit=fit))
    assert describe(study.folder / "models" / "lora-s0" / "adapter")["exchanged_greys"] is exchanged


def test_the_manifest_holds_what_is_needed_to_repeat_the_study(study, toy_recipe):
    done = study()
    manifest = json.loads((study.folder / "manifest.json").read_text("utf-8"))
    assert manifest["recipe"] == toy_recipe.model_dump(mode="json")
    assert manifest["base"]["fingerprint"]
    assert manifest["data"]["mri"]["cases"] == 4
    assert len(manifest["data"]["mri"]["fingerprint"]) == 64
    assert manifest["packages"]["torch"] == torch.__version__
    assert len(manifest["runs"]["lora-s0"]["train"]) == 2
    assert sorted(manifest["runs"]["base"]["test"]) == sorted(
        f"{row.dataset}/{row.case}" for row in done.table[["dataset", "case"]].drop_duplicates().itertuples()
    )
    assert manifest["calls"][0]["trained"] == ["lora-s0"]
    assert manifest["calls"][0]["device"] == "cpu"


@pytest.mark.long
def test_the_report_shows_the_cases_that_the_rule_chose(toy_recipe, toy_root, tmp_path, quick_fit):
    done = run_study(toy_recipe, tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=quick_fit)
    figures = tmp_path / "out" / "figures"
    pictures = sorted(path for path in figures.glob("*.png") if path.stem.startswith(("ct-", "mri-")))
    assert [path.stem for path in pictures] == ["ct-best", "ct-worst", "mri-best", "mri-worst"]
    assert all(path.with_suffix(end).is_file() for path in pictures for end in (".svg", ".pdf"))
    assert all(imread(path).shape[1] > 300 for path in pictures)
    box = done.table[(done.table["prompt"] == "box") & (done.table["dataset"] == "mri")]
    scores = box.groupby(["method", "case"])["dice"].mean()
    best = scores["lora"].idxmax()
    said = f"{best}, the best of MRI (mri) by Dice of lora with box: "
    said += f"lora {scores['lora', best]:.3f}, base {scores['base', best]:.3f}"
    assert said in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_scratch_forgets_the_base_and_its_adapter_loads_on_it(study, toy_recipe, toy_root, changed, tmp_path):
    with torch.no_grad():
        trained = load(toy_root / "tiny", device="cpu")
        for parameter in trained.parameters():
            parameter.add_(1.0)
    save_model(trained, tmp_path / "moved")
    seen = []

    def watch(backbone, groups, settings, folder, **rest):
        seen.append({name: value.detach().clone() for name, value in backbone.named_parameters()})
        return FitResult(settings.steps, True, 0.0, 1, {})

    recipe = changed(
        toy_recipe, base=str(tmp_path / "moved"), methods=[{"name": "base"}, {"name": "scratch", "fit": {"replay": 0}}]
    )
    study(recipe, fit=watch)
    fresh = dict(load(toy_root / "tiny", device="cpu").named_parameters())  # what a new network of this config holds
    assert all(torch.equal(value, fresh[name]) for name, value in seen[0].items())
    loaded = load(tmp_path / "moved", adapter=study.folder / "models" / "scratch-s0" / "adapter", device="cpu")
    assert all(torch.equal(value, fresh[name]) for name, value in loaded.named_parameters())


def test_the_real_training_fits_the_seam_and_changes_the_answers(study, toy_recipe, changed):
    done = study(changed(toy_recipe, fit={**toy_recipe.fit, "learning_rate": 0.05}), fit=None)
    table = done.table.set_index(["method", "case", "structure", "prompt"])["dice"]
    assert not np.allclose(table["lora"], table["base"])
    facts = describe(study.folder / "models" / "lora-s0" / "adapter")
    assert facts["card"]["steps"].startswith("3 steps, seed 0")
    assert facts["card"]["data"][-1].endswith("(replayed)")
    trained = json.loads((study.folder / "models" / "lora-s0" / "trained.json").read_text("utf-8"))
    assert (trained["step"], trained["finished"]) == (3, True)


def test_prompts_that_the_base_does_not_take_are_left_out_and_listed(study, toy_recipe, changed, monkeypatch, capsys):
    loaded = facts.load

    def deaf(*given, **rest):
        backbone = loaded(*given, **rest)
        backbone.spec = replace(backbone.spec, accepts=frozenset({PromptKind.BOX}))
        return backbone

    monkeypatch.setattr(facts, "load", deaf)
    with pytest.raises(RecipeError, match=r"prompts hold text, which .* does not take, and none that it takes"):
        study(changed(toy_recipe, prompts=["text"]))
    assert not (study.folder / "parts").exists()
    done = study(changed(toy_recipe, methods=[{"name": "base"}], prompts=["box", "text"], clicks=1))
    assert set(done.table["prompt"]) == {"box"}
    assert len(done.not_asked) == 2
    assert "base is not asked by text: " in done.not_asked[0]
    assert "base is not corrected by clicks: " in done.not_asked[1]
    manifest = json.loads((study.folder / "manifest.json").read_text("utf-8"))
    assert manifest["not_asked"] == list(done.not_asked)
    assert done.not_asked[0] in (study.folder / "report.md").read_text("utf-8")
    assert (study.folder / "figures" / "ct-best.png").is_file()


def test_missing_data_are_one_sentence(toy_recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("SEGEVOLUTION_DATA", raising=False)
    with pytest.raises(RecipeError, match="nothing says where data lie; give --data FOLDER or set SEGEVOLUTION_DATA"):
        run_study(toy_recipe, tmp_path / "out", device="cpu", quiet=True)
    with pytest.raises(RecipeError, match="nowhere/ct is not there; give its parent folder with --data"):
        run_study(toy_recipe, tmp_path / "out", root=tmp_path / "nowhere", device="cpu", quiet=True)


@pytest.mark.long
def test_the_data_root_may_come_from_the_environment(toy_recipe, toy_root, tmp_path, monkeypatch, quick_fit):
    monkeypatch.setenv("SEGEVOLUTION_DATA", str(toy_root))
    assert run_study(toy_recipe, tmp_path / "out", device="cpu", quiet=True, fit=quick_fit).measured == 8


def test_priors_have_tokens_of_what_they_learned_where_a_recipe_names_no_structures(study, toy_values):
    values = toy_values | {"methods": [{"name": "base"}, {"name": "prior", "kind": "context_prior"}]}
    study(Recipe.model_validate(values))
    about = describe(study.folder / "models" / "prior-s0" / "adapter")
    assert list(about["structures"]) == ["liver", "spleen"]


@pytest.mark.parametrize("has_hashes", [True, False])
@pytest.mark.parametrize("damage", ["deleted", "cut short"])
def test_a_broken_adapter_is_trained_again_and_no_neighbour_takes_it(
    study, toy_recipe, toy_root, changed, tmp_path, quick_fit, capsys, damage, has_hashes
):
    study(toy_recipe)
    run = study.folder / "models" / "lora-s0"
    weights, note = run / "adapter" / "adapter_model.safetensors", json.loads((run / "trained.json").read_text())
    if damage == "deleted":
        shutil.rmtree(run / "adapter")
    else:
        weights.write_bytes(weights.read_bytes()[:200])
    if not has_hashes:  # a note of an earlier version
        del note["files"]
        (run / "trained.json").write_text(json.dumps(note))
    neighbour = run_study(
        toy_recipe, study.folder.with_name("b"), root=toy_root, device="cpu", quiet=True, fit=quick_fit
    )
    assert neighbour.trained == ("lora-s0",)
    shutil.rmtree(study.folder.with_name("b"))
    assert study(toy_recipe).trained == ()  # all is measured, so nobody asks for it
    shutil.rmtree(study.folder / "parts" / "lora-s0")
    done = run_study(toy_recipe, study.folder, root=toy_root, device="cpu", fit=quick_fit)
    assert done.trained == ("lora-s0",)
    assert "lora-s0 was trained, but its files are damaged or gone" in " ".join(capsys.readouterr().err.split())
    assert study(toy_recipe).trained == ()


def test_changed_weights_are_no_finished_training(study, toy_recipe):
    study(toy_recipe)
    path = study.folder / "models" / "lora-s0" / "adapter" / "adapter_model.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 0x80
    path.write_bytes(whole)
    shutil.rmtree(study.folder / "parts" / "lora-s0")
    assert study(toy_recipe).trained == ("lora-s0",)
