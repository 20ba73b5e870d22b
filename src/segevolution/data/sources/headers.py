"""The files that describe a dataset, as schemas: dataset.json of the Decathlon and of nnU-Net, labels.json, and more.

More keys may stand in them than are read here, since others write them.
"""

import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from ...documents import read_json
from ...errors import StoreError

_LONGEST_NAME, _LONGEST_PATH, _LONGEST_STEP = 300, 1000, 255


def _one_line(text: str) -> str:
    if len(text) > _LONGEST_NAME or any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError(f"a name is one line of at most {_LONGEST_NAME} characters")
    return text


def _path(text: str) -> str:
    steps = text.replace("\\", "/").split("/")
    longest = max(len(step.encode("utf-8")) for step in steps)
    if not text.strip() or len(text) > _LONGEST_PATH or longest > _LONGEST_STEP or not text.isprintable():
        raise ValueError(f"a path is one line of at most {_LONGEST_PATH} characters, {_LONGEST_STEP} in each name")
    return text


Name = Annotated[str, AfterValidator(_one_line)]
FilePath = Annotated[str, AfterValidator(_path)]
LabelValue = int | float | Name | list[int | float | Name]


def _channel(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise ValueError('a channel is a whole number in quotes, such as "0"')
    return text


ChannelNumber = Annotated[str, AfterValidator(_channel)]


class _Header(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ListedPair(_Header):
    """One entry of the Decathlon's "training": paths below the dataset's folder."""

    image: FilePath
    label: FilePath


class ListedCase(_Header):
    """One entry of nnU-Net v2's "dataset": the files of a case, one image a channel."""

    images: list[FilePath]
    label: FilePath


class DatasetHeader(_Header):
    """dataset.json of the Decathlon, nnU-Net v1 or nnU-Net v2.

    Attributes:
        modality: channel -> its name (Decathlon, nnU-Net v1).
        channel_names: the same (nnU-Net v2).
        labels: value -> name, or name -> value or values.
        training: image and label of each case (Decathlon, nnU-Net v1).
        file_ending: of every image and label (nnU-Net v2), such as ".nii.gz".
        dataset: case -> its files (nnU-Net v2).
    """

    name: Name | None = None
    licence: str | None = None
    license: str | None = None
    modality: dict[ChannelNumber, Name] | None = None
    channel_names: dict[ChannelNumber, Name] | None = None
    labels: dict[Name, LabelValue] | None = None
    training: list[ListedPair] | None = None
    file_ending: Name | None = None
    dataset: dict[Name, ListedCase] | None = None

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in the order of their numbers."""
        numbered = self.channel_names or self.modality or {}
        return [name for _, name in sorted(numbered.items(), key=lambda item: int(item[0]))]


class FolderHeader(_Header):
    """labels.json of one's own folder; see `folder`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[Name, LabelValue] | None = None
    images: FilePath | None = None
    masks: str | dict[Name, FilePath] | None = None
    modality: Name | None = None
    sequence: Name | None = None
    patient: Name | None = None
    name: Name | None = None
    licence: str | None = None
    license: str | None = None


def read_dataset_header(path: Path) -> DatasetHeader:
    """A dataset.json; StoreError in one sentence where it cannot be read."""
    return read_json(path, DatasetHeader, error=StoreError)


def try_dataset_header(path: Path) -> DatasetHeader | None:
    """A dataset.json, or None where there is none that can be read."""
    try:
        return read_dataset_header(path)
    except StoreError:
        return None
