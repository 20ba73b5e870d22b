"""What DICOM files below a folder are: image series, files of structures, and which of them belong together."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os.path import commonpath
from pathlib import Path

import pydicom

from ...errors import FormatError, VocabularyError
from ...imaging.formats.dicom_file import files_below, identity
from ...imaging.formats.dicom_structures import StructureFile, describe_structures, holds_structures
from ...vocabulary import Modality

_PERSON = ("PatientBirthDate", "PatientSex", "StudyInstanceUID")


@dataclass(frozen=True)
class ImageSeries:
    """One image series.

    Attributes:
        uid: SeriesInstanceUID.
        folder: the smallest that holds its files.
        home: the folder of the dataset that it lies in, by which a patient is known; "" for the dataset's own.
        description: what a person called it.
        patient: PatientID; "" where it is not said.
        person: birth date, sex and StudyInstanceUID, by which two of one PatientID may differ; "" each where not said.
        frame: UID of its frame of reference; "" where it is not said.
    """

    uid: str
    folder: Path
    home: str
    modality: Modality
    description: str
    patient: str
    frame: str
    person: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSource:
    """One file of structures, or why it cannot be used.

    Attributes:
        series: UID of the image series that it was drawn on, if that was found.
        described: its names and references; None where it is damaged.
        fault: a sentence on what is wrong; None where it can be used.
    """

    path: Path
    home: str
    series: str | None = None
    described: StructureFile | None = None
    fault: str | None = None


@dataclass(frozen=True)
class DicomIndex:
    """The image series and files of structures below a folder."""

    series: Mapping[str, ImageSeries] = field(default_factory=dict)
    labels: tuple[LabelSource, ...] = ()


def has_structures(path: Path) -> bool:
    """Whether any file below a folder is a DICOM file of structures."""
    return any(header is not None and holds_structures(header) for _, header in _headers(path))


def index_dicom(path: Path) -> DicomIndex:
    """Look through all files below a folder; only headers are read.

    A file of structures belongs to the series whose UID it names; one that names none, to the only series of its own
    folder in its frame of reference.
    """
    files_by_series: dict[str, list[Path]] = defaultdict(list)
    series: dict[str, ImageSeries] = {}
    structure_files: list[Path] = []
    for file, header in _headers(path):
        if header is None:
            continue
        if holds_structures(header):
            structure_files.append(file)
            continue
        modality = _modality(str(header.get("Modality", "")))
        uid = str(header.get("SeriesInstanceUID", ""))
        if modality is None or not uid:
            continue
        files_by_series[uid].append(file)
        if uid not in series:
            series[uid] = ImageSeries(
                uid,
                file.parent,
                _home(file, path),
                modality,
                str(header.get("SeriesDescription", "")),
                str(header.get("PatientID", "") or "").strip(),
                str(header.get("FrameOfReferenceUID", "")),
                tuple(str(header.get(tag, "") or "").strip() for tag in _PERSON),
            )
    placed = {uid: replace(one, folder=_common(files_by_series[uid])) for uid, one in series.items()}
    return DicomIndex(placed, tuple(_label_source(file, path, placed) for file in structure_files))


def _headers(path: Path) -> Iterator[tuple[Path, pydicom.Dataset | None]]:
    for file in files_below(path):
        try:
            yield file, identity(file)
        except FormatError:
            continue  # a damaged slice is told where its series is read


def _label_source(file: Path, path: Path, series: Mapping[str, ImageSeries]) -> LabelSource:
    home = _home(file, path)
    try:
        described = describe_structures(file)
    except FormatError as error:
        return LabelSource(file, home, fault=str(error))
    listed_uids = sorted(described.series & series.keys())
    if not described.series:
        listed_uids = sorted(uid for uid, one in series.items() if one.home == home and one.frame in described.frames)
    if len(listed_uids) == 1:
        return LabelSource(file, home, listed_uids[0], described)
    if listed_uids:
        fault = (
            f"{file} belongs to {len(listed_uids)} series that are there, and nothing tells which is meant; keep one."
        )
    elif described.series:
        fault = f"{file} was drawn on the series {', '.join(sorted(described.series))}, which is not below {path}."
    else:
        fault = f"{file} does not say which series it was drawn on, and none in its folder has its frame of reference."
    return LabelSource(file, home, described=described, fault=fault)


def _home(file: Path, path: Path) -> str:
    parts = file.relative_to(path).parts
    return parts[0] if len(parts) > 1 else ""


def _common(files: Iterable[Path]) -> Path:
    return Path(commonpath([file.parent for file in files]))


def _modality(tag: str) -> Modality | None:
    try:
        return Modality.parse(tag)
    except VocabularyError:
        return None
