"""Cases synthesised from label maps that somebody drew: the labels stay, bent a little, the image is made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import VolumeError
from ...imaging.case import Case
from ...imaging.formats import read_labels
from ...imaging.grid import Array
from ...imaging.volume import Volume
from ...vocabulary import Modality
from . import ct, mri
from .anatomy import Anatomy
from .label_names import FREESURFER_NAMES, NAMES_BESIDE, Names, describe_labels, table_beside
from .label_tissues import FREESURFER
from .labelmaps import from_freesurfer, from_label_map
from .patients import known_word

_BEND = {True: 2.0, False: 3.0}  # millimetres: a head keeps its shape better than a trunk


@dataclass(frozen=True, eq=False)
class Synthesised:
    """A synthesised case and where its labels come from.

    Attributes:
        case: image and labels in RAS order; its labels are numbered anew.
        values: label of the case -> label of the map; made-up labels are missing.
        source: the map as it was read.
        notes: what a person should know of its names.
    """

    case: Case
    values: Mapping[int, int]
    source: Volume
    notes: tuple[str, ...] = ()

    def on_the_map(self) -> tuple[Volume, Array]:
        """The image, and the labels with the map's own values, in the map's axis order where it keeps its grid."""
        largest = max(self.values.values(), default=0)
        lookup = np.zeros(int(self.case.labels.max()) + 1, np.min_scalar_type(largest))
        for new, old in self.values.items():
            lookup[new] = old
        volume, labels = self.case.volume, lookup[self.case.labels]
        turned, turn = self.source.canonical()
        if not turned.grid.close_to(volume.grid):
            return volume, labels
        return replace(volume, array=turn.undo(volume.array), grid=self.source.grid), turn.undo(labels)


def synthesise(
    path: Path,
    seed: int,
    *,
    names: Names,
    modality: Modality = Modality.CT,
    sequence: str | None = None,
    spacing: tuple[float, float, float] | None = None,
    field: float | None = None,
    deform: float | None = None,
    lenient: bool = False,
    detail: bool = False,
) -> Synthesised:
    """A label map as a patient in a scanner; the map's file name is the patient.

    Args:
        path: of the label map.
        seed: draws the deformation, the made-up body and the image.
        names: label -> structure, "freesurfer" for its numbering, or "json" for a table beside the map.
        modality: CT or MRI.
        sequence: one of `mri.PROTOCOLS`, "random" contrasts (SynthSeg) or one of `ct.PHASES`.
        spacing: voxel size in millimetres; None keeps the map's.
        field: tesla of the MRI, 1.5 or 3; None is 1.5.
        deform: millimetres of the random deformation; 0 leaves every label where it is, None is 3 (2 with FreeSurfer's
            numbers).
        lenient: image names that no rule knows as soft tissue, with a note, instead of refusing them.
        detail: give bone a dark shell in MRI (see `mri.render`), and lay a torso around organs (`surroundings`).

    Raises:
        VolumeError: the map cannot be used, or the modality or sequence cannot be synthesised.
        VocabularyError: a name is not known, and `lenient` is off.
        StoreError: nothing names the labels.
    """
    rng = np.random.default_rng([seed, 2])
    source = read_labels(path)
    if names == NAMES_BESIDE:
        names = table_beside(path)
    bend = _BEND[names == FREESURFER_NAMES] if deform is None else deform
    anatomy, source_labels, notes = _anatomy(source, names, rng, spacing, bend, lenient, detail)
    volume = _scan(anatomy, rng, modality, sequence, field, detail)
    stem = path.name.split(".")[0]
    case = Case(
        name=f"{stem}_{seed}",
        patient=stem,
        dataset=path.parent.name,
        volume=volume,
        labels=anatomy.labels,
        structures=anatomy.structures(),
        sequence=sequence,
    )
    values = {new: int(value) for new, value in enumerate(np.unique(source_labels[source_labels > 0]), 1)}
    return Synthesised(case, values, source, notes)


def check_map(path: Path, names: Names) -> None:
    """Raise, as `synthesise` would and before any long work, where a map cannot be read or its labels have no names."""
    values = np.unique(read_labels(path).array).tolist()
    describe_labels(values, table_beside(path) if names == NAMES_BESIDE else names)


def _scan(
    anatomy: Anatomy,
    rng: np.random.Generator,
    modality: Modality,
    sequence: str | None,
    field: float | None,
    detail: bool,
) -> Volume:
    if modality is Modality.CT:
        phase = "portal" if sequence is None else known_word(sequence, ct.PHASES, "contrast phase")
        return ct.render(anatomy, rng, phase=phase)
    if modality is not Modality.MRI:
        raise VolumeError(f"{modality} cannot be synthesised; known are CT and MRI.")
    if sequence == "random":
        return mri.random_contrast(anatomy, rng)
    protocol = known_word(sequence or "T1", tuple(mri.PROTOCOLS), "sequence")
    return mri.render(anatomy, rng, sequence=protocol, field=field or 1.5, bone_shell=detail)


def _anatomy(
    source: Volume,
    names: Names,
    rng: np.random.Generator,
    spacing: tuple[float, float, float] | None,
    bend: float,
    lenient: bool,
    detail: bool,
) -> tuple[Anatomy, Array, tuple[str, ...]]:
    """The anatomy, the map with only the labels that were kept, and notes."""
    if lenient:
        described = describe_labels(np.unique(source.array).tolist(), names)
        source_labels = np.where(np.isin(source.array, list(described.tissues)), source.array, 0)
        anatomy = from_label_map(
            replace(source, array=source_labels),
            described.names,
            rng,
            tissues=described.tissues,
            bend=bend,
            spacing=spacing,
            surround=detail,
        )
        return anatomy, source_labels, described.notes
    if isinstance(names, str):
        source_labels = np.where(np.isin(source.array, list(FREESURFER)), source.array, 0)
        return from_freesurfer(source, rng, spacing=spacing, bend=bend), source_labels, ()
    source_labels = np.where(np.isin(source.array, list(names)), source.array, 0)  # what has no name is made up anew
    named_volume = replace(source, array=source_labels)
    return from_label_map(named_volume, names, rng, spacing=spacing, bend=bend, surround=detail), source_labels, ()
