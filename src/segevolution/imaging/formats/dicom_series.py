"""The image series of a DICOM folder: which files belong to which, and what is wrong with others."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom

from ...errors import FormatError
from ...memory import MemoryBudget
from .dicom_file import SEGMENTATIONS, blaming, files_below, load, without_warnings


@dataclass(frozen=True)
class SeriesInfo:
    """One image series in a DICOM folder: its SeriesInstanceUID, what a person knows it by, and its files."""

    uid: str
    description: str
    modality: str
    slices: int
    files: tuple[Path, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f'{self.uid} ({self.modality}, "{self.description}", {self.slices} slices)'


@dataclass(frozen=True)
class FolderContents:
    """What a folder and its subfolders, or one file, hold of DICOM.

    Attributes:
        path: the folder or file.
        series: UID -> image series, the largest first.
        faults: what is wrong with a file that is DICOM, or is called so; it may be a slice of any series beside it.
    """

    path: Path
    series: dict[str, SeriesInfo]
    faults: dict[Path, FormatError]

    def require_sound(self) -> None:
        """Raise FormatError where a file is damaged or there is no image series at all."""
        for fault in self.faults.values():
            raise fault
        if not self.series:
            raise no_series(self.path)

    def chosen(self, uid: str | None) -> SeriesInfo:
        """The series of a UID, or the only one.

        Raises:
            FormatError: there is no such series, or there are several to choose from; a file is damaged that may be a
                slice of it, which any may where no UID is given.
        """
        info = self.series.get(uid) if uid is not None else None
        if info is not None:
            folders = {file.parent for file in info.files}
            for file, fault in self.faults.items():
                if file.parent in folders:
                    raise fault
            return info
        self.require_sound()
        listing = "; ".join(map(str, self.series.values()))
        if uid is not None:
            raise FormatError(f"{self.path} holds no series {uid}; it holds {listing}.")
        if len(self.series) > 1:
            raise FormatError(
                f"{self.path} holds {len(self.series)} series; choose one with --series: {listing}.",
            )
        return next(iter(self.series.values()))


def contents_of(path: Path, memory: MemoryBudget | None = None) -> FolderContents:
    """Look through the headers of all files below a folder, or of one file; other files are passed over.

    Raises:
        FormatError: the path is a file, and damaged, or a segmentation, which holds no signal.
    """
    memory = memory or MemoryBudget.of()
    series: dict[str, SeriesInfo] = {}
    faults: dict[Path, FormatError] = {}
    with without_warnings():
        for file in [path] if path.is_file() else files_below(path):
            try:
                info = _series_of(file, path, memory)
            except FormatError as fault:
                if file == path:
                    raise
                faults[file] = fault
                continue
            if info is not None:
                earlier = series.get(info.uid, replace(info, slices=0, files=()))
                slices, files = earlier.slices + info.slices, (*earlier.files, file)
                series[info.uid] = replace(earlier, slices=slices, files=files)
    by_size = sorted(series.items(), key=lambda item: (-item[1].slices, item[0]))
    return FolderContents(path, dict(by_size), faults)


def list_series(folder: Path) -> list[SeriesInfo]:
    """The image series of a folder and its subfolders, the largest first; other files are passed over.

    Raises:
        FormatError: the folder is missing, empty, holds no DICOM images, or a file named .dcm that is none.
    """
    contents = contents_of(Path(folder))
    contents.require_sound()
    return list(contents.series.values())


def no_series(path: Path) -> FormatError:
    """What is said of a folder or file without any image series."""
    files = [path] if path.is_file() else files_below(path)
    if not files:
        return FormatError(f"{path} is an empty folder; give the folder that holds the DICOM files.")
    return FormatError(
        f"{path} holds no DICOM image ({files[0].name} is none); give the folder that holds the DICOM files, or a "
        "file of another format by its own path."
    )


def _series_of(file: Path, path: Path, memory: MemoryBudget) -> SeriesInfo | None:
    """The series of one file with its own slices alone; None for what is no image."""
    with blaming(file):
        header = load(file, memory, pixels=False)
        if header is None or not _is_image(header, file):
            return None
        if header.get("SOPClassUID") in SEGMENTATIONS:
            if path.is_dir():
                return None  # a mask of a series, not one
            raise FormatError(
                f"{path} is a DICOM segmentation, which holds labels and no signal; give the folder of its series."
            )
        return SeriesInfo(
            str(header.get("SeriesInstanceUID", "unknown")),
            str(header.get("SeriesDescription", "")),
            str(header.get("Modality", "")),
            int(header.get("NumberOfFrames", None) or 1),
            (file,),
        )


def _is_image(header: pydicom.Dataset, file: Path) -> bool:
    if "Rows" in header:
        return True
    if "Image Storage" in getattr(header.file_meta.get("MediaStorageSOPClassUID", ""), "name", ""):
        raise FormatError(f"{file} is truncated: it claims to be an image, but its header stops early; copy it again.")
    return False
