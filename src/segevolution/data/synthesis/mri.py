"""MRI of an anatomy, from the signal equations: spoiled gradient echo, spin echo, inversion recovery.

Water and fat are kept as two pools until the end, because in-phase, opposed-phase and fat-suppressed images differ
only in how the pools add up: a voxel that holds both goes dark in the opposed phase, at every border of fat as well.

    spoiled gradient echo   M sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE / T2*)           E1 = exp(-TR / T1)
    spin echo               M (1 - exp(-TR / T1)) exp(-TE / T2)
    inversion recovery      M |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2)

(Bernstein, King, Zhou, Handbook of MRI Pulse Sequences, 2004.) Relaxation times: see `tissues.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from ...errors import VolumeError
from ...imaging.volume import Volume
from ...vocabulary import Modality
from .anatomy import Anatomy
from .shapes import Field, noise
from .tissues import TISSUES, Tissue

Sequence = Literal["T1", "T1-IN", "T1-OUT", "T2", "T2-SPIR", "FLAIR", "T1-CE"]


@dataclass(frozen=True)
class Protocol:
    """How a sequence excites and reads.

    Attributes:
        kind: "gradient" (spoiled gradient echo), "spin" (spin echo) or "inversion" (inversion recovery spin echo).
        tr, te, ti: milliseconds; ti only for inversion recovery.
        flip: degrees, for the gradient echo.
        fat: factor on the fat pool: 1 in phase, -1 opposed, near 0 suppressed.
        gadolinium: whether contrast agent has been given.
    """

    kind: Literal["gradient", "spin", "inversion"]
    tr: float
    te: float
    flip: float = 90.0
    ti: float = 0.0
    fat: float = 1.0
    gadolinium: bool = False


PROTOCOLS: dict[Sequence, Protocol] = {
    "T1": Protocol("gradient", tr=150, te=4.6, flip=75),
    "T1-IN": Protocol("gradient", tr=150, te=4.6, flip=75),
    "T1-OUT": Protocol("gradient", tr=150, te=2.3, flip=75, fat=-1.0),
    "T2": Protocol("spin", tr=3500, te=90),
    "T2-SPIR": Protocol("spin", tr=2000, te=75, fat=0.12),
    "FLAIR": Protocol("inversion", tr=9000, te=110, ti=2400),
    "T1-CE": Protocol("gradient", tr=4.5, te=2.1, flip=12, fat=0.1, gadolinium=True),
}
_UPTAKE = 0.0022  # 1 / ms that gadolinium adds to the relaxation rate of a tissue of uptake 1


def render(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    sequence: Sequence = "T1",
    field: float = 1.5,
    bone_shell: bool = False,
) -> Volume:
    """Scan an anatomy.

    Args:
        anatomy: its labels are read, never changed.
        rng: draws the patient's relaxation times, the protocol's small changes, coil, texture and noise.
        sequence: one of PROTOCOLS.
        field: strength in tesla, 1.5 or 3.
        bone_shell: darken the outer millimetres of spongy bone, which are cortical bone and give no signal.

    Returns:
        uint16 signal in arbitrary units (0 to about 2000) on the anatomy's grid.

    Raises:
        VolumeError: the sequence or the field strength is unknown.
    """
    if sequence not in PROTOCOLS:
        raise VolumeError(f'"{sequence}" is not a sequence; known are {", ".join(PROTOCOLS)}.')
    if field not in (1.5, 3.0):
        raise VolumeError(f"the field strength is {field} tesla; the tables hold 1.5 and 3.")
    protocol = _varied(PROTOCOLS[sequence], field, rng)
    pools = {name: signal(TISSUES[name], protocol, field, rng) for name in sorted(set(anatomy.tissues.values()))}
    name = f"simulated MRI, {sequence} at {field:g} T"
    return _image(anatomy, rng, pools, protocol.fat, name, dark=_bone_shell(anatomy) if bone_shell else None)


def random_contrast(anatomy: Anatomy, rng: np.random.Generator) -> Volume:
    """A scan of no sequence: every tissue gets a random mean and texture (SynthSeg, Billot et al. 2023).

    Trained on such images a network cannot lean on any one contrast. Returns uint16 signal on the anatomy's grid.
    """
    pools = {name: (float(rng.uniform(0.02, 1.0)), 0.0) for name in sorted(set(anatomy.tissues.values()))}
    for name in ("air", "gas", "lung", "cortical bone"):
        if name in pools:
            pools[name] = (float(rng.uniform(0.0, 0.12)), 0.0)
    return _image(
        anatomy, rng, pools, 1.0, name="simulated MRI, random contrast", texture=float(rng.uniform(0.02, 0.14))
    )


def signal(
    tissue: Tissue, protocol: Protocol, field: float, rng: np.random.Generator | None = None
) -> tuple[float, float]:
    """Signal of a tissue's water and of its fat, before coil and noise, for a proton density of 1.

    Args:
        tissue: from TISSUES.
        protocol: how the sequence excites and reads.
        field: tesla, 1.5 or 3.
        rng: varies the tissue between patients; None takes the tables' values.
    """
    column = 0 if field < 2.5 else 1
    fat = TISSUES["fat"]
    wide = 0.06 if tissue.t1[column] < 2000 else 0.01  # free water is the same in everyone
    water_t1, water_t2 = tissue.t1[column] * _vary(rng, wide), tissue.t2[column] * _vary(rng, 0.08)
    if protocol.gadolinium:
        water_t1 = 1 / (1 / water_t1 + _UPTAKE * tissue.uptake * _vary(rng, 0.15))
    flow = 1 - tissue.flow * (min(1.0, _vary(rng, 0.3)) if protocol.kind != "gradient" else 0.0)
    share = min(1.0, tissue.fat * _vary(rng, 0.25)) if tissue.fat < 0.9 else tissue.fat
    density = tissue.density * _vary(rng, 0.03)
    water = density * (1 - share) * flow * _relaxed(protocol, water_t1, water_t2)
    oil = density * share * _relaxed(protocol, fat.t1[column], fat.t2[column])
    return water, oil


def _vary(rng: np.random.Generator | None, deviation: float) -> float:
    """A factor around 1; exactly 1 without a generator."""
    return float(np.exp(rng.normal(0, deviation))) if rng is not None else 1.0


def _relaxed(protocol: Protocol, t1: float, t2: float) -> float:
    e1 = np.exp(-protocol.tr / t1)
    if protocol.kind == "gradient":
        # T2* is shorter than T2: fields vary over a voxel; 1 / T2' of 1 / 35 ms is an approximation.
        decay = np.exp(-protocol.te * (1 / t2 + 1 / 35))
        flip = np.radians(protocol.flip)
        return float(np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * decay)
    if protocol.kind == "spin":
        return float((1 - e1) * np.exp(-protocol.te / t2))
    return float(abs(1 - 2 * np.exp(-protocol.ti / t1) + e1) * np.exp(-protocol.te / t2))


def _varied(protocol: Protocol, field: float, rng: np.random.Generator) -> Protocol:
    """The protocol as another scanner would run it; echo times of in and opposed phase stay, fluid stays nulled."""
    phased = protocol.kind == "gradient"
    tr = protocol.tr * float(rng.uniform(0.85, 1.2))
    fluid = TISSUES["csf"].t1[0 if field < 2.5 else 1]
    return Protocol(
        protocol.kind,
        tr,
        protocol.te * (1.0 if phased else float(rng.uniform(0.85, 1.15))),
        protocol.flip * float(rng.uniform(0.9, 1.1)),
        fluid * float(np.log(2 / (1 + np.exp(-tr / fluid)))) if protocol.ti else 0.0,
        protocol.fat if abs(protocol.fat) == 1 else protocol.fat * float(rng.uniform(0.5, 2.0)),
        protocol.gadolinium,
    )


def _image(
    anatomy: Anatomy,
    rng: np.random.Generator,
    pools: Mapping[str, tuple[float, float]],
    fat_factor: float,
    name: str,
    texture: float | None = None,
    dark: Field | None = None,
) -> Volume:
    """Pools -> partial volume -> phase -> coil -> Rician noise -> unsigned integers."""
    shape, spacing = anatomy.grid.shape, anatomy.grid.spacing
    values = [0, *sorted(anatomy.tissues)]
    water_of, fat_of = np.zeros(values[-1] + 1, np.float32), np.zeros(values[-1] + 1, np.float32)
    for value, tissue in anatomy.tissues.items():
        water_of[value], fat_of[value] = pools[tissue]
    grain = noise(rng, shape, spacing, max(5.0, 1.6 * max(spacing)))
    vessels = noise(rng, shape, spacing, 16.0)
    strength = texture if texture is not None else float(rng.uniform(0.025, 0.06))
    modulation = 1 + np.float32(strength) * (grain + 0.5 * vessels)
    if dark is not None:
        modulation = modulation * (1 - dark)
    spread = [0.42 + 0.35 / step for step in spacing[:2]] + [0.5]
    water, fat = (
        ndimage.gaussian_filter(of[anatomy.labels] * modulation, spread, mode="nearest") for of in (water_of, fat_of)
    )
    if abs(fat_factor) < 0.5:  # suppression fails where the field is bent
        fat = fat * np.clip(fat_factor * np.exp(0.7 * noise(rng, shape, spacing, 130.0)), 0, 0.6)
    else:
        fat = fat * np.float32(fat_factor)
    magnitude = np.abs(water + fat) * _coil(rng, shape, spacing)
    body = magnitude[anatomy.labels > 0]
    scale = float(np.percentile(body, 99)) if body.size else 1.0
    magnitude /= max(scale, 1e-6)
    deviation = float(rng.lognormal(np.log(0.014), 0.4))
    real, imaginary = (rng.standard_normal(shape).astype(np.float32) * np.float32(deviation) for _ in range(2))
    noisy = np.hypot(magnitude + real, imaginary)
    top = float(rng.uniform(500, 1600))
    return Volume(np.clip(np.rint(noisy * top), 0, 65535).astype(np.uint16), anatomy.grid, Modality.MRI, name=name)


def _bone_shell(anatomy: Anatomy, thickness: float = 1.8) -> Field:
    """Share of each voxel that is dense bone, 0 to 0.9: the outer `thickness` millimetres of the tissue "bone"."""
    bone = np.isin(anatomy.labels, [value for value, name in anatomy.tissues.items() if name == "bone"])
    share = np.zeros(bone.shape, np.float32)
    if bone.any():
        step = min(anatomy.grid.spacing)
        depth = ndimage.distance_transform_edt(bone, anatomy.grid.spacing)[bone]
        share[bone] = 0.9 * np.clip((thickness + step - depth) / step, 0, 1)
    return share


def _coil(rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Field:
    """A smooth multiplicative field: receive coils are louder near the surface, and unevenly so."""
    bias = np.exp(np.float32(rng.uniform(0.08, 0.28)) * noise(rng, shape, spacing, 140.0))
    x, y = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape[:2])
    edge = (x[:, None] ** 2 + y[None] ** 2)[:, :, None]
    coil: Field = bias * (1 + np.float32(rng.uniform(-0.05, 0.25)) * edge)
    return coil
