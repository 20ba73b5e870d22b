"""NRRD and MetaImage files are written by SimpleITK, compressed; RAS+ millimetres become ITK's LPS+."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OutputError
from ...files import is_taken, replacing
from ...on_use import ModuleOnUse
from ..grid import Array, Grid
from ..legend import Label
from ..volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk
else:
    sitk = ModuleOnUse("SimpleITK")

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(
    array: Array,
    like: Volume,
    path: Path,
    force: bool,
    labels: Sequence[Label] = (),
    *,
    fields: Mapping[str, str] | None = None,
) -> None:
    """Write an array (X, Y, Z) on `like`'s grid, compressed. An .mhd and its .zraw are both written or neither.

    Args:
        labels: not kept by these formats.
        fields: further fields of the header.

    Raises:
        OutputError: the place cannot be written, or exists without `force`.
    """
    image = _image(array, like.grid)
    for name, value in (fields or {}).items():
        image.SetMetaData(name, value)
    with _replacing_both(path, force) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error


def voxel_file(path: Path) -> Path | None:
    """The file that `write` puts the voxels of a path into, where that is another one."""
    return path.with_suffix(".zraw") if path.suffix.lower() == ".mhd" else None


@contextlib.contextmanager
def _replacing_both(path: Path, force: bool) -> Iterator[Path]:
    """`files.replacing`, for a header and its data file at once where the format has two."""
    voxels = voxel_file(path)
    if voxels is None:
        with replacing(path, force=force) as temporary:
            yield temporary
        return
    had_voxels = is_taken(voxels)
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


def _reason(error: Exception) -> str:
    """The last telling line of an ITK message, which is long and starts with a source file of ITK's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("ERROR: ")[2].strip().rstrip(".") if lines else type(error).__name__
