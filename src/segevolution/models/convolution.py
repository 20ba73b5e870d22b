"""A convolution in space that is fast on a processor for one image, too.

For one image torch takes oneDNN's kernel only where channels times the first two sides exceed 20,480 (and, for a kernel
of one voxel, where there are several threads), whatever the third side; else its own, which takes three to twelve times
as long on the maps of the stem. Measured on a core with AVX2, channels last: 48 to 48 channels on 16 x 24 x 24 voxels
146 to 18 ms, 48 to 16 80 to 6, 1 to 16 on 32 x 96 x 96 36 to 10.
"""

from typing import cast

import torch
from torch import Tensor, nn

_WORTH_IT = 100_000  # values of a map; below, either kernel takes no time


class Conv3d(nn.Conv3d):
    """nn.Conv3d with the same parameters, which asks oneDNN for the larger maps in float32 on a processor.

    Where torch would have taken oneDNN by itself, the answer is the same to the last bit; elsewhere it differs by
    rounding.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(B, c, D, H, W) -> (B, c', D', H', W'); where torch's own layer calls the kernel."""
        if not self._onednn_takes(input, weight):
            return cast(Tensor, super()._conv_forward(input, weight, bias))
        padding = cast("tuple[int, ...]", self.padding)
        return torch.mkldnn_convolution(input, weight, bias, padding, self.stride, self.dilation, self.groups)

    def _onednn_takes(self, maps: Tensor, weight: Tensor) -> bool:
        return (
            maps.numel() >= _WORTH_IT
            and maps.device.type == "cpu"
            and maps.dtype == weight.dtype == torch.float32
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and torch.backends.mkldnn.is_available()
            and bool(torch.backends.mkldnn.enabled)
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )
