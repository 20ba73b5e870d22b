"""One's own data: nnU-Net v2's raw layout, and a plain folder of images with labels.

nnunet   dataset.json ("channel_names", "labels": {"liver": 1, "organs": [1, 2]}, "file_ending"),
         imagesTr/CASE_0000.nii.gz (one file a channel), labelsTr/CASE.nii.gz
folder   imagesTr/ and labelsTr/ (or images/ and labels/) with files of equal names, and labels.json:
         {"1": "liver"} or {"liver": 1}; or labels.json says where the files are:
         {"labels": {"1": "liver"}, "images": "scans/{case}_t2.nii.gz", "masks": "segs/{case}.nrrd",
          "modality": "MRI", "sequence": "T2", "patient": "^(P[0-9]+)"}
         with {patient} in the patterns where a folder or name tells it, and one file a structure as
         "masks": {"liver": "segs/{case}_liver.nii.gz", "tumour": "segs/{case}_tumour.nii.gz"};
         images without labels, for pre-training, as
         {"images": "scans/{case}.nii.gz", "masks": null, "modality": "MRI"}

Voxels that nnU-Net marks "ignore" have no truth, and a store has no word for that: such a case is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...errors import StoreError
from ...imaging.case import Case
from ...vocabulary import Modality, canonical, closest
from ..record import read_object
from .base import Overrides, Provenance
from .masks import LabelFile, read_label_files
from .naming import images_in, parse_channel, parse_labels, require_modality, slug
from .paired import PairedSource
from .pairs import Pair
from .patterns import Found, Pattern, find_cases

_FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))


# What a labels.json may say that tells where files are.
_KEYS = {"labels", "images", "masks", "modality", "sequence", "patient", "name", "licence", "license"}


class FolderSource(PairedSource):
    """Images and labels of equal names in two folders, or wherever patterns find them, and `labels.json`.

    Raises:
        StoreError: a folder or labels.json is missing, a pattern finds nothing, or nothing tells the modality.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = (
        "images/ and labels/ (or imagesTr/, labelsTr/) with equal file names, or patterns of any files, and labels.json"
    )
    provenance: ClassVar[Provenance] = Provenance()

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._found: dict[str, Found] = {}
        if not self._header_path.is_file():
            _pair_of_folders(self.path)  # the folders are missed first
        self._header = self._read_header()
        if not self._found:
            self._images, self._labels = _pair_of_folders(self.path)
        self._structures = self._read_structures()
        self._dataset = self.overrides.dataset or slug(str(self._header.get("name") or self.path.resolve().name))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is a labels.json, with two such folders or with patterns."""
        header = Path(path) / "labels.json"
        try:
            return header.is_file() and (
                any((Path(path) / pair[1]).is_dir() for pair in _FOLDERS) or "images" in read_object(header)
            )
        except StoreError:
            return False

    def read(self, case: str) -> Case:
        """One case; see `PairedSource.read`."""
        files = self._found.get(case)
        if files is not None and self._header["masks"] is None:
            return read_label_files(self._pairs[case], (), self.dataset, self.overrides)
        if files is None or not isinstance(self._header["masks"], Mapping):
            return super().read(case)
        if not files.masks:
            raise StoreError(f"{case} has no mask: no file of it is found by the patterns of {self._header_path}.")
        masks = [LabelFile.mask(path, canonical(name)) for name, path in files.masks.items()]
        return read_label_files(self._pairs[case], masks, self.dataset, self.overrides)

    @property
    def _header_path(self) -> Path:
        return self.path / "labels.json"

    def _read_header(self) -> Mapping[str, Any]:
        raw = read_object(self._header_path)
        header = raw if "images" in raw or isinstance(raw.get("labels"), Mapping) else {"labels": raw}
        unknown = sorted(header.keys() - _KEYS)
        if unknown:
            near = closest(unknown[0], _KEYS)
            hint = f'did you mean "{near}"?' if near else f"known are {', '.join(sorted(_KEYS))}."
            raise StoreError(f'{self._header_path} says "{unknown[0]}", which means nothing here; {hint}')
        said = {key: self._word(header, key) for key in ("modality", "sequence", "patient")}
        self.overrides = replace(
            self.overrides,
            modality=self.overrides.modality or (Modality.parse(said["modality"]) if said["modality"] else None),
            sequence=self.overrides.sequence or said["sequence"],
            patient_pattern=self.overrides.patient_pattern or said["patient"],
        )
        require_modality(self.overrides.modality, ["nothing"], self.path)
        if "images" in header:
            self._found = self._find(header)
        return header

    def _word(self, header: Mapping[str, Any], key: str) -> str | None:
        word = header.get(key)
        if word is not None and not isinstance(word, str):
            raise StoreError(f'{self._header_path}: "{key}" must be a text, not {word!r}.')
        return word

    def _find(self, header: Mapping[str, Any]) -> dict[str, Found]:
        masks = header.get("masks", "")
        if not isinstance(masks, str | Mapping | None) or masks in ("", {}):
            raise StoreError(
                f'{self._header_path} has "images" but no "masks": give one pattern, or one a structure; '
                "null says that there are none."
            )
        if masks is None and header.get("labels"):
            raise StoreError(f'{self._header_path} names "labels", but its "masks" are null: leave out one of the two.')
        patterns = dict(masks) if isinstance(masks, Mapping) else {} if masks is None else {"labels": masks}
        return find_cases(
            self.path,
            Pattern.parse(header["images"], self._header_path),
            {name: Pattern.parse(text, self._header_path) for name, text in patterns.items()},
            self._header_path,
        )

    def _read_structures(self) -> dict[str, tuple[int, ...]]:
        if isinstance(self._header.get("masks"), Mapping):
            return {}  # each file is a structure
        if self._found and self._header["masks"] is None:
            return {}  # there are no labels
        return parse_labels(self._header.get("labels"), self._header_path)

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        modality = self.overrides.modality
        if self._found:
            return {
                name: Pair(
                    name,
                    name,
                    files.image,
                    files.masks.get("labels", self.path / str(self._header["masks"])),
                    modality,
                    patient=files.patient,
                )
                for name, files in self._found.items()
            }
        images, labels = images_in(self._images), images_in(self._labels)
        return {
            stem: Pair(
                stem,
                stem,
                images.get(stem, self._images / f"{stem}.nii.gz"),
                labels.get(stem, self._labels / f"{stem}.nii.gz"),
                modality,
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

    def _read_header(self) -> Mapping[str, Any]:
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
