"""Whether a label map can be a DICOM segmentation (SEG) of a volume, and the door to what writes it.

highdicom, which writes it, comes with the extra [dicom] and takes a second to import, so it is imported on use.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ...errors import OutputError
from ...files import replacing
from ..grid import Array
from ..legend import Label
from ..volume import Volume
from .dicom_reference import referred_series

SUFFIX = ".dcm"


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
    referred_series(like, path, "a DICOM segmentation")


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
