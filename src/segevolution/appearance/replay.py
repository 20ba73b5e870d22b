"""Draw a shift, apply it, and keep the record from which it can be replayed.

    changed, record = shift(volume, "noise", 0.1, seed=3)
    again = apply(volume, Parameters.from_json(record.to_json()))    # the same voxels

Shifts act on signal as measured, before any network's normalisation. Changed signal is float32, since rounding it
back to integers would swallow mild shifts; strength 0 returns the volume itself, its integers too. Grid, name and
origin stay, and labels, which lie on the same grid, stay true: no shift moves anatomy.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import VolumeError
from ..files import plain_values
from ..imaging.grid import Grid
from ..imaging.volume import Volume
from .base import Change, Scene, Shift
from .registry import SHIFTS, find


@dataclass(frozen=True)
class Parameters:
    """The record of one shift.

    Attributes:
        shift: its name.
        strength: in the shift's unit.
        seed: from which the change was drawn, with the shift's name.
        change: what was drawn; None at strength 0.
    """

    shift: str
    strength: float
    seed: int
    change: Change | None

    def to_json(self) -> dict[str, Any]:
        """Numbers, strings, lists and dictionaries only."""
        change_values = None if self.change is None else plain_values(asdict(self.change))
        return {"shift": self.shift, "strength": self.strength, "seed": self.seed, "change": change_values}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Parameters":
        """Read what `to_json` wrote.

        Raises:
            VocabularyError: the shift is unknown.
            VolumeError: the record lacks a number or has one too many.
        """
        try:
            name, strength, seed, change_values = (record[key] for key in ("shift", "strength", "seed", "change"))
            kind = find(name)
            change = (
                None
                if change_values is None
                else kind.change(**{key: _tuples(value) for key, value in change_values.items()})
            )
        except (KeyError, TypeError) as error:
            raise VolumeError(f"the record of a shift cannot be replayed ({error}); draw it again.") from error
        return cls(name, strength, seed, change)


class Shifted(NamedTuple):
    """A changed volume and the record of the change."""

    volume: Volume
    parameters: Parameters


def draw(name: str, strength: float, grid: Grid, seed: int) -> Parameters:
    """Draw what a shift will do.

    Args:
        name: one of SHIFTS.
        strength: in the shift's unit; 0 is no change.
        grid: of the volume to be changed.
        seed: from 0; shifts of one seed are independent of each other.

    Raises:
        VocabularyError: the name is unknown.
        VolumeError: the strength is negative, too large or not a number, or the seed is negative.
    """
    kind = find(name)
    kind.check(strength)
    if seed < 0:
        raise VolumeError(f"the seed of {name} is {seed}; take 0 or more.")
    if strength == 0:
        return Parameters(name, 0.0, int(seed), None)
    rng = np.random.default_rng([seed, *name.encode()])
    return Parameters(name, float(strength), int(seed), kind.draw(float(strength), grid, rng))


def apply(volume: Volume, parameters: Parameters) -> Volume:
    """Change a volume as recorded.

    Args:
        volume: signal as measured (HU, or MR in arbitrary units), any real dtype.
        parameters: drawn, or read from a record.

    Returns:
        float32 on the same grid; the volume itself at strength 0.

    Raises:
        VolumeError: the shift means nothing on this modality, or the volume is constant, empty, or holds NaN or
            infinity.
    """
    if parameters.change is None:
        return volume
    scene = Scene.of(volume)
    _check_modality(find(parameters.shift), volume, scene)
    changed = parameters.change.apply(np.asarray(volume.array, np.float32), scene)
    if scene.nonnegative:
        changed = np.maximum(changed, np.float32(0))
    return replace(volume, array=np.ascontiguousarray(changed, np.float32))


def shift(volume: Volume, name: str, strength: float, seed: int) -> Shifted:
    """Draw and apply; arguments and errors are those of `draw` and `apply`."""
    parameters = draw(name, strength, volume.grid, seed)
    return Shifted(apply(volume, parameters), parameters)


def _check_modality(kind: Shift, volume: Volume, scene: Scene) -> None:
    if scene.modality not in kind.modalities:
        others = [name for name in SHIFTS if scene.modality in SHIFTS[name].modalities]
        raise VolumeError(
            f"{volume.name} is {scene.modality}, where {kind.name} means nothing; take one of {', '.join(others)}."
        )


def _tuples(value: Any) -> Any:
    """JSON knows no tuples, frozen dataclasses hold nothing else."""
    return tuple(_tuples(part) for part in value) if isinstance(value, tuple | list) else value
