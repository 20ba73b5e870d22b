"""The Brain Imaging Data Structure, labels as derivatives (Gorgolewski et al. 2016, Scientific Data 3:160044):

    sub-01/[ses-1/]anat/sub-01_[ses-1_]..._T1w.nii.gz                            images
    derivatives/PIPELINE/sub-01/[ses-1/]anat/sub-01_..._[label-X_]{dseg,mask}.nii.gz   their labels
    derivatives/PIPELINE/.../..._dseg.tsv                                        columns index and name

A label belongs to every image of its subject whose entities (ses, acq, run, ...) are its own; where its sidecar names
"Sources", or its name an image ("sub-01_T1w_label-GM_mask", "space-T1w"), to that image only. Masks need a label-X, and
may overlap. Labels in a template's space ("space-MNI152...") lie on no image of the person and are passed over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from ...documents import read_json
from ...errors import StoreError
from ...imaging.case import Case
from ...vocabulary import Modality
from .base import Decision, Overrides, Provenance
from .bids_labels import of_side, read_table, renamed, rows, structure_of
from .collection import ImagePlace
from .grouping import Grouping
from .masks import LabelFile, read_label_files
from .naming import SEQUENCES, distinct_stems, image_stem, slug
from .pairs import Pair
from .patients import group_patients
from .structure_names import StructureNames

# Entities that say how a derivative was made, not which image it was made from.
_OF_DERIVATIVES = {"label", "desc", "space", "res", "den", "atlas", "seg", "hemi", "scale"}
_OWN_SPACE = {"orig", "native", "individual", "scanner", "subject"}
_LABELS = {"dseg", "mask"}
_NO_IMAGES = _LABELS | {"probseg", "defacemask", "xfm"}
_SEQUENCES = SEQUENCES | {"pdw": "PD", "t2starw": "T2*", "inplanet1": "T1", "inplanet2": "T2", "unit1": "T1"}


@dataclass(frozen=True)
class Named:
    """A file by its BIDS name.

    Attributes:
        entities: such as {"sub": "01", "ses": "1", "run": "2"}.
        words: those without a value before the last: "T1w" in "sub-01_T1w_label-GM_mask".
        suffix: the last word, such as "T1w" or "dseg".
    """

    path: Path
    stem: str
    entities: Mapping[str, str]
    words: tuple[str, ...]
    suffix: str

    @classmethod
    def parse(cls, path: Path, stem: str) -> "Named":
        """Take a file name apart; `stem` is the name without the suffix of its format."""
        *parts, suffix = stem.split("_")
        entities = dict(part.split("-", 1) for part in parts if "-" in part)
        return cls(path, stem, entities, tuple(part for part in parts if "-" not in part), suffix)

    @property
    def acquired(self) -> frozenset[tuple[str, str]]:
        """The entities that an image and its labels share."""
        return frozenset(item for item in self.entities.items() if item[0] not in _OF_DERIVATIVES)


class _Description(BaseModel):
    """dataset_description.json."""

    Name: str | None = None
    License: str | None = None


class _Sidecar(BaseModel):
    """The sidecar of a derivative."""

    Sources: str | list[str] | None = None
    RawSources: str | list[str] | None = None


class BIDSSource:
    """A BIDS dataset with one pipeline of labels; of several, IN is the folder of one, `derivatives/PIPELINE`.

    Raises:
        StoreError: there are no labels, several pipelines hold some, or a description is damaged.
    """

    name: ClassVar[str] = "bids"
    summary: ClassVar[str] = "BIDS: sub-*/[ses-*/]anat images, dseg (with tsv) or label-*_mask files in derivatives/"
    provenance: ClassVar[Provenance] = Provenance(
        link="https://bids.neuroimaging.io",
        obtain="Your own files, or a dataset of openneuro.org with its derivatives.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._tables: dict[Path, StructureNames] = {}
        self._root, self._pipeline = _root_and_pipeline(self.path.resolve())
        description = self._root / "dataset_description.json"
        self._header = (
            read_json(description, _Description, error=StoreError) if description.is_file() else _Description()
        )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there are subjects, and derivatives or a description of the dataset."""
        path = Path(path)
        is_bids = (path / "dataset_description.json").is_file() or (path / "derivatives").is_dir()
        return is_bids and next(path.glob("sub-*/"), None) is not None

    @property
    def dataset(self) -> str:
        """The name given, else that of the description or the folder."""
        return self.overrides.dataset or slug(self._header.Name or "") or slug(self._root.name)

    @property
    def licence(self) -> str:
        """As the description says, or "not stated"."""
        return self._header.License or "not stated"

    def index(self) -> Sequence[str]:
        """Images with labels; labels without an image, and one image of a subject without any, which are faults."""
        return tuple(sorted(self._cases))

    def image_of(self, case: str) -> ImagePlace | None:
        """Where the image of a case lies."""
        image, _ = self._cases[case]
        return None if image is None else (image.path, None)

    def read(self, case: str) -> Case:
        """One case.

        Raises:
            StoreError: it is not there, has no image or no labels, or they do not belong together.
            FormatError, VolumeError: a file cannot be used.
        """
        if case not in self._cases:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._cases)} cases.")
        image, labels = self._cases[case]
        if image is None:
            raise StoreError(f"{case} has no image: no file of the subject has the entities of {labels[0].path}.")
        if not labels:
            raise StoreError(f"{case} has no label: no file below {self._pipeline} has the entities of {image.path}.")
        modality, sequence = _acquired_as(image)
        subject = f"sub-{image.entities['sub']}"
        pair = Pair(
            case,
            image.stem,
            image.path,
            image.path,
            modality,
            sequence,
            patient=self.grouping.patients[image.stem],
            site=self._site(subject),
        )
        return read_label_files(pair, [self._label_file(label) for label in labels], self.dataset, self.overrides)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Who the patients are, and what the labels of the tables are called."""
        decisions: dict[Decision, None] = {}
        for _, labels in self._cases.values():
            for label in labels:
                label_name, table = label.entities.get("label"), self._table_path(label)
                if table is not None and not (label.suffix == "mask" and label_name):
                    decisions |= dict.fromkeys(self._read_table(table).decisions)
                elif label_name:
                    decisions |= dict.fromkeys(renamed(label_name, self._structure(label)))
        return (*decisions, Decision("patients", self.grouping.sentence))

    @cached_property
    def grouping(self) -> Grouping:
        """Which image is of which patient: by the subject in its name, or as a person says."""
        images = [image for image, _ in self._cases.values() if image is not None]
        if self.overrides.patient_pattern is not None:
            return group_patients((image.stem for image in images), self.overrides.patient_pattern)
        return Grouping({image.stem: f"sub-{image.entities['sub']}" for image in images}, "their subjects")

    @cached_property
    def _cases(self) -> dict[str, tuple[Named | None, tuple[Named, ...]]]:
        images = [file for file in _files(self._root) if _is_image(file)]
        labels = [file for file in _files(self._pipeline) if _is_label(file)]
        alike: dict[frozenset[tuple[str, str]], list[Named]] = defaultdict(list)
        for label in labels:
            alike[label.acquired].append(label)
        cases: dict[str, tuple[Named | None, tuple[Named, ...]]] = {}
        used: set[Path] = set()
        stems = distinct_stems(image.path for image in images)
        images = [replace(image, stem=stems[image.path]) for image in images]
        for image in images:
            own_labels = tuple(label for label in alike[image.acquired] if _belongs(label, image))
            if own_labels:
                cases[image.stem] = (image, own_labels)
                used |= {label.path for label in own_labels}
        for label in labels:
            if label.path not in used:
                cases[label.stem] = (None, (label,))
        subjects = {image.entities["sub"] for image, _ in cases.values() if image is not None}
        for image in images:
            if image.entities["sub"] not in subjects:
                subjects.add(image.entities["sub"])
                cases[image.stem] = (image, ())
        return cases

    def _label_file(self, label: Named) -> LabelFile:
        """What a label file holds: by its table, or the one structure that its name tells."""
        label_name = label.entities.get("label")
        if label.suffix == "mask" and label_name:
            return LabelFile.mask(label.path, self._structure(label))
        table = self._table_path(label)
        if table is not None:
            values, side = self._read_table(table).values, label.entities.get("hemi")
            return LabelFile(label.path, {of_side(name, side): numbers for name, numbers in values.items()})
        if label_name:
            return LabelFile(label.path, {self._structure(label): (1,)})
        raise StoreError(
            f"{label.path} has no table of names: put {label.stem}.tsv beside it, or dseg.tsv into {self._pipeline}, "
            'with the columns "index" and "name".'
        )

    def _structure(self, label: Named) -> str:
        """What a label file that its name describes holds, a hemisphere's its side."""
        return of_side(structure_of(label.entities["label"], self._label_names), label.entities.get("hemi"))

    @cached_property
    def _label_names(self) -> frozenset[str]:
        labels = (label for _, own in self._cases.values() for label in own)
        return frozenset(label.entities["label"] for label in labels if "label" in label.entities)

    def _read_table(self, path: Path) -> StructureNames:
        if path not in self._tables:
            self._tables[path] = read_table(path)
        return self._tables[path]

    def _table_path(self, label: Named) -> Path | None:
        """The nearest table whose entities are the label's: beside it, then further up, then the root."""
        upwards = [folder for folder in label.path.parents if folder.is_relative_to(self._pipeline)]
        for folder in (*upwards, *([] if self._root in upwards else [self._root])):
            tables = [Named.parse(path, path.stem) for path in sorted(folder.glob("*dseg.tsv")) if _visible(path)]
            fitting = [table for table in tables if table.entities.items() <= label.entities.items()]
            if fitting:
                return max(fitting, key=lambda table: len(table.entities)).path
        return None

    @cached_property
    def _participants(self) -> list[dict[str, str]]:
        path = self._root / "participants.tsv"
        return rows(path) if path.is_file() else []

    def _site(self, patient: str) -> str | None:
        sites = {row.get("participant_id"): row.get("site") for row in self._participants}
        site = sites.get(patient)
        return site if site not in (None, "", "n/a") else None


def _root_and_pipeline(path: Path) -> tuple[Path, Path]:
    """The folder of the images and that of the labels."""
    if path.parent.name == "derivatives":
        return path.parent.parent, path
    derivatives = path / "derivatives"
    folders = sorted(
        folder for folder in derivatives.glob("*/") if _visible(folder) and not folder.name.startswith("sub-")
    )
    holding = [folder for folder in (derivatives, *folders) if any(_is_label(file) for file in _files(folder))]
    if not holding:
        raise StoreError(
            f"{path} has no labels: no *_dseg or *_label-X_mask file lies below derivatives/PIPELINE/sub-*; check it."
        )
    if len(holding) > 1:
        names = ", ".join(folder.name for folder in holding)
        raise StoreError(f"{path} has labels of several pipelines ({names}); give the folder of one, {holding[0]}.")
    return path, holding[0]


def _files(folder: Path) -> Iterable[Named]:
    """The image files of every subject and session below a folder, strays left out."""
    for pattern in ("sub-*/*/*", "sub-*/ses-*/*/*"):
        for path in sorted(folder.glob(pattern)):
            stem = image_stem(path.name)
            if stem and _visible(path) and path.name.startswith("sub-"):
                yield Named.parse(path, stem)


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def _is_image(file: Named) -> bool:
    return file.suffix not in _NO_IMAGES and (
        file.path.parent.name == "anat" or file.suffix.lower() in {*_SEQUENCES, "ct", "pet"}
    )


def _is_label(file: Named) -> bool:
    """Whether a derivative holds labels in its person's own space; a mask that names no structure is none."""
    space = file.entities.get("space")
    in_image_space = space is None or space.lower() in _OWN_SPACE or _names_an_image(space)
    return in_image_space and (file.suffix == "dseg" or (file.suffix == "mask" and "label" in file.entities))


def _names_an_image(word: str) -> bool:
    return word.lower() in {*_SEQUENCES, "ct", "pet"}


def _belongs(label: Named, image: Named) -> bool:
    """Whether a label whose entities are an image's is of that image, and not of another sequence."""
    sources = _sources(label.path)
    if sources:
        return image.path.name in sources
    space = label.entities.get("space", "")
    label_words = {*label.words, *([space] if _names_an_image(space) else [])}
    return not label_words or image.suffix in label_words


def _sources(label: Path) -> set[str]:
    """The names of the files that a label's sidecar was made from, such as "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"."""
    sidecar = label.with_name(f"{image_stem(label.name)}.json")
    if not sidecar.is_file():
        return set()
    read = read_json(sidecar, _Sidecar, error=StoreError)
    listed = read.Sources or read.RawSources or []
    return {source.rsplit("/", 1)[-1] for source in ([listed] if isinstance(listed, str) else listed)}


def _acquired_as(image: Named) -> tuple[Modality, str | None]:
    suffix = image.suffix.lower()
    if suffix in {"ct", "pet"}:
        return Modality.parse(suffix), None
    sequence = _SEQUENCES.get(suffix, image.suffix)
    return Modality.MRI, f"{sequence}-CE" if "ce" in image.entities else sequence
