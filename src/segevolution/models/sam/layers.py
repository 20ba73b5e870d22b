"""Small parts that the SAM family's networks share."""

from torch import nn

from ..sam_layers import ChannelNorm


def neck(width: int, out: int) -> nn.Sequential:
    """What brings an encoder's channels to the decoder's: 1x1, norm, 3x3, norm."""
    return nn.Sequential(
        nn.Conv2d(width, out, 1, bias=False),
        ChannelNorm(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        ChannelNorm(out),
    )
