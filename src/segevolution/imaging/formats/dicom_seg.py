"""Whether a label map can be a DICOM segmentation (SEG) of a volume, and the door to what writes it.

highdicom, which writes it, comes with the extra [dicom] and takes a second to import, so it is imported on use.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...errors import OutputError
from ...files import replacing
from ..grid import Array
from ..legend import Label
from ..volume import Volume

SUFFIX = ".dcm"
# What a segmentation must say of its source (DICOM PS3.3, type 1).
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


def is_installed() -> bool:
    """Whether DICOM segmentations can be written here."""
    return find_spec("highdicom") is not None


def require_installed(path: Path) -> None:
    """Raises OutputError where the extra [dicom] is absent."""
    if not is_installed():
        raise OutputError(
            f"{path.name} is a DICOM segmentation, which needs more packages; install them with: pip install "
            '"segevolution[dicom]".'
        )


def check(like: Volume, path: Path) -> None:
    """Refuse what cannot be written, before any work.

    Raises:
        OutputError: the extra is absent, or `like` is no DICOM series, or one that a segmentation cannot refer to.
    """
    require_installed(path)
    source = like.origin.source if like.origin is not None else None
    if source is None:
        raise OutputError(
            f"{path.name} is a DICOM segmentation, which refers to a DICOM series, and {like.name} is none; save the "
            "label map as .nii.gz or .seg.nrrd, or give the DICOM folder."
        )
    first = source.headers[0]
    missing = [name for header in source.headers for name in _NEEDED if not header.get(name)]
    if missing:
        raise OutputError(
            f"{like.name} does not say its {missing[0]}, so a DICOM segmentation cannot refer to it; save the label "
            "map as .nii.gz or .seg.nrrd."
        )
    for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if any(header.get(name) != first.get(name) for header in source.headers):
            raise OutputError(
                f"{like.name} has slices of more than one {name}, so a DICOM segmentation cannot refer to it; save the "
                "label map as .nii.gz or .seg.nrrd."
            )
    if len(source.headers) > 1 and len(source.headers) != len(source.order):
        raise OutputError(
            f"{like.name} is spread over several multi-frame files, and a DICOM segmentation refers to one; save the "
            "label map as .nii.gz or .seg.nrrd."
        )
    if like.grid.shape[2] != len(source.order) or not np.allclose(like.grid.affine, source.affine, atol=1e-3):
        raise OutputError(
            f"{like.name} no longer lies on the grid of its DICOM series, so a DICOM segmentation cannot refer to it; "
            "save the label map as .nii.gz or .seg.nrrd."
        )


def write(array: Array, like: Volume, path: Path, force: bool, labels: Sequence[Label] = ()) -> None:
    """Write a label map (X, Y, Z) on `like`'s grid as a binary segmentation, a segment a label.

    Segments are numbered 1, 2, 3 ... in the order of the labels' values. Without `labels` a segment is called by its
    value.

    Raises:
        OutputError: as `check`; or the place cannot be written, or exists without `force`; or a value of the series'
            headers cannot be copied.
    """
    check(like, path)
    with replacing(path, force=force) as temporary:
        try:
            import_module(".dicom_seg_writing", __package__).write(array, like, temporary, labels)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise OutputError(
                f"{path.name} cannot be written: a value in the headers of {like.name} is missing or breaks the "
                f"standard ({' '.join(str(error).split())[:200]}); save the label map as .nii.gz or .seg.nrrd."
            ) from error
