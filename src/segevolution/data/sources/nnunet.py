"""nnU-Net's raw layouts (Isensee et al. 2021, Nature Methods 18:203): each channel of a case is a case here.

v2   dataset.json ("channel_names", "labels": {"liver": 1, "organs": [1, 2]}, "file_ending"),
     imagesTr/CASE_0000.nii.gz (one file a channel), labelsTr/CASE.nii.gz; or "dataset" lists the files of each case
v1   dataset.json ("modality", "labels": {"1": "liver"}, "training" with imagesTr/CASE.nii.gz, which is not there),
     imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz

imagesTs with labelsTs, and imagesVa or imagesVal, hold cases for test and validation; without labels they are no cases.
Only files that end in "file_ending" are read (v1: .nii.gz); others are named. Voxels that nnU-Net marks "ignore" have
no truth, and a store has no word for that: such a case is refused.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Part
from ...vocabulary import Modality
from .base import Decision, Overrides, Provenance
from .headers import DatasetHeader, read_dataset_header, try_dataset_header
from .naming import channel_suffixes, image_files, outside_fault, parse_channel, require_modality, slug
from .paired import PairedSource, pairs_by_name
from .pairs import Pair
from .part_folders import CHANNEL, FOLDERS, PartFolder, part_folders, training_folders, unread_in
from .structure_names import structure_names

HEADER = "dataset.json"


class NnUNetSource(PairedSource):
    """A raw dataset of nnU-Net, version 1 or 2.

    Raises:
        StoreError: a folder or dataset.json is missing or damaged, or nothing tells the modality.
    """

    name: ClassVar[str] = "nnunet"
    summary: ClassVar[str] = "nnU-Net v1 and v2 raw: dataset.json, imagesTr/CASE_0000, labelsTr/CASE"
    provenance: ClassVar[Provenance] = Provenance()

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        header_path = self.path / HEADER
        self._header = read_dataset_header(header_path)
        if not self._header.channels or self._header.labels is None:
            raise StoreError(
                f'{header_path} is not of nnU-Net: it needs "channel_names" (v2) or "modality" (v1), and "labels".'
            )
        self._training = self._find_training()
        title = self._header.name or self.path.resolve().name
        names = structure_names(self._header.labels, header_path, title=f"{title} {self.path.resolve().name}")
        self._structures, self._decisions = names.values, names.decisions
        self._licence = self._header.licence or self._header.license
        self._dataset = self.overrides.dataset or slug(title) or slug(self.path.resolve().name)
        self._channels = [parse_channel(text, title) for text in self._header.channels]
        for text, (modality, _) in zip(self._header.channels, self._channels, strict=True):
            require_modality(self.overrides.modality or modality, [text], header_path)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a dataset.json names channels, or modalities beside files of nnU-Net v1."""
        header = try_dataset_header(Path(path) / HEADER)
        return header is not None and (header.channel_names is not None or is_version_1(Path(path), header))

    @property
    def _decisions_on_files(self) -> tuple[Decision, ...]:
        read = {path for pair in self._pairs.values() for path in (pair.image, pair.label)}
        return (*self._unread_channels, *unread_in(self.path, self._parts, self._ending, read))

    @property
    def _ending(self) -> str:
        return self._header.file_ending or ".nii.gz"

    def _find_training(self) -> tuple[Path, Path]:
        """The folders of training images and labels, which need not be there where dataset.json lists the files."""
        try:
            return training_folders(self.path)
        except StoreError:
            if self._header.dataset is None:
                raise
        return self.path / "imagesTr", self.path / "labelsTr"

    @cached_property
    def _parts(self) -> tuple[PartFolder, ...]:
        return part_folders(self.path, self._training, self._ending, self._header.dataset or ())

    @cached_property
    def _unread_channels(self) -> tuple[Decision, ...]:
        """Channels that lie in the folder and that dataset.json does not declare."""
        declared = len(self._channels)
        numbers = sorted(
            {
                int(match[1])
                for folder in self._parts
                for stem in folder.image_files.by_stem
                if (match := CHANNEL.search(stem)) and stem not in folder.label_files.by_stem
            }
        )
        unread = [f"_{number:04d}" for number in numbers if number >= declared]
        if not unread:
            return ()
        text = f"the images of channel {', '.join(unread)} are not read, since {HEADER} declares {declared}"
        return (Decision("channel", f"{text}; name them there to read them"),)

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        training, *held_out = self._parts
        listed = self._header.dataset is not None
        pairs = [*(self._listed(training.part) if listed else self._pairs_in(training))]
        pairs += [pair for folder in held_out for pair in self._pairs_in(folder)]
        return pairs_by_name(pairs)

    def _pairs_in(self, folder: PartFolder) -> Iterable[Pair]:
        """The cases of a folder: a label map and one file a channel."""
        ending, labels = self._ending, folder.label_files.by_stem
        for stem in sorted({stem if stem in labels else CHANNEL.sub("", stem) for stem in folder.stems}):
            files = [f"{stem}_{number:04d}" for number in range(len(self._channels))]
            images = [folder.image(file, ending) for file in files]
            yield from self._channels_of(stem, images, folder.label(stem, ending), folder.part)

    def _listed(self, part: Part | None) -> Iterable[Pair]:
        """The cases that "dataset" lists; those with a path outside the dataset's folder need `allow_outside`."""
        for stem, files in sorted((self._header.dataset or {}).items()):
            images = [self.path / image for image in files.images]
            label = self.path / files.label
            header_path, allowed = self.path / HEADER, self.overrides.allow_outside
            fault = outside_fault(header_path, self.path, (*images, label), allowed)
            if len(images) < len(self._channels):
                count = len(self._channels)
                fault = fault or f"{stem}: {header_path} lists {len(images)} images of it, for {count} channels."
                images += [images[-1] if images else self.path] * (len(self._channels) - len(images))
            yield from self._channels_of(stem, images, label, part, fault)

    def _channels_of(
        self, stem: str, images: list[Path], label: Path, part: Part | None, fault: str | None = None
    ) -> list[Pair]:
        several = len(self._channels) > 1
        suffixes = channel_suffixes([sequence or "" for _, sequence in self._distinct_channels])
        return [
            Pair(
                f"{stem}_{suffixes[number]}" if several else stem,
                stem,
                images[number],
                label,
                modality,
                sequence,
                part=part,
                fault=fault,
            )
            for number, (modality, sequence) in enumerate(self._distinct_channels)
        ]

    @cached_property
    def _distinct_channels(self) -> list[tuple[Modality | None, str | None]]:
        """Modality and sequence of each channel; a sequence that two channels share tells none of them."""
        sequences = [sequence for _, sequence in self._channels]
        return [
            (modality, sequence if sequences.count(sequence) == 1 else None) for modality, sequence in self._channels
        ]


def is_version_1(path: Path, header: DatasetHeader) -> bool:
    """Whether a dataset of the Decathlon's header is nnU-Net v1's: its images carry the number of a channel."""
    if header.modality is None:
        return False
    images, labels = (image_files(path / folder).by_stem for folder in FOLDERS[0])
    numbered = [stem for stem in labels if stem not in images and f"{stem}_0000" in images]
    plain = [stem for stem in labels if stem in images]
    return len(numbered) > len(plain)
