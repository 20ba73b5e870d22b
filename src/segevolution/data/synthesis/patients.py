"""Simulated patients as cases: one seed is one patient, whom every scanner sees with the same anatomy."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np

from ...errors import VolumeError
from ...imaging.case import Case
from ...vocabulary import Modality
from . import ct, mri
from .anatomy import Anatomy
from .head import head
from .torso import torso

Region = Literal["torso", "head"]
Word = TypeVar("Word", bound=str)

_SEQUENCE_WORDS = {
    "t1c": "t1ce",
    "t1gd": "t1ce",
    "t1wce": "t1ce",
    "t1w": "t1",
    "t2w": "t2",
    "spir": "t2spir",
    "inphase": "t1in",
    "outofphase": "t1out",
    "opposed": "t1out",
    "opposedphase": "t1out",
    "venous": "portal",
    "delayed": "late",
    "none": "native",
    "noncontrast": "native",
}
_HEAD_GRAIN = 0.35  # a head CT's noise, of an abdominal one's
_KEPT = 16  # anatomies, of about 2 MB: a patient is often seen by several scanners in turn
_SPACING: dict[Region, tuple[float, float, float]] = {"torso": (2.5, 2.5, 4.0), "head": (1.5, 1.5, 2.0)}


def simulate_case(
    seed: int,
    *,
    region: Region = "torso",
    modality: Modality | str = Modality.CT,
    sequence: str | None = None,
    spacing: tuple[float, float, float] | None = None,
    field: float | None = None,
    tumour: bool | None = None,
    pelvis: bool | None = None,
    wholes: bool = False,
    detail: bool = False,
) -> Case:
    """One patient in one scanner.

    The anatomy hangs on the seed, the region and the spacing alone, the imaging on a seed derived from it, the
    modality and the sequence: CT and MRI of a seed show the same labels, voxel by voxel.

    Args:
        seed: the patient, from 0.
        region: "torso" or "head"; every third head carries a tumour.
        modality: CT or MRI.
        sequence: for MRI one of `mri.PROTOCOLS` or "random" (T1 when None); for CT one of `ct.PHASES` (drawn when
            None, most often portal venous).
        spacing: voxel size in millimetres; None takes the region's.
        field: tesla of the MRI, 1.5 or 3; None draws it.
        tumour: whether a head carries a tumour; None: every third does.
        pelvis: whether a torso reaches the pelvis; None: one in four does.
        wholes: name the body, the spine and the brain as structures too.
        detail: paint a full face, give bone a dark shell in MRI, and CT of a head a head's noise (see `face`).

    Raises:
        VolumeError: the seed is negative, or region, modality or sequence cannot be simulated.
    """
    kind = Modality.parse(modality)
    if seed < 0:
        raise VolumeError(f"the seed of a simulated patient is {seed}; take 0 or more.")
    anatomy = _anatomy(seed, region, None if spacing is None else tuple(spacing), tumour, pelvis, detail)
    sequence = sequence or ("T1" if kind is Modality.MRI else None)
    words = f"{kind}/{sequence}".encode()
    rng = np.random.default_rng([seed, 1, *words])
    if kind is Modality.CT:
        phase = sequence or str(rng.choice(ct.PHASES, p=[0.15, 0.15, 0.6, 0.1]))
        grain = _HEAD_GRAIN if detail and region == "head" else 1.0
        volume = ct.render(anatomy, rng, phase=known_word(phase, ct.PHASES, "contrast phase"), grain=grain)
        label = phase
    elif kind is Modality.MRI:
        tesla = field if field is not None else float(rng.choice([1.5, 3.0]))
        label = sequence or "T1"
        if label == "random":
            volume = mri.random_contrast(anatomy, rng)
        else:
            protocol = known_word(label, tuple(mri.PROTOCOLS), "sequence")
            volume = mri.render(anatomy, rng, sequence=protocol, field=tesla, bone_shell=detail)
    else:
        raise VolumeError(f"{kind} cannot be simulated; known are CT and MRI.")
    patient = f"sim{seed:05d}"
    return Case(
        name=f"{patient}_{kind.lower()}_{label.lower()}",
        patient=patient,
        dataset=f"simulated_{region}",
        volume=volume,
        labels=anatomy.labels.copy(),
        structures=anatomy.structures(wholes=wholes),
        sequence=label,
    )


def simulate(
    count: int,
    seed: int = 0,
    *,
    region: Region = "torso",
    modality: Modality | str = Modality.CT,
    sequence: str | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> Iterator[Case]:
    """`count` patients with the seeds `seed`, `seed` + 1, ...; the other arguments as for `simulate_case`."""
    for patient in range(seed, seed + count):
        yield simulate_case(patient, region=region, modality=modality, sequence=sequence, spacing=spacing)


def parse_sequence(text: str, modality: Modality) -> str:
    """A sequence or contrast phase as people write it: "t2", "T2 SPIR", "t1ce", "in phase", "Portal".

    Raises:
        VolumeError: it is none that this modality has.
    """
    protocols = (*mri.PROTOCOLS, "random") if modality is Modality.MRI else ct.PHASES
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    plain = _SEQUENCE_WORDS.get(plain, plain)
    sequence = next((word for word in protocols if re.sub(r"[^a-z0-9]", "", word.lower()) == plain), None)
    return sequence or known_word(text, protocols, "contrast phase" if modality is Modality.CT else "sequence")


@lru_cache(maxsize=_KEPT)
def _anatomy(
    seed: int,
    region: Region,
    spacing: tuple[float, float, float] | None,
    tumour: bool | None,
    pelvis: bool | None,
    detail: bool,
) -> Anatomy:
    if region not in _SPACING:
        raise VolumeError(f'"{region}" cannot be simulated; known regions are {", ".join(_SPACING)}.')
    rng = np.random.default_rng([seed, 0])
    voxel_spacing = spacing or _SPACING[region]
    if region == "torso":
        return torso(rng, voxel_spacing, pelvis=pelvis)
    return head(rng, voxel_spacing, tumour=seed % 3 == 0 if tumour is None else tumour, detail=detail)


def known_word(word: str, known: tuple[Word, ...], what: str) -> Word:
    """The same word as one of those that are known; VolumeError, which names them, for another."""
    for known_spelling in known:
        if known_spelling == word:
            return known_spelling
    raise VolumeError(f'"{word}" is not a {what} that can be simulated; known are {", ".join(known)}.')
