"""PROMISE12 (Litjens et al. 2014, Medical Image Analysis 18:359): T2-weighted prostates, in both of its layouts.

Zenodo       training_data/Case00.mhd, Case00.raw, Case00_segmentation.mhd, .raw ... Case49
             test_data/Case00 ... Case29, the same files
challenge    TrainingData_Part1/ to Part3/ with Case00 ... Case49, and TestData/ without segmentations: no cases

Test numbers restart at 00 and are other patients, so names carry the part: promise12_train_00, promise12_test_00.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Part
from ...vocabulary import Modality
from .base import Overrides, Provenance
from .naming import images_in, matched, nested_folders
from .paired import PairedSource, kept_once
from .pairs import Pair

_FOLDERS: dict[Part, re.Pattern[str]] = {
    "train": re.compile(r"training_?data(_?part_?\d)?", re.IGNORECASE),
    "test": re.compile(r"test(ing)?_?data", re.IGNORECASE),
}
_IMAGE = re.compile(r"case(\d+)", re.IGNORECASE)
_LABEL = re.compile(r"case(\d+)_segmentation", re.IGNORECASE)


class PROMISE12Source(PairedSource):
    """A folder of the parts' folders, or one that holds it; `index` refuses a number that a part holds twice.

    Raises:
        StoreError: there is no part's folder with cases and masks.
    """

    name: ClassVar[str] = "promise12"
    summary: ClassVar[str] = "PROMISE12: training_data/, test_data/ or TrainingData_Part1..3/ with Case00.mhd and masks"
    provenance: ClassVar[Provenance] = Provenance(
        "as the record states",
        "https://zenodo.org/records/8026660",
        "Download the record's files and unpack them into one folder; "
        "the challenge's own download has no masks of the test cases.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._dataset = self.overrides.dataset or "promise12"
        self._licence = self.provenance.licence
        self._structures = {"prostate": (1,)}
        if not self.recognises(self.path):
            raise StoreError(
                f"{self.path} is not in PROMISE12's layout: it holds no training_data/ or TrainingData_Part1/ with "
                "Case00.mhd; check the folder."
            )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a part's folder with numbered cases and their masks is there."""
        return any(_LABEL.fullmatch(stem) for folder, _ in _parts(Path(path)) for stem in images_in(folder))

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        return kept_once(pair for folder, part in _parts(self.path) for pair in self._pairs_in(folder, part))

    def _pairs_in(self, folder: Path, part: Part) -> Iterable[Pair]:
        """The cases of a folder, none where it has no mask."""
        files = self._files[folder].by_stem
        images, labels = (matched(files, pattern, int) for pattern in (_IMAGE, _LABEL))
        for number in sorted(images.keys() | labels.keys()) if labels else ():
            name = f"promise12_{part}_{number:02d}"
            image = images.get(number, folder / f"Case{number:02d}.mhd")
            label = labels.get(number, folder / f"Case{number:02d}_segmentation.mhd")
            yield Pair(name, name, image, label, Modality.MRI, "T2", patient=name, part=part)

    @property
    def _folders(self) -> Iterable[Path]:
        return [folder for folder, _ in _parts(self.path)]


def _parts(path: Path) -> list[tuple[Path, Part]]:
    """The folders of parts here and one level below, with their part."""
    return [
        (folder, part)
        for folder in nested_folders(path)
        for part, pattern in _FOLDERS.items()
        if pattern.fullmatch(folder.name)
    ]
