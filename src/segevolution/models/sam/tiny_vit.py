"""LiteMedSAM's image encoder: TinyViT at stride 4, convolutions first, then attention in windows.

Source: Wu et al. 2022, arXiv:2207.10666, at the sizes of LiteMedSAM.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import SamConfig
from .layers import neck

DIMS, DEPTHS, HEADS, WINDOWS, STRIDES = (64, 128, 160, 320), (2, 2, 6, 2), (0, 4, 5, 10), (0, 7, 14, 7), (2, 2, 1)
_EXPANSION = 4


class TinyViT(nn.Module):
    """(B, 3, S, S) -> (B, C, S / 4, S / 4)."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.patch_embed = PixelEmbedding(DIMS[0])
        self.layers = nn.ModuleList(TinyViTStage(number) for number in range(len(DIMS)))
        self.neck = neck(DIMS[-1], config.out)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, C, S / 4, S / 4)."""
        values = self.patch_embed(images)
        for layer in self.layers:
            values = layer(values)
        embedded: Tensor = self.neck(values)
        return embedded


class ConvNorm(nn.Module):
    """A convolution without bias and a batch norm."""

    def __init__(self, inputs: int, outputs: int, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        normal: Tensor = self.bn(self.c(values))
        return normal


class PixelEmbedding(nn.Module):
    """Two maps of each pixel, GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2), nn.GELU(), ConvNorm(width // 2, width))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, W, S, S)."""
        embedded: Tensor = self.seq(images)
        return embedded


class TinyViTStage(nn.Module):
    """Blocks at one resolution, then a step down to the next; the last stage has none."""

    def __init__(self, number: int) -> None:
        super().__init__()
        width = DIMS[number]
        self.blocks = nn.ModuleList(
            WindowBlock(width, HEADS[number], WINDOWS[number]) if HEADS[number] else ConvBlock(width)
            for _ in range(DEPTHS[number])
        )
        self.downsample = Downsample(width, DIMS[number + 1], STRIDES[number]) if number < len(STRIDES) else None

    def forward(self, values: Tensor) -> Tensor:
        """(B, W, h, w) -> (B, next W, h / stride, w / stride)."""
        for block in self.blocks:
            values = block(values)
        return values if self.downsample is None else self.downsample(values)


class ConvBlock(nn.Module):
    """An inverted bottleneck beside a shortcut, GELU after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = _EXPANSION * width
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width)

    def forward(self, values: Tensor) -> Tensor:
        """(B, W, h, w) -> the same shape."""
        inner = functional.gelu(self.conv2(functional.gelu(self.conv1(values))))
        return functional.gelu(self.conv3(inner) + values)


class Downsample(nn.Module):
    """To other channels and a coarser grid."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        coarse: Tensor = self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(values)))))
        return coarse


class WindowBlock(nn.Module):
    """Attention in windows, a depthwise convolution, a perceptron."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = NormedPerceptron(width, _EXPANSION * width)
        self.window = window

    def forward(self, values: Tensor) -> Tensor:
        """(B, W, h, w) -> the same shape."""
        batch, width, h, w = values.shape
        side = self.window
        # Padded before the norm, so that what is outside becomes the norm's bias, and is attended.
        padded = functional.pad(values, (0, -w % side, 0, -h % side))
        tall, wide = padded.shape[2:]
        parts = padded.reshape(batch, width, tall // side, side, wide // side, side).permute(0, 2, 4, 3, 5, 1)
        mixed = self.attn(parts.reshape(-1, side * side, width))
        back = mixed.reshape(batch, tall // side, wide // side, side, side, width).permute(0, 5, 1, 3, 2, 4)
        values = values + back.reshape(batch, width, tall, wide)[:, :, :h, :w]
        values = self.local_conv(values)
        tokens = values.flatten(2).transpose(1, 2)
        changed: Tensor = values + self.mlp(tokens).transpose(1, 2).reshape(batch, width, h, w)
        return changed


class WindowAttention(nn.Module):
    """Multi-head attention with a learned bias for each distance along both axes."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window)
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        spots = torch.stack([rows.flatten(), columns.flatten()], dim=1)
        apart = (spots[:, None] - spots[None]).abs()
        self._index: Tensor
        self.register_buffer("_index", apart[..., 0] * window + apart[..., 1], persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(windows, tokens, W) -> the same shape."""
        count, length, width = values.shape
        qkv = self.qkv(self.norm(values)).view(count, length, self.heads, -1).transpose(1, 2)
        query, key, value = qkv.chunk(3, dim=-1)
        bias = self.attention_biases[:, self._index][None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return projected


class NormedPerceptron(nn.Module):
    """A layer norm, then two linear layers with exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, values: Tensor) -> Tensor:
        """(B, N, W) -> the same shape."""
        changed: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(values))))
        return changed
