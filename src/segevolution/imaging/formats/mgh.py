"""FreeSurfer's .mgh and .mgz, read by ourselves; https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat.

All numbers are big-endian. What may follow the voxels (scan parameters, tags) is passed over.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import FormatError
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_dimensions, check_spacing, make_volume
from .stored_bytes import stored_bytes
from .time_points import chosen_time, time_point

_HEADER_BYTES = 284
_DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# Coronal slices of 1 mm, as FreeSurfer takes a file that does not say where it lies.
_DEFAULT_DIRECTIONS = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def recognises(start: bytes) -> bool:
    """Whether a file that begins so is one: version 1, and a voxel type that it has."""
    if len(start) < _HEADER_BYTES:
        return False
    version, *sides, kind = np.frombuffer(start, ">i4", 6).tolist()
    return bool(version == 1 and kind in _DTYPES and min(sides) > 0)


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z), dtype as stored.

    Raises:
        FormatError: not such a file, truncated, damaged, or several frames and none chosen.
    """
    with stored_bytes(path, path, packing="look") as stream:
        start = stream.read(_HEADER_BYTES)
        if len(start) < _HEADER_BYTES or start[:4] != b"\0\0\0\1":
            raise FormatError(f"{path} is not an MGH image; it may be truncated, or another kind of file.")
        *sides, kind = np.frombuffer(start, ">i4", 5, 4).tolist()
        if kind not in _DTYPES:
            raise FormatError(f"{path} cannot be read as MGH: {kind} is no data type of voxels; copy it again.")
        if min(sides) < 1:
            raise FormatError(f"{path} is empty ({' x '.join(map(str, sides))} voxels).")
        shape = check_dimensions(tuple(sides), path)
        time = chosen_time(tuple(sides), path, options.time)
        dtype = np.dtype(_DTYPES[kind])
        count = int(np.prod([int(side) for side in sides], dtype=object))
        options.memory.require(count * dtype.itemsize, str(path))
        stored = np.frombuffer(stream.exactly(count * dtype.itemsize), dtype)
        stream.to_end()
    stated = bool(np.frombuffer(start, ">i2", 1, 28)[0])
    numbers = np.frombuffer(start, ">f4", 15, 30).astype(np.float64)
    spacing = numbers[:3] if stated else np.ones(3)
    check_spacing(spacing, path)
    directions = numbers[3:12].reshape(3, 3).T if stated else _DEFAULT_DIRECTIONS
    if not np.allclose(np.linalg.norm(directions, axis=0), 1, atol=0.02):
        raise FormatError(f"{path} cannot be read as MGH: its axes are no directions; copy it again.")
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (numbers[12:] if stated else np.zeros(3)) - affine[:3, :3] @ (np.array(shape) / 2)
    array = time_point(stored.astype(dtype.newbyteorder("="), copy=False), shape, time)
    volume = make_volume(array, affine, path, Origin(path, "mgh"))
    return replace(volume, orientation_stated=stated, spacing_stated=stated)


MGH = Format("mgh", (".mgz", ".mgh"), recognises, read)
