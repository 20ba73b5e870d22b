"""The header of NIfTI-1, NIfTI-2 and Analyze 7.5, every field that places or scales a voxel checked.

nibabel mends what is wrong in a header, or prints it; here it is refused in a sentence. The affine is the sform where
its code is set and it is one, else the qform where its code is set; with neither it is made from the spacing alone, x
running to the left and the origin in the middle, as nibabel does, and the orientation counts as unstated. Spatial
units of metres or microns become millimetres.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ...errors import FormatError
from ..grid import Floats, Grid, Triple
from .base import check_dimensions, check_spacing

GUESSED_ORIENTATION = "LAS"
_SINGLE = {b"n+1": 352, b"n+2": 544}
_COLOURS = {128, 2304}
_COMPLEX = {32, 1792, 2048}
_DTYPES = {
    **{2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32, 64: np.float64},
    **{256: np.int8, 512: np.uint16, 768: np.uint32, 1024: np.int64, 1280: np.uint64, 1536: np.longdouble},
}
_CODES = range(1, 6)  # of a transform that is set
_SAME_SPACING = 0.01  # of a voxel's side: headers keep seven digits, and a sheared sform is no longer its columns
_SAME_PLACE = 0.5  # of a voxel
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class NiftiHeader:
    """What a header says of its voxels.

    Attributes:
        sides: of the array, all of them.
        dtype: of a stored voxel, with its byte order.
        offset: byte at which the voxels begin, in the header's own file or in the .img beside it.
        slope, intercept: signal = stored * slope + intercept; (1, 0) where the header sets none.
        affine: (4, 4), voxel index -> RAS+ millimetres.
        orientation_stated, spacing_stated: as in Volume.
        bytes: of the header, for a mask that is to carry the same.
        single: whether header and voxels share one file.
        remarks: what contradicts itself, a sentence each.
    """

    sides: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: Floats
    orientation_stated: bool
    spacing_stated: bool
    bytes: bytes
    single: bool
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> Triple:
        """(X, Y, Z)."""
        return self.sides[0], self.sides[1], self.sides[2]

    @property
    def count(self) -> int:
        """Voxels of all time points."""
        return math.prod(self.sides)


def header_class(start: bytes) -> Any:
    """nibabel's class for a file that begins so, with at least 540 bytes (fewer where it is shorter); None: none."""
    if len(start) >= 348 and start[344:347] in (b"n+1", b"ni1"):
        return nib.Nifti1Header
    if len(start) >= 540 and start[4:7] in (b"n+2", b"ni2"):
        return nib.Nifti2Header
    if len(start) >= 348 and {start[:4], start[:4][::-1]} & {b"\x5c\x01\0\0"}:
        return nib.AnalyzeHeader
    return None


def parse_header(start: bytes, path: Path) -> NiftiHeader:
    """Read and check the first 540 bytes of a file (348 where it holds no more).

    Raises:
        FormatError: not such a header, or one that is damaged, coloured, complex or not 3-D.
    """
    kind = header_class(start)
    if kind is None:
        raise FormatError(f"{path} is not a NIfTI image; it may be truncated, or another kind of file under that name.")
    size = 540 if kind is nib.Nifti2Header else 348
    fields = kind(start[:size], check=False)
    if int(fields["sizeof_hdr"]) != size:
        raise _damaged(path, f"it claims a length of {int(fields['sizeof_hdr'])} bytes")
    analyze = kind is nib.AnalyzeHeader
    magic = b"" if analyze else bytes(fields["magic"].tobytes()[:3])
    sides = _sides(fields, path)
    dtype = _dtype(fields, path)
    slope, intercept = _scaling(fields, start, analyze, path)
    affine, orientation_stated, spacing_stated = _affine(fields, sides, analyze, path)
    return NiftiHeader(
        sides,
        dtype,
        _offset(fields, _SINGLE.get(magic, 0), path),
        slope,
        intercept,
        affine,
        orientation_stated,
        spacing_stated,
        b"" if analyze else start[:size],
        magic in _SINGLE,
        () if analyze else _contradiction(fields, sides, path),
    )


def _damaged(path: Path, reason: str) -> FormatError:
    return FormatError(f"{path} cannot be read as NIfTI: its header is damaged ({reason}); copy it again.")


def _sides(fields: Any, path: Path) -> tuple[int, ...]:
    dimensions = int(fields["dim"][0])
    if not 1 <= dimensions <= 7:
        raise FormatError(f"{path} cannot be read as NIfTI: its header claims {dimensions} dimensions.")
    sides = tuple(int(side) for side in fields["dim"][1 : 1 + dimensions])
    check_dimensions(sides, path)
    if min(sides) < 1:
        raise FormatError(f"{path} is empty ({' x '.join(map(str, sides))} voxels).")
    return sides


def _dtype(fields: Any, path: Path) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code in _COLOURS:
        raise FormatError(f"{path} holds colours (RGB); a volume needs one grey value a voxel, so convert it first.")
    if code in _COMPLEX:
        raise FormatError(f"{path} holds complex numbers; save their magnitude first.")
    if code not in _DTYPES or (code == 1536 and np.dtype(np.longdouble).itemsize != 16):
        raise _damaged(path, f"{code} is no data type of voxels")
    dtype = np.dtype(_DTYPES[code])
    if int(fields["bitpix"]) not in (0, dtype.itemsize * 8):
        raise _damaged(path, f"voxels of {dtype.itemsize * 8} bits are said to have {int(fields['bitpix'])}")
    return dtype.newbyteorder(fields.endianness)


def _offset(fields: Any, least: int, path: Path) -> int:
    offset = float(fields["vox_offset"])
    if not math.isfinite(offset) or not offset.is_integer() or not least <= offset < 2**62:
        raise _damaged(path, f"its voxels are said to begin at byte {offset:g}, but no earlier than {least} can they")
    return int(offset)


def _scaling(fields: Any, start: bytes, analyze: bool, path: Path) -> tuple[float, float]:
    """Slope and intercept. SPM keeps a slope in a spare field of Analyze, where NIfTI has its own."""
    if analyze:
        slope, intercept = float(np.frombuffer(start, f"{fields.endianness}f4", 1, 112)[0]), 0.0
    else:
        slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0  # not set
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise _damaged(path, f"a slope of {slope:g} and an intercept of {intercept:g}")
    return slope, intercept


def _affine(fields: Any, sides: tuple[int, ...], analyze: bool, path: Path) -> tuple[Floats, bool, bool]:
    units = 2 if analyze else int(fields["xyzt_units"]) & 7
    if units not in _MILLIMETRES:
        raise _damaged(path, f"{units} is no unit of length")
    check_spacing(np.abs(fields["pixdim"][1:4].astype(np.float64)), path)
    if not analyze:
        affine = _transform(fields, path)
        if affine is not None:
            affine[:3] *= _MILLIMETRES[units]
            return affine, True, True
    spacing = np.abs(fields["pixdim"][1:4].astype(np.float64)) if analyze else fields["pixdim"][1:4].astype(np.float64)
    check_spacing(spacing, path)
    grid = Grid.oriented((sides[0], sides[1], sides[2]), (spacing * _MILLIMETRES[units]).tolist(), GUESSED_ORIENTATION)
    return np.array(grid.affine), False, bool(units != 0 or (spacing != 1).any())


def _contradiction(fields: Any, sides: tuple[int, ...], path: Path) -> tuple[str, ...]:
    """A sentence where sform and qform, both set, place the voxels differently: other programs may take the other.

    Where their codes differ they may be places in two spaces, the scanner's and a template's, and only what the axes
    point to and the spacing are held against each other; else the corners of the image are, too.
    """
    codes = int(fields["sform_code"]), int(fields["qform_code"])
    if not all(code in _CODES for code in codes):
        return ()
    try:
        sform, qform = (np.array(affine, np.float64) for affine in (fields.get_sform(), fields.get_qform()))
        turns = ["".join(nib.aff2axcodes(affine)) for affine in (sform, qform)]
    except (ValueError, TypeError, np.linalg.LinAlgError, nib.spatialimages.HeaderDataError):
        return ()  # one of them is none, and the other is taken
    if turns[0] != turns[1]:
        return (
            f"{path} contradicts itself: by its sform the axes point {turns[0]}, by its qform {turns[1]}; the sform "
            "was taken, so left may be right, and up down",
        )
    unit = _MILLIMETRES.get(int(fields["xyzt_units"]) & 7, 1.0)
    spacings = [unit * np.linalg.norm(affine[:3, :3], axis=0) for affine in (sform, qform)]
    if not np.allclose(spacings[0], spacings[1], rtol=_SAME_SPACING):
        first, second = (" x ".join(f"{side:.4g}" for side in spacing) for spacing in spacings)
        return (
            f"{path} contradicts itself: by its sform a voxel is {first} mm, by its qform {second} mm; the sform was "
            "taken, so volumes and distances may be wrong",
        )
    last = np.maximum(1, (*sides, 1, 1)[:3]) - 1
    corners = np.stack(np.meshgrid(*([0, side] for side in last), indexing="ij"), -1).reshape(-1, 3)
    apart = unit * np.abs(nib.affines.apply_affine(sform, corners) - nib.affines.apply_affine(qform, corners)).max()
    if codes[0] == codes[1] and apart > _SAME_PLACE * spacings[0].min():
        return (
            f"{path} contradicts itself: by its sform and its qform, which name one space, its corners lie up to "
            f"{apart:.1f} mm apart; the sform was taken",
        )
    return ()


def _transform(fields: Any, path: Path) -> Floats | None:
    """The sform or qform in the header's own units; None where neither is set."""
    has_sform, has_qform = int(fields["sform_code"]) in _CODES, int(fields["qform_code"]) in _CODES
    if has_sform:
        sform = np.array(fields.get_sform(), np.float64)
        if not has_qform or (np.isfinite(sform).all() and abs(np.linalg.det(sform[:3, :3])) > 1e-12):
            return sform
    if not has_qform:
        return None
    check_spacing(fields["pixdim"][1:4], path)
    if float(fields["pixdim"][0]) == 0:
        fields["pixdim"][0] = 1  # as the standard says
    try:
        return np.array(fields.get_qform(), np.float64)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise _damaged(path, "its rotation is none") from error
