"""Box and points as volumes beside the sparse tokens: where a prompt is, said to every voxel.

Source: the dense prompt path of SAM (Kirillov et al. 2023) and the prompt channels of nnInteractive (Isensee et al.
2025). Without it a small network ignores boxes and points for long (see the model card of segvol-mini).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..backbone import NEGATIVE, POSITIVE, PromptBatch, Triple
from .config import SegVolConfig
from .upscaling import SecondStepInputs, to_cells

CHANNELS = 3
POINT_SIGMA = 1.5
"""Standard deviation of a point's Gaussian, in mask voxels."""
_HIDDEN = 32


@dataclass(frozen=True)
class DenseEmbedding:
    """What is added to the image at each of its three resolutions.

    Attributes:
        tokens: (P, N, C).
        middle: (P, N, 8, C / 4), at twice the token grid.
        fine: for the step to four times the token grid.
    """

    tokens: Tensor
    middle: Tensor
    fine: SecondStepInputs


class DensePrompts(nn.Module):
    """Embeds prompt volumes by layers on blocks of 2x2x2 voxels (convolutions whose stride is their kernel)."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.window, self.grid, self.mask_size = config.window, config.grid, config.mask_size
        self.to_fine = JoinedWeight(8 * CHANNELS, config.width)
        self.reduce = nn.Linear(8 * CHANNELS, _HIDDEN)
        self.to_middle = nn.Linear(_HIDDEN, config.width // 4)
        self.combine = nn.Linear(8 * _HIDDEN, 2 * _HIDDEN)
        self.to_tokens = nn.Linear(2 * _HIDDEN, config.width)

    def forward(self, prompts: PromptBatch) -> DenseEmbedding:
        """P prompts -> their embedding; a prompt without box and points has volumes of zeros."""
        volumes = prompt_volumes(prompts, self.window, self.mask_size, self.to_fine.weight.device)
        blocks = to_cells(volumes, self.grid, 4).flatten(3)
        reduced = functional.gelu(self.reduce(blocks))
        combined = functional.gelu(self.combine(reduced.flatten(2)))
        return DenseEmbedding(
            self.to_tokens(combined),
            self.to_middle(reduced),
            SecondStepInputs(blocks, self.to_fine.weight, self.to_fine.bias),
        )


class JoinedWeight(nn.Module):
    """A linear layer that is joined with the decoder's upscaling into one product; no adapter can wrap it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.weight, self.bias = start.weight, start.bias


def prompt_volumes(prompts: PromptBatch, window: Triple, size: Triple, device: torch.device) -> Tensor:
    """(P, 3, d, h, w): the box's share of each mask voxel, positive points, negative points; zeros where absent."""
    scale = torch.tensor([side / mask for side, mask in zip(window, size, strict=True)], device=device)
    volumes = torch.zeros(len(prompts), *size, CHANNELS, device=device).permute(0, 4, 1, 2, 3)
    if prompts.boxes is not None:
        volumes[:, 0] = _box_share(prompts.boxes.to(device).float(), scale, size)
    if prompts.points is not None and prompts.labels is not None:
        points = (prompts.points.to(device).float().nan_to_num() + 0.5) / scale - 0.5
        labels = prompts.labels.to(device)
        for channel, label in ((1, POSITIVE), (2, NEGATIVE)):
            volumes[:, channel] = _gaussians(points, (labels == label).float(), size)
    return volumes


def _box_share(boxes: Tensor, scale: Tensor, size: Triple) -> Tensor:
    """Share of each voxel inside the box; the box (both corners included) reaches half a voxel beyond its corners."""
    present = (~boxes.isnan().any(1)).float()
    low, high = boxes.nan_to_num().reshape(-1, 2, 3).unbind(1)
    low, high = low / scale, (high + 1) / scale
    d, h, w = (
        (torch.minimum(high[:, axis, None], edges + 1) - torch.maximum(low[:, axis, None], edges)).clamp(0, 1)
        for axis, edges in enumerate(torch.arange(side, device=boxes.device) for side in size)
    )
    return (present[:, None] * d)[:, :, None, None] * h[:, None, :, None] * w[:, None, None, :]


def _gaussians(points: Tensor, weight: Tensor, size: Triple) -> Tensor:
    """Sum of separable Gaussians at (P, K, 3) mask voxels, at most 1."""
    d, h, w = (
        torch.exp(-0.5 * ((torch.arange(side, device=points.device) - points[..., axis, None]) / POINT_SIGMA) ** 2)
        for axis, side in enumerate(size)
    )
    planes = (weight[..., None] * d)[..., :, None] * h[..., None, :]
    with torch.autocast(points.device.type, enabled=False):
        lines = planes.flatten(2).transpose(1, 2) @ w
    return lines.view(len(points), *size).clamp(max=1)
