"""Any label map as an anatomy: bent a little, and with a body made up where its labels leave nothing.

CT-only and image-free label maps become labelled MRI this way (SynthSeg, Billot et al., Medical Image Analysis 2023):
the labels stay exact because the image is made from them.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...errors import VolumeError
from ...imaging.grid import Grid
from ...imaging.volume import Volume
from .anatomy import Anatomy
from .label_tissues import FREESURFER, describe, freesurfer_names
from .shapes import Field, noise
from .surroundings import torso_around
from .tissues import TISSUES

_BRAIN = {"white matter", "grey matter", "deep grey matter"}
_BIGGEST = 230  # labels that fit beside the made-up ones in 8 bits


def from_label_map(
    labels: Volume,
    names: Mapping[int, str],
    rng: np.random.Generator,
    *,
    tissues: Mapping[int, str] | None = None,
    fill: bool = True,
    bend: float = 3.0,
    spacing: tuple[float, float, float] | None = None,
    surround: bool = False,
) -> Anatomy:
    """An anatomy from a label map.

    Args:
        labels: (X, Y, Z) whole numbers in any orientation; 0 is unlabelled.
        names: label -> structure name, as its dataset writes it ("kidney_right"). Labels without a name need a
            tissue, and are imaged but name no structure.
        rng: draws the deformation and what is made up.
        tissues: label -> tissue where the name does not say it, or says it wrong.
        fill: make up a body where labels are 0: fat, muscle, bone and bowel near the labels, then the muscle wall,
            fat under the skin, skin and air by distance; around a brain: fluid, skull, scalp. Made-up voxels
            belong to no structure.
        surround: where the map holds organs of the trunk, but no bone and no muscle, make up one of our own torsos
            around them instead (see `surroundings`).
        bend: deviation in millimetres of the random smooth deformation; 0 leaves every label where it is.
        spacing: voxel size of the anatomy in millimetres; None keeps the map's.

    Returns:
        An anatomy in RAS order on the map's own grid, or on one of the same field of view with `spacing`.

    Raises:
        VolumeError: the map is not of whole numbers, holds nothing, or has more than 230 labels.
        VocabularyError: a label's tissue is neither given nor known from its name.
    """
    turned, _ = labels.canonical()
    values = np.unique(turned.array)
    if not np.array_equal(values, np.rint(values)) or values.min() < 0:
        raise VolumeError(f"{labels.name} is no label map: it holds {values.size} values that are not whole numbers.")
    present = [int(value) for value in values if value]
    if not present or len(present) > _BIGGEST:
        raise VolumeError(f"{labels.name} has {len(present)} labels; synthesis needs 1 to {_BIGGEST}.")
    described = {value: _describe(value, names, tissues or {}) for value in present}
    lookup = np.zeros(int(values.max()) + 1, np.uint8)
    lookup[present] = np.arange(1, len(present) + 1)
    grid, resampled = _deformed(turned, lookup, rng, bend, spacing)
    new_names = {new: name for new, value in enumerate(present, 1) if (name := described[value][0]) is not None}
    new_tissues = {new: described[value][1] for new, value in enumerate(present, 1)}
    if fill:
        made_up = _surround(resampled, grid, new_names, new_tissues, rng) if surround else None
        new_tissues |= made_up or _fill(resampled, grid, new_tissues, rng)
    return Anatomy(resampled, grid, new_names, new_tissues)


def from_freesurfer(
    labels: Volume,
    rng: np.random.Generator,
    *,
    fill: bool = True,
    bend: float = 2.0,
    spacing: tuple[float, float, float] | None = None,
) -> Anatomy:
    """`from_label_map` for a head in FreeSurfer's numbers (FREESURFER); numbers it does not know become unlabelled."""
    is_freesurfer = np.isin(labels.array, list(FREESURFER))
    known_labels = Volume(np.where(is_freesurfer, labels.array, 0), labels.grid, labels.modality, labels.name)
    values = {int(value) for value in np.unique(known_labels.array)} - {0}
    tissues = {value: FREESURFER[value][1] for value in values}
    return from_label_map(
        known_labels, freesurfer_names(values), rng, tissues=tissues, fill=fill, bend=bend, spacing=spacing
    )


def _describe(value: int, names: Mapping[int, str], tissues: Mapping[int, str]) -> tuple[str | None, str]:
    if value in tissues and tissues[value] not in TISSUES:
        raise VolumeError(f'"{tissues[value]}" (label {value}) is not a tissue; known are {", ".join(TISSUES)}.')
    if value not in names:
        if value in tissues:
            return None, tissues[value]
        raise VolumeError(f"label {value} has neither a name nor a tissue; give one of them.")
    if value not in tissues:
        return describe(names[value])
    return names[value], tissues[value]


def _deformed(
    labels: Volume,
    lookup: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    bend: float,
    spacing: tuple[float, float, float] | None,
) -> tuple[Grid, npt.NDArray[np.uint8]]:
    """The map, renumbered, on its new grid: a small turn and scale about its middle and a smooth displacement."""
    source = lookup[labels.array.astype(np.int64)]
    grid = labels.grid if spacing is None else _with_spacing(labels.grid, spacing)
    if bend == 0 and spacing is None:
        return grid, source.copy()
    indices = np.stack(np.meshgrid(*[np.arange(side, dtype=np.float32) for side in grid.shape], indexing="ij"))
    to_source = np.linalg.inv(labels.grid.affine) @ grid.affine
    if bend:
        steps = np.asarray(labels.grid.spacing)
        turn = Rotation.from_euler("xyz", rng.normal(0, 1.0 * min(bend, 3.0), 3), degrees=True).as_matrix()
        shape = turn * np.exp(rng.normal(0, 0.013 * min(bend, 3.0), 3))[None]
        middle = (np.asarray(source.shape) - 1) / 2
        linear = np.diag(1 / steps) @ shape @ np.diag(steps)
        about = np.eye(4)
        about[:3, :3], about[:3, 3] = linear, middle - linear @ middle
        to_source = about @ to_source
    places = np.tensordot(to_source[:3, :3].astype(np.float32), indices, 1)
    places += to_source[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)
    if bend:
        extent = min(side * step for side, step in zip(grid.shape, grid.spacing, strict=True))
        for axis in range(3):
            step = labels.grid.spacing[axis]
            places[axis] += noise(rng, grid.shape, grid.spacing, min(60.0, extent)) * np.float32(bend / step)
            places[axis] += noise(rng, grid.shape, grid.spacing, min(25.0, extent)) * np.float32(0.2 * bend / step)
    nearest = ndimage.map_coordinates(source, places, order=0, mode="constant", cval=0)
    return grid, np.asarray(nearest, np.uint8)


def _with_spacing(grid: Grid, spacing: tuple[float, float, float]) -> Grid:
    """The same field of view in other voxels; the outer faces of the corner voxels stay."""
    ratio = np.asarray(spacing) / grid.spacing
    shape = np.maximum(np.rint(np.asarray(grid.shape) / ratio), 1).astype(int)
    affine = grid.affine @ np.diag([*ratio, 1.0])
    affine[:3, 3] = (grid.affine @ [*((ratio - 1) / 2), 1.0])[:3]
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _surround(
    labels: npt.NDArray[np.uint8],
    grid: Grid,
    names: dict[int, str],
    tissues: Mapping[int, str],
    rng: np.random.Generator,
) -> dict[int, str] | None:
    """Let a torso show through where labels are 0, in place; None, and nothing done, where that does not suit."""
    if set(tissues.values()) & ({"bone", "cortical bone", "muscle", "skin"} | _BRAIN) or not labels.any():
        return None
    torso = torso_around(labels, grid, names, rng)
    start = max(tissues)
    if torso is None or start + max(torso[1]) > np.iinfo(np.uint8).max:
        return None
    torso_labels, torso_tissues = torso
    empty = (labels == 0) & (torso_labels > 0)
    labels[empty] = torso_labels[empty] + np.uint8(start)
    return {start + value: tissue for value, tissue in torso_tissues.items()}


def _fill(
    labels: npt.NDArray[np.uint8], grid: Grid, tissues: Mapping[int, str], rng: np.random.Generator
) -> dict[int, str]:
    """Paint made-up tissues where labels are 0, in place; returns the tissues of the labels it added."""
    empty = labels == 0
    if empty.all():
        raise VolumeError("the deformed label map is empty; give a larger field of view or bend it less.")
    distance = _distance(empty, grid)
    present_tissues = set(tissues.values())
    start = max(tissues) + 1
    if "skin" in present_tissues:
        return _paint(labels, start, [("gas", empty & _enclosed(empty))])
    if present_tissues & _BRAIN and "bone" not in present_tissues and "cortical bone" not in present_tissues:
        layers = _head_layers(distance, rng)
    else:
        layers = _body_layers(distance, labels, grid, rng)
    return _paint(labels, start, [(tissue, mask & empty) for tissue, mask in layers])


def _head_layers(distance: Field, rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    fluid, skull, scalp = rng.uniform(1.5, 4.0), rng.uniform(5.0, 8.5), rng.uniform(4.0, 9.0)
    ends = np.cumsum([fluid, skull, scalp, 2.2])
    within = [distance <= end for end in ends]
    return [("skin", within[3]), ("fat", within[2]), ("bone", within[1]), ("csf", within[0])]


def _body_layers(
    distance: Field, labels: npt.NDArray[np.uint8], grid: Grid, rng: np.random.Generator
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Skin, fat, muscle wall by distance; inside a mixture of fat, muscle, bone and bowel in random shares."""
    hull, extent = _hull_distance(labels, grid)
    # Few labels lie deep in a body that the map does not show; many labels reach its wall.
    inside = rng.uniform(4, 14) if extent > 180 else rng.uniform(25, 70)
    uneven = 1 + np.float32(0.25) * noise(rng, grid.shape, grid.spacing, 120.0)
    depth = hull / np.clip(uneven, 0.5, 1.6) + noise(rng, grid.shape, grid.spacing, 45.0) * np.float32(2.0)
    wall, under = rng.uniform(6, 16), rng.uniform(4, 32)
    clusters = noise(rng, grid.shape, grid.spacing, 28.0)
    second = noise(rng, grid.shape, grid.spacing, 20.0)
    muscle, bone, bowel = rng.uniform(-0.1, 0.9), rng.uniform(1.5, 2.6), rng.uniform(1.0, 2.2)
    interior = depth <= inside
    away = distance > 6  # organs lie in fat
    return [
        ("skin", depth <= inside + wall + under + 2.2),
        ("fat", depth <= inside + wall + under),
        ("muscle", depth <= inside + wall),
        ("fat", interior),
        ("muscle", interior & away & (clusters > muscle)),
        ("bone", interior & away & (clusters < -bone)),
        ("chyme", interior & away & (second > bowel)),
    ]


def _paint(
    labels: npt.NDArray[np.uint8], start: int, layers: list[tuple[str, npt.NDArray[np.bool_]]]
) -> dict[int, str]:
    added: dict[str, int] = {}
    for tissue, mask in layers:
        value = added.setdefault(tissue, start + len(added))
        labels[mask] = value
    return {value: tissue for tissue, value in added.items()}


def _distance(empty: npt.NDArray[np.bool_], grid: Grid) -> Field:
    """Millimetres to the nearest label, after gaps between labels of up to about 3 cm have been closed.

    Worked out on a grid of about 4 mm and brought back linearly: it decides fat and skin, not structures.
    """
    zoom = [max(1, round(4.0 / step)) for step in grid.spacing]
    coarse = ~empty[:: zoom[0], :: zoom[1], :: zoom[2]]
    steps = [factor * step for factor, step in zip(zoom, grid.spacing, strict=True)]
    reach = 30.0
    margin = [int(np.ceil(reach / step)) + 1 for step in steps]
    padded = np.pad(coarse, [(side, side) for side in margin])
    dilated = ndimage.distance_transform_edt(~padded, steps) <= reach
    closed = ndimage.distance_transform_edt(dilated, steps) > reach
    outside = ndimage.distance_transform_edt(~(closed | padded), steps).astype(np.float32)
    inner = tuple(slice(side, side + count) for side, count in zip(margin, coarse.shape, strict=True))
    outside = np.asarray(outside[inner], np.float32)
    for axis in range(3):
        places = np.minimum(np.arange(empty.shape[axis]) / zoom[axis], outside.shape[axis] - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, outside.shape[axis] - 1)
        share = (places - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        outside = np.take(outside, low, axis) * (1 - share) + np.take(outside, high, axis) * share
    return outside


def _hull_distance(labels: npt.NDArray[np.uint8], grid: Grid) -> tuple[Field, float]:
    """Millimetres outside the labels' convex outline, seen along the body, and the outline's width.

    A trunk is convex and changes slowly along z, so one outline serves all slices.
    """
    outline = np.argwhere(labels.any(axis=2)) * grid.spacing[:2]
    extent = float((outline.max(0) - outline.min(0)).max())
    x, y = (np.arange(side) * step for side, step in zip(grid.shape[:2], grid.spacing[:2], strict=True))
    outside = np.full(grid.shape[:2], -np.inf)
    for angle in np.linspace(0, 2 * np.pi, 48, endpoint=False):
        normal = np.array([np.cos(angle), np.sin(angle)])
        reach = float((outline @ normal).max())
        outside = np.maximum(outside, x[:, None] * normal[0] + y[None] * normal[1] - reach)
    return np.repeat(outside[:, :, None].astype(np.float32), grid.shape[2], axis=2), extent


def _enclosed(empty: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Empty voxels that no face of the grid reaches: airways and sinuses inside a head."""
    parts, _ = ndimage.label(empty)
    faces = [parts.take(index, axis) for axis in range(3) for index in (0, -1)]
    open_parts = np.unique(np.concatenate([face.ravel() for face in faces]))
    return empty & ~np.isin(parts, open_parts)
