"""Unlabelled images for SimMIM, and the random part of each that is hidden (Xie et al. 2022).

As in training with labels, a step's batch is drawn from its number alone, so that a run that was stopped goes on with
the same images and the same masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.augment import AugmentSettings, augment_view
from ..data.framed_copies import FramedCopies, frame_key
from ..data.store import Store
from ..data.streaming import ArrayCache
from ..data.windows import FramedCase, ViewSettings, draw_view
from ..errors import RecipeError
from ..imaging.framing import frame
from ..models.backbone import Triple
from ..vocabulary import did_you_mean

Rng = np.random.Generator
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskSettings:
    """How images are masked and predicted.

    Attributes:
        ratio: share of the units that is hidden, rounded down: SegVol's 0.6 hides 1,228 of 2,048.
        unit: tokens along (D, H, W) that are hidden together; one token is SegVol's, larger blocks are harder.
        fill: what stands in hidden voxels where convolutions look: "zero", or a "learned" number.
        final_norm: whether the encoder's last LayerNorm is in use, and so trained. MIM-Med3D leaves it out.

    Raises:
        RecipeError: an impossible value.
    """

    ratio: float = 0.6
    unit: Triple = (1, 1, 1)
    fill: Literal["zero", "learned"] = "zero"
    final_norm: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.ratio, bool) or not isinstance(self.ratio, int | float) or not 0 < self.ratio < 1:
            raise RecipeError(f"simmim.ratio is {self.ratio}; give a share between 0 and 1, such as 0.6.")
        unit = tuple(self.unit) if isinstance(self.unit, Sequence) else ()
        if len(unit) != 3 or any(not isinstance(side, int) or side < 1 for side in unit):
            raise RecipeError(f"simmim.unit is {self.unit}; give three whole numbers of tokens, such as [1, 1, 1].")
        if self.fill not in ("zero", "learned"):
            raise RecipeError(f'simmim.fill is "{self.fill}"; give zero or learned.')
        if not isinstance(self.final_norm, bool):
            raise RecipeError(f"simmim.final_norm is {self.final_norm}; give true or false.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, such as a recipe's; RecipeError names an unknown key and its nearest."""
        for key in values:
            if key not in cls.__dataclass_fields__:
                field_names = cls.__dataclass_fields__
                hint = did_you_mean(str(key), field_names, f"known are {', '.join(field_names)}.")
                raise RecipeError(f'"simmim.{key}" is no key here; {hint}')
        tidy: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**tidy)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "unit": list(self.unit)}

    def hidden_units(self, grid: Triple) -> int:
        """How many units of a token grid are hidden.

        Raises:
            RecipeError: the grid is not a whole number of units, or none, or all, would be hidden.
        """
        if any(side % step for side, step in zip(grid, self.unit, strict=True)):
            raise RecipeError(f"simmim.unit {self.unit} does not fill the network's {grid} tokens; give divisors.")
        units = int(np.prod(grid)) // int(np.prod(self.unit))
        hidden = int(self.ratio * units + 1e-9)
        if not 0 < hidden < units:
            raise RecipeError(f"simmim.ratio {self.ratio} hides {hidden} of {units} units; leave some on both sides.")
        return hidden


def draw_mask(grid: Triple, rng: Rng, settings: MaskSettings) -> Bools:
    """(N,) over the tokens of a grid, W fastest; true = hidden. Always exactly `hidden_units` units."""
    hidden = settings.hidden_units(grid)
    coarse = tuple(side // step for side, step in zip(grid, settings.unit, strict=True))
    mask = np.zeros(int(np.prod(coarse)), bool)
    mask[rng.choice(mask.size, hidden, replace=False)] = True
    return np.kron(mask.reshape(coarse), np.ones(settings.unit, bool)).ravel()


class UnlabelledImages:
    """Images of a store without their labels, framed once beside it when they are first drawn, and read by part.

    The framed copies are those of training with labels, see `data.framed_copies`.

    Args:
        store: cases with or without labels.
        names: of those to draw from.
        intensity: a name in imaging.intensity.NORMALISERS.
        weight: how often it is drawn from, relative to other pools.
        cache: where images are kept whole, as far as they fit; None reads parts only.
    """

    def __init__(
        self,
        store: Store,
        names: Sequence[str],
        intensity: str,
        weight: float = 1.0,
        cache: ArrayCache | None = None,
    ) -> None:
        self._records = tuple(store.select(names=names))
        self.store, self.intensity, self.weight, self.cache = store, intensity, weight, cache
        self._cases: dict[str, FramedCase] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of its images, sorted."""
        return tuple(record.name for record in self._records)

    def kept_in(self, cache: ArrayCache) -> "UnlabelledImages":
        """The same images, kept in this cache as far as they fit."""
        return UnlabelledImages(self.store, self.names, self.intensity, self.weight, cache)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, place: int) -> FramedCase:
        """One image with an empty label map.

        Raises:
            StoreError, VolumeError: the case is damaged or constant.
            OutputError: its framed copy cannot be written, for instance because the disk is full.
        """
        record = self._records[place]
        if record.name not in self._cases:
            copies = FramedCopies(self.store, frame_key(self.intensity), lambda volume: frame(volume, self.intensity))
            case = copies.case(record, frozenset(), frozenset())
            empty = np.broadcast_to(np.uint8(0), case.image.shape)  # takes no memory
            case = replace(case, labels=empty, structures={}, absent=())
            self._cases[record.name] = case if self.cache is None else case.kept_in(self.cache)
        return self._cases[record.name]


@dataclass(frozen=True)
class MaskedBatch:
    """Tensors of one step.

    Attributes:
        images: (B, 1, D, H, W) float32 in [0, 1], whole.
        hidden: (B, N) bool, which tokens are hidden; W fastest.
    """

    images: Tensor
    hidden: Tensor

    def to(self, device: torch.device) -> "MaskedBatch":
        """The same batch on `device`."""
        return MaskedBatch(self.images.to(device), self.hidden.to(device))


class MaskedDataset(Dataset[MaskedBatch]):
    """Number of a batch -> batch, numbered as in `StepDataset`.

    Args:
        pools: where images come from: a pool is drawn by weight, then an image evenly.
        window: (D, H, W) voxels of the network.
        grid: its tokens.
        masking: see MaskSettings.
        length: number of batches.
        seed: with a batch's number and `rank`, all chance comes from it.
        rank, world: number of this process, and of all: they draw apart, and `world` processes of `accumulate` batches
            see together what their product sees in one process.
        accumulate: batches a step and process.
        views: images a step.
        view, intensity: as in training with labels; there being no structures, windows lie anywhere.
    """

    def __init__(
        self,
        pools: Sequence[UnlabelledImages],
        window: Triple,
        grid: Triple,
        masking: MaskSettings,
        length: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        views: int = 2,
        view: ViewSettings | None = None,
        intensity: AugmentSettings | None = None,
    ) -> None:
        self.pools = [pool for pool in pools if len(pool) and pool.weight > 0]
        self.window, self.grid, self.masking = window, grid, masking
        self.length, self.seed, self.views = length, seed, views
        self.rank, self.world, self.accumulate = rank, world, accumulate
        self.view = replace(view or ViewSettings(), background=1.0)
        self.intensity = intensity or AugmentSettings()
        weights = np.array([pool.weight for pool in self.pools], float)
        self._chances = weights / weights.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> MaskedBatch:
        step, turn = divmod(index, self.accumulate)
        rng = np.random.default_rng([self.seed, self.rank + self.world * turn, step])
        images, hidden = [], []
        for _ in range(self.views):
            pool = self.pools[rng.choice(len(self.pools), p=self._chances)]
            case = pool[int(rng.integers(len(pool)))]
            view = draw_view(case, self.window, rng, self.view)
            images.append(augment_view(view, case, rng, self.intensity)[0])
            hidden.append(draw_mask(self.grid, rng, self.masking))
        return MaskedBatch(torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(hidden)))
