"""Training from one packed file, where the data themselves are not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import load_file

from segevolution.cli.app import main
from segevolution.data.pack import read_pack
from segevolution.data.store import Store
from segevolution.errors import OutputError, RecipeError
from segevolution.models.checkpoints import load_model
from segevolution.pretraining.data import PackedData, StoreData, pack_training
from segevolution.pretraining.pretrain import pretrain
from segevolution.pretraining.recipe import PretrainRecipe, load_pretraining
from segevolution.training.batches import StepDataset

VALUES: dict[str, Any] = {
    "name": "packable",
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
        "text": {"kind": "words", "width": 16, "layers": 1, "heads": 2, "mlp": 16, "positions": 24},
        "intensity": "soft_tissue",
    },
    "structures": ["liver", "spleen"],
    "data": [
        {"name": "ct", "path": "ct", "train": 2, "validation": 1, "test": 0, "licence": "toy licence", "weight": 2},
        {"name": "more", "path": "mri", "train": 3, "test": 0, "since": 2},
    ],
    "fit": {"warmup": 1, "sample": {"views": 1, "structures": 1, "prompts": 1}, "validation_steps": 1},
    "stages": [{"window": [8, 16, 16], "fit": {"steps": 2}}, {"window": [8, 16, 16], "fit": {"steps": 2}}],
    "pack": {"datasets": {"more": {"cases": 2}}},
}


def recipe_of(**changes: Any) -> PretrainRecipe:
    return PretrainRecipe.model_validate(VALUES | changes)


@pytest.fixture
def pack(toy_root: Path, tmp_path: Path) -> Path:
    """A pack of the toy stores, which are gone."""
    pack_training(recipe_of(), tmp_path / "toy.pack", tmp_path / "packing", root=toy_root)
    shutil.rmtree(toy_root)
    return tmp_path / "toy.pack"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "stage-2" / "weights.safetensors")


def test_a_network_is_trained_from_a_pack_alone_twice_alike_and_says_so(pack, tmp_path):
    runs = [tmp_path / name for name in ("first", "second")]
    for run in runs:
        made = pretrain(recipe_of(), run, packed=pack, device="cpu", quiet=True)
        assert made.model is not None
    first, second = (weights(run) for run in runs)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    sha256 = read_pack(pack).sha256
    manifest = json.loads((runs[0] / "manifest.json").read_text("utf-8"))
    assert {name: facts["sha256"] for name, facts in manifest["packed"].items()} == {
        "stage-1": sha256,
        "stage-2": sha256,
    }
    assert set(manifest["data"]) == {"ct", "more"}
    card = (runs[0] / "model" / "README.md").read_text("utf-8")
    assert "ct: 2 cases" in card
    assert "licence: toy licence; never trained on: ct" in card
    assert f"stage-1, stage-2: trained from a packed set, sha256 {sha256}: voxels no finer than 1.5 x 1.5 x 2.5" in card
    assert "2 of 3 training cases of more" in card
    assert load_model(runs[0] / "model").spec.structures == ("liver", "spleen")
    assert not (runs[0] / "data").exists()


def test_a_stopped_training_from_a_pack_goes_on_to_the_same_weights(pack, tmp_path):
    pretrain(recipe_of(), tmp_path / "whole", packed=pack, device="cpu", quiet=True)
    stopping = recipe_of(fit=VALUES["fit"] | {"seconds": 0.0, "checkpoint_every": 1})
    stops = 0
    while pretrain(stopping, tmp_path / "stopped", packed=pack, device="cpu", quiet=True).model is None:
        stops += 1
        assert stops < 10
    assert stops >= 2
    whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    for name, value in whole.items():
        assert torch.equal(value, stopped[name]), name


def test_a_stage_goes_on_only_with_the_data_that_it_was_begun_with(toy_root, tmp_path):
    recipe = recipe_of(fit=VALUES["fit"] | {"seconds": 0.0, "checkpoint_every": 1})
    for name, voxels in (("large", 1_000_000), ("small", 1000)):
        smaller = recipe_of(pack={"voxels": voxels})
        pack_training(smaller, tmp_path / f"{name}.pack", tmp_path / "packing", root=toy_root)
    pretrain(recipe, tmp_path / "run", packed=tmp_path / "large.pack", device="cpu", quiet=True)
    with pytest.raises(RecipeError, match=r"was begun with other data; go on with --packed large\.pack, sha256 "):
        pretrain(recipe, tmp_path / "run", packed=tmp_path / "small.pack", device="cpu", quiet=True)
    with pytest.raises(RecipeError, match="was begun with other data"):
        pretrain(recipe, tmp_path / "run", root=toy_root, device="cpu", quiet=True)
    (tmp_path / "large.pack").rename(tmp_path / "moved.pack")
    pretrain(recipe, tmp_path / "run", packed=tmp_path / "moved.pack", device="cpu", quiet=True)


def test_a_pack_deals_the_cases_as_the_stores_do_and_batches_are_the_same_but_for_rounding(toy_root, tmp_path):
    recipe = recipe_of(pack={"finest": [0.1, 0.1, 0.1]})
    pack_training(recipe, tmp_path / "toy.pack", tmp_path / "run", root=toy_root)
    stores, packed = StoreData(tmp_path / "run", toy_root), PackedData(read_pack(tmp_path / "toy.pack"), recipe)
    pretrained = pretrain(recipe, tmp_path / "run", root=toy_root, device="cpu", quiet=True).model
    spec = load_model(pretrained).spec
    for entry in recipe.data:
        assert stores.fingerprint(entry) == packed.fingerprint(entry) == Store.open(toy_root / entry.path).fingerprint()
        for role in ("train", "validation"):
            assert stores.names(entry, role) == packed.names(entry, role)
    (ct, _) = recipe.data
    from_stores, from_pack = (StepDataset([data.group(ct, "train", spec)], spec, 4, 3) for data in (stores, packed))
    for step in range(4):
        one, other = from_stores[step], from_pack[step]
        torch.testing.assert_close(one.images, other.images, atol=0.5 / 255 + 1e-3, rtol=0)
        assert torch.equal(one.targets, other.targets)
        assert one.prompts.structures == other.prompts.structures


def test_a_pack_of_other_data_is_refused_and_other_weights_are_not(pack):
    with pytest.raises(RecipeError, match=r"packed for packable, whose data, structures or intensity differ"):
        PackedData(read_pack(pack), recipe_of(structures=["liver"]))
    with pytest.raises(RecipeError, match="pack this recipe's data"):
        PackedData(read_pack(pack), recipe_of(data=[VALUES["data"][0] | {"train": 3}, VALUES["data"][1]]))
    PackedData(read_pack(pack), recipe_of(data=[VALUES["data"][0] | {"weight": 7}, VALUES["data"][1]]))


def test_a_pack_over_its_megabytes_is_refused(toy_root, tmp_path):
    small = recipe_of(pack={"megabytes": 0.001})
    with pytest.raises(OutputError, match=r"more than 0\.0 MB"):
        pack_training(small, tmp_path / "toy.pack", tmp_path / "run", root=toy_root)
    assert not (tmp_path / "toy.pack").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"voxel": 5}, 'did you mean "voxels"'),
        ({"levels": 300}, "less than or equal to 256"),
        ({"finest": [0, 1, 1]}, "greater than 0"),
        ({"datasets": {"cd": {"cases": 2}}}, "pack names cd, which data does not list"),
    ],
)
def test_settings_of_packing_are_checked(wrong, said):
    with pytest.raises(ValidationError, match=said):
        recipe_of(pack=wrong)


def test_the_shipped_training_packs_within_fifty_megabytes_or_not_at_all():
    recipe = load_pretraining("segvol_mini")
    assert recipe.pack.megabytes <= 50
    assert recipe.pack.limits("btcv").voxels > recipe.pack.limits("sim_torso").voxels


def test_cases_are_kept_evenly():
    names = [f"case{number}" for number in range(10)]
    kept = recipe_of(pack={"cases": 4, "datasets": {"more": {"cases": 20}}}).pack.kept
    assert kept("ct", names) == ["case0", "case2", "case5", "case7"]
    assert kept("more", names) == names


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["train", *map(str, arguments)])
    return int(left.value.code or 0)


def test_the_command_packs_and_trains_and_says_in_one_sentence_what_is_wrong(toy_root, tmp_path, capsys):
    recipe, pack = tmp_path / "recipe.yaml", tmp_path / "toy.pack"
    recipe.write_text(yaml.safe_dump(VALUES))
    assert run(recipe, "--data", toy_root, "--pack", pack, "-o", tmp_path / "run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"pack": str(pack), "bytes": pack.stat().st_size, "cases": {"ct": 3, "more": 2}}
    assert run(recipe, "--packed", pack, "-o", tmp_path / "run", "--device", "cpu", "--quiet") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "model")
    for arguments, said in (
        ((recipe, "--data", toy_root, "--pack", pack), "exists already; use --force"),
        ((recipe, "--packed", pack, "--data", toy_root), "leave --pack and --data out"),
        ((recipe, "--packed", recipe), "is no packed training set, or damaged"),
        ((recipe, "structures=[liver]", "--packed", pack, "-o", tmp_path / "other"), "was packed for packable"),
        (("simmim_mini", "--packed", pack), "trains without labels"),
        ((recipe, "--packed", pack, "-o", tmp_path / "run", "--force"), "--force replaces the file of --pack"),
        (("simmim_mini", "--force"), "--force replaces the file of --pack"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err.strip()
        assert said in error
        assert "\n" not in error
