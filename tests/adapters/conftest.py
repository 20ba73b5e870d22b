"""Networks that adapters are tried on, what they answer, and a stand-in for training."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from segevolution.adapters import attached
from segevolution.models.backbone import BackboneModule, PromptBatch
from segevolution.models.segvol.config import PixelDecoderConfig, SegVolConfig, StemConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Context, Modality

WITH_ALL_PARTS = {
    "stem": StemConfig((4, 8, 8), 2),
    "high_resolution": True,
    "dense_prompts": True,
    "pixel_decoder": PixelDecoderConfig((16, 8), 4),
}


def small_segvol(**parts: object) -> SegVol:
    config = SegVolConfig(
        window=(8, 32, 32), patch=(4, 8, 8), width=48, depth=2, heads=4, mlp=96, decoder_mlp=64, iou_hidden=32, **parts
    )
    network = SegVol.fresh(config, seed=0).eval()
    decoder = network.pixel_decoder
    if decoder is not None:  # a fresh one adds nothing
        with torch.no_grad():
            for parameter in decoder.project.parameters():
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return network


NETWORKS: dict[str, Callable[[], BackboneModule]] = {
    "tiny": lambda: TinyBackbone().eval(),
    "segvol": small_segvol,
    "segvol with all parts": lambda: small_segvol(**WITH_ALL_PARTS),
}


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> BackboneModule:
    return NETWORKS[request.param]()


@pytest.fixture
def tiny() -> BackboneModule:
    return NETWORKS["tiny"]()


@pytest.fixture
def segvol() -> BackboneModule:
    return NETWORKS["segvol"]()


@pytest.fixture
def full_segvol() -> BackboneModule:
    return NETWORKS["segvol with all parts"]()


Answer = Callable[[BackboneModule], Tensor]
Disturb = Callable[[BackboneModule], None]


@pytest.fixture
def answer() -> Answer:
    """Logits of two prompts, a point and a point with a box, on one seeded image; gradients as the caller has them."""

    def ask(backbone: BackboneModule) -> Tensor:
        sides = torch.tensor(backbone.spec.window)
        images = torch.rand(1, 1, *backbone.spec.window, generator=torch.Generator().manual_seed(1))
        prompts = PromptBatch(
            image_index=torch.zeros(2, dtype=torch.int64),
            structures=(None, None),
            points=(sides / 2).repeat(2, 1, 1),
            labels=torch.ones(2, 1, dtype=torch.int64),
            boxes=torch.stack([torch.full((6,), torch.nan), torch.cat([torch.ones(3), sides - 2.0])]),
        )
        features = backbone.encode(images, [Modality.MRI])
        return backbone.decode(features, prompts, [Context(Modality.MRI, None)] * 2).logits

    return ask


@pytest.fixture
def disturb() -> Disturb:
    """Moves every trained value of the adapter that a network carries, as training would."""

    def move(backbone: BackboneModule) -> None:
        carried = attached(backbone)
        assert carried is not None
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in carried.trainable_parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))

    return move
