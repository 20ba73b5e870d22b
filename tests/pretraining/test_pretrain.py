import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from segevolution.data.store import Store
from segevolution.errors import CheckpointError, RecipeError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import fingerprint, load_model, save_model
from segevolution.models.hermes.hermes import Hermes
from segevolution.models.hub import find
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.encoder_weights import save_encoder
from segevolution.models.segvol.resize import resized
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.pretraining.data import pack_training
from segevolution.pretraining.networks import maker_of
from segevolution.pretraining.pretrain import pretrain
from segevolution.pretraining.recipe import (
    PretrainRecipe,
    drawn_from,
    load_pretraining,
    network_config,
    stage_settings,
)
from segevolution.vocabulary import Modality

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
            "simulate": {"patients": 2, "seed": 7, "modality": "CT", "spacing": [5, 5, 8]},
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


@pytest.mark.long
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
    whole = (tmp_path / "manifest.json").read_text("utf-8")
    for number, changed, sentence in (
        (0, {"steps": 3}, "stage-1 was trained to its end with steps 2, and is now asked for 3"),
        (1, {"steps": 2, "learning_rate": 0.5}, "stage-2 was trained to its end with learning_rate"),
    ):
        other = json.loads(json.dumps(SMALL))
        other["stages"][number]["fit"] |= changed
        with pytest.raises(RecipeError, match=sentence):
            pretrain(PretrainRecipe.model_validate(other), tmp_path, device="cpu", quiet=True)
    assert (tmp_path / "manifest.json").read_text("utf-8") == whole
    in_passing = recipe.model_copy(update={"fit": {**recipe.fit, "workers": 1, "seconds": 9.0}})
    assert pretrain(in_passing, tmp_path, device="cpu", quiet=True).stages == ()
    first = tmp_path / "stage-1" / "weights.safetensors"
    sound, bytes_before = load_file(first), first.read_bytes()
    for change, reason in (
        ({name: sound[name] for name in list(sound)[1:]}, "do not fit the network: missing"),
        ({**sound, name: sound[name][:, 1:]}, "of another shape"),
        ({**sound, name: torch.full_like(sound[name], torch.nan)}, "NaN"),
        (None, "cannot be read as safetensors"),
    ):
        first.write_bytes(bytes_before[:-9])
        if change is not None:
            save_file({key: value.contiguous() for key, value in change.items()}, first)
        with pytest.raises(CheckpointError, match=rf"stage-1.weights\.safetensors.*{reason}"):
            pretrain(recipe, tmp_path, device="cpu", quiet=True)
    first.write_bytes(bytes_before)
    for damage in (
        "null",
        "[]",
        '{"packed": 5}',
        '{"packed": {"stage-1": {"file": 3}}}',
        '{"encoder": "',
        '{"a": 1, "a": 2}',
    ):
        (tmp_path / "manifest.json").write_text(damage)
        with pytest.raises(RecipeError, match=r"manifest\.json"):
            pretrain(recipe, tmp_path, device="cpu", quiet=True)


@pytest.mark.long
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


def _still(**changes):
    """One step at a rate of nothing: what a training begins with is what it ends with."""
    stage = {"window": [8, 16, 16], "fit": {"steps": 1, "warmup": 100, "learning_rate": 1e-12, "ema_decay": 0}}
    return PretrainRecipe.model_validate(SMALL | {"stages": [stage]} | changes)


@pytest.fixture
def begun_with(tmp_path):
    """A model with words of its own, at the window of `_still`."""
    words = WordTokenizer([*WordTokenizer.of_vocabulary().words, "zebra"])
    model = SegVol.fresh(network_config(_still(), words), 99, words)
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.long
def test_training_starts_from_a_models_weights_and_words_and_remembers_which(begun_with, tmp_path):
    recipe = _still(start=str(begun_with))
    made = pretrain(recipe, tmp_path / "run", device="cpu", quiet=True)
    before, after = (load_model(place) for place in (begun_with, made.model))
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value.half().float(), atol=1e-3, rtol=1e-3)
    assert after.text_encoder.tokenizer.words[-1] == "zebra"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert manifest["start"] == {"model": str(begun_with), "fingerprint": fingerprint(begun_with)}
    assert f"began with the weights of {begun_with}" in (made.model / "README.md").read_text("utf-8")


def test_a_start_without_a_pixel_decoder_gets_one_that_changes_nothing(begun_with, tmp_path):
    network = SMALL["network"] | {"pixel_decoder": {"channels": [8, 8], "groups": 4}}
    begun = maker_of(_still()).started(
        _still(start=str(begun_with), network=network), load_model(begun_with), tmp_path / "run"
    )
    before = load_model(begun_with)
    assert begun.state_dict().keys() > before.state_dict().keys()
    images = torch.rand(1, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    for now, then in zip(begun.encode(images, [None]).skips, before.encode(images, [None]).skips, strict=True):
        assert torch.equal(now, then)


@pytest.mark.long
def test_a_run_from_a_model_goes_on_exactly(begun_with, tmp_path):
    stage = {"window": [16, 32, 32], "fit": {"steps": 4, "checkpoint_every": 2}}
    recipe = _still(start=str(begun_with), stages=[stage])
    whole = pretrain(recipe, tmp_path / "whole", device="cpu", quiet=True).model
    stopped = recipe.model_copy(update={"fit": {**recipe.fit, "seconds": 0.0}})
    assert pretrain(stopped, tmp_path / "parts", device="cpu", quiet=True).model is None
    longer = _still(start=str(begun_with), stages=[{**stage, "fit": {**stage["fit"], "steps": 5}}])
    with pytest.raises(RecipeError, match="stage-1 was begun with steps 4, and is now asked for 5"):
        pretrain(longer, tmp_path / "parts", device="cpu", quiet=True)
    parts = pretrain(recipe, tmp_path / "parts", device="cpu", quiet=True).model
    assert fingerprint(whole) == fingerprint(parts)
    assert load_model(parts).spec.window == (16, 32, 32)


@pytest.mark.long
def test_a_start_that_cannot_be_is_one_sentence(begun_with, tmp_path):
    recipe = _still(start=str(begun_with))
    wider = _still(start=str(begun_with), network=SMALL["network"] | {"mlp": 64})
    with pytest.raises(RecipeError, match=r"cannot start from [^\n]*: network\.mlp is 64 in the recipe and 32 in"):
        pretrain(wider, tmp_path / "wider", device="cpu", quiet=True)
    with pytest.raises(CheckpointError, match='no model is called "zebra"'):
        pretrain(_still(start="zebra"), tmp_path / "zebra", device="cpu", quiet=True)
    save_model(TinyBackbone(TinyConfig()), tmp_path / "tiny")
    with pytest.raises(RecipeError, match="no SegVol that reads words"):
        pretrain(_still(start=str(tmp_path / "tiny")), tmp_path / "other", device="cpu", quiet=True)
    with pytest.raises(RecipeError, match="leave one of them out"):
        pretrain(recipe, tmp_path / "both", encoder=begun_with, device="cpu", quiet=True)
    pretrain(recipe, tmp_path / "run", device="cpu", quiet=True)
    words = WordTokenizer.load(begun_with)
    save_model(SegVol.fresh(network_config(recipe, words), 5, words), begun_with, force=True)
    with pytest.raises(RecipeError, match=r"began with a [^\n]* of fingerprint [^\n]*, which now is "):
        pretrain(recipe, tmp_path / "run", device="cpu", quiet=True)


@pytest.mark.parametrize("name", ["segvol_mini", "segvol_mini_2", "segvol_mini_3"])
def test_the_shipped_recipe_can_be_used_and_sees_no_mri(name, tmp_path):
    recipe = load_pretraining(name)
    if recipe.start is not None:
        begun = maker_of(recipe).started(recipe, load_model(find(recipe.start)), tmp_path)
        assert begun.spec.window == recipe.stages[0].window
    network_config(recipe, WordTokenizer.of_vocabulary())
    assert [stage_settings(recipe, number).steps for number in range(len(recipe.stages))]
    for entry in recipe.data:
        assert (entry.simulate.modality if entry.simulate else entry.modality or "CT") == "CT"


HERMES = SMALL | {
    "network": {
        "type": "hermes",
        "width": 8,
        "spacing": [8, 8, 8],
        "fusion_blocks": [1, 1, 1, 1, 1],
        "tasks": [
            {"name": "ct", "modality": "CT", "structures": ["liver", "spleen"]},
            {"name": "mr", "modality": "MRI", "acquisition": "T2", "structures": ["liver", "aorta"]},
        ],
    },
    "structures": ["liver", "spleen", "aorta"],
    "data": [
        {"name": "ct", "path": "ct", "train": 1, "test": 1},
        {"name": "mr", "path": "mr", "train": 1, "test": 0},
    ],
    "fit": {"warmup": 1, "sample": {"views": 1, "structures": 3, "prompts": 1}, "validation_steps": 1},
    "stages": [{"window": [16, 16, 32], "fit": {"steps": 3, "checkpoint_every": 1}}],
}


@pytest.fixture
def two_sets(tmp_path):
    """A folder with stores of CT and of MRI, one liver a patient."""
    for name, modality, patients in (("ct", Modality.CT, 2), ("mr", Modality.MRI, 1)):
        store = Store.create(tmp_path / name)
        for number in range(patients):
            labels = np.zeros((20, 16, 12), np.uint8)
            labels[4:12, 3 + number : 10, 2:9] = 1
            signal = np.random.default_rng(number).normal(0, 20, labels.shape) + 200 * labels
            volume = Volume(
                signal.astype(np.float32), Grid(labels.shape, np.diag([8, 8, 8, 1])), modality, f"p{number}"
            )
            store.add(Case(f"p{number}", f"p{number}", name, volume, labels, {"liver": (1,)}))
    return tmp_path


@pytest.mark.long
def test_a_network_made_from_sizes_is_trained_on_several_data_sets_and_goes_on_exactly(two_sets, tmp_path):
    recipe = PretrainRecipe.model_validate(HERMES)
    whole = pretrain(recipe, tmp_path / "whole", root=two_sets, device="cpu", quiet=True).model
    stopped = recipe.model_copy(update={"fit": {**recipe.fit, "seconds": 0.0}})
    for _ in range(2):
        assert pretrain(stopped, tmp_path / "parts", root=two_sets, device="cpu", quiet=True).model is None
    parts = pretrain(recipe, tmp_path / "parts", root=two_sets, device="cpu", quiet=True).model
    assert fingerprint(whole) == fingerprint(parts)
    model = load_model(whole)
    assert isinstance(model, Hermes)
    assert model.config.acquisitions == ("CT", "T2")
    card = (whole / "README.md").read_text("utf-8")
    assert "ct: 1 cases" in card
    assert "never trained on: p" in card


def test_a_network_made_from_sizes_starts_from_a_model_grows_and_leaves_data_out(two_sets, tmp_path):
    recipe = PretrainRecipe.model_validate(HERMES)
    fresh = maker_of(recipe).fresh(recipe, tmp_path)
    save_model(fresh, tmp_path / "model")
    still = {"steps": 1, "warmup": 100, "learning_rate": 1e-12, "ema_decay": 0}
    stages = [
        {"window": [16, 16, 32], "fit": still, "weights": {"mr": 0}},
        {"window": [16, 32, 32], "fit": still, "weights": {"mr": 0}},
    ]
    begun = PretrainRecipe.model_validate(HERMES | {"seed": 5, "start": str(tmp_path / "model"), "stages": stages})
    made = pretrain(begun, tmp_path / "run", root=two_sets, device="cpu", quiet=True).model
    model = load_model(made)
    assert model.spec.window == (16, 32, 32)
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value.half().float(), atol=1e-3, rtol=1e-3)
    assert "mr: " not in (made / "README.md").read_text("utf-8")
    assert set(json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))["data"]) == {"ct"}
    wider = PretrainRecipe.model_validate(HERMES | {"network": HERMES["network"] | {"width": 16}})
    with pytest.raises(RecipeError, match=r"network\.width is 16 in the recipe and 8 in"):
        maker_of(wider).started(wider, fresh, tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": HERMES["network"] | {"type": "hermess"}}, 'did you mean "hermes"'),
        ({"network": HERMES["network"] | {"widht": 8}}, "small: .*has no widht"),
        ({"network": HERMES["network"] | {"width": 9}}, "small: .*multiple of 8"),
        ({"structures": ["liver", "spleen"]}, "aorta stands in one of structures and network alone"),
    ],
)
def test_a_network_that_cannot_be_is_one_sentence(changes, sentence, tmp_path):
    recipe = PretrainRecipe.model_validate(HERMES | changes)
    with pytest.raises(RecipeError, match=sentence) as raised:
        maker_of(recipe).fresh(recipe, tmp_path)
    assert "\n" not in str(raised.value)


def test_only_a_segvol_takes_a_pack_or_an_encoder(tmp_path):
    recipe = PretrainRecipe.model_validate(HERMES)
    with pytest.raises(RecipeError, match="only data of a SegVol are packed"):
        pack_training(recipe, tmp_path / "pack", tmp_path / "run")
    with pytest.raises(RecipeError, match="only data of a SegVol are packed"):
        pretrain(recipe, tmp_path / "run", packed=tmp_path / "pack", device="cpu", quiet=True)
    with pytest.raises(RecipeError, match="takes no encoder"):
        pretrain(recipe, tmp_path / "run", encoder=tmp_path, device="cpu", quiet=True)


def test_the_shipped_recipe_of_hermes_can_be_used(tmp_path):
    for changes in ([], ["network.priors=none"], ["stages.0.weights={btcv: 0, hippocampus: 0, acdc: 0}"]):
        recipe = load_pretraining("hermes_mini", changes)
        model = maker_of(recipe).fresh(recipe, tmp_path)
        assert len(model.spec.structures) == 18
        assert stage_settings(recipe, 0).objective.overlap == "tversky"
    assert [entry.name for entry in drawn_from(recipe, 1)] == ["chaos"]


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
