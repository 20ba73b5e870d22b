"""Write a DICOM segmentation (PS3.3 A.51) by highdicom; needs `pip install "segevolution[dicom]"`.

Only `dicom_seg` imports this module, when such a file is asked for.
"""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence, PixelMeasuresSequence
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept

from ... import __version__
from ..grid import Array
from ..legend import Label, labels_in
from ..snomed import CodedTerm, structure_code
from ..volume import Volume
from .dicom_file import UTF_8

_NAME = "SegEVOLution"
_SERIES_NUMBER = 900  # far from those that a scanner gives
_LONGEST_LABEL = 64  # characters, of DICOM's LO
_LEARNED = CodedConcept("123110", "DCM", "Artificial Intelligence")
# A segmentation copies these; where a series left one out, it is written empty (type 2).
_COPIED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)


def write(array: Array, like: Volume, path: Path, labels: Sequence[Label]) -> None:
    """Write a label map (X, Y, Z) that `dicom_seg.check` has passed."""
    assert like.origin is not None
    source = like.origin.source
    assert source is not None
    segments = labels_in(array, labels)
    if not segments:
        raise ValueError("the label map is empty and names no structure")
    numbers = np.zeros(segments[-1].value + 1, np.min_scalar_type(len(segments)))
    numbers[[segment.value for segment in segments]] = np.arange(1, len(segments) + 1)
    slices = np.ascontiguousarray(numbers[array].transpose(2, 1, 0))  # (slices, rows, columns), along the normal
    if len(source.headers) > 1:
        headers = [_completed(source.headers[place], like.grid.spacing[2]) for place in source.order]
    else:  # the frames of one file, in the file's own order
        headers = [_completed(source.headers[0], like.grid.spacing[2])]
        slices = slices[np.argsort(source.order)]
    columns, rows, distance = like.grid.spacing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values in the series that bend the standard
        segmentation = Segmentation(
            headers,
            slices,
            "BINARY",
            [_described(number, segment) for number, segment in enumerate(segments, start=1)],
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description="Segmentation for research",
            series_description=f"{_NAME} segmentation, for research",
            pixel_measures=PixelMeasuresSequence([rows, columns], distance, distance),
        )
        if not all(segment.name.isascii() for segment in segments):
            _to_utf_8(segmentation)
        segmentation.save_as(path)


def _to_utf_8(data: pydicom.Dataset) -> None:
    """Let a data set be written in UTF-8; a person's name would keep the bytes that it was read from."""
    data.SpecificCharacterSet = UTF_8
    for element in data:
        if element.VR == "PN":
            element.value = str(element.value)


def _completed(header: pydicom.Dataset, distance: float) -> pydicom.Dataset:
    """The header with what highdicom asks for; the thickness does not reach the file, which has its own."""
    completed = copy.copy(header)
    for name in _COPIED:
        if name not in completed:
            setattr(completed, name, "")
    if not completed.get("SliceThickness"):
        completed.SliceThickness = distance
    return completed


def _described(number: int, label: Label) -> Any:
    code = structure_code(label.name)
    description = SegmentDescription(
        number,
        label.name[:_LONGEST_LABEL],
        _concept(code.category),
        _concept(code.kind),
        "SEMIAUTOMATIC",
        AlgorithmIdentificationSequence(_NAME, _LEARNED, __version__),
        anatomic_regions=None if code.region is None else [_concept(code.region)],
        display_color=CIELabColor.from_rgb(*label.colour),
    )
    if code.side is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = pydicom.Sequence([_concept(code.side)])
    return description


def _concept(term: CodedTerm) -> CodedConcept:
    return CodedConcept(term.value, term.scheme, term.meaning)
