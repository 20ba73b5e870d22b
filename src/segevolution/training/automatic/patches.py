"""Patches of training cases: turned, scaled and cut in one step, drawn from a number alone.

The same seed, step and row give the same patch on any machine, so that nothing of the data's order needs keeping for a
training to go on exactly. Angles, scales and their chances are nnU-Net's (Isensee et al. 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...data.streaming import planes_of
from ...data.windows import FramedCase
from ...errors import StoreError
from ...imaging.grid import Floats, Triple

TURNED, SCALED = 0.2, 0.2  # chances
LARGEST_TURN = 30.0  # degrees about each axis
LARGEST_FLAT_TURN = 180.0  # degrees, where a patch is turned in its plane alone
SCALES = (0.7, 1.4)
FLAT = 3  # a patch that has so many times fewer planes than voxels in a plane's side is turned in its plane alone


@dataclass(frozen=True, eq=False)
class TrainingPatch:
    """One input of an automatic network.

    Attributes:
        image: (D, H, W) float32.
        classes: (D, H, W) uint8; 0 background, then the structures in their order.
    """

    image: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]


class PatchSampler:
    """Draws patches of cases.

    Args:
        cases: framed for the network; all of them labelled alike.
        structures: the network's; class 1 + i is structure i.
        window: (D, H, W) of a patch.
        oversample: share of the patches of a batch that are centred on a structure.
        seed: all chance comes from it, the step and the row.

    Raises:
        StoreError: there is no case, or datasets label different structures.
    """

    def __init__(
        self, cases: Sequence[FramedCase], structures: Sequence[str], window: Triple, oversample: float, seed: int
    ) -> None:
        if not cases:
            raise StoreError("no case is there to train on.")
        for case in cases:
            lacking = sorted(set(structures) - {*case.structures, *case.absent})
            if lacking:
                raise StoreError(
                    f"{case.name} comes from a dataset that does not label {', '.join(lacking)}, which an automatic "
                    "network would learn as background; train it on data that are labelled alike."
                )
        self.cases, self.structures, self.window, self.seed = tuple(cases), tuple(structures), window, seed
        self.oversample = oversample
        self.mirrored = not any(name.startswith(("left ", "right ")) for name in structures)
        self._flat = max(window) > FLAT * window[0]

    def batch(self, step: int, size: int) -> list[TrainingPatch]:
        """The patches of a step; the last ones are centred on a structure."""
        first_centred = round(size * (1 - self.oversample))
        return [self.draw(step, row, centred=row >= first_centred) for row in range(size)]

    def draw(self, step: int, row: int, *, centred: bool) -> TrainingPatch:
        """One patch, before its intensities are changed."""
        rng = np.random.default_rng((self.seed, step, row))
        case = self.cases[rng.integers(len(self.cases))]
        matrix = self._matrix(rng)
        middle = self._middle(case, rng, centred)
        patch = cut(case, self.window, matrix, middle, self.structures)
        if not self.mirrored:
            return patch
        axes = tuple(np.flatnonzero(rng.random(3) < 0.5).tolist())
        return TrainingPatch(np.flip(patch.image, axes).copy(), np.flip(patch.classes, axes).copy())

    def _matrix(self, rng: np.random.Generator) -> Floats:
        """(3, 3): from places in the patch to places in the case, both from their middle."""
        turned, scaled = rng.random(2) < (TURNED, SCALED)
        most = np.array([LARGEST_FLAT_TURN, 0, 0]) if self._flat else np.full(3, LARGEST_TURN)
        angles = rng.uniform(-most, most)
        scale = rng.uniform(SCALES[0], 1) if rng.random() < 0.5 else rng.uniform(1, SCALES[1])
        matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() if turned else np.eye(3)
        factors = np.array([1.0 if self._flat else scale, scale, scale]) if scaled else np.ones(3)
        return np.asarray(matrix * factors)

    def _middle(self, case: FramedCase, rng: np.random.Generator, centred: bool) -> Floats:
        """Where the patch's middle lies in the case; as far inside as its sides allow."""
        size, half = np.asarray(case.image.shape, float), (np.asarray(self.window, float) - 1) / 2
        labelled_structures = [name for name in self.structures if name in case.structures]
        if centred and labelled_structures:
            middle = case.voxel_of(labelled_structures[rng.integers(len(labelled_structures))], rng)
        else:
            middle = rng.uniform(0, 1, 3) * (size - 1)
        low, high = np.minimum(half, size - 1 - half), np.maximum(half, size - 1 - half)
        whole = size <= np.asarray(self.window)  # the case fits into the patch: its middle is the patch's
        return np.where(whole, (size - 1) / 2, np.clip(middle, low, high))


def cut(case: FramedCase, window: Triple, matrix: Floats, middle: Floats, structures: Sequence[str]) -> TrainingPatch:
    """A patch of a case: signal trilinearly, classes from the nearest voxel; padding outside of the case.

    Args:
        matrix: (3, 3), from places in the patch to places in the case, both from their middle.
        middle: (d, h, w) in the case.
        structures: class 1 + i is structure i; a later one covers an earlier one.
    """
    half = (np.asarray(window, float) - 1) / 2
    reach = np.abs(matrix) @ half
    size = np.asarray(case.image.shape)
    first = np.clip(np.floor(middle - reach).astype(int) - 1, 0, size - 1)
    last = np.clip(np.ceil(middle + reach).astype(int) + 1, 0, size - 1)
    planes = list(range(first[0], last[0] + 1))
    rows, columns = (slice(int(first[axis]), int(last[axis]) + 1) for axis in (1, 2))
    offset = middle - first - matrix @ half
    image = planes_of(case.image, planes, rows, columns).astype(np.float32)
    labels = planes_of(case.labels, planes, rows, columns)
    classes = np.zeros(labels.shape, np.uint8)
    for number, name in enumerate(structures, start=1):
        for value in case.structures.get(name, ()):
            classes[labels == value] = number
    return TrainingPatch(
        ndimage.affine_transform(image, matrix, offset, window, order=1, mode="constant", cval=case.pad),
        ndimage.affine_transform(classes, matrix, offset, window, order=0, mode="constant", cval=0),
    )
