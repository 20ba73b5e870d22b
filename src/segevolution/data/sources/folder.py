"""One's own data: a plain folder of images with labels, and labels.json.

imagesTr/ and labelsTr/ (or images/ and labels/) with files of equal names, an image also as a folder of DICOM files,
and labels.json: {"1": "liver"} or {"liver": 1}. What has a label in imagesVa and labelsVa (or imagesVal), or in
imagesTs and labelsTs, is for validation and test. Or labels.json says where the files are:

    {"labels": {"1": "liver"}, "images": "scans/{case}_t2.nii.gz", "masks": "segs/{case}.nrrd",
     "modality": "MRI", "sequence": "T2", "patient": "^(P[0-9]+)"}

with {patient} in the patterns where a folder or name tells it, and one file a structure as
"masks": {"liver": "segs/{case}_liver.nii.gz", "tumour": "segs/{case}_tumour.nii.gz"}; images without labels, for
pre-training, as {"images": "scans/{case}.nii.gz", "masks": null, "modality": "MRI"}.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...documents import check, read_json
from ...errors import StoreError
from ...imaging.case import Case
from ...vocabulary import Modality
from .base import Decision, Overrides, Provenance
from .headers import FolderHeader
from .masks import LabelFile, read_label_files
from .naming import one_name, require_modality, slug
from .paired import PairedSource, pairs_by_name
from .pairs import Pair
from .part_folders import FOLDERS, PartFolder, part_folders, training_folders, unread_in
from .patterns import Pattern, PatternMatch, find_cases
from .structure_names import Meanings, StructureNames, name_meanings, structure_names


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
        self._found: dict[str, PatternMatch] = {}
        if not self._header_path.is_file():
            training_folders(self.path)  # the folders are missed first
        self._header = self._read_header()
        self._licence = self._header.licence or self._header.license
        if not self._found:
            self._training = training_folders(self.path)
        self._dataset = self.overrides.dataset or slug(self._header.name or "") or slug(self.path.resolve().name)
        names = self._read_structures()
        self._structures, self._decisions = names.values, names.decisions

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is a labels.json, with two such folders or with patterns."""
        path = Path(path)
        if any((path / pair[1]).is_dir() for pair in FOLDERS):
            return (path / "labels.json").is_file()
        try:
            return read_folder_header(path / "labels.json").images is not None
        except StoreError:
            return False

    def read(self, case: str) -> Case:
        """One case; see `PairedSource.read`."""
        files, masks = self._found.get(case), self._header.masks
        if files is not None and masks is None:
            return read_label_files(self._pair(case), (), self.dataset, self.overrides)
        if files is None or not isinstance(masks, Mapping):
            return super().read(case)
        if not files.masks:
            raise StoreError(f"{case} has no mask: no file of it is found by the patterns of {self._header_path}.")
        meanings = self._meanings(masks).of
        label_files = [LabelFile.mask(path, meanings[name]) for name, path in files.masks.items()]
        return read_label_files(self._pair(case), label_files, self.dataset, self.overrides)

    @property
    def _decisions_on_files(self) -> tuple[Decision, ...]:
        if self._found:
            return ()
        return unread_in(self.path, self._parts)

    @cached_property
    def _parts(self) -> tuple[PartFolder, ...]:
        return part_folders(self.path, self._training)

    @property
    def _header_path(self) -> Path:
        return self.path / "labels.json"

    def _read_header(self) -> FolderHeader:
        header = read_folder_header(self._header_path)
        self.overrides = replace(
            self.overrides,
            modality=self.overrides.modality or (Modality.parse(header.modality) if header.modality else None),
            sequence=self.overrides.sequence or header.sequence,
            patient_pattern=self.overrides.patient_pattern or header.patient,
        )
        require_modality(self.overrides.modality, ["nothing"], self.path)
        if header.images is not None:
            self._found = self._find(header, header.images)
        return header

    def _find(self, header: FolderHeader, images: str) -> dict[str, PatternMatch]:
        masks = header.masks
        if ("masks" not in header.model_fields_set) or masks in ("", {}):
            raise StoreError(
                f'{self._header_path} has "images" but no "masks": give one pattern, or one a structure; '
                "null says that there are none."
            )
        if masks is None and header.labels:
            raise StoreError(f'{self._header_path} names "labels", but its "masks" are null: leave out one of the two.')
        patterns = dict(masks) if isinstance(masks, Mapping) else {} if masks is None else {"labels": masks}
        return find_cases(
            self.path,
            Pattern.parse(images, self._header_path),
            {name: Pattern.parse(text, self._header_path) for name, text in patterns.items()},
            self._header_path,
        )

    def _read_structures(self) -> StructureNames:
        masks = self._header.masks
        if isinstance(masks, Mapping):
            return StructureNames({}, self._meanings(masks).decisions)  # each file is a structure
        if self._found and masks is None:
            return StructureNames({})  # there are no labels
        return structure_names(self._header.labels, self._header_path, title=self._dataset)

    def _meanings(self, masks: Mapping[str, str]) -> Meanings:
        return name_meanings(masks, title=self._dataset)

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        modality = self.overrides.modality
        if self._found:
            return {
                name: Pair(
                    name,
                    name,
                    files.image,
                    files.masks.get("labels", self.path / str(self._header.masks)),
                    modality,
                    patient=files.patient,
                )
                for name, files in self._found.items()
            }
        return pairs_by_name(self._pair_in(folder, stem) for folder in self._parts for stem in sorted(folder.stems))

    def _pair_in(self, folder: PartFolder, stem: str) -> Pair:
        images, labels = folder.image_files, folder.label_files
        twice = images.twice.get(stem) or labels.twice.get(stem)
        return Pair(
            stem,
            stem,
            folder.image(stem),
            folder.label(stem),
            self.overrides.modality,
            part=folder.part,
            fault=one_name(twice) if twice else None,
        )


def read_folder_header(path: Path) -> FolderHeader:
    """A labels.json, which may be the names of the labels alone; StoreError where it cannot be read."""
    raw = read_json(path, dict[str, Any], error=StoreError)
    header = raw if "images" in raw or isinstance(raw.get("labels"), dict) else {"labels": raw}
    return check(header, FolderHeader, where=str(path), error=StoreError)
