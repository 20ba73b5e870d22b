"""Changes of a patch's intensities, by nnU-Net's chances and strengths (Isensee et al. 2021), as MONAI makes them."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor


class IntensityAugmentation:
    """Noise, blur, brightness, contrast, low resolution and gamma, each by chance, in nnU-Net's order.

    It needs MONAI, see `models.unet`.
    """

    def __init__(self) -> None:
        intensity = import_module("monai.transforms.intensity.array")
        spatial = import_module("monai.transforms.spatial.array")
        gamma: dict[str, Any] = {"gamma": (0.7, 1.5), "retain_stats": True}
        self._transforms: Sequence[Any] = (
            intensity.RandGaussianNoise(prob=0.1, mean=0.0, std=0.1),
            intensity.RandGaussianSmooth(prob=0.2 * 0.5, sigma_x=(0.5, 1), sigma_y=(0.5, 1), sigma_z=(0.5, 1)),
            intensity.RandScaleIntensity(prob=0.15, factors=0.25),
            intensity.RandScaleIntensityFixedMean(prob=0.15, factors=0.25, preserve_range=True),
            spatial.RandSimulateLowResolution(prob=0.25 * 0.5, zoom_range=(0.5, 1)),
            intensity.RandAdjustContrast(prob=0.1, invert_image=True, **gamma),
            intensity.RandAdjustContrast(prob=0.3, invert_image=False, **gamma),
        )

    def __call__(self, image: np.ndarray[Any, Any], seed: int) -> Tensor:
        """(D, H, W) float32 -> (1, D, H, W); all chance comes from the seed."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self._transforms))
        changed: Any = torch.from_numpy(np.ascontiguousarray(image))[None]
        for transform, own_seed in zip(self._transforms, seeds.tolist(), strict=True):
            changed = transform.set_random_state(seed=own_seed)(changed)
        plain = changed.as_tensor() if hasattr(changed, "as_tensor") else torch.as_tensor(changed)
        return plain.float().contiguous()
