"""A recipe of SimMIM: what it refuses, and what it leaves for trainings with labels and for adaptation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from segevolution.adapters import load_adapter
from segevolution.adapters.artifact import describe
from segevolution.cli.app import main
from segevolution.data.store import Store
from segevolution.errors import RecipeError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.encoder_weights import load_encoder
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.pretraining.recipe import load_pretraining, network_config
from segevolution.pretraining.simmim import SimMIMRecipe, load_simmim, pretrain_simmim
from segevolution.vocabulary import Modality

NETWORK = {
    "window": [8, 16, 16],
    "patch": [4, 8, 8],
    "width": 32,
    "depth": 1,
    "heads": 2,
    "mlp": 32,
    "decoder_heads": 2,
    "decoder_mlp": 32,
    "iou_hidden": 8,
    "stem": {"channels": [4, 8, 8]},
}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """A recipe over a store of images without labels."""
    store = Store.create(tmp_path / "data" / "images")
    for number in range(3):
        signal = np.random.default_rng(number).integers(10, 500, (24, 20, 10)).astype(np.int16)
        volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 4.0, 1.0])), Modality.MRI, "scan")
        store.add(Case(f"scan{number}", f"p{number}", "images", volume, np.zeros(signal.shape, np.uint8)))
    store.describe("images", {"licence": "CC0", "source": "folder"})
    return {
        "name": "toy",
        "network": NETWORK,
        "simmim": {"ratio": 0.6},
        "data": [{"name": "images", "path": "images", "train": 2, "validation": 1, "test": 0}],
        "fit": {"steps": 3, "warmup": 1, "validation_steps": 1, "sample": {"views": 2}},
    }


def test_a_recipe_leaves_an_encoder_that_says_how_it_came_about(values: dict[str, Any], tmp_path: Path) -> None:
    made = pretrain_simmim(
        SimMIMRecipe.model_validate(values), tmp_path / "run", root=tmp_path / "data", device="cpu", quiet=True
    )
    assert made.made == tmp_path / "run" / "encoder"
    told = json.loads((made.made / "simmim.json").read_text("utf-8"))
    assert told["steps"] == 3
    assert told["simmim"]["ratio"] == 0.6
    assert told["data"] == {"images": Store.open(tmp_path / "data" / "images").fingerprint()}
    assert told["licences"] == {"images": "CC0"}
    assert {"git", "packages", "recipe", "network", "start"} <= told.keys()
    assert {"train/l1", "validation/l1", "validation/guess"} <= told["metrics"].keys()
    assert (tmp_path / "run" / "reconstruction.png").read_bytes().startswith(b"\x89PNG")
    fresh = SegVol.fresh(SegVolConfig.from_dict(NETWORK), 0)
    start = fresh.image_encoder.blocks[0].attn.qkv.weight.clone()
    assert load_encoder(fresh, tmp_path / "run").dropped == ()
    assert not torch.equal(fresh.image_encoder.blocks[0].attn.qkv.weight, start)
    before = (made.made / "encoder.safetensors").read_bytes()
    again = pretrain_simmim(
        SimMIMRecipe.model_validate(values), tmp_path / "run", root=tmp_path / "data", device="cpu", quiet=True
    )
    assert again.made == made.made
    assert (made.made / "encoder.safetensors").read_bytes() == before


def test_lora_on_a_base_leaves_an_adapter_of_that_base(values: dict[str, Any], tmp_path: Path) -> None:
    save_model(SegVol.fresh(SegVolConfig.from_dict(NETWORK), 4), tmp_path / "base")
    adapter = {"settings": {"rank": 2, "targets": ["encoder"]}}
    changed = {key: value for key, value in values.items() if key != "network"}
    recipe = SimMIMRecipe.model_validate({**changed, "base": str(tmp_path / "base"), "adapter": adapter})
    made = pretrain_simmim(recipe, tmp_path / "run", root=tmp_path / "data", device="cpu", quiet=True)
    assert made.made == tmp_path / "run" / "adapter"
    told = describe(made.made)
    assert told["card"]["licences"] == {"images": "CC0"}
    assert "no label was seen" in told["card"]["about"]
    loaded = load_adapter(made.made, load_model(tmp_path / "base"))
    assert all(value.any() for name, value in loaded.state().items() if ".lora_B." in name)
    assert not (tmp_path / "run" / "encoder").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": None}, "give either network"),
        ({"base": "segvol-mini"}, "give either network"),
        ({"adapter": {"method": "lora"}}, "an adapter learns on a base"),
        ({"fit": {"prompt": {}}}, "fit.prompt has no part"),
        ({"fit": {"keep_weights": "best"}}, "fit.keep_weights has no part"),
        ({"fit": {"schedule": "plateau"}}, "fit.schedule has no part"),
        ({"fit": {"sample": {"prompts": 2}}}, "fit.sample.prompts has no part"),
        ({"fit": {"seed": 2}}, "as the recipe's seed"),
        ({"fit": {"stepz": 2}}, 'did you mean "steps"'),
        ({"simmim": {"rato": 0.5}}, 'did you mean "ratio"'),
        ({"simmim": {"ratio": 2}}, "share between 0 and 1"),
        ({"nane": "x"}, 'did you mean "name"'),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    values: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        SimMIMRecipe.model_validate({**values, **change})
    assert sentence in str(caught.value)


def test_units_that_do_not_fill_the_tokens_are_refused_before_training(values: dict[str, Any], tmp_path: Path) -> None:
    recipe = SimMIMRecipe.model_validate({**values, "simmim": {"unit": [2, 2, 3]}})
    with pytest.raises(RecipeError, match="does not fill"):
        pretrain_simmim(recipe, tmp_path / "run", root=tmp_path / "data", device="cpu", quiet=True)
    assert not (tmp_path / "run" / "fit" / "last.ckpt").exists()


def test_the_shipped_recipe_prepares_for_the_first_stage_of_segvol_mini() -> None:
    recipe = load_simmim("simmim_mini", ["data.images.simulate=null", "data.images.path=store"])
    assert recipe.network == "segvol_mini"
    config = network_config(load_pretraining("segvol_mini"), WordTokenizer.of_vocabulary())
    assert recipe.masking().hidden_units(config.grid) == 86
    short = network_config(load_pretraining("mini_short"), WordTokenizer.of_vocabulary())
    assert replace(short, structures=(), windows="off") == replace(config, structures=(), windows="off")
    assert recipe.settings().steps > 0


def test_the_command_line_tells_such_a_recipe_from_others(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    line = ["train", str(tmp_path / "toy.yaml"), "fit.steps=1", "--data", str(tmp_path / "data")]
    line += ["-o", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    with pytest.raises(SystemExit, match="0"):
        main([*line, "--json"])
    assert json.loads(capsys.readouterr().out)["made"] == str(tmp_path / "run" / "encoder")
    with pytest.raises(SystemExit, match="2"):
        main([*line, "--encoder", str(tmp_path / "run")])
    assert "makes an encoder and takes none" in capsys.readouterr().err
