"""Check that image and mask lie on one another: no mask outside the body, mirrored, or shifted against its image.

The border of a structure is where brightness changes. So the change across each face of a mask's surface is compared
with changes anywhere in the body; a mask that fits better mirrored or shifted than as it lies was moved against its
image. Everything is measured at some thousand places, so that it costs little.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...imaging.body import Body
from ...imaging.grid import Array, Triple
from ...imaging.volume import Volume
from ..record import CaseRecord
from .coarse import Spacing, block_means
from .findings import Finding

_CHECK = "registration"
_SIDE = 1.6  # millimetres; finer voxels are joined for the comparison of surfaces
_FACES, _SAMPLE = 600, 20000  # of each structure across each axis; of the body, and of a mask
_FEW_FACES = 60
_RANKS = 201

# Measured on 88 real and 10 simulated cases (docs/reference/findings.md): as they are, no mirrored mask came nearer
# than 0.03 below, and no shifted one above; masks mirrored on purpose gained 0.06 and more, shifted ones 0.04 to 0.25.
_GAIN = 0.045
_ERRORS = 5.0  # standard errors; the best of some forty places is looked for, and neighbouring faces are alike
_FIT = 0.52  # that the better place must reach: chance is 0.5
_THINNEST = 6  # voxels along an axis
_NEXT = (slice(None, -1), slice(1, None))
_SHIFTS = (2, 4, 6, 8, 10)  # voxels
_LEAST_SHIFT = 4.0  # millimetres; less is how borders are drawn
_INSIDE = 0.7  # share of faces that a shift must leave in the volume

_DARK = 0.15  # of the range of brightness: what is brighter is surely of the body
_OUTSIDE = 0.2  # share of a mask
# May hold air, or have no signal.
_HOLLOW = ("lung", "stomach", "colon", "bowel", "trachea", "esophagus", "sinus", "skull", "skin", "rib", "duodenum")

_LOOK = "Draw it (data show --contact-sheet) and compare; then mend the pairing or orientation of the files."

Mirror = tuple[bool, bool, bool]
Points = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SurfaceFit:
    """How well a mask's surface lies on changes of brightness: as it is, and at its best elsewhere.

    Values are mean ranks among all changes in the body, from 0 to 1; 0.5 is chance.

    Attributes:
        own: as the mask lies.
        mirrored, mirror: the best of seven mirrorings about the volume's centre, and which.
        shifted, shift: the best shift along axes, and which, in millimetres.
        needed: what another place must gain to be believed; more where the surface is small.
    """

    own: float
    mirrored: float
    mirror: Mirror
    shifted: float
    shift: Spacing
    needed: float


def check_registration(name: str, record: CaseRecord, signal: Array, labels: Array) -> list[Finding]:
    """Findings on one case.

    Args:
        name: "store/case".
        signal, labels: (X, Y, Z).
    """
    findings = []
    for structure, share in outside_body(record, signal, labels).items():
        message = f"{name} has {share:.0%} of its {structure} outside the body."
        findings.append(Finding(_CHECK, "warning", (name,), message, _LOOK))
    fit = surface_fit(signal, labels, record.spacing)
    if fit is None:
        return findings
    if fit.mirrored > max(fit.own, fit.shifted) + fit.needed and fit.mirrored >= _FIT:
        axes = " and ".join(axis for axis, turned in zip("xyz", fit.mirror, strict=True) if turned)
        message = (
            f"{name} has a mask that seems mirrored along {axes}: its surface fits the image better so "
            f"({fit.mirrored:.2f}) than as it lies ({fit.own:.2f})."
        )
        findings.append(Finding(_CHECK, "warning", (name,), message, _LOOK))
    elif fit.shifted > fit.own + fit.needed and fit.shifted >= _FIT:
        where = " x ".join(f"{step:g}" for step in fit.shift)
        message = (
            f"{name} has a mask that seems shifted: its surface fits the image better moved by {where} mm "
            f"({fit.shifted:.2f}) than as it lies ({fit.own:.2f})."
        )
        findings.append(Finding(_CHECK, "warning", (name,), message, _LOOK))
    return findings


def outside_body(record: CaseRecord, signal: Array, labels: Array) -> dict[str, float]:
    """Structure -> share of its voxels outside the body, where that is too much; hollow structures are left out.

    Where the body is, dark organs in it, says `imaging.body`; a scan that shows no air has no outside.
    """
    volume = Volume(signal, record.grid, record.modality, record.name)
    body = Body.of(volume)
    if body is None:
        return {}
    rng = np.random.default_rng(0)
    shares = {}
    flat = labels.ravel()
    labelled = np.flatnonzero(flat)
    of = flat[labelled]
    for structure, values in record.structures.items():
        if any(word in structure for word in _HOLLOW):
            continue
        places = labelled[np.isin(of, values)]
        if not len(places):
            continue
        places = rng.choice(places, min(len(places), _SAMPLE))
        voxels = np.stack(np.unravel_index(places, labels.shape), 1)
        share = float((body.depths_at(voxels) == 0).mean())
        if share > _OUTSIDE:
            shares[structure] = share
    return shares


def surface_fit(signal: Array, labels: Array, spacing: Spacing) -> SurfaceFit | None:
    """Compare the mask as it lies with the mask mirrored and shifted; None where its surface is too small to tell."""
    factors = tuple(min(side, max(1, int(_SIDE / step))) for side, step in zip(signal.shape, spacing, strict=True))
    image, mask = _joined(signal, labels, factors)
    steps = np.array(spacing) * factors
    surfaces = _faces(mask)
    if not surfaces:
        return None
    scales = _scales(image)
    if not scales:
        return None
    own_score = _score(image, surfaces, scales, None, (0, 0, 0))
    if own_score is None:
        return None
    mirrors = {
        mirror: _score(image, surfaces, scales, mirror, (0, 0, 0)) or 0.0
        for mirror in ((x, y, z) for x in (False, True) for y in (False, True) for z in (False, True))
        if any(mirror)
    }
    mirror = max(mirrors, key=lambda turned: mirrors[turned])
    shift, shifted = _best_shift(image, surfaces, scales, steps, own_score)
    x, y, z = (float(step) for step in np.round(shift * steps, 1))
    return SurfaceFit(own_score, mirrors[mirror], mirror, shifted, (x, y, z), max(_GAIN, _ERRORS * _error(surfaces)))


def _error(surfaces: Mapping[int, list[Points]]) -> float:
    """Standard error of a score whose faces fall anywhere: ranks are even, and each group counts alike."""
    sizes = np.array([len(faces) for groups in surfaces.values() for faces in groups])
    return float(np.sqrt((1 / 12 / sizes).sum()) / len(sizes))


def _best_shift(
    image: Array, surfaces: Mapping[int, list[Points]], scales: Mapping[int, Array], steps: Array, own: float
) -> tuple[Array, float]:
    """The shift along one axis after another that fits best, in voxels, and how well; zero where none does."""
    best, shift = own, np.zeros(3, np.int64)
    for axis in np.argsort(steps)[::-1]:
        base = shift.copy()
        for size in (*(-step for step in _SHIFTS), *_SHIFTS):
            if abs(size) * steps[axis] < _LEAST_SHIFT:
                continue
            moved_points = base.copy()
            moved_points[axis] = size
            score = _score(
                image, surfaces, scales, None, (int(moved_points[0]), int(moved_points[1]), int(moved_points[2]))
            )
            if score is not None and score > best:
                best, shift = score, moved_points
    return shift, best


def _joined(signal: Array, labels: Array, factors: tuple[int, ...]) -> tuple[Array, Array]:
    """Image and labels with every `factors` voxels as one: means, and the label at the middle."""
    x, y, z = (
        slice(factor // 2, side // factor * factor, factor) for side, factor in zip(labels.shape, factors, strict=True)
    )
    return block_means(signal, factors), labels[x, y, z]


def _faces(mask: Array) -> dict[int, list[Points]]:
    """Axis -> for each label value the voxels below a face of its surface across that axis, at random, thinned."""
    rng = np.random.default_rng(0)
    face_points: dict[int, list[Points]] = {}
    for axis in range(3):
        if mask.shape[axis] < _THINNEST:
            continue
        low, high = (mask[tuple(cut if at == axis else slice(None) for at in range(3))] for cut in _NEXT)
        places = np.argwhere(low != high)
        sides = low[tuple(places.T)], high[tuple(places.T)]
        for value in np.unique(np.concatenate(sides)):
            label_faces = places[(sides[0] == value) | (sides[1] == value)]
            if value and len(label_faces) >= _FEW_FACES:
                face_points.setdefault(axis, []).append(rng.permutation(label_faces)[:_FACES])
    return face_points


def _scales(image: Array) -> dict[int, Array]:
    """Axis -> quantiles of the changes of brightness across it at random places of the body; empty without a body."""
    rng = np.random.default_rng(0)
    places = np.stack([rng.integers(0, side, 3 * _SAMPLE) for side in image.shape], 1)
    values = image[tuple(places.T)]
    low, high = np.percentile(values, (0.5, 99.5))
    places = places[values > low + _DARK * (high - low)][:_SAMPLE]
    if not len(places):
        return {}
    return {axis: np.quantile(_changes(image, places, axis), np.linspace(0, 1, _RANKS)) for axis in range(3)}


def _changes(image: Array, places: Points, axis: int) -> Array:
    """How much brightness changes from a voxel, with the one below, to the next two along an axis."""
    top = image.shape[axis] - 1
    parts = []
    for step in (-1, 0, 1, 2):
        moved = places.copy()
        moved[:, axis] = np.clip(moved[:, axis] + step, 0, top)
        parts.append(image[tuple(moved.T)])
    return np.asarray(np.abs(parts[2] + parts[3] - parts[0] - parts[1]))


def _score(
    image: Array,
    surfaces: Mapping[int, list[Points]],
    scales: Mapping[int, Array],
    mirror: Mirror | None,
    shift: Triple,
) -> float | None:
    """Mean rank of the changes across all faces, each structure and axis alike; None where too many are outside."""
    ranks = []
    for axis, groups in surfaces.items():
        for faces in groups:
            places = faces + np.array(shift)
            if mirror is not None:
                places = np.where(mirror, np.array(image.shape) - 1 - places, places)
                if mirror[axis]:
                    places[:, axis] -= 1  # the voxel below the face is now the one above
            inside = ((places >= 0) & (places < image.shape)).all(1)
            if inside.mean() < _INSIDE:
                return None
            changes = _changes(image, places[inside], axis)
            scale = scales[axis]
            ranks.append(float(np.searchsorted(scale, changes).mean()) / len(scale))
    return float(np.mean(ranks)) if ranks else None
