"""Rivals in a whole toy study: trained on the same patients, measured on the same questions."""

import json

import pytest

from segevolution.adapters.shipped import expert_for
from segevolution.errors import AdapterError, RecipeError
from segevolution.models.checkpoints import save_model
from segevolution.models.segvol.config import SegVolConfig, StemConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.studies.reading import load_recipe
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.vocabulary import Modality

SMALL_SEGVOL = SegVolConfig(
    window=(8, 32, 32), patch=(4, 8, 8), width=32, depth=2, heads=2, mlp=32, decoder_mlp=32, iou_hidden=16,
    decoder_heads=2, intensity="soft_tissue", coordinates="matching", stem=StemConfig((4, 4, 8), groups=2),
)  # fmt: skip
SMALL_UNET = {"steps": 2, "patch_voxels": 4096, "features": 4, "coverage": 0}


@pytest.fixture
def study(toy_values, toy_root, tmp_path, quick_fit, plain_pictures):
    """Run the toy study with these methods; its folder, and what the call gave."""

    def study(methods, **changes):
        values = {**toy_values, "methods": [{"name": "base"}, *methods], **changes}
        recipe = Recipe.model_validate(values)
        folder = tmp_path / "study"
        return folder, run_study(recipe, folder, root=toy_root, device="cpu", quiet=True, fit=quick_fit)

    return study


def trained(folder, run):
    return json.loads((folder / "models" / run / "trained.json").read_text())


def test_percentile_and_adabn_change_answers_on_mri_and_leave_those_on_ct(study, toy_root):
    save_model(SegVol.fresh(SMALL_SEGVOL, seed=0), toy_root / "with_norms")
    methods = [{"name": "percentile"}, {"name": "adabn"}]
    folder, done = study(methods, base=str(toy_root / "with_norms"), prompts=["point", "box"])
    table = done.table.set_index(["method", "case", "structure", "prompt"])["predicted_iou"]
    for method in ("percentile", "adabn"):
        ct = [key for key in table["base"].index if key[0].startswith("ct")]
        mri = [key for key in table["base"].index if key[0].startswith("mri")]
        assert ct
        assert mri
        assert (table[method].loc[ct] == table["base"].loc[ct]).all()
    overlap = done.table.pivot_table(index=["case", "structure", "prompt"], columns="method", values="predicted_iou")
    changed = overlap[overlap.index.get_level_values("case").str.startswith("mri")]
    assert (changed["percentile"] != changed["base"]).any()
    assert (changed["adabn"] != changed["base"]).any()
    assert trained(folder, "adabn-s0")["target_scans"] == 2
    assert trained(folder, "percentile-s0")["source_scans"] == 1
    assert set(done.table[done.table["method"] == "adabn"]["base"]) == set(
        done.table[done.table["method"] == "base"]["base"]
    )


def test_a_base_without_norms_has_no_statistics_to_replace(study):
    with pytest.raises(AdapterError, match="has no norm"):
        study([{"name": "adabn"}])


@pytest.mark.parametrize("name", ["percentile", "adabn"])
def test_what_compares_with_the_source_needs_patients_who_stand_for_it(study, name):
    with pytest.raises(RecipeError, match="give some the role replay"):
        study([{"name": name, "fit": {"replay": 0}}])


def test_a_unet_answers_text_and_is_cut_to_boxes_and_tells_steps_and_seconds(study):
    folder, done = study([{"name": "unet", "settings": SMALL_UNET}], prompts=["text", "box", "text+box"])
    rows = done.table[done.table["method"] == "unet"]
    assert set(rows["prompt"]) == {"text", "text+box"}
    assert set(rows["trained_on"]) == {2}
    voxels = rows.pivot_table(index=["case", "structure"], columns="prompt", values="predicted_voxels")
    assert (voxels["text+box"] <= voxels["text"]).all()
    facts = trained(folder, "unet-s0")
    assert facts["steps"] == 2
    assert facts["seconds"] > 0
    assert facts["network"]["structures"] == ["liver", "spleen"]
    assert (folder / "models" / "unet-s0" / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ({"name": "unet", "settings": {"step": 3}}, '"step" is no key here; did you mean "steps"'),
        ({"name": "unet", "base": "segvol-mini"}, "adapts no network"),
        ({"name": "adabn", "settings": {"prior": -1}}, "prior is -1"),
        ({"name": "percentile", "settings": {"prior": 1}}, "takes no settings"),
        ({"name": "base", "modalities": ["MRI"]}, "modalities say where an adapter is on"),
        ({"name": "lora", "modalities": ["X-ray"]}, "is not a modality"),
    ],
)
def test_settings_that_a_rival_does_not_take_are_refused_in_a_sentence(toy_values, method, sentence):
    with pytest.raises(ValueError, match=sentence):
        Recipe.model_validate(
            {**toy_values, "methods": [{"name": "plain", "kind": "base"}, method], "reference": "plain"}
        )


def test_an_adapter_that_is_off_on_ct_leaves_the_base_there_bit_for_bit(study):
    _, done = study([{"name": "lora", "settings": {"rank": 2}, "modalities": ["MRI"]}])
    columns = ["case", "structure", "prompt", "dice", "predicted_iou", "predicted_voxels", "modality"]
    base, lora = (
        done.table[done.table["method"] == name][columns].sort_values(columns[:3]).reset_index(drop=True)
        for name in ("base", "lora")
    )
    ct = base["modality"] == "CT"
    assert base[ct].equals(lora[ct])
    assert not base[~ct].equals(lora[~ct])


def test_the_shipped_recipe_has_every_rival_and_lora_that_differs_from_the_mixture_in_one_thing():
    recipe = load_recipe("rivals")
    methods = {method.name: method for method in recipe.methods}
    assert {"base", "ellipsoid", "percentile", "adabn", "unet", "scratch", "mixture-bare"} <= set(methods)
    alone, mixture = methods["lora-mri-only"], methods["mixture-bare"]
    assert alone.settings["targets"] == mixture.settings["targets"]
    assert "also_train" not in alone.settings
    assert recipe.fit_of(alone) == recipe.fit_of(mixture)
    assert [str(one) for one in alone.modalities] == ["MRI"]


def test_training_from_scratch_has_the_aids_of_segvol_mini_and_five_times_the_steps():
    recipe = load_recipe("rivals")
    plain, aided, longer = (
        recipe.fit_of(next(method for method in recipe.methods if method.name == name)).settings
        for name in ("scratch", "scratch-aided", "scratch-aided-5x")
    )
    assert (plain.objective.semantic, aided.objective.semantic, longer.objective.semantic) == (0, 0.5, 0.5)
    assert aided.objective.resolution == longer.objective.resolution == "decoder"
    assert (plain.steps, aided.steps, longer.steps) == (120, 120, 600)


def test_the_shipped_recipe_tests_each_patient_once_beside_what_segment_answers_with_today():
    recipe = load_recipe("rivals")
    chaos = next(one for one in recipe.data if one.name == "chaos")
    assert (chaos.folds, chaos.train, recipe.shots) == (2, 5, [])  # of 14
    methods = {method.name: method for method in recipe.methods}
    shipped = expert_for(recipe.base, Modality.MRI)
    assert shipped is not None
    assert methods["expert"].start == methods["mixture"].start == shipped.adapter
    assert not methods["expert"].train
