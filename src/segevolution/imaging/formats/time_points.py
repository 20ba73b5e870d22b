"""Files that hold a volume for each of several time points, channels or alternatives: one is chosen by its number."""

from pathlib import Path

from ...errors import FormatError
from ..grid import Array, Triple


def chosen_time(sides: tuple[int, ...], path: Path, time: int | None) -> int:
    """Which volume of a file with sides (X, Y, Z, ...) is read, counted from 0; 0 where there is one.

    Raises:
        FormatError: there are several and none was chosen, or there is none of that number.
    """
    extra = [side for side in sides[3:] if side != 1]
    size_text = " x ".join(map(str, sides))
    if len(extra) > 1:
        raise FormatError(f"{path} has {len(sides)} dimensions ({size_text}); a volume needs 3. Save one volume of it.")
    count = extra[0] if extra else 1
    if time is None:
        if count > 1:
            raise FormatError(
                f"{path} has {len(sides)} dimensions ({size_text}); a volume needs 3. Choose a time point or channel "
                f"with --time 0 to --time {count - 1}, or save it as a file of its own."
            )
        return 0
    if not 0 <= time < count:
        raise FormatError(f"{path} has no time point {time}; it has {count}, counted from 0.")
    return time


def time_point(voxels: Array, shape: Triple, number: int) -> Array:
    """Voxels (count,) of all volumes, x fastest -> one volume (X, Y, Z)."""
    size = shape[0] * shape[1] * shape[2]
    return voxels[number * size : (number + 1) * size].reshape(shape, order="F")
