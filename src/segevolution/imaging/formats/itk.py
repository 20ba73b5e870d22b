"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) by SimpleITK; ITK's LPS+ millimetres become RAS+.

Headers are read once by ourselves first: ITK prints, mends or obscures what is wrong with a file.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import FormatError, OutputError
from ...files import replacing
from ..grid import Array, Floats, Grid
from ..volume import Origin, Volume
from .base import Format, check_dimensions, check_spacing, make_volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HEADER_BYTES = 1 << 16
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}


def read(path: Path, series: str | None = None) -> Volume:
    """Read one volume (X, Y, Z), dtype as stored.

    Raises:
        FormatError: not such a file, truncated, not 3-D, several values a voxel, or an impossible spacing.
    """
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    name = _checked_kind(start, path)
    try:
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


def _checked_kind(start: bytes, path: Path) -> str:
    """Name the format, "nrrd" or "metaimage", and refuse the faults of a header that ITK passes over."""
    try:
        if start.startswith(b"NRRD000"):
            _check_nrrd(start, path)
            return "nrrd"
        if _is_meta(start):
            _check_meta(start, path)
            return "metaimage"
    except ValueError as error:
        raise FormatError(f"{path} has a damaged header: a number in it cannot be read; copy it again.") from error
    raise FormatError(f"{path} is not an NRRD or MetaImage file; it may be another kind of file under that name.")


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


def _check_nrrd(start: bytes, path: Path) -> None:
    fields = _fields(re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0], ":")
    if "spacings" in fields:
        check_spacing([float(word) for word in fields["spacings"].split()], path)
    columns = re.findall(r"\(([^)]*)\)", fields.get("space directions", ""))
    if columns:
        check_spacing([np.linalg.norm([float(word) for word in column.split(",")]) for column in columns], path)


def _check_meta(start: bytes, path: Path) -> None:
    fields = _fields(start, "=")
    for name in ("ElementSpacing", "ElementSize"):
        if name in fields:
            check_spacing([float(word) for word in fields[name].split()], path)
    where = fields.get("ElementDataFile", "")
    if not where or where.startswith("LIST") or "%" in where:
        return
    header = 0 if where != "LOCAL" else start.index(b"\n", start.index(b"ElementDataFile")) + 1
    voxels = path if where == "LOCAL" else path.parent / where
    if not voxels.is_file():
        raise FormatError(f"{path} is incomplete: its data file {where} is not beside it.")
    if voxels.stat().st_size - header < _meta_size(fields):
        raise FormatError(f"{path} is truncated: voxels are missing at the end of {voxels.name}; copy it again.")


def _meta_size(fields: dict[str, str]) -> int:
    """How many bytes of voxels a MetaImage header announces; 0 where it does not say."""
    if fields.get("CompressedData", "").lower() == "true":
        return int(fields.get("CompressedDataSize", 0))
    bytes_each = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_"), 0)
    channels = int(fields.get("ElementNumberOfChannels", 1))
    return int(np.prod([int(side) for side in fields.get("DimSize", "0").split()])) * bytes_each * channels


def _fields(header: bytes, separator: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in header.decode("latin-1").splitlines():
        name, found, value = line.partition(separator)
        if found:
            fields.setdefault(name.strip(), value.strip().removeprefix("=").strip())
        if name.strip() == "ElementDataFile":
            break
    return fields


def _is_meta(start: bytes) -> bool:
    return re.search(rb"^\s*(ObjectType|NDims|Comment)\s*=", start[:512], re.MULTILINE) is not None


def _reason(error: Exception) -> str:
    """The last telling line of an ITK message, which is long and starts with a source file of ITK's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("ERROR: ")[2].strip().rstrip(".") if lines else type(error).__name__


NRRD = Format("nrrd", (".nrrd", ".nhdr"), lambda start: start.startswith(b"NRRD000"), read, write, (".nrrd",))
METAIMAGE = Format("metaimage", (".mha", ".mhd"), _is_meta, read, write, (".mha", ".mhd"))
