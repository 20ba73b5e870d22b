import json
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from segevolution.errors import CheckpointError, RecipeError
from segevolution.models.checkpoints import load_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.encoder_weights import save_encoder
from segevolution.models.segvol.resize import resized
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.pretraining.pretrain import pretrain
from segevolution.pretraining.recipe import PretrainRecipe, load_pretraining, network_config, stage_settings

SMALL = {
    "name": "small",
    "about": "A network for this test.",
    "licence": "none",
    "network": {
        "patch": [4, 8, 8],
        "width": 32,
        "depth": 1,
        "heads": 2,
        "mlp": 32,
        "decoder_heads": 2,
        "decoder_mlp": 32,
        "iou_hidden": 8,
        "text": {
            "kind": "words",
            "width": 16,
            "layers": 1,
            "heads": 2,
            "mlp": 16,
            "positions": 24,
            "train_tower": True,
        },
        "intensity": "soft_tissue",
        "coordinates": "matching",
        "stem": {"channels": [4, 8, 8]},
        "high_resolution": True,
        "dense_prompts": True,
    },
    "structures": ["liver", "spleen"],
    "data": [
        {
            "name": "sim",
            "simulate": {"patients": 2, "seed": 7, "modality": "CT"},
            "train": 1,
            "validation": 1,
            "test": 0,
        }
    ],
    "fit": {"warmup": 1, "sample": {"views": 1, "structures": 2, "prompts": 1}, "validation_steps": 1},
    "stages": [
        {"window": [8, 16, 16], "fit": {"steps": 2, "objective": {"semantic": 0.5}}},
        {"window": [16, 32, 32], "fit": {"steps": 2}},
    ],
}


def test_a_network_is_trained_in_stages_and_saved_as_a_model(tmp_path):
    recipe = PretrainRecipe.model_validate(SMALL)
    made = pretrain(recipe, tmp_path, device="cpu", quiet=True)
    assert made.model == tmp_path / "model"
    assert [stage.step for stage in made.stages] == [2, 2]
    model = load_model(made.model)
    assert model.spec.window == (16, 32, 32)
    assert model.spec.structures == ("liver", "spleen")
    last = load_file(tmp_path / "stage-2" / "weights.safetensors")
    name = "image_encoder.patch_embedding.position_embeddings"
    torch.testing.assert_close(model.state_dict()[name], last[name].half().float())
    card = (made.model / "README.md").read_text("utf-8")
    assert "sim: 1 cases" in card
    assert "never trained on" in card
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert manifest["stages"][1]["sample"]["views"] == 1
    assert manifest["stages"][1]["accumulate"] == 1  # a default, spelt out
    assert set(manifest["data"]) == {"sim"}
    assert {"seed", "git", "packages", "recipe"} <= manifest.keys()
    assert manifest["encoder"] is None
    again = pretrain(recipe, tmp_path, device="cpu", quiet=True)
    assert again.stages == ()


def test_training_starts_from_a_pretrained_encoder_and_remembers_which(tmp_path):
    still = SMALL | {"stages": [{"window": [8, 16, 16], "fit": {"steps": 1, "warmup": 100, "learning_rate": 1e-9}}]}
    recipe = PretrainRecipe.model_validate(still)
    other = SegVol.fresh(network_config(recipe, WordTokenizer.of_vocabulary()), 99)
    save_encoder(other, tmp_path / "encoder", {})
    plain = pretrain(recipe, tmp_path / "plain", device="cpu", quiet=True)
    begun = pretrain(recipe, tmp_path / "begun", encoder=tmp_path / "encoder", device="cpu", quiet=True)
    found = [load_model(made.model).state_dict() for made in (plain, begun)]
    for name, value in other.state_dict().items():
        if name.startswith("image_encoder."):
            torch.testing.assert_close(found[1][name], value, atol=1e-3, rtol=1e-3)
        elif not name.startswith("text_encoder."):
            torch.testing.assert_close(found[1][name], found[0][name])
    pretrain(recipe, tmp_path / "begun", device="cpu", quiet=True)
    told = json.loads((tmp_path / "begun" / "manifest.json").read_text("utf-8"))["encoder"]
    assert "encoder.safetensors" in told["from"]
    assert len(told["sha256"]) == 64


def test_an_encoder_of_another_size_is_one_sentence(tmp_path):
    recipe = PretrainRecipe.model_validate(SMALL)
    sizes = network_config(recipe, WordTokenizer.of_vocabulary())
    save_encoder(SegVol.fresh(replace(sizes, depth=2), 0), tmp_path / "encoder", {})
    with pytest.raises(CheckpointError, match=r"do not fit the network: unexpected: image_encoder\.blocks\.1[^\n]*\.$"):
        pretrain(recipe, tmp_path / "run", encoder=tmp_path / "encoder", device="cpu", quiet=True)


def test_the_shipped_recipe_can_be_used_and_sees_no_mri():
    recipe = load_pretraining("segvol_mini")
    network_config(recipe, WordTokenizer.of_vocabulary())
    assert [stage_settings(recipe, number).steps for number in range(len(recipe.stages))]
    for entry in recipe.data:
        assert (entry.simulate.modality if entry.simulate else entry.modality or "CT") == "CT"


def test_an_unknown_setting_is_named_in_one_sentence():
    recipe = load_pretraining("segvol_mini", ["fit.stepz=3"])
    with pytest.raises(RecipeError, match=r'"stepz" is no key here; did you mean "steps"'):
        stage_settings(recipe, 0)
    with pytest.raises(RecipeError, match="did you mean"):
        load_pretraining("segvol_mini", ["datta=3"])


def test_a_stage_weighs_only_datasets_that_there_are():
    with pytest.raises(ValidationError, match="a stage weighs btvc, which data does not list"):
        PretrainRecipe.model_validate(SMALL | {"stages": [{**SMALL["stages"][0], "weights": {"btvc": 2}}]})


def test_a_grown_network_knows_what_the_small_one_knew():
    config = SegVolConfig(window=(8, 16, 16), patch=(4, 8, 8), width=32, depth=1, heads=2, mlp=32, decoder_heads=2)
    small = SegVol.fresh(config, 0)
    large = resized(small, (16, 48, 32))
    assert large.spec.window == (16, 48, 32)
    positions = "image_encoder.patch_embedding.position_embeddings"
    mean = small.state_dict()[positions].mean(1)
    torch.testing.assert_close(large.state_dict()[positions].mean(1), mean, atol=0.02, rtol=0)
    again = resized(large, (8, 16, 16)).state_dict()
    for name, value in small.state_dict().items():
        assert again[name].shape == value.shape
        if name != positions:
            torch.testing.assert_close(again[name], value)
