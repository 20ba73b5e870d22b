"""The Medical Segmentation Decathlon's layout (Antonelli et al. 2022, Nature Communications 13:4128), any of its tasks
and whatever else was written in it: `dataset.json`, `imagesTr/`, `labelsTr/`.

A 4-D image is one case a channel, all of one patient. Who the patient is, the files' names tell (see `patients`).
Images without labels (`imagesTs`) are no cases; with `labelsTs`, or `imagesVa` or `imagesVal` with theirs, they are for
test and validation. Of the prostate task both zones are kept, and `prostate` as their
union. Which number is which zone was decided from the anatomy of all 32 men: in 30 of the 30 that have both, label 1
lies behind label 2 (`zones.py`), so dataset.json is right; the other two carry the whole gland as label 1.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Case, Part
from ...vocabulary import tidied
from .base import Decision, Overrides, Provenance
from .headers import LabelValue, ListedPair, read_dataset_header, try_dataset_header
from .naming import (
    channel_suffixes,
    distinct_stems,
    image_stem,
    outside_fault,
    parse_channel,
    require_modality,
    slug,
)
from .nnunet import is_version_1
from .paired import PairedSource, pairs_by_name
from .pairs import Pair
from .part_folders import PartFolder, part_folders, unread_in
from .structure_names import structure_names
from .zones import PERIPHERAL, TRANSITION, check_zones

_BRAIN_TUMOUR = {
    "edema": "brain tumour oedema",
    "non-enhancing tumor": "brain tumour non-enhancing core",
    "enhancing tumour": "brain tumour enhancing",
}
_HEPATIC_VESSEL = {"vessel": "hepatic vessels", "tumour": "liver tumour"}

# What a task means by a word that says less than it should; tumours of two organs stay two structures. Keys are the
# names in dataset.json and of the folders, without "Task05_", in small letters. What is not here says enough: left
# atrium, anterior, posterior, PZ, TZ, liver, pancreas, spleen.
TASK_NAMES: dict[str, dict[str, str]] = {
    "brats": _BRAIN_TUMOUR,
    "braintumour": _BRAIN_TUMOUR,
    "liver": {"cancer": "liver tumour"},
    "lung": {"cancer": "lung tumour"},
    "pancreas": {"cancer": "pancreas tumour"},
    "vessel": _HEPATIC_VESSEL,
    "hepaticvessel": _HEPATIC_VESSEL,
    "colon": {"colon cancer primaries": "colon cancer"},
}


class MSDSource(PairedSource):
    """A folder with `dataset.json` as the Decathlon writes it.

    Raises:
        StoreError: `dataset.json` is not there or is not of this layout, or nothing tells the modality.
    """

    name: ClassVar[str] = "msd"
    summary: ClassVar[str] = (
        "Medical Segmentation Decathlon: dataset.json, imagesTr, labelsTr; any task, 4-D images too"
    )
    provenance: ClassVar[Provenance] = Provenance(
        "CC BY-SA 4.0",
        "http://medicaldecathlon.com",
        "Download the task's tar from the page's list and unpack it.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        header_path = self.path / "dataset.json"
        if not header_path.is_file():
            raise StoreError(f"{self.path} is not in MSD layout: it has no dataset.json; check the folder.")
        header = read_dataset_header(header_path)
        if header.training is None or header.modality is None:
            raise StoreError(f'{header_path} is not in MSD layout: it needs "modality", "labels" and "training".')
        if is_version_1(self.path, header):
            raise StoreError(f"{self.path} is in the layout of nnU-Net v1 (imagesTr/CASE_0000); give nnunet as source.")
        self._training = header.training
        self._licence = header.licence or header.license
        title = header.name or self.path.resolve().name
        self._dataset = self.overrides.dataset or slug(title) or slug(self.path.resolve().name)
        names = structure_names(
            header.labels,
            header_path,
            names=_task_names(title, self.path, header.labels or {}),
            title=f"{title} {self.path.resolve().name}",
        )
        self._structures, self._decisions = names.values, names.decisions
        self._channels = [parse_channel(text, title) for text in header.channels]
        for text, (modality, _) in zip(header.channels, self._channels, strict=True):
            require_modality(self.overrides.modality or modality, [text], header_path)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is a dataset.json that lists training pairs and modalities."""
        header = try_dataset_header(Path(path) / "dataset.json")
        if header is None or header.training is None or header.modality is None:
            return False
        return not is_version_1(Path(path), header)

    @property
    def _decisions_on_files(self) -> tuple[Decision, ...]:
        read = {path for pair in self._pairs.values() for path in (pair.image, pair.label)}
        return unread_in(self.path, self._parts, read=read)

    @cached_property
    def _parts(self) -> tuple[PartFolder, ...]:
        training = self.path / "imagesTr", self.path / "labelsTr"
        return part_folders(self.path, training, listed=(stem for stem, _, _ in self._listed_files))

    def read(self, case: str) -> Case:
        """One case, the zones of a prostate checked against the anatomy (see `zones.check_zones`).

        Raises:
            StoreError, FormatError, VolumeError: as for every pair of files, or the zones are turned round.
        """
        msd_case = super().read(case)
        return check_zones(msd_case) if {PERIPHERAL, TRANSITION} <= self._structures.keys() else msd_case

    @cached_property
    def _listed_files(self) -> list[tuple[str, Path, Path]]:
        """Name, image and label of each entry of "training"."""
        listed = [
            (image, label)
            for image, label in map(self._listed, self._training)
            if image_stem(image.name) and not image.name.startswith(".")
        ]
        stems = distinct_stems(image for image, _ in listed)
        return [(stems[image], image, label) for image, label in listed]

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        files = [(*listed, self._parts[0].part) for listed in self._listed_files]
        listed_names = {stem for stem, _, _ in self._listed_files}
        listed_paths = {path for _, *paths in self._listed_files for path in paths}
        for folder in self._parts:
            for stem in sorted(folder.stems - listed_names):
                image, label = folder.image(stem), folder.label(stem)
                if not {image, label} & listed_paths:
                    files.append((stem, image, label, folder.part))
        return pairs_by_name(pair for file in files for pair in self._channels_of(*file))

    def _channels_of(self, stem: str, image: Path, label: Path, part: Part | None) -> list[Pair]:
        fault = outside_fault(self.path / "dataset.json", self.path, (image, label), self.overrides.allow_outside)
        if len(self._channels) == 1:
            modality, sequence = self._channels[0]
            return [Pair(stem, stem, image, label, modality, sequence, part=part, fault=fault)]
        suffixes = channel_suffixes([sequence or modality or "" for modality, sequence in self._channels])
        return [
            Pair(
                f"{stem}_{suffixes[number]}",
                stem,
                image,
                label,
                modality,
                sequence,
                number,
                part=part,
                channels=len(self._channels),
                fault=fault,
            )
            for number, (modality, sequence) in enumerate(self._channels)
        ]

    def _listed(self, entry: ListedPair) -> tuple[Path, Path]:
        """The paths of one entry of "training", which are relative and may begin with "./"."""
        return self.path / PurePosixPath(entry.image), self.path / PurePosixPath(entry.label)


def _task_names(title: str, folder: Path, labels: Mapping[str, LabelValue]) -> dict[str, str]:
    """What this task's words mean: by the name in dataset.json, else by that of the folder (Task08_HepaticVessel).

    A task is known by all of its words: a dataset called "Vessel" that labels vessels alone is another one.
    """
    words = {tidied(str(word)) for item in labels.items() for word in item}
    keys = (slug(title), re.sub(r"^task\d+_", "", slug(folder.resolve().name)))
    names = (TASK_NAMES.get(key.replace("_", ""), {}) for key in keys)
    return next((task for task in names if task and task.keys() <= words), {})
