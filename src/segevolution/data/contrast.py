"""A view as another sequence might show it: other curves of grey, other contrasts between structures, another grain.

Labels of one sequence do not carry to another; contrasts drawn at random from CT and its labels do (Ouyang et al.
2022, Su et al. 2023). What is drawn, in this order:

- one curve of grey for the whole view, rising, falling or neither (Bezier curves: Zhou et al. 2021, Models Genesis,
  doi:10.1016/j.media.2020.101840);
- for structures their own curve, mean and sign, with soft borders, the two sides of a pair alike (class-wise location
  and scale: Su et al. 2023, SLAug, arXiv:2211.14805);
- shallow random convolutions and an artefact of k-space, see `texture`;
- a stretch to another share of the range, as a normaliser of a whole volume would leave it; or, with `matched`, the
  percentiles that the view had, as a normaliser leaves them that matches intensities.

Own code in three dimensions. Voxels that are exactly 0 and lie among others of 0 are padding or air, and stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.grid import Array
from ..imaging.intensity_matching import PERCENTILES, rising_curve
from ..ranges import Share, Strength
from ..vocabulary import Modality
from .texture import random_artefact, random_convolution

Rng = np.random.Generator
Image = npt.NDArray[np.float32]

_ENTRIES = 1024  # of a curve's table
_DARKEST = np.float32(1 / 255)  # of tissue: 0 is kept for padding and air
_SPECKLE = 0.28  # of a voxel and its 26 neighbours; a corner of a block of zeros has 8 of 27


@dataclass(frozen=True)
class ContrastSettings:
    """How views get another contrast; without a share nothing is drawn.

    Attributes:
        share: of the views of each modality; what is not named keeps its contrast.
        monotone: share of curves that only rise or only fall.
        structures: how much structures differ from what surrounds them, in [0, 1]: 0 gives them the view's curve, 1
            a mean drawn over the whole range.
        border: largest standard deviation of a structure's soft border, in voxels of the view.
        convolution: share of these views that are convolved.
        artefact: share of these views that get an artefact of k-space.
        bias_field, noise, resolution: as in AugmentSettings, for these views, where they are larger than its own.
        as_mri: whether the network is told that such a view is MRI, for what routes by modality.
        matched: whether the view's body keeps its percentiles, for networks whose intensity matches them.
    """

    share: dict[Modality, Share] = field(default_factory=dict)
    monotone: Share = 0.4
    structures: Share = 0.8
    border: Strength = 0.8
    convolution: Share = 0.3
    artefact: Share = 0.1
    bias_field: Strength = 0.8
    noise: Strength = 0.08
    resolution: Strength = 3.0
    as_mri: bool = False
    matched: bool = False

    def drawn(self, modality: Modality | None, rng: Rng) -> bool:
        """Whether a view gets another contrast; draws one number where its modality has a share."""
        share = 0.0 if modality is None else self.share.get(modality, 0.0)
        return share > 0 and rng.random() < share


def recontrast(
    image: Image, labels: Array, structures: Mapping[str, tuple[int, ...]], rng: Rng, settings: ContrastSettings
) -> Image:
    """Draw another contrast.

    Args:
        image: (D, H, W) float32 in [0, 1].
        labels: (D, H, W) whole numbers, the view's.
        structures: canonical name -> label values, of the case; those that the view lacks are passed over.
        rng: the only source of chance.
        settings: see ContrastSettings; the share is not asked here.

    Returns:
        float32 in [0, 1]; 0 where the image is padding or air, above 0 elsewhere.

    Raises:
        ValueError: image and labels are of different shapes.
    """
    if image.shape != labels.shape:
        raise ValueError(f"an image of shape {image.shape} and labels of shape {labels.shape} are not of one view.")
    outside = _outside(image)
    changed = along(image, random_curve(rng, settings.monotone))
    if settings.structures > 0:
        changed = _structures_changed(image, changed, _classes(labels, structures), rng, settings)
    if settings.convolution and rng.random() < settings.convolution:
        changed = random_convolution(changed, ~outside, rng)
    if settings.artefact and rng.random() < settings.artefact:
        changed = random_artefact(changed, rng)
    changed = _matched(changed, image, outside) if settings.matched else _stretched(changed, outside, rng)
    changed[outside] = 0
    return changed


def random_curve(rng: Rng, monotone: float) -> Image:
    """A cubic Bezier curve over [0, 1] as a table (1024,) in [0, 1].

    Its ends lie anywhere; a share `monotone` rises or falls throughout, the others may turn.
    """
    x = np.array([0.0, *np.sort(rng.random(2)), 1.0])
    y = rng.random(4)
    if rng.random() < monotone:
        y = np.sort(y)
        y = (y - y[0]) / max(y[3] - y[0], 1e-6)
        y = y if rng.random() < 0.5 else y[::-1]
    else:
        y[1:3] = 2 * y[1:3] - 0.5  # beyond the range, so that the curve turns within it
    t = np.linspace(0, 1, 200)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    table = np.interp(np.linspace(0, 1, _ENTRIES), weights @ x, weights @ y)
    return np.clip(table, 0, 1).astype(np.float32)


def along(image: Image, table: Image) -> Image:
    """Signal in [0, 1] along a curve: the nearest entry of its table."""
    places = np.clip(image, 0, 1) * np.float32(len(table) - 1) + np.float32(0.5)
    return np.asarray(table[places.astype(np.int16)], np.float32)


def _classes(labels: Array, structures: Mapping[str, tuple[int, ...]]) -> Array:
    """(D, H, W) uint16: 0, and a number for each structure; both sides of a pair have one."""
    names = sorted({_without_side(name) for name in structures})
    table = np.zeros(int(labels.max(initial=0)) + 1, np.uint16)
    for name, values in structures.items():
        for value in values:
            if 0 < value < len(table):
                table[value] = 1 + names.index(_without_side(name))
    return table[labels]


def _without_side(name: str) -> str:
    return name.removeprefix("left ").removeprefix("right ")


def _structures_changed(image: Image, whole: Image, classes: Array, rng: Rng, settings: ContrastSettings) -> Image:
    """Give structures their own mean, slope and sign; across a soft border they blend with what surrounds them."""
    changed = whole.copy()
    border = settings.border * rng.random()
    reach = int(np.ceil(2 * border))
    for number, box in enumerate(ndimage.find_objects(classes.astype(np.int32)), start=1):
        if box is None:
            continue
        own, target, gain = settings.structures * rng.random(), rng.random(), np.exp(rng.normal(0, 0.5))
        table = random_curve(rng, 1.0)
        wide = tuple(
            slice(max(part.start - reach, 0), min(part.stop + reach, side))
            for part, side in zip(box, image.shape, strict=True)
        )
        mask = classes[wide] == number
        curve = along(image[wide], table)
        mean = (1 - own) * float(whole[wide][mask].mean()) + own * target
        value = np.float32(mean) + np.float32(gain) * (curve - curve[mask].mean())
        weight = mask.astype(np.float32)
        if reach:
            weight = ndimage.gaussian_filter(weight, border, truncate=2.0, mode="nearest")
            value = np.where(mask, value, np.float32(mean))  # beyond its border a structure has no grain
        changed[wide] += weight * (value - changed[wide])
    return np.clip(changed, 0, 1, out=changed)


def _outside(image: Image) -> npt.NDArray[np.bool_]:
    """Voxels of 0 among others of 0; single ones within tissue are fat at a window's end, and tissue."""
    zero = image == 0
    crowd = ndimage.uniform_filter(zero.astype(np.float32), 3, mode="nearest")
    return np.asarray(zero & (crowd > _SPECKLE), bool)


def _stretched(image: Image, outside: npt.NDArray[np.bool_], rng: Rng) -> Image:
    """Bring a high percentile of tissue to a random share of the range; tissue stays above 0."""
    percentile, share = rng.uniform(97, 99.9), rng.uniform(0.5, 1.0)
    tissue = image[~outside][::7]
    top = float(np.percentile(tissue, percentile)) if tissue.size else 0.0
    stretched = np.clip(image * np.float32(share / max(top, 0.05)), _DARKEST, np.float32(1))
    return np.asarray(stretched, np.float32)


def _matched(image: Image, before: Image, outside: npt.NDArray[np.bool_]) -> Image:
    """Give tissue, and what it encloses, the percentiles that it had before; tissue stays above 0."""
    inside = np.stack([ndimage.binary_fill_holes(plane) for plane in ~outside])
    if not inside.any():
        return image
    own, target = (np.percentile(view[inside][::3], PERCENTILES) for view in (image, before))
    matched = np.interp(image, *rising_curve(own, target)).clip(_DARKEST, 1)
    return np.asarray(matched, np.float32)
