"""Files in and out: NIfTI, NRRD, MetaImage, DICOM folders. A new format is one file here and one line in FORMATS.

Reading turns every fault of a file into one sentence that names it. Writing lays an array on exactly the grid of the
volume it was made for, in the format that the path's suffix names, whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import FormatError, OutputError, VolumeError
from ...files import utf8_text
from ...memory import MemoryBudget
from ...vocabulary import Modality
from ..grid import Array
from ..legend import Label
from ..masks import whole_numbers
from ..volume import Volume
from . import dicom_seg, rtstruct
from .base import Format, ReadOptions, placed, sides
from .dicom import DICOM
from .dicom_reference import referred_series
from .dicom_series import SeriesInfo, list_series
from .dicom_structures import structure_file, structures_as_labels
from .metaimage import METAIMAGE
from .mgh import MGH
from .nifti import NIFTI
from .nrrd import NRRD
from .rtstruct import RTSTRUCT
from .seg_nrrd import SEG_NRRD
from .stored_bytes import StoredBytes

__all__ = [
    "FORMATS",
    "Format",
    "SeriesInfo",
    "check_mask_output",
    "image_files",
    "list_series",
    "read",
    "read_labels",
    "write_mask",
    "write_volume",
]

FORMATS: tuple[Format, ...] = (NIFTI, MGH, SEG_NRRD, NRRD, METAIMAGE, RTSTRUCT, DICOM)


def read(
    path: str | Path,
    *,
    modality: Modality | str | None = None,
    series: str | None = None,
    orientation: str | None = None,
    spacing: Sequence[float] | None = None,
    time: int | None = None,
    allow_outside: bool = False,
    max_gigabytes: float | None = None,
) -> Volume:
    """Read an image and check that its voxels can be used.

    Args:
        path: a NIfTI, NRRD or MetaImage file, or a DICOM folder.
        modality: how it was acquired, or its name ("MRI", "mr"); None leaves what DICOM's Modality tag says, or None.
        series: SeriesInstanceUID, for a DICOM folder that holds several.
        orientation: where the array's axes point, such as "LAS", for a file that does not say it. Without it such a
            volume carries a guess and `orientation_stated` is False.
        spacing: (x, y, z) millimetres between voxels, for a file that does not say it; else 1 mm is assumed and
            `spacing_stated` is False.
        time: which time point of a file that holds several, counted from 0.
        allow_outside: let a detached header (.nhdr, .mhd) name a data file outside its own folder.
        max_gigabytes: what the voxels may take; None takes half of the free memory.

    Raises:
        FormatError: the file is missing, truncated, not an image, not 3-D, or of inconsistent geometry.
        VolumeError: the voxels hold NaN or infinity, or one value only.
        VocabularyError: the modality is none that is known.
    """
    path = Path(path)
    memory = MemoryBudget.of(max_gigabytes)
    volume = _load(path, ReadOptions(series, time, orientation, spacing, allow_outside, memory))
    replace(volume, name=str(path)).check_voxels()
    return volume if modality is None else _as_said(volume, Modality.parse(modality), path)


def _as_said(volume: Volume, modality: Modality, path: Path) -> Volume:
    """The volume of a modality that a person stated, with a remark where the file states another."""
    if volume.modality is None or volume.modality is modality:
        return replace(volume, modality=modality)
    remark = f"{path}: the DICOM header says {volume.modality}; it is taken as {modality}, as you said"
    return replace(volume, modality=modality, remarks=(*volume.remarks, remark))


def image_files(path: Path, *, series: str | None = None, allow_outside: bool = False) -> tuple[Path, ...]:
    """All files that `read` takes an image from: its own, that of its voxels, or the slices of its series.

    Raises:
        FormatError: as `read`, of what stands in headers.
    """
    files = _recognised(path).files(path, ReadOptions(series=series, allow_outside=allow_outside))
    return tuple(dict.fromkeys(files))


def read_labels(
    path: str | Path,
    *,
    like: Volume | None = None,
    orientation: str | None = None,
    spacing: Sequence[float] | None = None,
    time: int | None = None,
    allow_outside: bool = False,
    max_gigabytes: float | None = None,
) -> Volume:
    """Read a label map as the narrowest unsigned integers that hold it; it may be all background.

    A DICOM segmentation and a structure set (RTSTRUCT) are label maps, too, whose values are the numbers of their
    segments or structures.

    Args:
        like: the image on whose grid segments and contours are laid; without it, a segmentation has the grid of its
            own frames, and a structure set none. Other formats have their own grid in any case.
        path, orientation, spacing, time, allow_outside, max_gigabytes: as for `read`.

    Raises:
        FormatError: as for `read`, or values that are not whole numbers from 0, but for noise of rounding; or a DICOM
            file whose structures overlap, or do not lie on `like`'s grid.
    """
    path = Path(path)
    memory = MemoryBudget.of(max_gigabytes)
    structures = structure_file(path)
    if structures is not None:
        return structures_as_labels(structures, like, memory)
    volume = _load(path, ReadOptions(None, time, orientation, spacing, allow_outside, memory))
    array = volume.array
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or not whole_numbers(array):
            raise FormatError(
                f"{path} holds values that are not whole numbers, so it is no label map; give the labels file."
            )
        array = np.rint(array)
    if array.min() < 0 or float(array.max()) > np.iinfo(np.uint32).max:
        raise FormatError(f"{path} holds the label {array.min():g}; labels are whole numbers from 0.")
    return replace(volume, array=array.astype(np.min_scalar_type(int(array.max()))))


def write_mask(
    mask: Array, like: Volume, path: str | Path, *, force: bool = False, labels: Sequence[Label] = ()
) -> None:
    """Write a mask or label map on exactly the grid of the volume it was made for.

    The file carries `like`'s shape, affine and orientation, and where `like` came from NIfTI its units and both of
    its transforms. Voxels are uint8, or uint16 where a label exceeds 255.

    Args:
        mask: (X, Y, Z) booleans or labels from 0, in `like`'s axis order.
        path: .nii, .nii.gz, .seg.nrrd, .nrrd, .mha, .mhd, or of a DICOM series .dcm (a DICOM segmentation) or
            .rtstruct.dcm (a structure set).
        force: replace an existing file.
        labels: what the values mean, kept by NIfTI (a header extension), .seg.nrrd, .dcm and
            .rtstruct.dcm.

    Raises:
        VolumeError: the mask has another shape than `like`, or values that are not labels.
        OutputError: unknown suffix, unwritable place, an existing file without `force`, or as `check_mask_output`.
    """
    if not isinstance(mask, np.ndarray):
        raise VolumeError(f"a mask is an array, such as the mask of an answer, not a {type(mask).__name__}.")
    is_whole = mask.dtype.kind in "bui"
    highest = int(mask.max()) if is_whole and mask.size else 0
    if not is_whole or (mask.size and mask.min() < 0) or highest > 65535:
        raise VolumeError(f"a mask holds booleans or labels from 0 to 65535; this one is {mask.dtype}.")
    _write(mask.astype(np.uint8 if highest <= 255 else np.uint16), like, Path(path), force, labels)


def check_mask_output(path: Path, like: Volume) -> None:
    """Refuse, before any work, a file that cannot hold a mask of a volume.

    Raises:
        OutputError: it is a DICOM segmentation (.dcm) or structure set (.rtstruct.dcm), and `like` is no DICOM series;
            or the extra [dicom], which a segmentation needs, is absent.
    """
    if path.name.lower().endswith(rtstruct.SUFFIX):
        referred_series(like, path, rtstruct.KIND)
    elif path.name.lower().endswith(dicom_seg.SUFFIX):
        dicom_seg.check(like, path)


def write_volume(volume: Volume, path: str | Path, *, force: bool = False) -> None:
    """Write a volume's signal, dtype kept where the format has it.

    Raises:
        OutputError: unknown suffix, unwritable place, or an existing file without `force`.
    """
    if Path(path).name.lower().endswith(dicom_seg.SUFFIX):  # a structure set's suffix ends so, too
        raise OutputError(f"{path} would be a DICOM file of labels, which holds no signal; write .nii.gz or .nrrd.")
    array = volume.array
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    _write(array, volume, Path(path), force)


def _write(array: Array, like: Volume, path: Path, force: bool, labels: Sequence[Label] = ()) -> None:
    if array.shape != like.grid.shape:
        raise VolumeError(
            f"a mask of {sides(array.shape)} voxels does not lie on {like.name} of {sides(like.grid.shape)} voxels."
        )
    form = next((form for form in FORMATS if path.name.lower().endswith(form.writes)), None)
    if form is None or form.write is None:
        known = ", ".join(suffix for form in FORMATS for suffix in form.writes)
        raise OutputError(f"{path} has no suffix that can be written; known are {known}.")
    form.write(array, like, path, force, labels)


def _load(path: Path, options: ReadOptions) -> Volume:
    form = _recognised(path)
    if options.series is not None and form is not DICOM:
        raise FormatError(f"{path} is no DICOM folder, so --series does not apply to it.")
    try:
        return placed(form.read(path, options), path, options)
    except (OSError, MemoryError) as error:
        raise FormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _recognised(path: Path) -> Format:
    """The format of a path, by its suffix, else by its first bytes."""
    if not path.exists():
        raise FormatError(f"{utf8_text(str(path))} does not exist; check the path.")
    if utf8_text(str(path)) != str(path):
        raise FormatError(f"{utf8_text(str(path))} has a name that is not UTF-8, so no text can hold it; rename it.")
    if path.is_dir():
        return DICOM
    try:
        start = _first_bytes(path)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise FormatError(f"{path} is empty (0 bytes); copy it again.")
    form = _by_suffix(path) or next((form for form in FORMATS if form.recognises(start)), None)
    if form is None:
        known = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
        raise FormatError(f"{path} is not an image that can be read; known are {known}, and DICOM folders.")
    return form


def _by_suffix(path: Path) -> Format | None:
    return next((form for form in FORMATS if path.name.lower().endswith(form.suffixes)), None)


def _first_bytes(path: Path, count: int = 540) -> bytes:
    with StoredBytes(path, path, packing="look") as stream:
        try:
            return stream.read(count)
        except FormatError:
            return b"\x1f\x8b"  # compressed, and damaged: its own reader says so
