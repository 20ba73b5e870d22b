"""SAM-Med3D behind the seam: dialogues, adapters, training by clicks, published files."""

import argparse
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.data.store import Store
from segevolution.data.windows import FramedCase
from segevolution.errors import CheckpointError
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.evaluation.questions import Questions, asked_prompts
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.inference.strategies import strategy_of
from segevolution.models import hub
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.sam_med3d import published
from segevolution.models.sam_med3d.config import SamMed3dConfig
from segevolution.models.sam_med3d.sam_med3d import SamMed3d
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.training.batches import CaseGroup
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SMALL = SamMed3dConfig(
    image=32, patch=8, width=24, depth=2, heads=2, mlp=48, window=3, global_blocks=(1,), out=48, decoder_mlp=48
)


def network(seed: int = 0) -> SamMed3d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SamMed3d(SMALL).eval()


def volume(modality: Modality = Modality.MRI) -> Volume:
    """A bright ball in noise, at a spacing and in an order that are not the network's."""
    places = np.stack(np.meshgrid(*map(np.arange, (40, 36, 20)), indexing="ij"), -1)
    ball = np.linalg.norm((places - (18, 17, 9)) * (1, 1, 2), axis=-1) < 9
    signal = np.where(ball, 400.0, 80.0) + np.random.default_rng(0).normal(0, 5, ball.shape)
    return Volume(signal.astype(np.float32), Grid(ball.shape, np.diag([-1.2, -1.2, 2.4, 1])), modality, "a")


def case() -> Case:
    scan = volume()
    return Case("a", "a", "toy", scan, (scan.array > 240).astype(np.uint8), {"liver": (1,)})


def test_clicks_in_turn_keep_the_encoding_and_are_told_the_answer_before():
    session = Session(network(), volume())
    first = session.add_point((18, 17, 9))
    assert math.isnan(first.iou)
    assert first.previous.logits.shape == (16, 16, 16)
    encodings = session.counts.encodings
    session.add_point((21, 17, 9))
    session.add_point((30, 30, 9), positive=False)
    assert session.counts.encodings >= encodings
    assert session.undo().mask.shape == (40, 36, 20)


def test_a_box_becomes_the_point_in_its_middle_and_text_is_refused():
    answer = Session(network(), volume()).segment(box=(10, 9, 5, 26, 25, 13))
    point = Session(network(), volume()).segment(points=[(18, 17, 9)])
    np.testing.assert_array_equal(answer.mask, point.mask)
    assert any("point in its middle" in note for note in answer.notes)
    assert PromptKind.TEXT not in network().spec.accepts


def test_the_scale_of_the_signal_does_not_matter():
    scan = volume()
    louder = replace(scan, array=scan.array * 7)
    first, second = (Session(network(), one).segment(points=[(18, 17, 9)], keep_logits=True) for one in (scan, louder))
    np.testing.assert_allclose(first.logits, second.logits, atol=2e-3)


def test_it_is_saved_and_loaded(tmp_path: Path):
    save_model(network(), tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.spec == network().spec
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network().state_dict().items())


@pytest.mark.parametrize(
    ("method", "settings"), [("lora", {"rank": 2}), ("mixture", {"rank": 2}), ("full", {})], ids=["lora", "mix", "full"]
)
def test_adapters_enter_it_are_saved_and_leave_it_bit_for_bit(method, settings, tmp_path: Path):
    def ask(model: SamMed3d, modality: Modality = Modality.MRI) -> np.ndarray:
        return Session(model, volume(modality)).segment(points=[(18, 17, 9)], keep_logits=True).logits

    model, before, before_ct = network(), ask(network()), ask(network(), Modality.CT)
    adapter = create(method, settings)
    adapter.attach(model)
    torch.manual_seed(0)
    for parameter in adapter.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    changed = ask(model)
    assert (changed != before).any()
    if method == "mixture":
        np.testing.assert_array_equal(ask(model, Modality.CT), before_ct)
    save_adapter(adapter, model, tmp_path / "adapter")
    adapter.detach()
    np.testing.assert_array_equal(ask(model), before)
    load_adapter(tmp_path / "adapter", model)
    np.testing.assert_array_equal(ask(model), changed)


def test_it_learns_by_clicks_in_turn(tmp_path: Path):
    model, patient = network(), case()
    create("full").attach(model)
    framed = FramedCase.make(patient, strategy_of(model.spec).prepare(patient.volume, model.spec))
    settings = FitSettings(
        steps=30,
        seed=1,
        warmup=3,
        learning_rate=4e-3,
        ema_decay=0,
        sample={"views": 1, "structures": 1, "prompts": 1, "candidates": 0},
        prompt={"clicks": 2},
    )
    before = Session(model, patient.volume).segment(points=[(18, 17, 9)]).mask
    fit(model, [CaseGroup((framed,))], settings, tmp_path, device="cpu", quiet=True)
    after = Session(model.eval(), patient.volume).segment(points=[(18, 17, 9)]).mask
    truth = patient.mask("liver")
    assert dice(after, truth) > dice(before, truth) + 0.1


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.fixture
def small_published(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """What the published file is, at a small size: its form stays."""
    monkeypatch.setattr(published, "SAM_MED3D", SMALL)
    return dict(network(3).state_dict())


def test_the_published_file_is_fetched_and_converted_with_its_arguments(
    small_published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEGEVOLUTION_HOME", str(tmp_path / "home"))
    content = {"model_state_dict": small_published, "args": argparse.Namespace(lr=8e-4), "optimizer_state_dict": {}}
    asked: list[list[str]] = []

    def snapshot(repository: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        folder = tmp_path / ("a" * 40)
        folder.mkdir()
        torch.save(content, folder / published.FILE)
        return str(folder)

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot)
    folder = hub.pull(published.REPOSITORY)
    assert asked == [[published.FILE]]
    loaded = load_model(folder)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in small_published.items())
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


def _more(state, file):
    state["more"] = torch.zeros(2)
    torch.save({"model_state_dict": state}, file)


def _fewer(state, file):
    state.pop("mask_decoder.iou_token.weight")
    torch.save({"model_state_dict": state}, file)


def _code(state, file):
    torch.save({"model_state_dict": state, "args": partial(print, "ran")}, file)


@pytest.mark.parametrize("spoil", [_more, _fewer, _code], ids=["one tensor more", "one fewer", "code"])
def test_another_file_is_refused(spoil, small_published, tmp_path: Path):
    spoil(small_published, tmp_path / "file.pth")
    with pytest.raises(CheckpointError):
        hub.convert(tmp_path / "file.pth", tmp_path / "model", system="sam-med3d")
    assert not (tmp_path / "model").exists()


def test_a_study_may_hold_the_window_round_the_truth_and_nowhere_else_is_answered():
    scan, truth = volume(), (18, 17, 9)
    session = Session(network(), scan)
    held = session.segment(Prompt(scan.grid, points=((18, 17, 4),), labels=(1,), centre=truth))
    free = session.segment(points=[truth])
    assert held.previous.view == free.previous.view
    assert session.counts.decodings >= 2
    asked = Questions(prompts=("point",), centre="truth")
    (_, prompt, _) = next(iter(asked_prompts(case(), "liver", asked)))
    assert np.abs(np.array(prompt.centre) - truth).max() <= 1


def test_a_study_corrects_it_by_clicks_and_names_the_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
    save_model(network(), tmp_path / "model")
    store = Store.create(tmp_path / "toy")
    for name in ("a", "b"):
        store.add(replace(case(), name=name, patient=name))
    recipe = Recipe.model_validate(
        {
            "name": "toy",
            "base": str(tmp_path / "model"),
            "data": [{"name": "toy", "path": "toy", "labels": "exact", "train": 1, "test": 1}],
            "methods": [{"name": "base"}, {"name": "lora", "settings": {"rank": 2}}],
            "fit": {"steps": 1, "warmup": 1, "sample": {"views": 1, "structures": 1}, "prompt": {"clicks": 1}},
            "prompts": ["point"],
            "points": 1,
            "clicks": 2,
            "centre": "truth",
        }
    )
    done = run_study(recipe, tmp_path / "out", root=tmp_path, device="cpu", quiet=True)
    assert len(done.table) == 2 * 3  # base and LoRA, the first answer and two after clicks
    assert done.table["predicted_iou"].isna().all()
    assert "centred on the truth" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
