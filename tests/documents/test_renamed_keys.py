"""Keys that were renamed: recipes and adapter files with the old ones mean the same, and a note says the new one."""

import logging

import pytest

from segevolution.adapters.mixture.config import MixtureConfig
from segevolution.adapters.prior.config import ContextPriorConfig
from segevolution.documents import renamed_keys
from segevolution.errors import AdapterError, RecipeError
from segevolution.recipes.keys import digest
from segevolution.studies.reading import load_recipe
from segevolution.training.settings import RENAMED, FitSettings, decisive

RECIPE = """
name: renamed
data:
  - {name: made, simulate: {patients: 2, modality: CT}, train: 1, test: 1}
methods:
  - {name: lora, fit: {average: 0.5}}
fit: {rates: {decoder: 0.5}, keep: last, clip: 0.25, checkpointing: true, final_rate: 0.5}
reference: lora
"""


@pytest.fixture(autouse=True)
def _every_note_anew(monkeypatch):
    monkeypatch.setattr(renamed_keys, "_NOTED", set())


def test_old_keys_of_a_recipe_are_read_with_a_note_each(tmp_path, caplog):
    (tmp_path / "old.yaml").write_text(RECIPE)
    with caplog.at_level(logging.WARNING):
        recipe = load_recipe(str(tmp_path / "old.yaml"))
    settings = recipe.fit_of(recipe.methods[0]).settings
    assert (settings.ema_decay, settings.gradient_clip_norm, settings.final_lr_fraction) == (0.5, 0.25, 0.5)
    assert settings.gradient_checkpointing
    assert settings.keep_weights == "last"
    assert settings.lr_multipliers == {"decoder": 0.5}
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == len(RENAMED)
    assert 'fit: "average" is called "ema_decay" now; the old name is still read.' in notes


def test_an_old_key_on_the_command_line_changes_the_new_one(tmp_path):
    (tmp_path / "new.yaml").write_text(RECIPE.replace("average", "ema_decay"))
    recipe = load_recipe(str(tmp_path / "new.yaml"), ["methods.lora.fit.average=0.75", "fit.clip=2"])
    settings = recipe.fit_of(recipe.methods[0]).settings
    assert (settings.ema_decay, settings.gradient_clip_norm) == (0.75, 2.0)


def test_both_names_at_once_are_refused(tmp_path):
    (tmp_path / "both.yaml").write_text(RECIPE.replace("average: 0.5", "average: 0.5, ema_decay: 0.9"))
    with pytest.raises(RecipeError, match='"average" is the old name of "ema_decay"; give only ema_decay'):
        load_recipe(str(tmp_path / "both.yaml"))


def test_keys_of_trainings_are_what_they_were():
    settings = FitSettings(
        ema_decay=0.5,
        lr_multipliers={"decoder": 0.5},
        keep_weights="best",
        gradient_checkpointing=True,
        gradient_clip_norm=0.25,
        final_lr_fraction=0.5,
    )
    assert (
        digest([decisive(settings), decisive(FitSettings())]) == "e404035e1c11fd32"
    )  # made before the names were changed


@pytest.mark.parametrize(
    ("config", "old", "new"),
    [
        (MixtureConfig, {"top": 2, "balance": 0.5, "supervise": 0.5, "drop_modality": 0.25}, "top_k"),
        (ContextPriorConfig, {"drop": 0.5, "drop_modality": 0.25, "auxiliary": 0.5, "start": "zero"}, "token_init"),
    ],
    ids=["mixture", "context_prior"],
)
def test_old_settings_of_an_adapter_are_read(config, old, new, caplog):
    with caplog.at_level(logging.WARNING):
        read = config.from_dict(old)
    assert read == config.from_dict({config.renamed[key]: value for key, value in old.items()})
    assert len(caplog.records) == len(old)
    assert new in read.to_dict()
    with pytest.raises(AdapterError, match="is the old name of"):
        config.from_dict({**read.to_dict(), **old})
