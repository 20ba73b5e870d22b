"""Small DICOM series, segmentations and structure sets, made by pydicom alone, that a test may damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, SEG, LABELMAP, RTSTRUCT = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.3",
)
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
OBLIQUE = ((0.96, 0.0, -0.28), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Stack:
    """Where slices lie: slice k is `gap` * k along the normal from the first; masks are (rows, columns, slices)."""

    rows: int = 9
    columns: int = 7
    slices: int = 5
    corner: tuple[float, float, float] = (-10.0, -20.0, 30.0)
    cosines: tuple[tuple[float, float, float], tuple[float, float, float]] = AXIAL
    between: tuple[float, float] = (1.5, 0.75)  # rows, columns
    gap: float = 2.0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.columns, self.slices

    def position(self, number: int) -> list[float]:
        normal = np.cross(*self.cosines)
        return (np.array(self.corner) + number * self.gap * normal).round(6).tolist()

    def lps(self, corners: Sequence[tuple[float, float]], number: float) -> list[list[float]]:
        """(column, row) positions in a slice, pixel centres at whole numbers, as LPS millimetres."""
        across, down = map(np.array, self.cosines)
        start = np.array(self.corner) + number * self.gap * np.cross(across, down)
        return [(start + x * self.between[1] * across + y * self.between[0] * down).tolist() for x, y in corners]


def item(**values: Any) -> pydicom.Dataset:
    data = pydicom.Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def code(value: str, meaning: str = "meaning", scheme: str = "SCT", **more: Any) -> pydicom.Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, **more)


def _file(kind: str, modality: str, **tags: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = kind, meta.MediaStorageSOPInstanceUID, modality
    defaults = {"StudyInstanceUID": "1.2.4", "FrameOfReferenceUID": "1.2.5", "PatientID": "P7"}
    for name, value in (defaults | tags).items():
        if value is not None:
            setattr(data, name, value)
    return data


def series(folder: Path, stack: Stack = Stack(), uid: str = "1.2.3", **tags: Any) -> Path:
    """A CT whose voxel at (row, column, slice) holds 100 * slice + 10 * row + column."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(stack.slices):
        rows, columns = np.indices((stack.rows, stack.columns))
        data = _file(CT, "CT", **{"SeriesInstanceUID": uid, "SeriesDescription": "small"} | tags)
        data.ImagePositionPatient = stack.position(number)
        data.ImageOrientationPatient = [*stack.cosines[0], *stack.cosines[1]]
        data.PixelSpacing, data.SliceThickness = list(stack.between), stack.gap
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = stack.rows, stack.columns
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = (100 * number + 10 * rows + columns).astype(np.uint16).tobytes()
        # File names run against the stack: only positions may order it.
        data.save_as(folder / f"{99 - number:02d}.dcm", enforce_file_format=True)
    return folder


def segment(number: int, label: str, *codes: pydicom.Dataset, **more: Any) -> pydicom.Dataset:
    kind = {"SegmentedPropertyTypeCodeSequence": list(codes)} if codes else {}
    return item(SegmentNumber=number, SegmentLabel=label, SegmentAlgorithmType="MANUAL", **kind, **more)


def segmentation(
    path: Path,
    segments: Sequence[pydicom.Dataset],
    frames: Sequence[tuple[int | None, int, np.ndarray]],
    stack: Stack = Stack(),
    *,
    kind: str = "BINARY",
    apart: float | None = -1.0,
    uid: str | None = "1.2.3",
    **tags: Any,
) -> Path:
    """A SEG of frames (segment, slice, pixels (rows, columns)), in the order in which they are given.

    Args:
        apart: SpacingBetweenSlices; -1 takes the stack's, None leaves it out.
        uid: of the series that it refers to.
    """
    data = _file(LABELMAP if kind == "LABELMAP" else SEG, "SEG", SeriesInstanceUID="1.2.9")
    data.SegmentationType, data.SegmentSequence = kind, list(segments)
    if uid is not None:
        data.ReferencedSeriesSequence = [item(SeriesInstanceUID=uid)]
    measures = item(PixelSpacing=list(stack.between), SliceThickness=stack.gap)
    if apart is not None:
        measures.SpacingBetweenSlices = stack.gap if apart == -1 else apart
    turn = item(ImageOrientationPatient=[*stack.cosines[0], *stack.cosines[1]])
    data.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[turn])]
    groups = []
    for number, place, _ in frames:
        group = item(PlanePositionSequence=[item(ImagePositionPatient=stack.position(place))])
        if number is not None:
            group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames = groups, len(frames)
    data.Rows, data.Columns = frames[0][2].shape if frames else (stack.rows, stack.columns)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    pixels = np.stack([picture for _, _, picture in frames]) if frames else np.zeros((0, 1, 1))
    bits = 1 if kind == "BINARY" else 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    if kind == "FRACTIONAL":
        data.SegmentationFractionalType, data.MaximumFractionalValue = "PROBABILITY", 200
    data.PixelData = pack_bits(pixels.astype(np.uint8)) if bits == 1 else _even(pixels.astype(np.uint8).tobytes())
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def binary(path: Path, masks: Mapping[str, np.ndarray], stack: Stack = Stack(), **more: Any) -> Path:
    """A BINARY SEG of named masks (rows, columns, slices); empty frames are left out."""
    segments = [segment(number, name) for number, name in enumerate(masks, start=1)]
    frames = [
        (number, place, mask[..., place])
        for number, mask in enumerate(masks.values(), start=1)
        for place in range(mask.shape[2])
        if mask[..., place].any()
    ]
    return segmentation(path, segments, frames, stack, **more)


def structure_set(
    path: Path,
    contours: Mapping[str, Sequence[tuple[float, Sequence[tuple[float, float]]]]],
    stack: Stack = Stack(),
    *,
    kind: str = "CLOSED_PLANAR",
    uid: str | None = "1.2.3",
    **tags: Any,
) -> Path:
    """An RTSTRUCT of named ROIs, each a list of (slice, corners (column, row))."""
    data = _file(RTSTRUCT, "RTSTRUCT", SeriesInstanceUID="1.2.10", StructureSetLabel="drawn", FrameOfReferenceUID=None)
    drawn_on = item(FrameOfReferenceUID="1.2.5")
    if uid is not None:
        study = item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=uid)])
        drawn_on.RTReferencedStudySequence = [study]
    data.ReferencedFrameOfReferenceSequence = [drawn_on]
    data.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID="1.2.5")
        for number, name in enumerate(contours, start=1)
    ]
    data.ROIContourSequence = []
    for number, rings in enumerate(contours.values(), start=1):
        sequence = []
        for place, corners in rings:
            points = stack.lps(corners, place)
            texts = [f"{value:.4f}" for point in points for value in point]
            sequence.append(item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=texts))
        data.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=sequence))
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)
