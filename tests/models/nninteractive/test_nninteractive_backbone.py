"""nnInteractive behind the seam: dialogues, adapters, training, official folders."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.data.windows import FramedCase
from segevolution.errors import CheckpointError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.inference.strategies import strategy_of
from segevolution.models import hub
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.nninteractive import published
from segevolution.models.nninteractive.config import NnInteractiveConfig
from segevolution.models.nninteractive.nninteractive import NnInteractive
from segevolution.training.batches import CaseGroup
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SMALL = NnInteractiveConfig(patch=(56, 56, 56), features=(4, 6), blocks=(1, 1))
MIDDLE = (18, 17, 9)


def network(seed: int = 0) -> NnInteractive:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NnInteractive(SMALL)
    with torch.no_grad():  # a random network would find its foreground everywhere, and look wider and wider for it
        model.decoder.seg_layers[-1].bias[1] -= 1
    return model.eval()


def volume(modality: Modality = Modality.MRI) -> Volume:
    places = np.stack(np.meshgrid(*map(np.arange, (40, 36, 20)), indexing="ij"), -1)
    ball = np.linalg.norm((places - MIDDLE) * (1, 1, 2), axis=-1) < 9
    signal = np.where(ball, 400.0, 80.0) + np.random.default_rng(0).normal(0, 5, ball.shape)
    return Volume(signal.astype(np.float32), Grid(ball.shape, np.diag([-1.2, -1.2, 2.4, 1])), modality, "a")


def case() -> Case:
    scan = volume()
    return Case("a", "a", "toy", scan, (scan.array > 240).astype(np.uint8), {"liver": (1,)})


def test_every_kind_of_prompt_but_text_is_answered_in_a_dialogue():
    session = Session(network(), volume())
    masks = [
        session.add_point(MIDDLE).mask,
        session.add_point((30, 30, 9), positive=False).mask,
        session.add_box((10, 9, 5, 26, 25, 13)).mask,
        session.add_scribble([(14, 17, 9), (22, 17, 9)]).mask,
        session.add_lasso([(x, y, 9) for x in range(12, 24) for y in range(12, 24)]).mask,
    ]
    assert all(mask.shape == (40, 36, 20) for mask in masks)
    assert math.isnan(session.current.iou)
    assert PromptKind.TEXT not in network().spec.accepts
    np.testing.assert_array_equal(session.undo().mask, masks[3])


def test_what_was_said_last_is_drawn_strongest():
    grid = volume().grid
    first = Prompt.make(grid, points=[MIDDLE])
    both = first.joined(Prompt.make(grid, box=(10, 9, 5, 26, 25, 13)))
    assert both.newest_since(first) is PromptKind.BOX
    assert both.newest_since(both) is None


def test_a_mask_to_begin_with_is_looked_at_and_corrected():
    scan = volume()
    session = Session(network(), scan)
    session.add_mask(scan.array > 240)
    assert session.add_point(MIDDLE).mask.shape == (40, 36, 20)


def test_it_is_saved_and_loaded(tmp_path: Path):
    save_model(network(), tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.spec == network().spec
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network().state_dict().items())


@pytest.mark.parametrize(
    ("method", "settings"),
    [("lora", {"rank": 2, "targets": ["convolutions"], "also_train": ["norms", "head"]}), ("mixture", {"rank": 2})],
    ids=["lora", "mixture"],
)
def test_adapters_enter_its_convolutions_and_leave_it_bit_for_bit(method, settings, tmp_path: Path):
    def ask(model: NnInteractive, modality: Modality = Modality.MRI) -> np.ndarray:
        return Session(model, volume(modality)).segment(points=[MIDDLE], keep_logits=True).logits

    if method == "mixture":
        settings = {**settings, "targets": ["convolutions"]}
    model, before, before_ct = network(), ask(network()), ask(network(), Modality.CT)
    adapter = create(method, settings)
    adapter.attach(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    changed = ask(model)
    assert (changed != before).any()
    if method == "mixture":
        np.testing.assert_array_equal(ask(model, Modality.CT), before_ct)
    save_adapter(adapter, model, tmp_path / "adapter")
    adapter.detach()
    np.testing.assert_array_equal(ask(model), before)
    load_adapter(tmp_path / "adapter", model)
    np.testing.assert_array_equal(ask(model), changed)


def test_a_lora_on_its_convolutions_can_be_merged():
    model = network()
    adapter = create("lora", {"rank": 2, "targets": ["convolutions"]})
    adapter.attach(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    apart = Session(model, volume()).segment(points=[MIDDLE], keep_logits=True).logits
    adapter.merge()
    merged = Session(model, volume()).segment(points=[MIDDLE], keep_logits=True).logits
    np.testing.assert_allclose(merged, apart, atol=2e-2)


@pytest.mark.long
def test_it_learns_by_clicks_in_turn(tmp_path: Path):
    model, patient = network(), case()
    create("full").attach(model)
    framed = FramedCase.make(patient, strategy_of(model.spec).prepare(patient.volume, model.spec))
    settings = FitSettings(
        steps=5,
        seed=1,
        warmup=1,
        learning_rate=4e-2,
        ema_decay=0,
        sample={"views": 1, "structures": 1, "prompts": 1, "candidates": 0},
        prompt={"clicks": 1},
    )
    before = dice(Session(model, patient.volume).segment(points=[MIDDLE]).mask, patient.mask("liver"))
    fit(model, [CaseGroup((framed,))], settings, tmp_path, device="cpu", quiet=True)
    after = dice(Session(model.eval(), patient.volume).segment(points=[MIDDLE]).mask, patient.mask("liver"))
    assert after > max(0.5, before + 0.1)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def official(folder: Path, settings: object, change: Callable[[dict[str, torch.Tensor]], None] | None = None) -> Path:
    """A folder as the official one is laid out, at a small size, with random weights."""
    model = folder / "nnInteractive_v1.0"
    (model / "fold_0").mkdir(parents=True)
    state = dict(network(3).state_dict())
    weights = dict(state)
    for name, value in state.items():
        for part, number in ((".conv.", 0), (".norm.", 1)):
            if part in name:
                weights[name.replace(part, f".all_modules.{number}.")] = value
    weights |= {f"decoder.{name}": value for name, value in weights.items() if name.startswith("encoder.")}
    if change is not None:
        change(weights)
    content = {"network_weights": weights, "trainer_name": "nnInteractiveTrainer_stub", "_best_ema": np.float64(0.5)}
    torch.save(content, model / "fold_0" / "checkpoint_final.pth")
    (model / "inference_session_class.json").write_text(json.dumps(settings))
    for name in ("dataset.json", "plans.json"):
        (model / name).write_text("{}")
    listed = {"id": model.name, "display_name": "v1", "path": model.name, "default": True}
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": [listed]}))
    return folder


@pytest.fixture(autouse=True)
def small_official(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "OFFICIAL", SMALL)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"inference_class": "nnInteractiveInferenceSession", "point_radius": 4}, SMALL),
        ({"point_radius": 6, "interaction_decay": 0.95}, replace(SMALL, point_radius=6, decay=0.95)),
        ("nnInteractiveInferenceSession", replace(SMALL, decay=0.9)),
    ],
    ids=["version 1", "with a decay", "a bare string"],
)
def test_an_official_folder_becomes_a_model_folder(settings, expected, tmp_path: Path):
    hub.convert(official(tmp_path / "hub", settings), tmp_path / "model", system="nninteractive")
    loaded = load_model(tmp_path / "model")
    assert loaded.config == expected
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network(3).state_dict().items())
    assert "CC BY-NC-SA 4.0" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def _two_things(weights):
    weights["decoder.encoder.stem.convs.0.conv.weight"] = weights["encoder.stem.convs.0.conv.weight"] + 1


def _fewer(weights):
    for name in [name for name in weights if "seg_layers.0" in name]:
        del weights[name]


@pytest.mark.parametrize(
    ("change", "settings"),
    [(_two_things, {}), (_fewer, {}), (None, {"channel_mapping": [[0, 1]]}), (None, {"point_radius": "4"}), (None, 3)],
    ids=["copies differ", "a head is missing", "other channels", "a radius in words", "a number"],
)
def test_another_folder_is_refused(change, settings, tmp_path: Path):
    source = official(tmp_path / "hub", settings, change)
    with pytest.raises(CheckpointError):
        hub.convert(source, tmp_path / "model", system="nninteractive")
    assert not (tmp_path / "model").exists()
