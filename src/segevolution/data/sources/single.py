"""One patient in a folder: `image.nii.gz`, `labels.nii.gz` and `labels.json` ({"1": "spleen"} or {"spleen": 1})."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from .base import Overrides, Provenance
from .folder import read_folder_header
from .naming import images_in, require_modality, slug
from .paired import PairedSource
from .pairs import Pair
from .structure_names import structure_names


class SingleSource(PairedSource):
    """A folder of one image, its label map and the names of its labels; the folder's name is the case.

    Raises:
        StoreError: one of the three is missing, or nothing tells the modality.
    """

    name: ClassVar[str] = "single"
    summary: ClassVar[str] = "one patient: image.nii.gz, labels.nii.gz and labels.json in one folder"
    provenance: ClassVar[Provenance] = Provenance()

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        if not self.recognises(self.path):
            raise StoreError(f"{self.path} is not in this layout: it needs image, labels and labels.json.")
        require_modality(self.overrides.modality, ["nothing"], self.path)
        header = read_folder_header(self.path / "labels.json")
        names = structure_names(header.labels, self.path / "labels.json", title=self._stem)
        self._structures, self._decisions = names.values, names.decisions
        self._licence = header.licence or header.license
        self._dataset = self.overrides.dataset or self._stem

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the three files are there."""
        return {"image", "labels"} <= images_in(Path(path)).keys() and (Path(path) / "labels.json").is_file()

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        files = self._files[self.path].by_stem
        image, labels = files["image"], files["labels"]
        return {self._stem: Pair(self._stem, self._stem, image, labels, self.overrides.modality)}

    @property
    def _folders(self) -> Iterable[Path]:
        return (self.path,)

    @property
    def _stem(self) -> str:
        return slug(self.path.resolve().name)
