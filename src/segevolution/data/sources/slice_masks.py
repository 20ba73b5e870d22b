"""Masks kept as one PNG a slice beside a DICOM series: which mask belongs to which slice, and whether that can be.

File names say which mask belongs to which DICOM file, and only the file's ImagePositionPatient says where that slice
lies: series run with and against their normal, so no rule of direction holds. The pairing that results is then held
against its reverse, since names may be wrong as well.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from ...errors import FormatError, StoreError
from ...imaging.formats.native_stderr import caught
from ...imaging.grid import Array
from ...imaging.volume import Volume

# Grey level of a PNG -> value of the label map; levels that are missing are refused.
Levels = Mapping[int, int]

# Of 41 real stacks (26 BTCV livers, 14 CHAOS T2-SPIR with four organs, 1 CHAOS CT) the true order had 1.56 to 4.2
# times the border contrast of its reverse; between these bounds neither order is told from the other.
_CLEARLY = 1.2


def read_slice_masks(volume: Volume, images: Path, masks: Path, levels: Levels) -> Array:
    """The label map of a series whose masks are PNGs.

    Args:
        volume: read from `images`; its name is the case's, for messages.
        images: the DICOM folder.
        masks: the folder of the PNGs.
        levels: what each grey level means; 0 is background whether named or not.

    Returns:
        (X, Y, Z) uint8 on the volume's grid.

    Raises:
        StoreError: masks are missing, or of another size than the slices, or hold an unknown grey level.
        FormatError: a PNG cannot be read.
    """
    place = _places(volume, images)
    png_paths = sorted(path for path in masks.glob("*.png") if not path.name.startswith(".")) if masks.is_dir() else []
    if not png_paths:
        raise StoreError(f"{volume.name} has no masks: {masks} holds no PNG.")
    table = np.full(256, 255, np.uint8)
    table[[0, *levels]] = [0, *levels.values()]
    labels = np.zeros(volume.array.shape, np.uint8)
    for image, mask in pair_slices(volume.name, sorted(place), png_paths).items():
        grey = _read_png(mask)
        if grey.shape != labels.shape[:2]:
            sizes = [f"{columns} x {rows}" for columns, rows in (grey.shape, labels.shape[:2])]
            raise StoreError(f"{volume.name}: {mask} has {sizes[0]} pixels, its slice {image} {sizes[1]}.")
        plane = table[grey]
        unknown = np.unique(grey[plane == 255]).tolist()
        if unknown:
            raise StoreError(
                f"{volume.name}: {mask} holds the grey level {', '.join(map(str, unknown))}, which means no structure "
                "here; check that it is the dataset's own file."
            )
        labels[:, :, place[image]] = plane
    return labels


def pair_slices(name: str, images: Sequence[str], masks: Sequence[Path]) -> dict[str, Path]:
    """File name of each slice -> its mask: by stem where stems agree, else by rank in file-name order.

    Numbers within names count as numbers: "i9" comes before "i10".

    Raises:
        StoreError: a slice has no mask, or a mask no slice.
    """
    by_stem = {path.stem.lower(): path for path in masks}
    stems = {Path(image).stem.lower(): image for image in images}
    if by_stem.keys() & stems.keys():
        lonely = sorted(by_stem.keys() ^ stems.keys())
        if lonely:
            kind, lacks = ("slice", "mask") if lonely[0] in stems else ("mask", "slice")
            raise StoreError(f"{name}: the {kind} {lonely[0]} has no {lacks} of its name; copy the series again.")
        return {stems[stem]: path for stem, path in by_stem.items()}
    numbers = {int(digits[-1]) for path in masks if (digits := re.findall(r"\d+", path.stem))}
    gaps = sorted(set(range(min(numbers), max(numbers))) - numbers) if numbers else []
    if gaps or len(images) != len(masks):
        missing = f", and mask number {gaps[0]} is missing" if gaps else ""
        raise StoreError(
            f"{name} has {len(images)} slices and {len(masks)} masks{missing}; "
            "without one mask a slice it is not known which belong together, so copy the series again."
        )
    ranked = sorted(images, key=_natural), sorted(masks, key=lambda path: _natural(path.name))
    return dict(zip(*ranked, strict=True))


def border_contrast(array: Array, labels: Array) -> float:
    """How much harder the signal changes across the borders of structures than inside them, within slices.

    A ratio of mean absolute differences of neighbouring pixels: about 1 where labels have nothing to do with the
    image, more where they fit. It needs no unit and no knowledge of which tissue is bright.

    Args:
        array: (X, Y, Z) of any real dtype.
        labels: (X, Y, Z), 0 is background.

    Returns:
        0 where the labels have no border or no inside.
    """
    border, inside = np.zeros(2), np.zeros(2)
    for number in range(labels.shape[2]):
        plane, signal = labels[:, :, number], array[:, :, number].astype(np.float32)
        if not plane.any():
            continue
        for axis in (0, 1):
            jump = np.abs(np.diff(signal, axis=axis))
            later, earlier = (plane[1:], plane[:-1]) if axis == 0 else (plane[:, 1:], plane[:, :-1])
            crosses, within = later != earlier, (later == earlier) & (later > 0)
            border += jump[crosses].sum(dtype=np.float64), crosses.sum()
            inside += jump[within].sum(dtype=np.float64), within.sum()
    if not (border[1] and inside[1]):
        return 0.0
    # An inside without any noise must not divide by zero; a thousandth of the border is as good as none.
    across, along = border[0] / border[1], inside[0] / inside[1]
    return float(across / max(along, across / 1000)) if across else 0.0


def check_order(volume: Volume, labels: Array) -> None:
    """Raise StoreError where the masks fit the slices clearly better in reverse order.

    Args:
        volume: its name is the case's.
        labels: (X, Y, Z), slices along the last axis.
    """
    in_order, reverse = (border_contrast(volume.array, stack) for stack in (labels, labels[:, :, ::-1]))
    if reverse > _CLEARLY * in_order:
        raise StoreError(
            f"{volume.name}: its masks fit the slices in reverse order (contrast at their borders {reverse:.2f}, "
            f"{in_order:.2f} in the order of their names); files were renamed or masks turned, so copy the "
            "series again."
        )


def _places(volume: Volume, images: Path) -> dict[str, int]:
    """File name -> slice index of the volume, for every DICOM file of its series."""
    series = None if volume.origin is None else volume.origin.series
    place: dict[str, int] = {}
    for file in sorted(images.iterdir()):
        if file.name.startswith("._") or not file.is_file():
            continue
        try:
            tags = ["ImagePositionPatient", "SeriesInstanceUID"]
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
        except InvalidDicomError:
            continue
        if "ImagePositionPatient" in header and str(header.get("SeriesInstanceUID", "unknown")) == series:
            corner = np.asarray(header.ImagePositionPatient, np.float64) * [-1, -1, 1]
            place[file.name] = round(float(volume.grid.to_voxel([corner])[0, 2]))
    if sorted(place.values()) != list(range(volume.array.shape[2])):
        raise StoreError(
            f"{volume.name}: {images} has {len(place)} files for {volume.array.shape[2]} slices; it must hold one file "
            "a slice."
        )
    return place


def _read_png(path: Path) -> Array:
    """(columns, rows) of grey levels from 0 to 255; a 1-bit file gives 0 and 255."""
    try:
        with caught():
            image = sitk.ReadImage(str(path), imageIO="PNGImageIO")
    except RuntimeError as error:
        raise FormatError(f"{path} cannot be read as a PNG: it is truncated or damaged; copy it again.") from error
    array = sitk.GetArrayFromImage(image)
    if array.ndim != 2 or array.dtype != np.uint8:
        raise FormatError(f"{path} is not a PNG of 8-bit grey levels, so it is no mask; copy it again.")
    return array.T


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people do."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part]
