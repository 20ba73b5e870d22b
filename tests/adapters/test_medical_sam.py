"""Medical SAM Adapter: the base at first, a look across slices, trained, saved, and gone without a trace."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.data.windows import FramedCase
from segevolution.errors import AdapterError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.inference.strategies import strategy_of
from segevolution.models.backbone import BackboneModule
from segevolution.models.sam.config import SamConfig
from segevolution.models.sam.sam import Sam
from segevolution.models.sam_med3d.config import SamMed3dConfig
from segevolution.models.sam_med3d.sam_med3d import SamMed3d
from segevolution.models.tiny import TinyBackbone
from segevolution.training.batches import CaseGroup
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SMALL = {"out": 48, "decoder_heads": 4, "decoder_mlp": 32, "iou_hidden": 16}
VIT = {"image": 64, "width": 24, "depth": 2, "heads": 2, "mlp": 48, "window": 3, "global_blocks": (1,), **SMALL}
BOX = (10, 8, 2, 30, 28, 6)


def flat(**sizes) -> Sam:
    """Windows of 3 over a grid of 4: padded, two by two."""
    torch.manual_seed(0)
    return Sam(SamConfig(**{**VIT, **sizes})).eval()


def light() -> Sam:
    torch.manual_seed(0)
    return Sam(SamConfig("lite_medsam", "tiny_vit", image=32, patch=4, **SMALL)).eval()


def solid() -> SamMed3d:
    torch.manual_seed(0)
    return SamMed3d(SamMed3dConfig(patch=16, **VIT)).eval()


NETWORKS = {
    "sam": (flat, 1),
    "sam, three slices": (flat, 3),
    "sam, nine slices": (flat, 9),
    "sam_med2d": (lambda: flat(preparation="sam_med2d", adapters=True), 3),
    "lite_medsam": (light, 1),
    "sam_med3d": (solid, 3),
}


def case() -> Case:
    """A bright ball in noise on anisotropic slices."""
    z, y, x = np.meshgrid(np.arange(9), np.arange(40), np.arange(44), indexing="ij")
    ball = ((z - 4) / 3) ** 2 + ((y - 18) / 9) ** 2 + ((x - 20) / 8) ** 2 < 1
    signal = np.where(ball, 400.0, 80.0) + np.random.default_rng(0).normal(0, 5, ball.shape)
    grid = Grid((44, 40, 9), np.diag([1.0, 1, 6, 1]))
    volume = Volume(signal.transpose(2, 1, 0).astype(np.float32), grid, Modality.MRI, "a")
    return Case("a", "a", "toy", volume, ball.transpose(2, 1, 0).astype(np.uint8), {"liver": (1,)})


def ask(network: BackboneModule) -> np.ndarray:
    return Session(network, case().volume).segment(box=BOX, keep_logits=True).logits


def changed(adapter, scale: float = 0.05) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_base_at_first_changes_it_is_saved_and_leaves_it_bit_for_bit(name: str, tmp_path: Path) -> None:
    make, slices = NETWORKS[name]
    network, base = make(), ask(make())
    adapter = create("medical_sam_adapter", {"slices": slices})
    adapter.attach(network)
    np.testing.assert_allclose(ask(network), base, atol=2e-3)
    changed(adapter)
    answer = ask(network)
    assert not np.array_equal(answer, base)
    save_adapter(adapter, network, tmp_path / "adapter")
    adapter.switch_off()
    np.testing.assert_array_equal(ask(network), base)
    adapter.switch_on()
    np.testing.assert_array_equal(ask(network), answer)
    adapter.detach()
    np.testing.assert_array_equal(ask(network), base)
    load_adapter(tmp_path / "adapter", network)
    np.testing.assert_array_equal(ask(network), answer)


def test_with_slices_a_slice_hears_of_its_neighbours_and_of_no_other() -> None:
    network = flat()
    adapter = create("medical_sam_adapter", {"slices": 3})
    adapter.attach(network)
    changed(adapter)
    images = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        both = network.encode(images, [None, None]).tokens
        alone = network.encode(images[1:], [None]).tokens
        other = images.clone()
        other[1, :, 0] = 0
        heard = network.encode(other, [None, None]).tokens
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(both[0], heard[0])
    assert not torch.allclose(both[1], heard[1], atol=1e-4)


def test_depth_is_the_blocks_own_attention_over_the_slices_of_a_place() -> None:
    network = flat()
    adapter = create("medical_sam_adapter", {"slices": 3})
    adapter.attach(network)
    changed(adapter)
    part = network.get_submodule("image_encoder.blocks.1.attn")
    part.images = 6
    values = torch.randn(6, 4, 4, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        across = part._across(values)
        place = values[3:, 2, 1].reshape(1, 1, 3, 24)
        torch.testing.assert_close(across[3:, 2, 1], part.base(place)[0, 0], rtol=1e-4, atol=1e-5)


def test_it_learns_from_slices_and_their_neighbours(tmp_path: Path) -> None:
    network, patient = flat(), case()
    adapter = create("medical_sam_adapter", {"slices": 3})
    adapter.attach(network)
    framed = FramedCase.make(patient, strategy_of(network.spec).prepare(patient.volume, network.spec))
    settings = FitSettings(
        steps=60,
        seed=1,
        warmup=5,
        learning_rate=2e-3,
        ema_decay=0,
        sample={"views": 2, "structures": 1, "prompts": 1},
        gradient_checkpointing=True,
    )
    truth, before = patient.mask("liver"), Session(network, patient.volume).segment(box=BOX).mask
    depth = network.get_submodule("image_encoder.blocks.0.attn").depth
    fit(network, [CaseGroup((framed,))], settings, tmp_path, device="cpu", quiet=True)
    after = Session(network.eval(), patient.volume).segment(box=BOX).mask
    assert float(depth.up.weight.detach().abs().max()) > 0
    assert dice(after, truth) > dice(before, truth) + 0.1


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (light, {"slices": 3}, "slices: 1"),
        (lambda: TinyBackbone().eval(), {}, "does not name the parts"),
        (flat, {"slices": 2}, "odd"),
        (flat, {"ratio": 0}, "ratio"),
    ],
    ids=["fixed windows", "no blocks", "an even number", "no channels"],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, settings, sentence) -> None:
    network = make()
    with pytest.raises(AdapterError, match=sentence):
        create("medical_sam_adapter", settings).attach(network)


def test_it_cannot_be_merged() -> None:
    network = flat()
    adapter = create("medical_sam_adapter")
    adapter.attach(network)
    with pytest.raises(AdapterError, match="merged"):
        adapter.merge()
