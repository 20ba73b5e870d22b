"""Plan a network from the shapes and spacings of its training cases, by nnU-Net's rules.

Source: Isensee et al. 2021, Nature Methods 18:203-211, supplementary note "rule-based parameters"; written anew here.
Axes are (d, h, w) within this module. What differs from nnU-Net: the budget is a number of voxels, not bytes of a
graphics card, and signal and labels are resampled as `imaging.framing` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ...data.record import CaseRecord
from ...errors import StoreError
from ...imaging.grid import Floats, Triple, triple
from ...models.unet.config import MOST_STAGES, UnetConfig
from ...vocabulary import Modality
from .settings import AutomaticSettings

SMALLEST_MAP = 4  # voxels a side in the last stage
ANISOTROPIC = 3.0  # times the other axes' spacing, and as many times fewer voxels
_COARSER = 1.03  # times the spacing, a step
_FINEST_STAGES = 3  # as few as the network can have


@dataclass(frozen=True)
class Topology:
    """The stages of a network for one patch.

    Attributes:
        kernels, strides: of each stage, (d, h, w).
        patch: made larger until each side is a multiple of its strides' product.
    """

    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    patch: Triple

    @property
    def steps(self) -> Triple:
        """Voxels a side that one voxel of the last stage stands for."""
        return triple(prod(stride[axis] for stride in self.strides) for axis in range(3))


def plan_network(records: Sequence[CaseRecord], structures: Sequence[str], settings: AutomaticSettings) -> UnetConfig:
    """The network for these training cases.

    Args:
        records: of the training cases, and of no other.
        structures: that it is to know.
        settings: features and budget.

    Raises:
        StoreError: there is no case.
    """
    if not records:
        raise StoreError("no case is there to plan a network from.")
    spacing = target_spacing(records)
    shape = median_shape(records, spacing)
    planned = topology_within(spacing, shape, settings.patch_voxels)
    while prod(planned.patch) < settings.coverage * prod(shape):
        spacing = coarser(spacing)
        shape = median_shape(records, spacing)
        planned = topology_within(spacing, shape, settings.patch_voxels)
    features = tuple(min(settings.most_features, settings.features * 2**stage) for stage in range(len(planned.strides)))
    only_mri = all(record.modality is not Modality.CT for record in records)
    return UnetConfig(
        window=planned.patch,
        spacing=spacing[::-1],
        structures=tuple(structures),
        features=features,
        kernels=planned.kernels,
        strides=planned.strides,
        intensity="z_score" if only_mri else "soft_tissue",
    )


def target_spacing(records: Sequence[CaseRecord]) -> tuple[float, float, float]:
    """Millimetres (d, h, w): the median; along one far coarser axis with far fewer voxels the 10th percentile.

    The median of such an axis would leave gaps between the slices of the finer cases.
    """
    spacings = np.array([_along_body(record)[0] for record in records])
    shapes = np.array([_along_body(record)[1] for record in records])
    target, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    coarsest = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarsest]
    if target[coarsest] > ANISOTROPIC * target[others].max() and size[coarsest] * ANISOTROPIC < size[others].min():
        target[coarsest] = max(np.percentile(spacings[:, coarsest], 10), target[others].max())
    d, h, w = (float(length) for length in target)
    return d, h, w


def coarser(spacing: Sequence[float]) -> tuple[float, float, float]:
    """A spacing 3 % coarser: first of the axes that are more than twice as fine as the coarsest, else of all."""
    most = max(spacing)
    fine = [most / length > 2 for length in spacing]
    d, h, w = (
        _COARSER * length if chosen or not any(fine) else length for length, chosen in zip(spacing, fine, strict=True)
    )
    return d, h, w


def median_shape(records: Sequence[CaseRecord], spacing: Sequence[float]) -> Triple:
    """Voxels (d, h, w) of the median case at a spacing."""
    shapes = [np.maximum(1, np.rint(np.multiply(*_along_body(record)) / np.asarray(spacing))) for record in records]
    return triple(int(side) for side in np.median(shapes, axis=0))


def _along_body(record: CaseRecord) -> tuple[Floats, Floats]:
    """Spacing and shape of a case along (d, h, w), which is z, y, x of its canonical axes."""
    return np.asarray(record.spacing[::-1], float), np.asarray(record.shape[::-1], float)


def topology_within(spacing: Sequence[float], shape: Triple, voxels: int) -> Topology:
    """The largest patch of a shape's proportions within a budget, and its network.

    It begins with a cube in millimetres of 256^3 voxels, no larger than the median shape, and loses voxels along the
    axis that shows most of that shape until the budget holds.

    Args:
        spacing: millimetres (d, h, w).
        shape: of the median case at that spacing.
        voxels: of a patch at most.
    """
    cube = (256**3 * prod(spacing)) ** (1 / 3) / np.asarray(spacing)
    planned = topology(spacing, triple(min(round(side), most) for side, most in zip(cube, shape, strict=True)))
    while prod(planned.patch) > voxels:
        shares = [side / most for side, most in zip(planned.patch, shape, strict=True)]
        reducible = [axis for axis in range(3) if planned.patch[axis] > planned.steps[axis]]
        if not reducible:
            break
        axis = max(reducible, key=shares.__getitem__)
        smaller = topology(spacing, _shortened(planned.patch, axis, planned.steps[axis]))
        # The smaller patch may be halved less often, and then need not lose as many voxels.
        closer = topology(spacing, _shortened(planned.patch, axis, smaller.steps[axis]))
        planned = closer if prod(closer.patch) < prod(planned.patch) else smaller
    return planned


def _shortened(patch: Triple, axis: int, voxels: int) -> Triple:
    return triple(side - voxels if number == axis else side for number, side in enumerate(patch))


def topology(spacing: Sequence[float], patch: Triple) -> Topology:
    """Stages for a patch: an axis is halved while it is long enough and not much coarser than the finest.

    Kernels are flat across an axis until its spacing is less than twice the finest, and stay 3 from there on.
    """
    now, size = [float(length) for length in spacing], [float(side) for side in patch]
    kernel = [1, 1, 1]
    strides: list[Triple] = [(1, 1, 1)]
    kernels: list[Triple] = []
    while len(strides) < MOST_STAGES:
        long = [axis for axis in range(3) if size[axis] >= 2 * SMALLEST_MAP]
        if not long:
            break
        finest = min(now[axis] for axis in long)
        halved = [axis for axis in long if now[axis] < 2 * finest]
        if len(halved) == 1 and size[halved[0]] < 3 * SMALLEST_MAP:
            break
        kernel = [3 if side == 3 or now[axis] < 2 * min(now) else 1 for axis, side in enumerate(kernel)]
        kernels.append(triple(kernel))
        strides.append(triple(2 if axis in halved else 1 for axis in range(3)))
        for axis in halved:
            now[axis] *= 2
            size[axis] = np.ceil(size[axis] / 2)
    kernels.append((3, 3, 3))
    while len(strides) < _FINEST_STAGES:  # a patch too small to be halved
        kernels.insert(0, triple(kernel))
        strides.append((1, 1, 1))
    steps = [prod(stride[axis] for stride in strides) for axis in range(3)]
    padded = triple(int(np.ceil(side / step) * step) for side, step in zip(patch, steps, strict=True))
    return Topology(tuple(kernels), tuple(strides), padded)
