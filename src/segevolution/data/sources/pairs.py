"""An image file and its label file as a case: read, checked, on one grid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ...errors import FormatError, StoreError
from ...imaging.case import Case, Part
from ...imaging.formats import read, read_labels
from ...imaging.grid import Array, Grid
from ...imaging.volume import Volume
from ...vocabulary import Modality
from .base import Overrides
from .label_contradictions import names_by_value, require_own_names

_EMPTY = "its labels are empty: it counts as a patient, and no structure of it can be learned or tested."


@dataclass(frozen=True)
class Pair:
    """An image file and its label file; `read_pair` makes a case of them.

    Attributes:
        name: of the case.
        stem: of the file, from which the patient is read.
        channel: of a 4-D image; None for a 3-D one.
        channels: how many a 4-D image should have; more are said in the case's remark.
        patient: where the layout knows better than the stem.
        site, part: see `Case`.
        fault: a sentence on why the files cannot be used, known from their names alone.
    """

    name: str
    stem: str
    image: Path
    label: Path
    modality: Modality | None
    sequence: str | None = None
    channel: int | None = None
    patient: str | None = None
    site: str | None = None
    part: Part | None = None
    channels: int | None = None
    fault: str | None = None


def read_pair(
    pair: Pair,
    dataset: str,
    structures: Mapping[str, tuple[int, ...]],
    overrides: Overrides,
    *,
    open_image: Callable[[Path], Volume] | None = None,
    open_labels: Callable[[Path], Volume] | None = None,
) -> Case:
    """Read and check an image with its labels.

    Args:
        structures: of the whole dataset, unions among them; those without a voxel here are left out.
        open_image, open_labels: read a file, for formats that do not say where their voxels lie.

    Raises:
        FormatError, VolumeError: a file is missing or cannot be used.
        StoreError: the two do not lie on one grid, the labels hold a value that the dataset does not name, or their
            file itself calls a value by the name of another structure.
    """
    if pair.fault is not None:
        raise StoreError(pair.fault)
    for kind, path, other in (("label", pair.label, pair.image), ("image", pair.image, pair.label)):
        if not path.exists():
            twin_text = (
                f"; {other.parent.name}/{other.name} is there" if other.exists() else "; its other half is missing too"
            )
            raise StoreError(f"{pair.name} has no {kind}: {path} is missing{twin_text}.")
    if pair.channel is not None:
        image = read_channel(pair.image, pair.channel, overrides)
    else:
        image = open_image(pair.image) if open_image else read_image(pair.image, overrides)
    image = replace(image, name=pair.name, modality=overrides.modality or pair.modality or image.modality)
    image.check_voxels()
    labels = place_labels(
        image, open_labels(pair.label) if open_labels else read_label_map(pair.label, overrides, image)
    )
    present = set(np.unique(labels).tolist()) - {0}
    unknown = present - {value for values in structures.values() for value in values}
    if unknown:
        raise StoreError(
            f"{pair.name}: {pair.label} holds the label {', '.join(map(str, sorted(unknown)))}, "
            "which the dataset names as no structure; name it in its labels, or repair the file "
            '(voxels marked "ignore" cannot be used).'
        )
    require_own_names(pair.label, names_by_value(structures), present)
    present_structures = {name: values for name, values in structures.items() if present.intersection(values)}
    return case_of(pair, dataset, image, labels, present_structures, overrides)


def read_image(path: Path, overrides: Overrides, modality: Modality | None = None) -> Volume:
    """Read an image that says where its axes point, or of which a person says it.

    Raises:
        FormatError, VolumeError: it cannot be used.
        StoreError: neither says it.
    """
    return _oriented(partial(read, path, modality=modality), path, overrides)[0]


def read_label_map(path: Path, overrides: Overrides, image: Volume) -> Volume:
    """Read a label map; see `read_image`. One that says nothing of its place has that of an image of its shape.

    DICOM segmentations and structure sets are laid on the image's grid.
    """
    labels, stated = _oriented(partial(read_labels, path, like=image), path, overrides)
    if stated:
        return labels
    turned, grid = labels.canonical()[0], image.grid.canonical()[0]
    return replace(turned, grid=grid) if turned.grid.shape == grid.shape else labels


def _oriented(open_file: Callable[..., Volume], path: Path, overrides: Overrides) -> tuple[Volume, bool]:
    """A file's volume, and whether the file itself says where its axes point."""
    volume = open_file(allow_outside=overrides.allow_outside)
    if volume.orientation_stated:
        return volume, True
    if overrides.orientation is None:
        raise StoreError(
            f"{path} does not say where its axes point, so nothing tells right from left; if you know it, say it with "
            "--orientation, such as --orientation LAS."
        )
    return open_file(orientation=overrides.orientation, allow_outside=overrides.allow_outside), False


def case_of(
    pair: Pair,
    dataset: str,
    image: Volume,
    labels: Array,
    structures: Mapping[str, tuple[int, ...]],
    overrides: Overrides,
    *,
    labelled: bool = True,
) -> Case:
    """A case of what was read, with what the pair and a person know of it.

    Args:
        labelled: whether there are files of labels, so that having no structure is worth a word.
    """
    remarks = (
        *_of_its_reader(image),
        _spacing_remark(image),
        _channel_remark(pair),
        _EMPTY if labelled and not structures else None,
    )
    return Case(
        name=pair.name,
        patient=pair.patient or pair.stem,
        dataset=dataset,
        volume=image,
        labels=labels,
        structures=structures,
        sequence=overrides.sequence or pair.sequence,
        site=pair.site,
        part=pair.part,
        remark=" ".join(filter(None, remarks)) or None,
    )


def _of_its_reader(image: Volume) -> tuple[str, ...]:
    return tuple(f"{remark.removesuffix('.')}." for remark in image.remarks)


def _spacing_remark(image: Volume) -> str | None:
    return (
        None if image.spacing_stated else "its file states no voxel spacing: 1 mm is assumed, so no millimetre counts."
    )


def _channel_remark(pair: Pair) -> str | None:
    """What a 4-D image holds beyond the channels that its dataset declares."""
    if pair.channels is None:
        return None
    sides = _sides(pair.image)
    if len(sides) != 4 or sides[3] <= pair.channels:
        return None
    return f"its image has {sides[3]} channels and dataset.json declares {pair.channels}: the others are not read."


def _sides(path: Path) -> tuple[int, ...]:
    """The sides of a file of several channels, from its header."""
    try:
        image: Any = nib.load(path)
        return tuple(image.shape)
    except (OSError, EOFError, ValueError, KeyError, OverflowError, nib.filebasedimages.ImageFileError) as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise FormatError(f"{path} cannot be read: {reason}.") from error


def place_labels(image: Volume, labels: Volume) -> Array:
    """Labels (X, Y, Z) in the image's axis order, whatever order their own file has; nothing is resampled.

    Raises:
        StoreError: they do not cover the same voxels, to a tenth of a voxel.
    """
    image_grid, image_turn = image.grid.canonical()
    label_grid, label_turn = labels.grid.canonical()
    if image_grid.shape != label_grid.shape:
        shapes = [" x ".join(map(str, volume.grid.shape)) for volume in (labels, image)]
        raise StoreError(f"{image.name}: the label map has {shapes[0]} voxels, the image {shapes[1]}.")
    if not image_grid.close_to(label_grid, tolerance=0.1 * min(image_grid.spacing)):
        away = np.abs(image_grid.to_mm([[0, 0, 0]]) - label_grid.to_mm([[0, 0, 0]])).max()
        raise StoreError(
            f"{image.name}: image and label map lie on different grids of one shape (first voxels {away:.4g} mm apart, "
            f"spacings {_millimetres(image_grid)} and {_millimetres(label_grid)} mm); register or resample one."
        )
    return image_turn.undo(label_turn.apply(labels.array))


def read_channel(path: Path, channel: int, overrides: Overrides) -> Volume:
    """One channel of a 4-D file (X, Y, Z, channels); see `read_image`.

    Raises:
        FormatError: the file cannot be read, or has no such channel.
        StoreError: nothing says where its axes point.
    """
    sides = _sides(path)
    if len(sides) != 4 or channel >= sides[3]:
        size_text = " x ".join(map(str, sides))
        raise FormatError(f"{path} has shape {size_text}, so it has no channel {channel + 1}; check dataset.json.")
    return _oriented(partial(read, path, time=channel), path, overrides)[0]


def _millimetres(grid: Grid) -> str:
    return " x ".join(f"{step:.4g}" for step in grid.spacing)
