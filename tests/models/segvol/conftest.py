"""The golden tiny network, and a mini with all optional parts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segevolution.models.backbone import PromptBatch
from segevolution.models.segvol.config import PixelDecoderConfig, SegVolConfig, StartConfig, StemConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer

NAN = float("nan")


@pytest.fixture(scope="session")
def golden_outputs(golden: Path) -> dict[str, Tensor]:
    with np.load(golden / "tiny_outputs.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="session")
def golden_network(golden: Path) -> SegVol:
    """The published form at another size, with the weights that the reference's outputs were computed with."""
    config = SegVolConfig(
        window=(8, 32, 32),
        patch=(4, 8, 8),
        width=48,
        depth=2,
        heads=4,
        mlp=96,
        decoder_heads=4,
        decoder_mlp=64,
        iou_hidden=16,
        unused_mask_downscaling=True,
    )
    network = SegVol(config)
    network.load_state_dict(load_file(golden / "tiny_weights.safetensors"))
    return network.eval()


@pytest.fixture(scope="session")
def mini_config() -> SegVolConfig:
    """Every optional part on, as small as it goes."""
    return SegVolConfig(
        window=(8, 32, 32),
        patch=(4, 8, 8),
        width=32,
        depth=2,
        heads=2,
        mlp=64,
        decoder_heads=2,
        decoder_mlp=32,
        iou_hidden=16,
        text=TextConfig("words", vocabulary=160, width=16, layers=1, heads=2, mlp=32, positions=24, train_tower=True),
        template="modality",
        structures=("liver", "spleen", "left kidney"),
        coordinates="matching",
        stem=StemConfig((4, 4, 8), groups=2),
        high_resolution=True,
        dense_prompts=True,
        pixel_decoder=PixelDecoderConfig((16, 8), groups=4),
        start=StartConfig((0.09, 0.9), position=1.5, tokens=0.3),
    )


@pytest.fixture
def mini(mini_config: SegVolConfig) -> SegVol:
    return with_pixels_that_matter(SegVol.fresh(mini_config, seed=1, tokenizer=WordTokenizer.of_vocabulary())).eval()


def with_pixels_that_matter(network: SegVol) -> SegVol:
    """A fresh pixel decoder adds nothing; as after training, it does now."""
    decoder = network.pixel_decoder
    if decoder is not None:
        with torch.no_grad():
            for parameter in decoder.project.parameters():
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))
    return network


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 1, 8, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def every_combination() -> PromptBatch:
    """Eight prompts on two images: text, point, box, each pair, all three, and a point list with padding tokens."""
    texts = ("liver", None, None, "spleen", "liver", None, "left kidney", None)
    has_points = (False, True, False, True, False, True, True, True)
    has_box = (False, False, True, False, True, True, True, False)
    generator = torch.Generator().manual_seed(3)
    points = 8 * torch.rand(8, 4, 3, generator=generator)
    labels = torch.tensor([[1, 0, 1, -2]] * 8)
    labels[7] = torch.tensor([1, -1, -1, -1])
    boxes = torch.tensor([[1.0, 3.0, 5.0, 4.0, 20.0, 17.0]] * 8) + torch.arange(8.0)[:, None]
    for row in range(8):
        if not has_points[row]:
            labels[row], points[row] = -2, NAN
        if not has_box[row]:
            boxes[row] = NAN
    return PromptBatch(torch.tensor([0, 1, 0, 1, 1, 0, 1, 0]), texts, points, labels, boxes)


@pytest.fixture
def one_prompt() -> Callable[[PromptBatch, int], PromptBatch]:
    """A prompt of a batch by itself, as a caller without any filler would write it."""

    def alone(prompts: PromptBatch, row: int) -> PromptBatch:
        assert prompts.points is not None
        assert prompts.labels is not None
        assert prompts.boxes is not None
        real = prompts.labels[row] != -2
        has_box = not bool(prompts.boxes[row].isnan().any())
        return PromptBatch(
            prompts.image_index[row : row + 1],
            prompts.structures[row : row + 1],
            prompts.points[row : row + 1, real] if real.any() else None,
            prompts.labels[row : row + 1, real] if real.any() else None,
            prompts.boxes[row : row + 1] if has_box else None,
        )

    return alone
