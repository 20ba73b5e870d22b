"""Make an RT structure set (DICOM PS3.3 A.19) of a label map, by pydicom and contourpy.

Not by rt-utils: its contours run through the centres of the border's voxels, so that a rim of half a voxel is lost, and
it needs OpenCV. Ours run half-way to the voxels outside, see `contour_tracing`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from ... import __version__
from ..grid import Array, Floats, Grid
from ..legend import Label, labels_in
from ..snomed import CodedTerm, structure_code
from ..volume import DicomSource
from .contour_tracing import outline
from .dicom_file import STRUCTURE_SET, UTF_8
from .dicom_geometry import LPS_TO_RAS

_NAME = "SegEVOLution"
_SERIES_NUMBER = 901  # far from those that a scanner gives
_LONGEST_TEXT, _LONGEST_LABEL = 64, 16  # characters, of DICOM's LO and SH
_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"  # the class by which a structure set refers to a study
# A structure set copies these; where a series left one out, it is written empty (type 2).
_COPIED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_CHARACTERS = "SpecificCharacterSet"


def structure_set(array: Array, grid: Grid, source: DicomSource, labels: Sequence[Label]) -> FileDataset:
    """A label map (X, Y, Z) as a structure set that refers to the series whose grid it lies on.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: a value in the series' headers is missing or impossible.
    """
    first, now = source.headers[0], datetime.now()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(STRUCTURE_SET), generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    if not all(label.name.isascii() for label in labels):
        data.SpecificCharacterSet = UTF_8
    elif _CHARACTERS in first:
        data[_CHARACTERS] = first[_CHARACTERS]
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for name in _COPIED:
        setattr(data, name, str(first.get(name, None) or ""))
    data.StudyInstanceUID, data.SeriesInstanceUID = first.StudyInstanceUID, generate_uid()
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = first.FrameOfReferenceUID, ""
    data.Modality, data.SeriesNumber, data.InstanceNumber = "RTSTRUCT", _SERIES_NUMBER, 1
    data.SeriesDescription = f"{_NAME} contours, for research"
    data.Manufacturer = data.ManufacturerModelName = _NAME
    data.SoftwareVersions, data.OperatorsName = __version__, ""
    data.StructureSetLabel = _NAME[:_LONGEST_LABEL]
    data.StructureSetDate, data.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.InstanceCreationDate, data.InstanceCreationTime = data.StructureSetDate, data.StructureSetTime
    data.SeriesDate, data.SeriesTime = data.StructureSetDate, data.StructureSetTime
    data.ApprovalStatus = "UNAPPROVED"
    slices = _referred_slices(source)
    data.ReferencedFrameOfReferenceSequence = [_reference(first, slices)]
    regions = labels_in(array, labels)
    if not regions:
        raise ValueError("the label map is empty and names no structure")
    data.StructureSetROISequence = [_region(number, label, first) for number, label in enumerate(regions, start=1)]
    data.ROIContourSequence = [
        _contours(number, label, array == label.value, grid, slices) for number, label in enumerate(regions, start=1)
    ]
    data.RTROIObservationsSequence = [_observation(number, label) for number, label in enumerate(regions, start=1)]
    return data


def _item(**values: Any) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _referred_slices(source: DicomSource) -> list[pydicom.Dataset]:
    """The reference to each slice of the volume: a file, or a frame of the only file."""
    if len(source.headers) > 1:
        headers = [source.headers[place] for place in source.order]
        return [
            _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
            for header in headers
        ]
    only = source.headers[0]
    return [
        _item(
            ReferencedSOPClassUID=only.SOPClassUID,
            ReferencedSOPInstanceUID=only.SOPInstanceUID,
            ReferencedFrameNumber=place + 1,
        )
        for place in source.order
    ]


def _reference(first: pydicom.Dataset, slices: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    """The frame of reference with the study, the series and each of its files."""
    files = {item.ReferencedSOPInstanceUID: item.ReferencedSOPClassUID for item in slices}
    images = [_item(ReferencedSOPClassUID=kind, ReferencedSOPInstanceUID=instance) for instance, kind in files.items()]
    series = _item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID=_DETACHED_STUDY,
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _region(number: int, label: Label, first: pydicom.Dataset) -> pydicom.Dataset:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID,
        ROIName=label.name[:_LONGEST_TEXT],
        ROIGenerationAlgorithm="SEMIAUTOMATIC",
        ROIGenerationDescription=f"{_NAME} {__version__}"[:_LONGEST_TEXT],
    )


def _contours(number: int, label: Label, mask: Array, grid: Grid, slices: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    """The contours of one mask (X, Y, Z), slice by slice."""
    contours = []
    for height in np.flatnonzero(mask.any(axis=(0, 1))).tolist():
        for ring in outline(mask[..., height]):
            corners = np.column_stack([ring, np.full(len(ring), height)])
            contours.append(
                _item(
                    ContourImageSequence=[slices[height]],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(ring),
                    ContourData=_numbers(grid.to_mm(corners) @ LPS_TO_RAS[:3, :3]),
                )
            )
    region = _item(ROIDisplayColor=list(label.colour))
    if contours:
        region.ContourSequence = contours
    region.ReferencedROINumber = number
    return region


def _numbers(points: Floats) -> list[str]:
    """Coordinates as DICOM's decimal strings, of at most 16 characters: hundred-thousandths of a millimetre."""
    texts = [f"{value:.5f}".rstrip("0").rstrip(".") for value in points.ravel().tolist()]
    return ["0" if text == "-0" else text for text in texts]


def _observation(number: int, label: Label) -> pydicom.Dataset:
    code = structure_code(label.name)
    kind = _concept(code.kind)
    if code.side is not None:
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(code.side)]
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=label.name[:_LONGEST_LABEL],
        RTROIIdentificationCodeSequence=[kind],
        RTROIInterpretedType="",
        ROIInterpreter="",
    )


def _concept(term: CodedTerm) -> pydicom.Dataset:
    return _item(CodeValue=term.value, CodingSchemeDesignator=term.scheme, CodeMeaning=term.meaning)
