"""Cases synthesised from label maps that somebody drew: the labels stay, bent a little, the image is made."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import StoreError, VolumeError
from ...imaging.case import Case
from ...imaging.formats import read_labels
from ...vocabulary import Modality
from . import ct, mri
from .anatomy import Anatomy
from .labelmaps import from_freesurfer, from_label_map
from .patients import known_word

FREESURFER_NAMES = "freesurfer"


def synthesise_case(
    path: Path,
    seed: int,
    *,
    names: Mapping[int, str] | str,
    modality: Modality = Modality.CT,
    sequence: str | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> Case:
    """A label map as a patient in a scanner; the map's file name is the patient.

    Args:
        path: of the label map.
        seed: draws the deformation, the made-up body and the image.
        names: label -> structure, "freesurfer" for its numbering, or "json" for a JSON file of the map's own name.
        modality: CT or MRI.
        sequence: one of `mri.PROTOCOLS`, "random" contrasts (SynthSeg) or one of `ct.PHASES`.
        spacing: voxel size in millimetres; None keeps the map's.

    Raises:
        VolumeError: the map or its names cannot be used.
    """
    rng = np.random.default_rng([seed, 2])
    anatomy = _anatomy(path, names, rng, spacing)
    if modality is Modality.CT:
        volume = (
            ct.render(anatomy, rng)
            if sequence is None
            else ct.render(anatomy, rng, phase=known_word(sequence, ct.PHASES, "contrast phase"))
        )
    elif modality is Modality.MRI and sequence == "random":
        volume = mri.random_contrast(anatomy, rng)
    elif modality is Modality.MRI:
        volume = mri.render(anatomy, rng, sequence=known_word(sequence or "T1", tuple(mri.PROTOCOLS), "sequence"))
    else:
        raise VolumeError(f"{modality} cannot be synthesised; known are CT and MRI.")
    stem = path.name.split(".")[0]
    return Case(
        name=f"{stem}_{seed}",
        patient=stem,
        dataset=path.parent.name,
        volume=volume,
        labels=anatomy.labels,
        structures=anatomy.structures(),
        sequence=sequence,
    )


def _anatomy(
    path: Path,
    names: Mapping[int, str] | str,
    rng: np.random.Generator,
    spacing: tuple[float, float, float] | None,
) -> Anatomy:
    labels = read_labels(path)
    if names == FREESURFER_NAMES:
        return from_freesurfer(labels, rng, spacing=spacing)
    if isinstance(names, str):
        table = path.with_name(f"{path.name.split('.')[0]}.json")
        if not table.is_file():
            raise StoreError(f"{path} has no {table.name} beside it that names its labels.")
        names = {int(key): str(name) for key, name in json.loads(table.read_text("utf-8")).items()}
    named = np.where(np.isin(labels.array, list(names)), labels.array, 0)  # what has no name is made up anew
    return from_label_map(replace(labels, array=named), names, rng, spacing=spacing)
