"""DICOM files of named structures, segmentations (SEG) and structure sets (RTSTRUCT), laid on an image's grid.

They may lie on the grid of any image in the same frame of reference. Which series they were drawn on, they say by its
UID; a dataset pairs them by it.
"""

from dataclasses import dataclass
from pathlib import Path

import pydicom

from ...errors import FormatError
from ...memory import MemoryBudget
from ..volume import Origin, Volume
from .dicom_file import SEGMENTATIONS, STRUCTURE_SET, blaming, files_below, identity, load, without_warnings
from .dicom_seg_reading import read_segments, segment_names
from .rtstruct_reading import read_rois, roi_names
from .structure_set import StructureName, StructureSet

_CLASSES = (*SEGMENTATIONS, STRUCTURE_SET)


@dataclass(frozen=True)
class StructureFile:
    """What a file of structures says before its voxels are read.

    Attributes:
        names: of its structures, by number.
        series: UIDs of the series that it was drawn on; none where it does not say.
        frames: UIDs of the frames of reference of its places.
    """

    names: tuple[StructureName, ...]
    series: frozenset[str]
    frames: frozenset[str]


def structure_file(path: Path) -> Path | None:
    """The file itself, or the only file of a folder, if it is a DICOM file of structures; else None."""
    if path.is_dir():
        files = files_below(path)
        return structure_file(files[0]) if len(files) == 1 else None
    if not path.is_file():
        return None
    try:
        header = identity(path)
    except FormatError:
        return None  # what it may be instead, its own reader says
    return path if header is not None and holds_structures(header) else None


def holds_structures(header: pydicom.Dataset) -> bool:
    """Whether a data set is of a segmentation or a structure set."""
    return str(header.get("SOPClassUID", "")) in _CLASSES


def describe_structures(path: Path, memory: MemoryBudget | None = None) -> StructureFile:
    """Names and references of a file of structures.

    Raises:
        FormatError: it is none, or damaged.
    """
    with without_warnings(), blaming(path):
        return _described(_opened(path, memory or MemoryBudget.of(), pixels=False), path)


def read_structures(path: Path, image: Volume | None, memory: MemoryBudget | None = None) -> StructureSet:
    """The structures of a file on the grid of an image; None takes a segmentation's own grid.

    Raises:
        FormatError: it is no such file, or damaged; it belongs to another frame of reference than the image, or lies on
            another grid; or it is a structure set, and there is no image.
        OversizeError: it needs more memory than may be used.
    """
    memory = memory or MemoryBudget.of()
    with without_warnings(), blaming(path):
        data = _opened(path, memory, pixels=True)
        if image is not None:
            _check_place(_described(data, path), path, image)
        if str(data.SOPClassUID) in SEGMENTATIONS:
            return read_segments(data, path, None if image is None else image.grid, memory)
        if image is None:
            raise FormatError(
                f"{path} is a structure set (RTSTRUCT), whose contours have voxels only on the series that they were "
                "drawn on; prepare both with data prepare, or convert it to a segmentation first."
            )
        return read_rois(data, path, image.grid, memory)


def structures_as_labels(path: Path, like: Volume | None, memory: MemoryBudget) -> Volume:
    """A file of structures as a label map whose values are their numbers.

    Raises:
        FormatError: as `read_structures`, or two structures share a voxel.
    """
    structures = read_structures(path, like, memory)
    return Volume(
        structures.label_map(str(path)),
        structures.grid,
        name=path.name,
        origin=Origin(path, "dicom"),
        remarks=structures.remarks,
    )


def _opened(path: Path, memory: MemoryBudget, *, pixels: bool) -> pydicom.Dataset:
    data = load(path, memory, pixels=pixels)
    if data is None or not holds_structures(data):
        raise FormatError(f"{path} is neither a DICOM segmentation nor a structure set.")
    return data


def _described(data: pydicom.Dataset, path: Path) -> StructureFile:
    if str(data.SOPClassUID) in SEGMENTATIONS:
        series = [item.get("SeriesInstanceUID") for item in data.get("ReferencedSeriesSequence") or ()]
        return StructureFile(segment_names(data, path), _uids(series), _uids([data.get("FrameOfReferenceUID")]))
    places = data.get("ReferencedFrameOfReferenceSequence") or ()
    series = [
        item.get("SeriesInstanceUID")
        for place in places
        for study in place.get("RTReferencedStudySequence") or ()
        for item in study.get("RTReferencedSeriesSequence") or ()
    ]
    rois = data.get("StructureSetROISequence") or ()
    frames = [*(place.get("FrameOfReferenceUID") for place in places), data.get("FrameOfReferenceUID")]
    frames += [roi.get("ReferencedFrameOfReferenceUID") for roi in rois]
    return StructureFile(roi_names(data, path), _uids(series), _uids(frames))


def _uids(values: list[object]) -> frozenset[str]:
    return frozenset(str(value) for value in values if value)


def _check_place(described: StructureFile, path: Path, image: Volume) -> None:
    """Refuse places that mean nothing in the image."""
    origin = image.origin
    if origin is None or origin.source is None or origin.series in described.series:
        return
    frame = origin.source.headers[0].get("FrameOfReferenceUID")
    if frame and described.frames and str(frame) not in described.frames:
        raise FormatError(
            f"{path} belongs to another frame of reference than {image.name}, so its places mean nothing there; give "
            f"the series that it was drawn on ({', '.join(sorted(described.series)) or 'which it does not name'})."
        )
