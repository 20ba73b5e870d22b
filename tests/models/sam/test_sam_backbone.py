"""A SAM network behind the seam: the published numbers through encode and decode, sessions, adapters, files."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.errors import CheckpointError, PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import PromptKind
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.models.backbone import ABSENT, PromptBatch
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.sam.config import SamConfig
from segevolution.models.sam.published import SYSTEMS, convert_sam
from segevolution.models.sam.sam import Sam
from segevolution.vocabulary import Context, Modality

from .test_sam_golden import CONFIGS, batch_of, square_of
from .test_sam_golden import backbone as golden_backbone


def backbone(system: str = "sam") -> Sam:
    """A copy that a test may change."""
    return deepcopy(golden_backbone(system))


def test_prompts_of_several_kinds_together_are_answered_as_each_alone():
    model = backbone()
    point, box, mask = (batch_of("sam", "a", case) for case in ("point", "box", "box_mask"))
    nothing = torch.full((1, 6), torch.nan)
    together = PromptBatch(
        torch.tensor([0, 0, 0]),
        (None,) * 3,
        torch.cat([torch.nn.functional.pad(point.points, (0, 0, 0, 1)), torch.zeros(2, 2, 3)]),
        torch.cat([torch.nn.functional.pad(point.labels, (0, 1), value=ABSENT), torch.full((2, 2), ABSENT)]),
        torch.cat([nothing, box.boxes, mask.boxes]),
        torch.cat([torch.full_like(mask.masks, torch.nan)] * 2 + [mask.masks]),
    )
    with torch.no_grad():
        features = model.encode(square_of("sam", "a").mean(0)[None, None, None].floor(), [None])
        answers = model.decode(features, together, [Context()] * 3)
        for row, alone in enumerate((point, box, mask)):
            answer = model.decode(features, alone, [Context()])
            torch.testing.assert_close(answers.logits[row], answer.logits[0], rtol=1e-4, atol=1e-5)


def volume() -> Volume:
    """A bright ball in noise on anisotropic slices."""
    z, y, x = np.meshgrid(np.arange(9), np.arange(40), np.arange(44), indexing="ij")
    ball = ((z - 4) / 3) ** 2 + ((y - 18) / 9) ** 2 + ((x - 20) / 8) ** 2 < 1
    signal = np.where(ball, 400.0, 80.0) + np.random.default_rng(0).normal(0, 5, ball.shape)
    return Volume(
        signal.transpose(2, 1, 0).astype(np.float32), Grid((44, 40, 9), np.diag([1.0, 1, 6, 1])), Modality.MRI, "a"
    )


@pytest.mark.parametrize("system", ["sam", "sam_med2d"])
def test_one_box_is_answered_in_every_slice_of_its_extent_and_nowhere_else(system):
    session = Session(backbone(system), volume())
    answer = session.segment(box=(10, 8, 2, 30, 28, 6))
    assert answer.mask.shape == (44, 40, 9)
    assert not answer.mask[..., :2].any()
    assert not answer.mask[..., 7:].any()
    assert session.counts.encodings == 5


def test_it_reads_no_text():
    assert PromptKind.TEXT not in backbone().spec.accepts
    with pytest.raises(PromptError, match="no text"):
        Session(backbone(), volume()).segment(text="liver")


def test_it_is_saved_and_loaded(tmp_path: Path):
    model = backbone("sam_med2d")
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.spec == model.spec
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("method", "settings"), [("lora", {"rank": 2}), ("mixture", {"rank": 2})])
def test_adapters_enter_it_are_saved_and_leave_it_bit_for_bit(method, settings, tmp_path: Path):
    model, before = backbone(), Session(backbone(), volume()).segment(box=(10, 8, 2, 30, 28, 6)).mask
    adapter = create(method, settings)
    adapter.attach(model)
    torch.manual_seed(0)
    for parameter in adapter.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    changed = Session(model, volume()).segment(box=(10, 8, 2, 30, 28, 6)).mask
    assert (changed != before).any()
    save_adapter(adapter, model, tmp_path / "adapter")
    adapter.detach()
    np.testing.assert_array_equal(Session(model, volume()).segment(box=(10, 8, 2, 30, 28, 6)).mask, before)
    load_adapter(tmp_path / "adapter", model)
    np.testing.assert_array_equal(Session(model, volume()).segment(box=(10, 8, 2, 30, 28, 6)).mask, changed)


def test_batch_norms_keep_their_statistics_in_training():
    model = Sam(SamConfig("lite_medsam", "tiny_vit", image=32, patch=4, out=32, decoder_heads=4, decoder_mlp=32))
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    model.encode(torch.rand(2, 1, 1, 32, 32) * 255, [None, None])
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("content", ["one tensor too many", "one too few", "another shape", "code"])
def test_a_file_of_another_network_is_refused(content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = replace(SYSTEMS["sam"], config=CONFIGS["sam"])
    monkeypatch.setitem(SYSTEMS, "sam", small)
    state = dict(backbone().state_dict())
    convert = tmp_path / "good.pth"
    torch.save(state, convert)
    convert_sam(convert, "sam", tmp_path / "good")
    assert isinstance(load_model(tmp_path / "good"), Sam)
    if content == "one tensor too many":
        state["more"] = torch.zeros(2)
    elif content == "one too few":
        state.pop("mask_decoder.iou_token.weight")
    elif content == "another shape":
        state["mask_decoder.iou_token.weight"] = torch.zeros(2, 32)
    else:
        state["model"] = Path
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError):
        convert_sam(tmp_path / "bad.pth", "sam", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_an_unknown_system_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no system of the SAM family; known are sam, medsam"):
        convert_sam(tmp_path / "x.pth", "sam3", tmp_path / "out")
