"""A key, the JSON file beside masks, as it is read again: what its labels mean, and which files it belongs to."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..documents import read_json
from ..errors import OutputError
from ..imaging.formats.itk_writing import voxel_file

_MADE_BY = "segevolution "


class KeyRow(BaseModel):
    """A structure in a key; see `segment_report.as_plain`."""

    model_config = ConfigDict(extra="ignore")

    name: str
    label: int
    file: str
    voxels: int
    volume_ml: float
    mean_intensity: float | None
    predicted_iou: float | None
    expected_overlap: float | None = None
    warnings: list[str] = []


class AnswerKey(BaseModel):
    """A key, as far as it is read again; see `segment_report.key_of`."""

    model_config = ConfigDict(extra="ignore")

    structures: list[KeyRow]
    made_by: str
    question: str = ""
    image: str = ""
    probabilities: list[str] = []
    colours: str | None = None

    def masks(self, folder: Path) -> tuple[Path, ...]:
        """The masks that it describes, in the folder of the key."""
        return tuple(dict.fromkeys(folder / Path(row.file).name for row in self.structures))

    def files(self, folder: Path) -> tuple[Path, ...]:
        """All files that were written with it, which mean nothing without it."""
        names = [*self.probabilities, *([self.colours] if self.colours else [])]
        images = [*self.masks(folder), *(folder / Path(name).name for name in names)]
        return (*images, *(voxels for image in images if (voxels := voxel_file(image)) is not None))


def read_key(path: Path) -> AnswerKey:
    """Read a key.

    Raises:
        OutputError: it is missing or damaged, or another kind of JSON file.
    """
    key = read_json(path, AnswerKey, error=OutputError)
    if not key.made_by.startswith(_MADE_BY):
        raise OutputError(f"{path} is no key of masks that segevolution wrote.")
    return key
