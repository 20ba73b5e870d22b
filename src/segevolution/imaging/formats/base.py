"""The base of a file format: recognise, read and write a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import FormatError, VolumeError
from ...memory import MemoryBudget
from ..grid import Array, Grid, axis_codes
from ..legend import Label
from ..volume import Origin, Volume

_BLOCK = 1 << 22  # voxels
_MOST_WHOLE = 2**31  # of a slope or intercept: 32 bits times it stay within 64
SMALLEST_SPACING, LARGEST_SPACING = 1e-6, 1e4  # millimetres: a nanometre, and ten metres
SUFFIXES = (
    *(".nii.gz", ".nii", ".img.gz", ".hdr.gz", ".img", ".hdr", ".mgz", ".mgh"),
    *(".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".rtstruct.dcm", ".dcm"),
)
FARTHEST = 1e6  # millimetres from the origin

SMALLEST_VOXEL, LARGEST_VOXEL = 0.02, 30.0  # mm, of scanners for people


@dataclass(frozen=True)
class ReadOptions:
    """What a person says beside the path.

    Attributes:
        series: SeriesInstanceUID, for a DICOM folder that holds several.
        time: which time point of a file that holds several, counted from 0.
        orientation: where the array's axes point, such as "LAS", for a file that does not say it.
        spacing: (x, y, z) millimetres between voxels, for a file that does not say it.
        allow_outside: whether a detached header may name a data file outside its own folder.
        memory: what voxels may take.
    """

    series: str | None = None
    time: int | None = None
    orientation: str | None = None
    spacing: Sequence[float] | None = None
    allow_outside: bool = False
    memory: MemoryBudget = field(default_factory=MemoryBudget.of)


@dataclass(frozen=True)
class Format:
    """One way to store a volume.

    Attributes:
        name: what `Origin.format` holds.
        suffixes: of its files, lower case, with their dots.
        recognises: whether the first 512 bytes of a file (decompressed, if it was gzip) look like this format.
        read: (path, options) -> Volume; raises FormatError. Voxels are not yet judged.
        write: (array (X, Y, Z), the volume whose grid it lies on, path, force, what labels mean); None: this format
            is only read. What labels mean is kept where the format has a place for it.
        writes: those of its suffixes that can be written.
        files: (path, options) -> all files that `read` takes an image from; raises FormatError.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, ReadOptions], Volume]
    write: Callable[[Array, Volume, Path, bool, Sequence[Label]], None] | None = None
    writes: tuple[str, ...] = ()
    files: Callable[[Path, ReadOptions], Sequence[Path]] = lambda path, options: (path,)


def make_volume(array: Array, affine: npt.ArrayLike, path: Path, origin: Origin) -> Volume:
    """Put an array (X, Y, Z) into patient space, or say which file cannot be.

    Args:
        affine: (4, 4), voxel index -> RAS+ millimetres.

    Raises:
        FormatError: the array is empty or the affine is unusable; the sentence names the file.
    """
    if array.size == 0:
        raise FormatError(f"{path} is empty ({sides(array.shape)} voxels).")
    matrix = np.asarray(affine, np.float64)
    if np.isfinite(matrix).all():
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if (spacing > 0).all():
            check_spacing(spacing, path)
        if np.abs(matrix[:3, 3]).max() > FARTHEST:
            raise FormatError(f"{path} lies more than a kilometre from its origin; repair the header.")
    try:
        grid = Grid((array.shape[0], array.shape[1], array.shape[2]), matrix)
        return Volume(array, grid, name=stem(path), origin=origin)
    except VolumeError as error:
        raise FormatError(f"{path}: {error}") from error


def placed(volume: Volume, path: Path, options: ReadOptions) -> Volume:
    """The volume, where the file says nothing of its place with what a person said instead.

    Raises:
        FormatError: orientation or spacing are given for a file that states others itself.
        VolumeError: what was given is no orientation, or no spacing.
    """
    grid, orientation, spacing = volume.grid, volume.grid.orientation, volume.grid.spacing
    if options.orientation is not None:
        codes = axis_codes(options.orientation)
        if volume.orientation_stated and codes != orientation:
            raise FormatError(
                f"{path} says itself that its axes point {orientation}, so --orientation {codes} contradicts it; "
                "leave it out, or repair the header."
            )
        orientation = codes
    if options.spacing is not None:
        if len(options.spacing) != 3:
            raise VolumeError(f"a spacing needs three numbers of millimetres; this one has {len(options.spacing)}.")
        if volume.spacing_stated and not np.allclose(options.spacing, spacing, rtol=1e-3):
            steps = " x ".join(f"{step:g}" for step in spacing)
            raise FormatError(
                f"{path} says itself that its voxels lie {steps} mm apart, so --spacing contradicts it; "
                "leave it out, or repair the header."
            )
        if not volume.spacing_stated:
            x, y, z = options.spacing
            spacing = float(x), float(y), float(z)
    if orientation != volume.grid.orientation or spacing != volume.grid.spacing:
        grid = Grid.oriented(grid.shape, spacing, orientation)
    origin = volume.origin
    if origin is not None and options.orientation is not None and not volume.orientation_stated:
        origin = replace(origin, orientation=orientation)
    return replace(
        volume,
        remarks=(*volume.remarks, *_odd_spacing(path, grid.spacing)),
        grid=grid,
        origin=origin,
        orientation_stated=volume.orientation_stated or options.orientation is not None,
        spacing_stated=volume.spacing_stated or options.spacing is not None,
    )


def _odd_spacing(path: Path, spacing: tuple[float, float, float]) -> tuple[str, ...]:
    """A sentence on voxels that no scan of a person has, as where metres were written for millimetres."""
    if min(spacing) >= SMALLEST_VOXEL and max(spacing) <= LARGEST_VOXEL:
        return ()
    steps = " x ".join(f"{step:.4g}" for step in spacing)
    return (
        f"{path} says that its voxels are {steps} mm, which no scan of a person has; volumes and distances follow it",
    )


def check_dimensions(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """The first three sides of an array; what further ones mean is `time_points`' question.

    Raises:
        FormatError: there are fewer than three.
    """
    if len(shape) < 3:
        raise FormatError(
            f"{path} has {len(shape)} dimensions ({sides(shape)}); a volume needs 3. "
            "Stack the slices first, or give the DICOM folder."
        )
    return shape[0], shape[1], shape[2]


def check_spacing(spacing: npt.ArrayLike, path: Path) -> None:
    """Raise FormatError, naming the file, where a spacing is no number above zero, or none of a scan."""
    values = np.asarray(spacing, np.float64)
    spacing_text = " x ".join(f"{value:g}" for value in values)
    if not np.isfinite(values).all() or (values <= 0).any():
        raise FormatError(
            f"{path} has a voxel spacing of {spacing_text}; each must be a number above zero, so repair the header."
        )
    if (values < SMALLEST_SPACING).any() or (values > LARGEST_SPACING).any():
        raise FormatError(f"{path} has a voxel spacing of {spacing_text} mm, which no scan has; repair the header.")


def sides(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 512 x 512 x 20."""
    return " x ".join(map(str, shape))


def stem(path: Path) -> str:
    """A file's name, as it was typed, without the suffixes of any image format; a folder's whole name.

    A link is not followed: the file behind it may bear the name of its checksum.
    """
    name = path.name if path.name not in ("", "..") else path.resolve().name
    if path.is_dir():
        return name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name


def scaled_whole(stored: Array, slope: int, intercept: int) -> Array:
    """Integers times slope plus intercept, still integers: int16 where all fit, else int32, else int64."""
    low, high = sorted(int(value) * slope + intercept for value in (stored.min(), stored.max()))
    fits = next(
        (kind for kind in (np.int16, np.int32) if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max), None
    )
    wide = stored.astype(np.int64 if fits is None or stored.dtype.itemsize > 2 else np.int32)
    return (wide * slope + intercept).astype(fits or np.int64)


def scaled(
    stored: Array, slope: float, intercept: float, path: Path, fraction: type[np.floating[Any]] | None = None
) -> Array:
    """Stored numbers times slope plus intercept.

    Integers stay integers where both are whole. Else the result is float32, or float64 where the stored type has more
    than 16 bits, so that nothing is rounded unseen; or what `fraction` says.

    Raises:
        FormatError: slope or intercept are no numbers, or the slope is zero.
    """
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        raise FormatError(
            f"{path} has a slope of {slope:g} and an intercept of {intercept:g} for its voxels; repair the header."
        )
    whole = all(float(value).is_integer() and abs(value) < _MOST_WHOLE for value in (slope, intercept))
    if whole and stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4:
        return scaled_whole(stored, int(slope), int(intercept))
    target = np.dtype(fraction or (np.float32 if stored.dtype.itemsize <= 2 else np.float64))
    scaled_signal = np.empty(stored.shape, target, order="F" if stored.flags.f_contiguous else "C")
    source, result = stored.reshape(-1, order="A"), scaled_signal.reshape(-1, order="A")
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused where voxels are judged
        for first in range(0, source.size, _BLOCK):  # in double precision, a block at a time
            block = slice(first, first + _BLOCK)
            result[block] = source[block].astype(np.float64) * slope + intercept
    return scaled_signal
