"""Names and colours of labels as other programs read them: ITK-SNAP's text, and the XML inside a NIfTI header.

The XML is the label table of Connectome Workbench and Caret, which look for it under NIfTI's extension code 30.
TotalSegmentator writes and reads the same table under code 0, as the first extension, so it stands there too.
"""

from collections.abc import Sequence
from pathlib import Path

from ...files import write_text
from ..legend import Label

UNKNOWN, CARET = 0, 30
"""Codes of NIfTI extensions under which the table stands, in this order."""
_HEAD = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""


def itk_snap_table(labels: Sequence[Label]) -> str:
    """A label description file, for "Segmentation > Import Label Descriptions" of ITK-SNAP."""
    rows = ['    0     0    0    0        0  0  0    "Clear Label"']
    for label in labels:
        red, green, blue = label.colour
        name = label.name.replace('"', "'")
        rows.append(f'{label.value:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{name}"')
    return _HEAD + "\n".join(rows) + "\n"


def write_itk_snap_table(path: Path, labels: Sequence[Label]) -> None:
    """Write the text of `itk_snap_table`."""
    write_text(path, itk_snap_table(labels))


def caret_table(labels: Sequence[Label]) -> bytes:
    """The XML that stands in the header of a NIfTI label map."""
    rows = "".join(map(_caret_row, labels))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><CaretExtension><Date><![CDATA[]]></Date><VolumeInformation Index="0">'
        f"<LabelTable>{rows}</LabelTable><StudyMetaDataLinkSet></StudyMetaDataLinkSet>"
        "<VolumeType><![CDATA[Label]]></VolumeType></VolumeInformation></CaretExtension>"
    ).encode()


def _caret_row(label: Label) -> str:
    red, green, blue = (f"{part / 255:.6g}" for part in label.colour)
    name = label.name.replace("]]>", "]]")
    return f'<Label Key="{label.value}" Red="{red}" Green="{green}" Blue="{blue}" Alpha="1"><![CDATA[{name}]]></Label>'
