"""The Medical Segmentation Decathlon's layout (Antonelli et al. 2022, Nature Communications 13:4128), any of its tasks
and whatever else was written in it: `dataset.json`, `imagesTr/`, `labelsTr/`.

A 4-D image is one case a channel, all of one patient. The patient is the file's name without its frame or phase.
Images without labels (`imagesTs`) are no cases. Of the prostate task both zones are kept, and `prostate` as their
union. Which number is which zone was decided from the anatomy of all 32 men: in 30 of the 30 that have both, label 1
lies behind label 2 (`zones.py`), so dataset.json is right; the other two carry the whole gland as label 1.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from ...errors import StoreError
from ...imaging.case import Case
from ...vocabulary import Modality
from ..record import read_object
from .base import Overrides, Provenance
from .naming import image_stem, images_in, parse_channel, parse_labels, require_modality, slug
from .paired import PairedSource
from .pairs import Pair
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
        if not (self.path / "dataset.json").is_file():
            raise StoreError(f"{self.path} is not in MSD layout: it has no dataset.json; check the folder.")
        self._header = read_object(self.path / "dataset.json")
        if "training" not in self._header or not isinstance(self._header.get("modality"), Mapping):
            raise StoreError(
                f'{self.path / "dataset.json"} is not in MSD layout: it needs "modality", "labels" and "training".'
            )
        title = str(self._header.get("name") or self.path.name)
        self._dataset = self.overrides.dataset or slug(title)
        self._structures = parse_labels(
            self._header.get("labels"), self.path / "dataset.json", _task_names(title, self.path)
        )
        said = [str(text) for _, text in sorted(self._header["modality"].items(), key=lambda item: int(item[0]))]
        self._channels = [parse_channel(text, title) for text in said]
        for text, (modality, _) in zip(said, self._channels, strict=True):
            require_modality(self.overrides.modality or modality, [text], self.path / "dataset.json")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is a dataset.json that lists training pairs and modalities."""
        try:
            header = read_object(Path(path) / "dataset.json")
        except StoreError:
            return False
        return isinstance(header.get("training"), list) and "modality" in header

    def read(self, case: str) -> Case:
        """One case, the zones of a prostate checked against the anatomy (see `zones.check_zones`).

        Raises:
            StoreError, FormatError, VolumeError: as for every pair of files, or the zones are turned round.
        """
        found = super().read(case)
        return check_zones(found) if {PERIPHERAL, TRANSITION} <= self._structures.keys() else found

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        files: dict[str, tuple[Path, Path]] = {}
        for entry in self._header["training"]:
            image, label = self._listed(entry)
            stem = image_stem(image.name)
            if stem and not image.name.startswith("."):
                files[stem] = (image, label)
        images, labels = images_in(self.path / "imagesTr"), images_in(self.path / "labelsTr")
        for stem in sorted((images.keys() | labels.keys()) - files.keys()):
            image = images.get(stem, self.path / "imagesTr" / f"{stem}.nii.gz")
            files[stem] = (image, labels.get(stem, self.path / "labelsTr" / f"{stem}.nii.gz"))
        pairs = [pair for stem, (image, label) in files.items() for pair in self._channels_of(stem, image, label)]
        return {pair.name: pair for pair in pairs}

    def _channels_of(self, stem: str, image: Path, label: Path) -> list[Pair]:
        if len(self._channels) == 1:
            modality, sequence = self._channels[0]
            return [Pair(stem, stem, image, label, modality, sequence)]
        return [
            Pair(f"{stem}_{_suffix(modality, sequence, number)}", stem, image, label, modality, sequence, number)
            for number, (modality, sequence) in enumerate(self._channels)
        ]

    def _listed(self, entry: Any) -> tuple[Path, Path]:
        """The paths of one entry of "training", which are relative and may begin with "./"."""
        if not (isinstance(entry, Mapping) and {"image", "label"} <= entry.keys()):
            raise StoreError(f'{self.path / "dataset.json"}: {entry!r} in "training" is no pair of image and label.')
        image, label = (self.path / PurePosixPath(str(entry[key])) for key in ("image", "label"))
        return image, label


def _task_names(title: str, folder: Path) -> dict[str, str]:
    """What this task's words mean: by the name in dataset.json, else by that of the folder (Task08_HepaticVessel)."""
    keys = (slug(title), re.sub(r"^task\d+_", "", slug(folder.resolve().name)))
    return next((TASK_NAMES[key] for text in keys if (key := text.replace("_", "")) in TASK_NAMES), {})


def _suffix(modality: Modality | None, sequence: str | None, number: int) -> str:
    return slug(sequence or (modality or "")) or f"channel_{number}"
