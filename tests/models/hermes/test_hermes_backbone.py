"""Hermes behind the seam: which data set answers, sliding, saving, adapters, training, studies."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.cli.app import main
from segevolution.data.store import Store
from segevolution.errors import CheckpointError, PromptError, VocabularyError
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.imaging.case import Case
from segevolution.imaging.formats import read_labels
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.session import Session
from segevolution.inference.strategies import strategy_of
from segevolution.inference.strategies.base import StrategyOptions
from segevolution.models.backbone import Masks, PromptBatch
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.hermes.config import HermesConfig, TaskSet
from segevolution.models.hermes.hermes import Hermes
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.training.case_groups import load_group
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Context, Modality

CT, MRI = Modality.CT, Modality.MRI
TASKS = (
    TaskSet("abdomen", CT, ("liver", "spleen", "aorta")),
    TaskSet("chaos", MRI, ("liver", "spleen"), acquisition="T2"),
    TaskSet("head", MRI, ("hippocampus",), acquisition="T1"),
)
SMALL = HermesConfig(TASKS, window=(16, 16, 32), spacing=(4, 4, 4), width=8, fusion_blocks=(1, 1, 1, 1, 1))
AFFINE = np.diag([-2.5, 2.5, 3.5, 1])


def network(seed: int = 0, **changes: Any) -> Hermes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Hermes(replace(SMALL, **changes)).eval()


def case(seed: int = 0, modality: Modality = MRI) -> Case:
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 36, 14), np.uint8)
    x, y = rng.integers(0, 4, 2)
    labels[4 + x : 18 + x, 5 + y : 17 + y, 3:10] = 1
    labels[24 : 34 + x, 20 : 31 + y, 4:12] = 2
    signal = rng.normal(100, 8, labels.shape) + np.array([0, 300, 600])[labels]
    volume = Volume(signal.astype(np.float32), Grid(labels.shape, AFFINE), modality, f"p{seed}")
    return Case(f"p{seed}", f"p{seed}", "toy", volume, labels, {"liver": (1,), "spleen": (2,)})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "toy")
    for seed in range(4):
        store.add(case(seed))
    return store


def ask(model: Hermes, structures: tuple[str, ...], modality: Modality | None, images: int = 1) -> Masks:
    """Each structure asked of each image."""
    x = torch.randn(images, 1, *model.spec.window, generator=torch.Generator().manual_seed(3))
    index = [image for image in range(images) for _ in structures]
    prompts = PromptBatch(torch.tensor(index), structures * images)
    contexts = [Context(modality, name) for name in structures] * images
    return model.decode(model.encode(x, [modality] * images), prompts, contexts)


@torch.inference_mode()
def test_an_answer_hangs_neither_on_what_else_is_asked_nor_on_the_order() -> None:
    model = network()
    together = ask(model, ("spleen", "liver"), MRI, images=2).logits
    alone = ask(model, ("liver",), MRI).logits
    assert (together[1] - alone[0]).abs().max() < 1e-3 * alone.abs().max()
    for row in (0, 3):  # the other structure, the other image
        assert (together[1] - together[row]).abs().max() > 0.1 * alone.abs().max()


@torch.inference_mode()
def test_the_data_set_of_the_modality_answers_with_its_own_prior() -> None:
    model = network()
    answers = [ask(model, ("liver",), modality).logits for modality in (CT, MRI, None)]
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)
    model.prior_fuse_6.task_prior[model.config.tasks[1].ids[0]] += 1
    changed = [ask(model, ("liver",), modality).logits for modality in (CT, MRI, None)]
    assert torch.equal(answers[0], changed[0])
    assert not torch.equal(answers[1], changed[1])
    assert torch.equal(answers[2], changed[2])  # unknown: the first set that has a liver, by the prior of the unknown
    model.prior_fuse_6.modality_prior[-1] += 1
    again = [ask(model, ("liver",), modality).logits for modality in (CT, None)]
    assert torch.equal(again[0], changed[0])
    assert not torch.equal(again[1], changed[2])


@torch.inference_mode()
def test_sets_may_share_a_row_and_the_null_task_takes_part() -> None:
    shared = (TaskSet("a", CT, ("liver", "spleen"), (0, 1)), TaskSet("b", MRI, ("liver", "aorta"), (0, 2)))
    model = network(tasks=shared)
    assert model.config.task_rows == 3
    assert HermesConfig(TASKS).tasks[1].ids == (3, 4)
    before = ask(model, ("liver",), MRI).logits
    model.prior_init_fuse_2.task_prior[-1] += 1
    assert not torch.equal(ask(model, ("liver",), MRI).logits, before)


@torch.inference_mode()
def test_without_priors_nothing_but_the_task_s_own_classifier_decides() -> None:
    model = network(priors="none")
    assert not any("prior" in name for name in model.state_dict())
    before = ask(model, ("liver", "spleen"), MRI).logits
    model.heads.bias[model.config.tasks[1].ids[1]] += 2
    after = ask(model, ("liver", "spleen"), MRI).logits
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], before[1] + 2)


def test_the_modality_is_named_in_training_alone_and_only_where_it_is_known() -> None:
    model = network(modality_dropout=0.0)
    assert ask(model, ("liver",), MRI).auxiliary_loss is None
    model.train()
    loss = ask(model, ("liver",), MRI).auxiliary_loss
    assert loss is not None
    loss.backward()
    assert model.mod_out.classifier.fc2.weight.grad is not None
    assert model.prior_fuse_6.modality_prior.grad is not None
    assert ask(model, ("liver",), None).auxiliary_loss is None
    assert ask(network(modality_loss=0.0).train(), ("liver",), MRI).auxiliary_loss is None
    forgetful = network(modality_dropout=0.5).train()
    torch.manual_seed(0)
    with torch.no_grad():
        hidden = [ask(forgetful, ("liver",), MRI).auxiliary_loss for _ in range(6)]
    assert {value is None for value in hidden} == {True, False}


def test_other_prompts_and_other_names_are_refused() -> None:
    model = network()
    with pytest.raises(VocabularyError):
        ask(model, ("pancreas",), CT)
    features = model.encode(torch.zeros(1, 1, *SMALL.window), [MRI])
    prompts = PromptBatch(torch.zeros(1, dtype=torch.int64), (None,), boxes=torch.zeros(1, 6))
    with pytest.raises(PromptError, match="no prompt but the name"):
        model.decode(features, prompts, [Context()])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": ()}, "needs tasks"),
        ({"tasks": (TASKS[1], replace(TASKS[1], name="amos"))}, "chaos and amos both label liver on MRI"),
        ({"tasks": (replace(TASKS[0], ids=(0, 0, 1)),)}, "one id of its own"),
        ({"tasks": (replace(TASKS[0], ids=(0, 1, -1)),)}, "must lie between"),
        ({"window": (16, 16, 16)}, "coarsest map is a point"),
        ({"window": (20, 32, 32)}, "multiples of 16"),
        ({"width": 12}, "multiple of 8"),
        ({"priors": "some"}, "fused or none"),
        ({"modality_dropout": 1.0}, "below 1"),
    ],
)
def test_sizes_and_tasks_that_cannot_be_are_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        replace(SMALL, **changes)


@pytest.mark.parametrize("priors", ["fused", "none"])
def test_it_is_saved_and_loaded_with_its_tasks(tmp_path: Path, priors: str) -> None:
    save_model(network(priors=priors), tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, Hermes)
    assert (again.spec, again.config) == (network(priors=priors).spec, network(priors=priors).config)
    for name, value in network(priors=priors).state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tasks"][0]["structures"] = 5
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="structures"):
        load_model(tmp_path / "model")


def test_the_command_line_segments_by_name_on_the_scan_s_own_grid(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "model")
    nib.Nifti1Image(case().volume.array, AFFINE).to_filename(tmp_path / "scan.nii.gz")
    words = ["segment", tmp_path / "scan.nii.gz", "--text", "liver", "--text", "spleen", "--model", tmp_path / "model"]
    with pytest.raises(SystemExit) as leaving:
        main([*map(str, words), "-o", str(tmp_path / "mask.nii.gz"), "--modality", "MRI", "--quiet", "--device", "cpu"])
    assert not leaving.value.code
    assert read_labels(tmp_path / "mask.nii.gz").array.shape == (40, 36, 14)


def test_one_pass_answers_a_data_set_s_structures_and_no_others() -> None:
    session = Session(network(), case().volume)
    session.segment(text="liver")
    counted = session.counts.decodings
    session.segment(text="spleen")
    assert session.counts.decodings == counted
    session.segment(text="hippocampus")
    assert session.counts.decodings > counted


def test_windows_that_are_decoded_together_answer_as_they_do_alone() -> None:
    image = torch.randn(24, 40, 33, generator=torch.Generator().manual_seed(0))
    logits = []
    for batch in (1, 2):
        opened = strategy_of(network().spec).open(network(), image, 0.0, MRI, StrategyOptions(batch=batch))
        prompts, contexts = (
            [FramePrompt("liver"), FramePrompt("spleen")],
            [Context(MRI, "liver"), Context(MRI, "spleen")],
        )
        logits.append(torch.stack([answer.logits for answer in opened.answers(prompts, contexts)]))
        assert all(math.isnan(answer.iou) for answer in opened.answers(prompts, contexts))
    assert logits[0].shape == (2, 24, 40, 33)
    assert (logits[0] - logits[1]).abs().max() < 1e-2 * logits[0].abs().max()


SETTINGS: dict[str, Any] = {
    "steps": 3,
    "seed": 1,
    "warmup": 1,
    "learning_rate": 4e-3,
    "ema_decay": 0,
    "checkpoint_every": 1,
    "validation_steps": 1,
    "sample": {"views": 1, "structures": 2, "prompts": 1, "absent": 1.0, "absent_structures": 3, "candidates": 0},
    "objective": {"overlap": "tversky", "iou": 0},
}


def trained(store: Store, folder: Path, *calls: dict[str, Any]) -> Hermes:
    """A network after calls that each go on where the one before stopped."""
    for changes in calls:
        model = network()
        groups = [load_group(store, ["p0", "p1"], model.spec)]
        fit(model, groups, FitSettings(**(SETTINGS | changes)), folder, device="cpu", quiet=True)
    return model.eval()


def test_a_stopped_training_goes_on_bit_for_bit(store: Store, tmp_path: Path) -> None:
    whole = trained(store, tmp_path / "whole", {})
    stopped = trained(store, tmp_path / "stopped", {"seconds": 0.0}, {"seconds": 0.0}, {})
    assert all(torch.equal(value, stopped.state_dict()[name]) for name, value in whole.state_dict().items())


def test_it_learns_what_its_data_set_labels(store: Store, tmp_path: Path) -> None:
    patient = case(3)
    truth, dice = patient.mask("liver"), []
    for model in (network(), trained(store, tmp_path / "fit", {"steps": 16, "checkpoint_every": 16})):
        mask = Session(model, patient.volume).segment(text="liver").mask
        dice.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    assert dice[1] > dice[0] + 0.2


@pytest.mark.parametrize(
    ("method", "settings"), [("lora", {"rank": 2}), ("mixture", {"rank": 2}), ("full", {})], ids=["lora", "mix", "full"]
)
def test_adapters_enter_it_are_saved_and_leave_it_bit_for_bit(
    method: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    def answer(model: Hermes, modality: Modality = MRI) -> np.ndarray:
        return Session(model, case(0, modality).volume).segment(text="liver", keep_logits=True).logits

    model, before, before_ct = network(), answer(network()), answer(network(), CT)
    adapter = create(method, settings)
    adapter.attach(model)
    torch.manual_seed(0)
    for parameter in adapter.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    changed = answer(model)
    assert (changed != before).any()
    if method == "mixture":
        np.testing.assert_array_equal(answer(model, CT), before_ct)
    save_adapter(adapter, model, tmp_path / "adapter")
    adapter.detach()
    np.testing.assert_array_equal(answer(model), before)
    load_adapter(tmp_path / "adapter", model)
    np.testing.assert_array_equal(answer(model), changed)


def test_a_study_measures_it_and_its_lora(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
    save_model(network(), tmp_path / "model")
    recipe = Recipe.model_validate(
        {
            "name": "toy",
            "base": str(tmp_path / "model"),
            "data": [{"name": "toy", "path": "toy", "labels": "exact", "train": 2, "test": 2}],
            "methods": [{"name": "base"}, {"name": "lora", "settings": {"rank": 2}}],
            "fit": {"steps": 2, "warmup": 1, "sample": {"views": 1, "structures": 1}},
            "prompts": ["text"],
        }
    )
    done = run_study(recipe, tmp_path / "out", root=tmp_path, device="cpu", quiet=True)
    assert len(done.table) == 2 * 2 * 2
    assert not done.table["dice"].isna().any()
    again = run_study(recipe, tmp_path / "out", root=tmp_path, device="cpu", quiet=True)
    assert (again.trained, again.measured) == ((), 0)
