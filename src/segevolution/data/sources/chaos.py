"""CHAOS (Kavur et al. 2021, Medical Image Analysis 69:101950): abdominal CT and MRI as DICOM with PNG masks.

Train_Sets/CT/<id>/DICOM_anon/*.dcm, Ground/*.png                               liver only
Train_Sets/MR/<id>/T1DUAL/DICOM_anon/{InPhase,OutPhase}/*.dcm, Ground/*.png     one mask for both phases
Train_Sets/MR/<id>/T2SPIR/DICOM_anon/*.dcm, Ground/*.png

CT and MR of one number are two people. In CT only the liver is labelled: the kidneys and the spleen are there, without
labels, so a case does not name them. Test_Sets came without masks and hold no cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import StoreError
from ...imaging.case import Case
from ...imaging.formats import read
from ...imaging.grid import Array
from ...imaging.volume import Volume
from ...vocabulary import Modality
from .base import Decision, Overrides, Provenance
from .collection import ImagePlace
from .grouping import Grouping
from .naming import held_twice
from .pairs import place_labels
from .patients import group_patients
from .slice_masks import check_order, read_slice_masks

STRUCTURES = {"liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}

# Grey levels as the challenge states them, both ends included -> structure.
_RANGES = {
    "liver": range(55, 71),
    "right kidney": range(110, 136),
    "left kidney": range(175, 201),
    "spleen": range(240, 256),
}
_MR_LEVELS = {level: STRUCTURES[name] for name, levels in _RANGES.items() for level in levels}
# CT masks are 1-bit (read as 255), or 8-bit copies of them.
_CT_LEVELS = dict.fromkeys((1, *_RANGES["liver"], 255), STRUCTURES["liver"])

# Mean HU of a liver in the portal venous phase, from a fatty one to a bright one, with room on both sides.
_LIVER_HU = (0, 250)


@dataclass(frozen=True)
class _Series:
    patient: str
    modality: Modality
    sequence: str | None
    images: Path  # DICOM
    named: Path  # DICOM whose files the masks are named after: the in-phase ones serve both phases
    masks: Path


class CHAOSSource:
    """A folder that holds `Train_Sets`, or `CT` and `MR`, or that is one of these.

    Raises:
        StoreError: there is no series with a `Ground` folder; of `index`, a series is there twice.
    """

    name: ClassVar[str] = "chaos"
    summary: ClassVar[str] = "CHAOS: liver in CT; liver, kidneys, spleen in MRI (T1 in and out of phase, T2-SPIR)"
    provenance: ClassVar[Provenance] = Provenance(
        "CC BY-NC-SA 4.0",
        "https://zenodo.org/records/3431873",
        "Download CHAOS_Train_Sets.zip (0.9 GB), unpack it, and give the folder that holds Train_Sets.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        if not self.recognises(self.path):
            raise StoreError(
                f"{self.path} is not in CHAOS's layout: no CT/<id>/Ground, MR/<id>/T1DUAL/Ground or "
                "MR/<id>/T2SPIR/Ground lies in it or in its Train_Sets; check the folder."
            )

    @property
    def dataset(self) -> str:
        """The name given, else "chaos"."""
        return self.overrides.dataset or "chaos"

    @property
    def licence(self) -> str:
        """As the publishers state it; the files do not say."""
        return self.provenance.licence

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a series with its masks lies where CHAOS puts it."""
        return any(series.masks.is_dir() for places in _series(Path(path)).values() for series in places)

    def index(self) -> Sequence[str]:
        """chaos_ct_1, chaos_mr_1_t1_in, chaos_mr_1_t1_out, chaos_mr_1_t2_spir, ..."""
        return tuple(sorted(self._cases))

    def image_of(self, case: str) -> ImagePlace | None:
        """Where the slices of a case lie."""
        return self._cases[case].images, None

    def read(self, case: str) -> Case:
        """One series with its masks, each placed on the slice that it was drawn on.

        Raises:
            StoreError: it is not there, its masks are not one a slice, do not fit the slices, or are all empty.
            FormatError, VolumeError: a file cannot be used.
        """
        if case not in self._cases:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._cases)} cases.")
        series = self._cases[case]
        volume = self._volume(case, series, series.images)
        if series.named == series.images:
            labels = read_slice_masks(volume, series.images, series.masks, _levels(series))
        else:
            named_volume = self._volume(case, series, series.named)
            mask_stack = read_slice_masks(named_volume, series.named, series.masks, _levels(series))
            labels = place_labels(volume, replace(named_volume, array=mask_stack))
        _check(volume, labels, series)
        present = set(np.unique(labels).tolist())
        return Case(
            name=case,
            patient=self.grouping.patients[case],
            dataset=self.dataset,
            volume=volume,
            labels=labels,
            structures={name: (value,) for name, value in STRUCTURES.items() if value in present},
            sequence=self.overrides.sequence or series.sequence,
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Who the patients are."""
        return (Decision("patients", self.grouping.sentence),)

    @cached_property
    def grouping(self) -> Grouping:
        """Which case is of which patient: by the folders, or as a person says."""
        if self.overrides.patient_pattern is not None:
            return group_patients(self._cases, self.overrides.patient_pattern)
        return Grouping({name: series.patient for name, series in self._cases.items()}, "the dataset's folders")

    @cached_property
    def _cases(self) -> dict[str, _Series]:
        cases = _series(self.path)
        for name, (first, *others) in cases.items():
            if others:
                raise StoreError(held_twice(name, first.masks.parent, others[0].masks.parent))
        return {name: first for name, (first, *_) in cases.items()}

    def _volume(self, case: str, series: _Series, folder: Path) -> Volume:
        if not folder.is_dir():
            raise StoreError(f"{case} has no images: {folder} is missing; copy the series again.")
        volume = read(folder)
        if volume.modality not in (None, series.modality) and self.overrides.modality is None:
            raise StoreError(
                f"{case}: {folder} lies under {series.modality}, but its files say {volume.modality}; "
                "give --modality to decide."
            )
        return replace(volume, name=case, modality=self.overrides.modality or series.modality)


def _levels(series: _Series) -> dict[int, int]:
    return _CT_LEVELS if series.modality is Modality.CT else _MR_LEVELS


def _check(volume: Volume, labels: Array, series: _Series) -> None:
    if not labels.any():
        raise StoreError(f"{volume.name}: all of its masks are empty; copy {series.masks} again.")
    check_order(volume, labels)
    if series.modality is Modality.CT:
        mean = float(volume.array[labels == STRUCTURES["liver"]].mean())
        if not _LIVER_HU[0] <= mean <= _LIVER_HU[1]:
            raise StoreError(
                f"{volume.name}: under its liver masks lie {mean:.0f} HU on average, where a liver has "
                f"{_LIVER_HU[0]} to {_LIVER_HU[1]}; images and masks do not belong together, so copy the series again."
            )


def _series(path: Path) -> dict[str, list[_Series]]:
    """Name of a case -> where its files are or should be; what lies below Test_Sets only where masks do."""
    series_by_case: dict[str, list[_Series]] = {}
    for folder in _modality_folders(path):
        for person in sorted(folder.iterdir()):
            if person.is_dir() and not person.name.startswith((".", "_")):
                cases = _ct(person) if folder.name == "CT" else _mr(person)
                masked = folder.parent.name != "Test_Sets"
                for name, series in cases.items():
                    if masked or series.masks.is_dir():
                        series_by_case.setdefault(name, []).append(series)
    return series_by_case


def _modality_folders(path: Path) -> list[Path]:
    """The folders CT and MR in a folder or in its Train_Sets and Test_Sets; the folder itself if it is one of them."""
    path = path.resolve()
    if path.name in ("CT", "MR"):
        return [path] if path.is_dir() else []
    roots = (path, path / "Train_Sets", path / "Test_Sets")
    return [root / name for root in roots for name in ("CT", "MR") if (root / name).is_dir()]


def _ct(person: Path) -> dict[str, _Series]:
    images, masks = person / "DICOM_anon", person / "Ground"
    if not (images.is_dir() or masks.is_dir()):
        return {}
    patient = f"ct_{person.name}"
    return {f"chaos_{patient}": _Series(patient, Modality.CT, None, images, images, masks)}


def _mr(person: Path) -> dict[str, _Series]:
    patient, dual, spir = f"mr_{person.name}", person / "T1DUAL", person / "T2SPIR"
    series_by_case: dict[str, _Series] = {}
    if dual.is_dir():
        in_phase_folder, masks = dual / "DICOM_anon" / "InPhase", dual / "Ground"
        for phase, folder in (("in", in_phase_folder), ("out", in_phase_folder.with_name("OutPhase"))):
            series_by_case[f"chaos_{patient}_t1_{phase}"] = _Series(
                patient, Modality.MRI, f"T1-{phase.upper()}", folder, in_phase_folder, masks
            )
    if spir.is_dir():
        images = spir / "DICOM_anon"
        series_by_case[f"chaos_{patient}_t2_spir"] = _Series(
            patient, Modality.MRI, "T2-SPIR", images, images, spir / "Ground"
        )
    return series_by_case
