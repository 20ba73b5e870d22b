"""One patient in a folder: `image.nii.gz`, `labels.nii.gz` and `labels.json` ({"1": "spleen"} or {"spleen": 1})."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Case
from ..record import read_object
from .base import Overrides, Pair, images_in, parse_labels, read_pair, require_modality, slug


class SingleSource:
    """A folder of one image, its label map and the names of its labels; the folder's name is the case.

    Raises:
        StoreError: one of the three is missing, or nothing tells the modality.
    """

    name: ClassVar[str] = "single"
    summary: ClassVar[str] = "one patient: image.nii.gz, labels.nii.gz and labels.json in one folder"

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        files = images_in(self.path)
        if not self.recognises(self.path):
            raise StoreError(f"{self.path} is not in this layout: it needs image, labels and labels.json.")
        require_modality(self.overrides.modality, ["nothing"], self.path)
        self._pair = Pair(self._stem, self._stem, files["image"], files["labels"], self.overrides.modality)
        self._structures = parse_labels(read_object(self.path / "labels.json"), self.path / "labels.json")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the three files are there."""
        return {"image", "labels"} <= images_in(Path(path)).keys() and (Path(path) / "labels.json").is_file()

    @property
    def dataset(self) -> str:
        """The name given, or the folder's."""
        return self.overrides.dataset or self._stem

    @property
    def licence(self) -> str:
        """Never said in this layout."""
        return "not stated"

    def index(self) -> Sequence[str]:
        """The one case."""
        return (self._stem,)

    def read(self, case: str) -> Case:
        """The case; StoreError, FormatError or VolumeError where it cannot be used."""
        return read_pair(self._pair, self.dataset, self._structures, self.overrides)

    @property
    def _stem(self) -> str:
        return slug(self.path.resolve().name)
