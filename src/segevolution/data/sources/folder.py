"""One's own data: nnU-Net v2's raw layout, and a plain folder of images with a folder of labels.

nnunet   dataset.json ("channel_names", "labels": {"liver": 1, "organs": [1, 2]}, "file_ending"),
         imagesTr/CASE_0000.nii.gz (one file a channel), labelsTr/CASE.nii.gz
folder   imagesTr/ and labelsTr/ (or images/ and labels/) with files of equal names, and labels.json:
         {"1": "liver"} or {"liver": 1}
"""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...errors import StoreError
from ...vocabulary import Modality
from ..record import read_object
from .base import (
    Overrides,
    Pair,
    Provenance,
    images_in,
    parse_channel,
    parse_labels,
    require_modality,
    slug,
)
from .paired import PairedSource

_FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))


class FolderSource(PairedSource):
    """A folder of images, a folder of labels of the same names, and `labels.json`.

    Raises:
        StoreError: one of the three is missing, or nothing tells the modality.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "images/ and labels/ (or imagesTr/, labelsTr/) with equal file names, and labels.json"
    provenance: ClassVar[Provenance] = Provenance()

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._images, self._labels = _pair_of_folders(self.path)
        self._header = self._read_header()
        self._structures = parse_labels(self._header["labels"], self._header_path)
        self._dataset = self.overrides.dataset or slug(str(self._header.get("name") or self.path.resolve().name))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there are two such folders and a labels.json."""
        return (Path(path) / "labels.json").is_file() and any((Path(path) / pair[1]).is_dir() for pair in _FOLDERS)

    @property
    def _header_path(self) -> Path:
        return self.path / "labels.json"

    def _read_header(self) -> dict[str, Any]:
        header = {"labels": read_object(self._header_path)}
        require_modality(self.overrides.modality, ["nothing"], self.path)
        return header

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        images, labels = images_in(self._images), images_in(self._labels)
        return {
            stem: Pair(
                stem,
                stem,
                images.get(stem, self._images / f"{stem}.nii.gz"),
                labels.get(stem, self._labels / f"{stem}.nii.gz"),
                self.overrides.modality,
            )
            for stem in images.keys() | labels.keys()
        }


class NnUNetSource(FolderSource):
    """nnU-Net v2's raw layout (Isensee et al. 2021, Nature Methods 18:203): each channel of a patient is a case."""

    name: ClassVar[str] = "nnunet"
    summary: ClassVar[str] = "nnU-Net v2 raw: dataset.json with channel_names, imagesTr/CASE_0000, labelsTr/CASE"
    provenance: ClassVar[Provenance] = Provenance()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is a dataset.json that names channels."""
        try:
            return "channel_names" in read_object(Path(path) / "dataset.json")
        except StoreError:
            return False

    @property
    def _header_path(self) -> Path:
        return self.path / "dataset.json"

    def _read_header(self) -> dict[str, Any]:
        header = read_object(self._header_path)
        if not isinstance(header.get("channel_names"), dict) or "labels" not in header:
            raise StoreError(f'{self._header_path} is not of nnU-Net v2: it needs "channel_names" and "labels".')
        return header

    @cached_property
    def _channels(self) -> list[tuple[Modality | None, str | None]]:
        names = sorted(self._header["channel_names"].items(), key=lambda item: int(item[0]))
        channels = [parse_channel(str(text), str(self._header.get("name", self.path.name))) for _, text in names]
        for (_, text), (modality, _) in zip(names, channels, strict=True):
            require_modality(self.overrides.modality or modality, [str(text)], self._header_path)
        return channels

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        images, labels = images_in(self._images), images_in(self._labels)
        ending = str(self._header.get("file_ending", ".nii.gz"))
        stems = labels.keys() | {re.sub(r"_\d{4}$", "", stem) for stem in images}
        pairs: dict[str, Pair] = {}
        for stem in stems:
            for number, (modality, sequence) in enumerate(self._channels):
                file = f"{stem}_{number:04d}"
                name = stem if len(self._channels) == 1 else f"{stem}_{slug(sequence or '') or f'channel_{number}'}"
                image = images.get(file, self._images / f"{file}{ending}")
                label = labels.get(stem, self._labels / f"{stem}{ending}")
                pairs[name] = Pair(name, stem, image, label, modality, sequence)
        return pairs


def _pair_of_folders(path: Path) -> tuple[Path, Path]:
    for images, labels in _FOLDERS:
        if (path / images).is_dir() and (path / labels).is_dir():
            return path / images, path / labels
    raise StoreError(f"{path} has neither imagesTr and labelsTr nor images and labels; check the folder.")
