"""Simulated patients as cases: one seed is one patient, whom every scanner sees with the same anatomy."""

from collections.abc import Iterator
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

_SPACING: dict[Region, tuple[float, float, float]] = {"torso": (2.5, 2.5, 4.0), "head": (1.5, 1.5, 2.0)}


def simulate_case(
    seed: int,
    *,
    region: Region = "torso",
    modality: Modality | str = Modality.CT,
    sequence: str | None = None,
    spacing: tuple[float, float, float] | None = None,
    field: float | None = None,
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

    Raises:
        VolumeError: the seed is negative, or region, modality or sequence cannot be simulated.
    """
    kind = Modality.parse(modality)
    if seed < 0:
        raise VolumeError(f"the seed of a simulated patient is {seed}; take 0 or more.")
    anatomy = _anatomy(seed, region, spacing)
    sequence = sequence or ("T1" if kind is Modality.MRI else None)
    words = f"{kind}/{sequence}".encode()
    rng = np.random.default_rng([seed, 1, *words])
    if kind is Modality.CT:
        phase = sequence or str(rng.choice(ct.PHASES, p=[0.15, 0.15, 0.6, 0.1]))
        volume = ct.render(anatomy, rng, phase=known_word(phase, ct.PHASES, "contrast phase"))
        label = phase
    elif kind is Modality.MRI:
        tesla = field if field is not None else float(rng.choice([1.5, 3.0]))
        label = sequence or "T1"
        if label == "random":
            volume = mri.random_contrast(anatomy, rng)
        else:
            volume = mri.render(anatomy, rng, sequence=known_word(label, tuple(mri.PROTOCOLS), "sequence"), field=tesla)
    else:
        raise VolumeError(f"{kind} cannot be simulated; known are CT and MRI.")
    patient = f"sim{seed:05d}"
    return Case(
        name=f"{patient}_{kind.lower()}_{label.lower()}",
        patient=patient,
        dataset=f"simulated_{region}",
        volume=volume,
        labels=anatomy.labels,
        structures=anatomy.structures(),
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


def _anatomy(seed: int, region: Region, spacing: tuple[float, float, float] | None) -> Anatomy:
    if region not in _SPACING:
        raise VolumeError(f'"{region}" cannot be simulated; known regions are {", ".join(_SPACING)}.')
    rng = np.random.default_rng([seed, 0])
    chosen = spacing or _SPACING[region]
    return torso(rng, chosen) if region == "torso" else head(rng, chosen, tumour=seed % 3 == 0)


def known_word(word: str, known: tuple[Word, ...], what: str) -> Word:
    """The same word as one of those that are known; VolumeError, which names them, for another."""
    for one in known:
        if one == word:
            return one
    raise VolumeError(f'"{word}" is not a {what} that can be simulated; known are {", ".join(known)}.')
