"""Training views: cut from a framed case anywhere between the whole volume and a native-resolution window.

Inference shows a network the whole volume squeezed into its window (zoom-out) and windows at the volume's own
resolution (zoom-in), or one structure and what surrounds it (focus). A view is drawn between the first two, or round
a structure, so that one network learns all. Voxels are picked, not blended, as inference picks them.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..imaging.case import Case
from ..imaging.framing import Frame
from ..imaging.grid import Array, Triple
from ..ranges import Factor, Share, Strength
from ..vocabulary import Modality
from .label_index import LabelIndex
from .streaming import ArrayCache, StreamedArray, StreamedLabels, planes_of

Rng = np.random.Generator
Floats = npt.NDArray[np.float64]

_FINEST = 0.5  # frame voxels a window voxel: finer views would show no more


@dataclass(frozen=True, eq=False)
class FramedCase:
    """A case as a network sees it, for training; its arrays are in memory, or in files that are read by part.

    Attributes:
        image: (D, H, W) float16, normalised.
        labels: (D, H, W) unsigned integers.
        structures: canonical name -> label values.
        absent: structures that the dataset labels and this patient lacks (a text may ask for them in vain).
        pad: the number that stands outside the image.
        bounds: the smallest and largest number that the image may hold.
        dataset: within which its name is unique.
    """

    name: str
    modality: Modality | None
    image: npt.NDArray[np.float16] | StreamedArray
    labels: Array | StreamedArray
    structures: Mapping[str, tuple[int, ...]]
    absent: tuple[str, ...] = ()
    pad: float = 0.0
    bounds: tuple[float, float] = (0.0, 1.0)
    dataset: str = ""

    @classmethod
    def make(
        cls,
        case: Case,
        framed: Frame,
        labelled: frozenset[str] = frozenset(),
        known: frozenset[str] = frozenset(),
    ) -> "FramedCase":
        """A case in the frame of its volume.

        Args:
            case: from a store or a source.
            framed: its volume as the network's strategy prepares it.
            labelled: all structures that its dataset labels.
            known: the only structures to keep; empty keeps all.
        """
        labels = np.ascontiguousarray(framed.labels(case.labels))
        structures, absent = structures_seen(case.structures, set(np.unique(labels).tolist()), labelled, known)
        return cls(
            case.name,
            case.volume.modality,
            np.asarray(framed.image).astype(np.float16),
            labels,
            structures,
            absent,
            float(np.float16(framed.pad)),
            framed.bounds,
            case.dataset,
        )

    def mask(self, structure: str) -> npt.NDArray[np.bool_]:
        """(D, H, W) boolean; reads the whole label map."""
        return mask_of(np.asarray(self.labels), self.structures[structure])

    def plane(self, number: int) -> tuple[Array, Array]:
        """One plane of image and labels, each (1, H, W); reads no other."""
        _, height, width = self.image.shape
        image, labels = (
            planes_of(array, [number], slice(0, height), slice(0, width)) for array in (self.image, self.labels)
        )
        return image, labels

    def kept_in(self, cache: ArrayCache) -> "FramedCase":
        """The same case, whose files are kept in this cache as far as they fit."""
        image, labels = (
            array.kept_in(cache) if isinstance(array, StreamedArray) else array for array in (self.image, self.labels)
        )
        return replace(self, image=image, labels=labels)

    @cached_property
    def index(self) -> LabelIndex:
        """Where label values lie."""
        labels = self.labels
        return labels.index if isinstance(labels, StreamedLabels) else LabelIndex.of(np.asarray(labels))

    def extent(self, structure: str) -> tuple[Floats, Floats]:
        """First voxel of a structure, and the one after its last, each (d, h, w)."""
        return self.index.extent(self.structures[structure])

    def planes_with(self, structure: str) -> npt.NDArray[np.intp]:
        """Numbers of the planes that show a structure, rising."""
        return np.flatnonzero(self.index.planes(self.structures[structure]))

    def voxel_of(self, structure: str, rng: Rng) -> Floats:
        """A random voxel (d, h, w) of a structure, each as likely; reads one plane of labels."""
        values = self.structures[structure]
        until = np.cumsum(self.index.planes(values), dtype=np.int64)
        number = int(rng.integers(until[-1]))  # of its voxels, W fastest
        plane = int(np.searchsorted(until, number, side="right"))
        before = int(until[plane - 1]) if plane else 0
        _, height, width = self.labels.shape
        plane_labels = planes_of(self.labels, [plane], slice(0, height), slice(0, width))
        place = np.flatnonzero(mask_of(plane_labels, values))[number - before]
        return np.array([plane, *divmod(int(place), width)], float)


def structures_seen(
    structures: Mapping[str, tuple[int, ...]],
    present: Set[int],
    labelled: Set[str],
    known: Set[str],
) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """The structures of a framed case -> their label values, and those that it lacks.

    Args:
        structures: of the case before it was framed.
        present: label values in its frame.
        labelled, known: see `FramedCase.make`.
    """
    known_structures = {name: values for name, values in sorted(structures.items()) if not known or name in known}
    visible = {name: values for name, values in known_structures.items() if present & set(values)}
    return visible, tuple(sorted(name for name in labelled - set(visible) if not known or name in known))


def mask_of(labels: Array, values: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Boolean mask of the voxels that carry any of the label values."""
    mask = np.zeros(labels.shape, bool)
    for value in values:
        mask |= labels == value
    return mask


@dataclass(frozen=True)
class ViewSettings:
    """How views are drawn.

    Attributes:
        whole: share of whole-volume views, as zoom-out sees them.
        native: share of native-resolution windows, as zoom-in sees them; the rest lies between the two.
        focus: share of views round one structure, each side so many times the structure's as `margin` says.
        margin: smallest and largest, drawn evenly on a logarithmic scale.
        rotation: largest in-plane rotation in degrees.
        scale: standard deviation of the logarithm of each axis' extra scale.
        still: share of views that are not rotated, scaled or shifted at all.
        background: share of windows that are centred anywhere instead of on a structure.
        flip: probability of mirroring each axis; cases with left or right structures are never mirrored.
    """

    whole: Share = 0.5
    native: Share = 0.25
    focus: Share = 0.0
    margin: tuple[Factor, Factor] = (1.25, 3.0)
    rotation: Strength = 12.0
    scale: Strength = 0.08
    still: Share = 0.25
    background: Share = 0.0
    flip: Share = 0.0


# SegVol's own training views (Du et al. 2024): its two releases differ, and which one made the weights is unknown.
# Area averages of labels and left-right flips of kidneys are not copied.
PUBLISHED_VIEWS: dict[str, ViewSettings] = {
    "hub": ViewSettings(whole=0.25, native=0.75, rotation=0, scale=0, still=1, background=1 / 3, flip=0.2),
    "source": ViewSettings(whole=0.5, native=0.5, rotation=0, scale=0, still=1, background=1 / 3, flip=0.1),
}


@dataclass(frozen=True, eq=False)
class View:
    """One training input, window-sized.

    Attributes:
        image: (D, H, W) float32; of a slice with its neighbours, these too.
        labels: (D, H, W).
        outlines: structure -> first voxel and the one after the last (d, h, w) of the box that a person would give,
            where that is more than the view shows of it: of a slice, the section of the whole structure's box.
    """

    image: npt.NDArray[np.float32]
    labels: Array
    outlines: Mapping[str, tuple[Triple, Triple]] = field(default_factory=dict)


def draw_view(case: FramedCase, window: Triple, rng: Rng, settings: ViewSettings | None = None) -> View:
    """Draw one view of a case.

    Args:
        case: framed case.
        window: (D, H, W) of the network.
        rng: the only source of chance.
        settings: see ViewSettings.
    """
    settings = settings or ViewSettings()
    size, target = np.asarray(case.image.shape, float), np.asarray(window, float)
    if settings.focus and case.structures and rng.random() < settings.focus:
        return _focused(case, window, rng, settings)
    draw = rng.random()
    zoom = 1.0 if draw < settings.whole else 0.0 if draw < settings.whole + settings.native else rng.random()
    step = (size / target) ** zoom  # frame voxels a window voxel
    still = rng.random() < settings.still
    if not still:
        step = step * np.exp(rng.normal(0, settings.scale, 3))
    if zoom == 1.0:
        centre = (size - 1) / 2 + (0 if still else rng.uniform(-0.04, 0.04, 3) * size)
    elif settings.background and rng.random() < settings.background:
        centre = _inside(rng.uniform(0, 1, 3) * size, step * target, case.image.shape)
    else:
        centre = _centre_on_structure(case, size, step * target, rng)
    angle = 0.0 if still else np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    return _flipped(View(*_sample(case, window, centre, step, angle)), case, rng, settings.flip)


def draw_click(case: FramedCase, window: Triple, rng: Rng, settings: ViewSettings) -> View:
    """Draw a window as a click frames it: native resolution, a structure near its middle, padding beyond the image.

    Args:
        case: framed case.
        window: (D, H, W) of the network.
        rng: the only source of chance.
        settings: rotation, scale, still, background and flip are read; a click has no other zoom.
    """
    still = rng.random() < settings.still
    step = np.ones(3) if still else np.exp(rng.normal(0, settings.scale, 3))
    extent = step * np.asarray(window, float)
    anywhere = not case.structures or bool(settings.background and rng.random() < settings.background)
    size = np.asarray(case.image.shape, float)
    centre = rng.uniform(0, 1, 3) * (size - 1) if anywhere else _near_structure(case, extent, rng)
    angle = 0.0 if still else np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    return _flipped(View(*_sample(case, window, centre, step, angle)), case, rng, settings.flip)


def _flipped(view: View, case: FramedCase, rng: Rng, chance: float) -> View:
    """Mirrored along each axis by chance; as it is where a structure has a side."""
    if not chance or any(name.startswith(("left ", "right ")) for name in (*case.structures, *case.absent)):
        return view
    axes = tuple(np.flatnonzero(rng.random(3) < chance).tolist())
    return View(np.flip(view.image, axes).copy(), np.flip(view.labels, axes).copy())


def focus_steps(low: Floats, high: Floats, window: Triple, size: tuple[int, ...], margin: Floats | float) -> Floats:
    """Frame voxels a window voxel of a view round a block: `margin` times its sides, never finer than half a voxel.

    Args:
        low, high: (d, h, w) of the block, half-open.
        window: of the network.
        size: of the frame; no side of the view is longer.
        margin: one, or one an axis.
    """
    target = np.asarray(window, float)
    steps: Floats = np.clip((high - low) * margin / target, _FINEST, np.maximum(np.asarray(size) / target, _FINEST))
    return steps


def _focused(case: FramedCase, window: Triple, rng: Rng, settings: ViewSettings) -> View:
    """A view round a structure that was found roughly: off its middle, more or less wide on each axis."""
    names = list(case.structures)
    low, high = case.extent(names[rng.integers(len(names))])
    margin = np.exp(rng.uniform(*np.log(settings.margin)) + rng.normal(0, settings.scale, 3))
    step = focus_steps(low, high, window, case.image.shape, margin)
    extent = step * np.asarray(window)
    centre = (low + high - 1) / 2 + rng.uniform(-0.15, 0.15, 3) * extent
    still = rng.random() < settings.still
    angle = 0.0 if still else np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    return View(*_sample(case, window, _inside(centre, extent, case.image.shape), step, angle))


def _centre_on_structure(case: FramedCase, size: Floats, extent: Floats, rng: Rng) -> Floats:
    """A random voxel of a random structure, moved as little as keeps the view inside the volume where it can."""
    if not case.structures:
        return (size - 1) / 2
    return _inside(_near_structure(case, extent, rng), extent, case.image.shape)


def _near_structure(case: FramedCase, extent: Floats, rng: Rng) -> Floats:
    """A random voxel of a random structure, moved by up to a quarter of the view."""
    names = list(case.structures)
    centre = case.voxel_of(names[rng.integers(len(names))], rng)
    return np.asarray(centre + rng.uniform(-0.25, 0.25, 3) * extent)


def _inside(centre: Floats, extent: Floats, shape: tuple[int, ...]) -> Floats:
    """The centre moved as little as keeps the view inside the volume; the middle on axes that it exceeds."""
    size, half = np.asarray(shape, float), (extent - 1) / 2
    inside = np.clip(centre, half, np.maximum(size - 1 - half, half))
    return np.where(extent >= size, (size - 1) / 2, inside)


def _sample(
    case: FramedCase, window: Triple, centre: Floats, step: Floats, angle: float
) -> tuple[npt.NDArray[np.float32], Array]:
    """Pick voxels on a scaled grid rotated in the axial plane about `centre`; padding outside the volume."""
    d, h, w = ((np.arange(side) - (side - 1) / 2) * pace for side, pace in zip(window, step, strict=True))
    depth = np.rint(centre[0] + d).astype(np.intp)
    rows = np.rint(centre[1] + np.cos(angle) * h[:, None] - np.sin(angle) * w[None, :]).astype(np.intp)
    columns = np.rint(centre[2] + np.sin(angle) * h[:, None] + np.cos(angle) * w[None, :]).astype(np.intp)
    size = case.image.shape
    inside = (rows >= 0) & (rows < size[1]) & (columns >= 0) & (columns < size[2])
    outside = ~(((depth >= 0) & (depth < size[0]))[:, None, None] & inside[None])
    rows, columns = np.clip(rows, 0, size[1] - 1), np.clip(columns, 0, size[2] - 1)
    planes, places = np.unique(np.clip(depth, 0, size[0] - 1), return_inverse=True)
    picked = []
    for array in (case.image, case.labels):
        block = planes_of(array, planes.tolist(), _span(rows), _span(columns))
        flat = (rows - rows.min()) * block.shape[2] + columns - columns.min()
        picked.append(block.reshape(len(planes), -1)[places][:, flat])
    image, labels = picked[0].astype(np.float32), picked[1]
    image[outside] = case.pad
    labels[outside] = 0
    return image, labels


def _span(places: npt.NDArray[np.intp]) -> slice:
    """From the smallest to the largest."""
    return slice(int(places.min()), int(places.max()) + 1)
