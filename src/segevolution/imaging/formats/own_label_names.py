"""The names that a label file gives its own values: Slicer's segments, the label table of a NIfTI, DICOM's segments."""

import html
import re
from pathlib import Path

import nibabel as nib

from ...errors import FormatError
from .dicom_structures import describe_structures, structure_file
from .label_tables import CARET, UNKNOWN

_LONGEST_HEADER = 1 << 20
_SEGMENT = re.compile(rb"^Segment(\d{1,9})_(Name|LabelValue)\s*:=[ \t]*(.*?)\s*$", re.MULTILINE)
_LABEL = re.compile(r'<Label\s[^>]*?Key="(\d{1,9})"[^>]*>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))\s*</Label>', re.DOTALL)


def own_label_names(path: Path) -> dict[int, str]:
    """Value -> name as a label file itself says it; empty where it says none, or cannot be read."""
    name = path.name.lower()
    try:
        if name.endswith(".nrrd"):
            return _of_segments(path)
        if name.endswith((".nii", ".nii.gz")):
            return _of_table(path)
        dicom = structure_file(path)
        structures = describe_structures(dicom).names if dicom is not None else ()
        return {structure.number: structure.coded or structure.written for structure in structures}
    except (OSError, EOFError, ValueError, KeyError, OverflowError, FormatError, nib.filebasedimages.ImageFileError):
        return {}  # what is wrong is said where its voxels are read


def _of_segments(path: Path) -> dict[int, str]:
    """By the fields of 3D Slicer in the header of a NRRD, which ends with an empty line."""
    with path.open("rb") as stream:
        header = stream.read(_LONGEST_HEADER).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    fields = {(number, key): value.decode("utf-8", "replace") for number, key, value in _SEGMENT.findall(header)}
    values = {number: value for (number, key), value in fields.items() if key == b"LabelValue" and value.isdecimal()}
    return {int(value): fields[number, b"Name"] for number, value in values.items() if fields.get((number, b"Name"))}


def _of_table(path: Path) -> dict[int, str]:
    """By the label table in the header of a NIfTI; see `label_tables`."""
    extensions = nib.load(path).header.extensions  # type: ignore[attr-defined]
    for extension in extensions:
        content = extension.get_content()
        if extension.get_code() in (UNKNOWN, CARET) and isinstance(content, bytes) and b"<LabelTable" in content:
            rows = _LABEL.findall(content[:_LONGEST_HEADER].decode("utf-8", "replace"))
            return {int(key): (data or html.unescape(text)).strip() for key, data, text in rows if int(key)}
    return {}
