"""A picture of what SimMIM learned: images, what was hidden of them, and what was painted in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from ..data.augment import AugmentSettings
from ..data.windows import ViewSettings
from ..files import replacing
from ..models.segvol.segvol import SegVol
from ..training.masking import MaskedDataset, MaskSettings, UnlabelledImages
from ..training.simmim import MaskedPrediction

COLUMNS = ("image", "what it sees", "hidden voxels as predicted")


@torch.no_grad()
def draw_reconstruction(
    network: SegVol,
    prediction: MaskedPrediction,
    pools: Sequence[UnlabelledImages],
    masking: MaskSettings,
    path: Path,
    *,
    seed: int = 0,
    count: int = 4,
) -> None:
    """Write a PNG with a row an image: whole views, unchanged in intensity, their middle slice.

    Args:
        network, prediction: as `learn` left them, on the CPU.
        pools: the first images of each in turn.
        masking: as they were trained.
        path: of the picture.
        seed: of the masks.
        count: rows.

    Raises:
        OutputError: the picture cannot be written.
    """
    rows = []
    for number in range(count):
        pool = pools[number % len(pools)]
        image_pool = UnlabelledImages(pool.store, [pool.names[number // len(pools) % len(pool)]], pool.intensity)
        whole, same = ViewSettings(whole=1.0, still=1.0), AugmentSettings(chance=0.0)
        config = network.config
        batch = MaskedDataset(
            [image_pool], config.window, config.grid, masking, count, seed, views=1, view=whole, intensity=same
        )[number]
        predicted = prediction(network.encoder, batch.images, batch.hidden)
        nothing = torch.full_like(predicted, 0.5)
        panels = [
            batch.images,
            *(prediction.painted(voxels, batch.images, batch.hidden) for voxels in (nothing, predicted)),
        ]
        rows.append([volume[0, 0, config.window[0] // 2].numpy() for volume in panels])
    figure = Figure(figsize=(2.0 * len(COLUMNS), 2.0 * count + 0.3), layout="constrained", facecolor="black")
    axes = np.atleast_2d(figure.subplots(count, len(COLUMNS), squeeze=False))
    for places, slices in zip(axes, rows, strict=True):
        for place, plane in zip(places, slices, strict=True):
            # As radiologists look: the patient's right on the left, anterior on top.
            place.imshow(plane[::-1, ::-1], cmap="gray", vmin=0, vmax=1)
            place.axis("off")
    for place, title in zip(axes[0], COLUMNS, strict=True):
        place.set_title(title, fontsize=8, color="white")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, facecolor="black")
