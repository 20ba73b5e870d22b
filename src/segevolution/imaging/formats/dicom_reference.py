"""Whether a DICOM file of labels can refer to the series that a volume came from."""

from pathlib import Path

import numpy as np

from ...errors import OutputError
from ..volume import DicomSource, Volume

# What a file of labels must say of its source (DICOM PS3.3, type 1).
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_INSTEAD = "save the label map as .nii.gz or .seg.nrrd"


def referred_series(like: Volume, path: Path, kind: str) -> DicomSource:
    """What a series says that a file of labels refers to.

    Args:
        path: of the file, for the sentence.
        kind: what it is, such as "a DICOM segmentation".

    Raises:
        OutputError: `like` is no DICOM series, or none that can be referred to.
    """
    source = like.origin.source if like.origin is not None else None
    if source is None:
        raise OutputError(
            f"{path.name} is {kind}, which refers to a DICOM series, and {like.name} is none; {_INSTEAD}, or give the "
            "DICOM folder."
        )
    first = source.headers[0]
    missing = [name for header in source.headers for name in _NEEDED if not header.get(name)]
    if missing:
        raise OutputError(f"{like.name} does not say its {missing[0]}, so {kind} cannot refer to it; {_INSTEAD}.")
    for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if any(header.get(name) != first.get(name) for header in source.headers):
            raise OutputError(
                f"{like.name} has slices of more than one {name}, so {kind} cannot refer to it; {_INSTEAD}."
            )
    if len(source.headers) > 1 and len(source.headers) != len(source.order):
        raise OutputError(
            f"{like.name} is spread over several multi-frame files, and {kind} refers to one; {_INSTEAD}."
        )
    if like.grid.shape[2] != len(source.order) or not np.allclose(like.grid.affine, source.affine, atol=1e-3):
        raise OutputError(
            f"{like.name} no longer lies on the grid of its DICOM series, so {kind} cannot refer to it; {_INSTEAD}."
        )
    return source
