"""The folders of a dataset: imagesTr and labelsTr (or images and labels), and those of held-out parts beside them.

imagesVa and labelsVa (or imagesVal), imagesTs and labelsTs hold patients whom the dataset's authors keep for validation
and test. Of these, what has a label is read. Images without labels are no cases.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from ...imaging.case import Part
from .base import Decision
from .naming import ImageFiles, image_files
from .unread import deeper_files, not_read, unread_files

FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))
_HELD_OUT: tuple[tuple[str, Part], ...] = (("Va", "validation"), ("Val", "validation"), ("Ts", "test"))
CHANNEL = re.compile(r"_(\d{4})$")  # at the end of an image's stem


@dataclass(frozen=True)
class PartFolder:
    """A folder of images and the folder of their labels.

    Attributes:
        part: where the dataset's authors put these cases; None where there is no other part.
        image_files, label_files: what lies in them.
        taken: label files that are not read, because an earlier part has a file of that name.
    """

    part: Part | None
    images: Path
    labels: Path
    image_files: ImageFiles
    label_files: ImageFiles
    taken: tuple[Path, ...] = ()

    @property
    def is_held_out(self) -> bool:
        """Whether only what has a label is a case."""
        return self.part in ("validation", "test")

    @property
    def stems(self) -> set[str]:
        """Of the labels that are read and, but for a held-out part, of the images."""
        labels = {stem for stem, path in self.label_files.by_stem.items() if path not in self.taken}
        return labels if self.is_held_out else labels | self.image_files.by_stem.keys()

    def image(self, stem: str, ending: str = ".nii.gz") -> Path:
        """The image of this stem; where it is missing, where it should lie."""
        return self.image_files.by_stem.get(stem, self.images / f"{stem}{ending}")

    def label(self, stem: str, ending: str = ".nii.gz") -> Path:
        """The label map of this stem; where it is missing, where it should lie."""
        return self.label_files.by_stem.get(stem, self.labels / f"{stem}{ending}")


def training_folders(path: Path) -> tuple[Path, Path]:
    """The folders of images and labels that a dataset is trained on; StoreError where they are not there."""
    for images, labels in FOLDERS:
        if (path / images).is_dir() and (path / labels).is_dir():
            return path / images, path / labels
    raise StoreError(f"{path} has neither imagesTr and labelsTr nor images and labels; check the folder.")


def part_folders(
    path: Path, training: tuple[Path, Path], ending: str | None = None, listed: Iterable[str] = ()
) -> tuple[PartFolder, ...]:
    """The training folders of a dataset, then those of its held-out parts that have labels.

    Args:
        path: of the dataset.
        training: of images and of labels.
        ending: of every file that counts, such as ".nii.gz"; None takes every format.
        listed: names of cases that the dataset's description lists; they are in no held-out part.
    """
    images, labels = (image_files(folder, ending) for folder in training)
    taken = _names(images, labels) | set(listed)
    held_out: list[PartFolder] = []
    for end, part in _HELD_OUT:
        folders = path / f"images{end}", path / f"labels{end}"
        part_images, part_labels = (image_files(folder, ending) for folder in folders)
        if not (folders[0].is_dir() and part_labels.by_stem):
            continue
        twice = tuple(file for stem, file in part_labels.by_stem.items() if stem in taken)
        held_out.append(PartFolder(part, *folders, part_images, part_labels, twice))
        taken |= part_labels.by_stem.keys()
    return (PartFolder("train" if held_out else None, *training, images, labels), *held_out)


def unread_in(
    path: Path, folders: Iterable[PartFolder], ending: str | None = None, read: Collection[Path] = ()
) -> tuple[Decision, ...]:
    """What lies in the folders of a dataset, and is not read.

    Args:
        path: of the dataset.
        folders: its parts.
        ending: as of `part_folders`.
        read: files that are read although they lie elsewhere, or are called otherwise.
    """
    parts = list(folders)
    files = [files for folder in parts for files in (folder.image_files, folder.label_files)]
    strays = [stray for one in files for stray in one.strays if stray not in read]
    deeper = [deep for one in files for deep in one.deeper if deep not in read]
    taken = [file for folder in parts for file in folder.taken if file not in read]
    training = parts[0]
    others = [path / name for pair in FOLDERS for name in pair if path / name not in (training.images, training.labels)]
    beside = [file for other in others for file in image_files(other, ending).by_stem.values() if file not in read]
    names = f"{training.images.name} and {training.labels.name}"
    return (
        *unread_files(strays, ending),
        *deeper_files(deeper),
        *not_read(taken, "another part has a case of that name: rename one"),
        *not_read(beside, f"{names} are"),
    )


def _names(images: ImageFiles, labels: ImageFiles) -> set[str]:
    """The names of cases in a folder, an image's with the number of its channel and without."""
    return {name for stem in (*images.by_stem, *labels.by_stem) for name in (stem, CHANNEL.sub("", stem))}
