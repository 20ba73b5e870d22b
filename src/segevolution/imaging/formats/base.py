"""What a file format is to the rest of the package: how a file is recognised, read and written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import FormatError, VolumeError
from ...memory import MemoryBudget
from ..grid import Array, Grid, axis_codes
from ..volume import Origin, Volume


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
        write: (array (X, Y, Z), the volume whose grid it lies on, path, force); None: this format is only read.
        writes: those of its suffixes that can be written.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, ReadOptions], Volume]
    write: Callable[[Array, Volume, Path, bool], None] | None = None
    writes: tuple[str, ...] = ()


def make_volume(array: Array, affine: npt.ArrayLike, path: Path, origin: Origin) -> Volume:
    """Put an array (X, Y, Z) into patient space, or say which file cannot be.

    Args:
        affine: (4, 4), voxel index -> RAS+ millimetres.

    Raises:
        FormatError: the array is empty or the affine is unusable; the sentence names the file.
    """
    if array.size == 0:
        raise FormatError(f"{path} is empty ({sides(array.shape)} voxels).")
    try:
        grid = Grid((array.shape[0], array.shape[1], array.shape[2]), np.asarray(affine, np.float64))
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
    return replace(
        volume,
        grid=grid,
        orientation_stated=volume.orientation_stated or options.orientation is not None,
        spacing_stated=volume.spacing_stated or options.spacing is not None,
    )


def check_dimensions(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """The three sides of a volume; a trailing axis of length 1 is dropped.

    Raises:
        FormatError: there are two sides, or more than three that matter.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3:
        raise FormatError(
            f"{path} has {len(shape)} dimensions ({sides(shape)}); a volume needs 3. "
            "Stack the slices first, or give the DICOM folder."
        )
    if len(shape) > 3:
        raise FormatError(
            f"{path} has {len(shape)} dimensions ({sides(shape)}); a volume needs 3. "
            "Save one time point or channel as a file of its own."
        )
    return shape[0], shape[1], shape[2]


def check_spacing(spacing: npt.ArrayLike, path: Path) -> None:
    """Raise FormatError, naming the file, where a spacing is zero, NaN or infinite."""
    values = np.asarray(spacing, np.float64)
    if not np.isfinite(values).all() or (values == 0).any():
        said = " x ".join(f"{value:g}" for value in values)
        raise FormatError(
            f"{path} has a voxel spacing of {said}; each must be a number above zero, so repair the header."
        )


def sides(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 512 x 512 x 20."""
    return " x ".join(map(str, shape))


def stem(path: Path) -> str:
    """A file's name without the suffixes of any image format; a folder's whole name."""
    name = path.resolve().name
    if path.is_dir():
        return name
    for suffix in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"):
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
