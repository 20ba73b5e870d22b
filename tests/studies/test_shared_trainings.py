"""A training that a study beside this one has finished is taken over; one that differs in anything is not."""

import json

import pytest

from segevolution.files import sha256
from segevolution.studies.study import run_study
from segevolution.training.checkpoint_file import LAST


@pytest.fixture
def study(toy_root, tmp_path, quick_fit, plain_pictures):
    def study(recipe, name):
        return run_study(recipe, tmp_path / name, root=toy_root, device="cpu", quiet=True, fit=quick_fit)

    return study


def weights(folder):
    return {path.name: sha256(path) for path in (folder / "models/lora-s0/adapter").iterdir() if path.suffix != ".json"}


def test_an_equal_training_of_a_neighbour_is_taken_over_without_its_checkpoint(
    study, toy_recipe, tmp_path, quick_fit, changed
):
    study(toy_recipe, "first")
    (tmp_path / "first/models/lora-s0/fit").mkdir(exist_ok=True)
    (tmp_path / "first/models/lora-s0/fit" / LAST).write_bytes(b"large")
    done = study(changed(toy_recipe, prompts=["box"]), "second")
    assert len(quick_fit.calls) == 1
    assert done.trained == ()
    assert weights(tmp_path / "second") == weights(tmp_path / "first")
    note = json.loads((tmp_path / "second/models/lora-s0/trained.json").read_text())
    assert (note["run"], note["taken_from"]) == ("lora-s0", "first/lora-s0")
    assert not (tmp_path / "second/models/lora-s0/fit" / LAST).exists()
    assert set(done.table["prompt"]) == {"box"}


def test_a_run_of_another_name_is_taken_over_where_it_is_the_same_training(study, toy_recipe, quick_fit, changed):
    study(toy_recipe, "first")
    done = study(changed(toy_recipe, shots=["all"]), "second")
    assert len(quick_fit.calls) == 1
    assert "lora-all-s0" in set(done.table["run"])


def test_a_training_of_another_seed_is_not(study, toy_recipe, tmp_path, quick_fit, changed):
    study(toy_recipe, "first")
    folder = tmp_path / "first/models"
    (folder / "lora-s0").rename(folder / "lora-s1")  # the name alone does not make it the same training
    done = study(changed(toy_recipe, seeds=[1]), "second")
    assert len(quick_fit.calls) == 2
    assert done.trained == ("lora-s1",)


def test_an_unfinished_training_is_not(study, toy_recipe, tmp_path, quick_fit):
    study(toy_recipe, "first")
    (tmp_path / "first/models/lora-s0/trained.json").unlink()
    study(toy_recipe, "second")
    assert len(quick_fit.calls) == 2
