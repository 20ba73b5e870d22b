"""CT of an anatomy: Hounsfield units by tissue, contrast phase, partial volume, reconstruction kernel and noise."""

from typing import Literal

import numpy as np
from scipy import ndimage

from ...errors import VolumeError
from ...imaging.volume import Volume
from ...vocabulary import Modality
from .anatomy import Anatomy
from .shapes import Field, blur, noise
from .tissues import TISSUES

Phase = Literal["native", "arterial", "portal", "late"]
PHASES: tuple[Phase, ...] = ("native", "arterial", "portal", "late")


def render(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    phase: Phase = "portal",
    table: bool = True,
    grain: float = 1.0,
) -> Volume:
    """Scan an anatomy.

    Args:
        anatomy: its labels are read, never changed.
        rng: draws the patient's enhancement, texture, dose and kernel.
        phase: contrast phase.
        table: whether the scanner's table may lie below the patient.
        grain: factor on the noise; 1 is an abdominal scan's, a head gets a higher dose and less of it.

    Returns:
        int16 Hounsfield units in [-1024, 3071] on the anatomy's grid.

    Raises:
        VolumeError: the phase is unknown.
    """
    if phase not in PHASES:
        raise VolumeError(f'"{phase}" is not a contrast phase; known are {", ".join(PHASES)}.')
    spacing = anatomy.grid.spacing
    fine = noise(rng, anatomy.grid.shape, spacing, max(5.0, 1.6 * max(spacing)))
    hounsfield = np.full(anatomy.grid.shape, -1000, np.float32)
    for tissue, (mean, texture) in _draw_tissues(anatomy, rng, phase).items():
        tissue_voxels = np.isin(anatomy.labels, [value for value, name in anatomy.tissues.items() if name == tissue])
        hounsfield[tissue_voxels] = mean + texture * fine[tissue_voxels]
    _cortex(hounsfield, anatomy, rng)
    _lung_vessels(hounsfield, anatomy, rng)
    if table and rng.random() < 0.7:
        _table(hounsfield, anatomy, rng)
    sharp = rng.uniform(0.75, 1.25)
    hounsfield = ndimage.gaussian_filter(hounsfield, _psf(spacing, sharp), mode="nearest")
    hounsfield += _noise(rng, anatomy, sharp) * np.float32(grain)
    clipped = np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int16)
    return Volume(clipped, anatomy.grid, Modality.CT, name=f"simulated CT, {phase}")


def _draw_tissues(anatomy: Anatomy, rng: np.random.Generator, phase: Phase) -> dict[str, tuple[float, float]]:
    """Tissue -> this patient's mean HU and texture; one enhancement for all, and each tissue's own around it."""
    enhancement = float(np.clip(rng.normal(1.0, 0.16), 0.6, 1.4))
    tissue_signal = {}
    for tissue in sorted(set(anatomy.tissues.values())):
        known = TISSUES[tissue]
        gain = 0.0 if phase == "native" else known.gain[PHASES.index(phase) - 1]
        mean = known.hu + rng.normal(0, known.hu_deviation) + gain * enhancement * rng.normal(1, 0.08)
        if tissue == "liver" and rng.random() < 0.15:  # fatty liver
            mean -= rng.uniform(10, 45)
        tissue_signal[tissue] = (float(mean), known.texture * float(rng.uniform(0.6, 1.2)))
    return tissue_signal


def _cortex(hounsfield: Field, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """A dense shell around spongy bone."""
    bone = np.isin(anatomy.labels, [value for value, name in anatomy.tissues.items() if name == "bone"])
    if not bone.any():
        return
    shell = TISSUES["cortical bone"].hu + rng.normal(0, TISSUES["cortical bone"].hu_deviation)
    depth = ndimage.distance_transform_edt(bone, anatomy.grid.spacing)
    thickness = rng.uniform(1.6, 2.6)
    share = np.clip((thickness + 0.5 * min(anatomy.grid.spacing) - depth[bone]) / min(anatomy.grid.spacing), 0, 1)
    hounsfield[bone] += share * (shell - hounsfield[bone]) * 0.75


def _lung_vessels(hounsfield: Field, anatomy: Anatomy, rng: np.random.Generator) -> None:
    lung = np.isin(anatomy.labels, [value for value, name in anatomy.tissues.items() if name == "lung"])
    if not lung.any():
        return
    branches = np.abs(noise(rng, anatomy.grid.shape, anatomy.grid.spacing, 22.0))
    branches = np.hypot(branches, noise(rng, anatomy.grid.shape, anatomy.grid.spacing, 22.0))
    hounsfield[lung] += 650 * np.clip(1 - branches[lung] / 0.16, 0, 1)


def _table(hounsfield: Field, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """A curved table top under the back, in air only."""
    body = anatomy.labels.any(axis=(0, 2))
    if not body.any():
        return
    step_x, step_y, _ = anatomy.grid.spacing
    x = (np.arange(anatomy.grid.shape[0]) - anatomy.grid.shape[0] / 2) * step_x
    y = np.arange(anatomy.grid.shape[1]) * step_y
    bottom = float(np.argmax(body)) * step_y - rng.uniform(4, 10)
    surface = bottom + (x / 260) ** 2 * 55
    depth = surface[:, None] - y[None]
    top = np.exp(-((depth / 1.8) ** 2)) * (np.abs(x[:, None]) < 230)
    core = ((depth > 2) & (depth < 40) & (np.abs(x[:, None]) < 215)) * 60.0
    added = (700 * top + core).astype(np.float32)[:, :, None]
    air = (anatomy.labels == 0) & (np.broadcast_to(added, anatomy.labels.shape) > 0)
    hounsfield[air] += np.broadcast_to(added, anatomy.labels.shape)[air]


def _psf(spacing: tuple[float, float, float], sharp: float) -> list[float]:
    """Deviations in voxels of the point spread: a kernel in the plane, the slice profile across it."""
    return [0.85 * sharp / spacing[0] + 0.15, 0.85 * sharp / spacing[1] + 0.15, 0.45]


def _noise(rng: np.random.Generator, anatomy: Anatomy, sharp: float) -> Field:
    """Correlated quantum noise, stronger in the middle of a thick body."""
    shape, spacing = anatomy.grid.shape, anatomy.grid.spacing
    white = rng.standard_normal(shape).astype(np.float32)
    grain = ndimage.gaussian_filter(white, [0.55 * sharp / spacing[0] + 0.2, 0.55 * sharp / spacing[1] + 0.2, 0.3])
    grain /= max(float(grain.std()), 1e-6)
    inside = (anatomy.labels > 0).mean(axis=2).astype(np.float32)[:, :, None]
    thick = blur(np.ascontiguousarray(inside), 45.0, (spacing[0], spacing[1], 1e6))
    strength = float(rng.lognormal(np.log(11), 0.35))
    scaled: Field = grain * strength * (0.35 + 0.75 * thick)
    return scaled
