"""The files that describe a dataset, as schemas: dataset.json of the Decathlon and of nnU-Net, labels.json, and more.

More keys may stand in them than are read here, since others write them.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from ...documents import read_json
from ...errors import StoreError

LabelValue = int | float | str | list[int | float | str]


def _channel(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise ValueError('a channel is a whole number in quotes, such as "0"')
    return text


ChannelNumber = Annotated[str, AfterValidator(_channel)]


class _Header(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ListedPair(_Header):
    """One entry of the Decathlon's "training": paths below the dataset's folder."""

    image: str
    label: str


class ListedCase(_Header):
    """One entry of nnU-Net v2's "dataset": the files of a case, one image a channel."""

    images: list[str]
    label: str


class DatasetHeader(_Header):
    """dataset.json of the Decathlon, nnU-Net v1 or nnU-Net v2.

    Attributes:
        modality: channel -> its name (Decathlon, nnU-Net v1).
        channel_names: the same (nnU-Net v2).
        labels: value -> name, or name -> value or values.
        training: image and label of each case (Decathlon, nnU-Net v1).
        file_ending: of every image and label (nnU-Net v2), such as ".nii.gz".
        dataset: case -> its files, wherever they lie (nnU-Net v2).
    """

    name: str | None = None
    licence: str | None = None
    license: str | None = None
    modality: dict[ChannelNumber, str] | None = None
    channel_names: dict[ChannelNumber, str] | None = None
    labels: dict[str, LabelValue] | None = None
    training: list[ListedPair] | None = None
    file_ending: str | None = None
    dataset: dict[str, ListedCase] | None = None

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in the order of their numbers."""
        numbered = self.channel_names or self.modality or {}
        return [name for _, name in sorted(numbered.items(), key=lambda item: int(item[0]))]


class FolderHeader(_Header):
    """labels.json of one's own folder; see `folder`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[str, LabelValue] | None = None
    images: str | None = None
    masks: str | dict[str, str] | None = None
    modality: str | None = None
    sequence: str | None = None
    patient: str | None = None
    name: str | None = None
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
