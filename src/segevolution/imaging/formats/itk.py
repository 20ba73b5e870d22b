"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) by SimpleITK; ITK's LPS+ millimetres become RAS+.

Files are checked by ourselves first (itk_headers.py): ITK prints, mends or obscures what is wrong with them.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import FormatError, OutputError
from ...files import replacing
from ..grid import Array, Floats, Grid
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_dimensions, check_spacing, make_volume
from .itk_headers import checked_kind, is_meta
from .native_stderr import caught

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z), dtype as stored.

    Raises:
        FormatError: not such a file, truncated, not 3-D, several values a voxel, or an impossible spacing.
    """
    name = checked_kind(path)
    try:
        with caught():
            image = sitk.ReadImage(str(path), imageIO="NrrdImageIO" if name == "nrrd" else "MetaImageIO")
    except RuntimeError as error:
        raise FormatError(f"{path} cannot be read: it is truncated or damaged; copy it again.") from error
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise FormatError(
            f"{path} holds {image.GetNumberOfComponentsPerPixel()} values a voxel (RGB or a vector); "
            "a volume needs one grey value a voxel, so convert it first."
        )
    shape = check_dimensions(image.GetSize(), path)
    check_spacing(image.GetSpacing()[:3], path)
    array = sitk.GetArrayFromImage(image).T.reshape(shape, order="F")
    return make_volume(array, _affine(image), path, Origin(path, name))


def write(array: Array, like: Volume, path: Path, force: bool) -> None:
    """Write an array (X, Y, Z) on `like`'s grid, compressed. An .mhd and its .zraw are both written or neither.

    Raises:
        OutputError: the place cannot be written, or exists without `force`.
    """
    image = _image(array, like.grid)
    with _replacing_both(path, force) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error


@contextlib.contextmanager
def _replacing_both(path: Path, force: bool) -> Iterator[Path]:
    """`files.replacing`, for a header and its data file at once where the format has two."""
    if path.suffix.lower() != ".mhd":
        with replacing(path, force=force) as temporary:
            yield temporary
        return
    voxels = path.with_suffix(".zraw")
    had_voxels = voxels.exists()
    try:
        with replacing(path, force=force) as header, replacing(voxels, force=force) as data:
            yield header
            header.with_suffix(".zraw").replace(data)
    except BaseException:
        if not had_voxels:
            voxels.unlink(missing_ok=True)
        raise


def _image(array: Array, grid: Grid) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    affine = _LPS_TO_RAS @ grid.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _affine(image: Any) -> Floats:
    """Voxel index -> RAS+ millimetres, of the first three axes."""
    sides = image.GetDimension()
    affine = np.eye(4)
    direction = np.asarray(image.GetDirection()).reshape(sides, sides)[:3, :3]
    affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return _LPS_TO_RAS @ affine


def _reason(error: Exception) -> str:
    """The last telling line of an ITK message, which is long and starts with a source file of ITK's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("ERROR: ")[2].strip().rstrip(".") if lines else type(error).__name__


NRRD = Format("nrrd", (".nrrd", ".nhdr"), lambda start: start.startswith(b"NRRD000"), read, write, (".nrrd",))
METAIMAGE = Format("metaimage", (".mha", ".mhd"), is_meta, read, write, (".mha", ".mhd"))
