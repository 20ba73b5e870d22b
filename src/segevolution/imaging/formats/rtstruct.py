"""RT structure sets (.rtstruct.dcm): a structure a region of interest, its contours in the planes of a DICOM series."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ...errors import FormatError, OutputError
from ...files import replacing
from ..grid import Array
from ..legend import Label
from ..volume import Volume
from .base import Format, ReadOptions
from .dicom_file import without_warnings
from .dicom_reference import referred_series

SUFFIX = ".rtstruct.dcm"
KIND = "an RT structure set"


def write(array: Array, like: Volume, path: Path, force: bool, labels: Sequence[Label] = ()) -> None:
    """Write a label map (X, Y, Z) on the grid of a DICOM series as a structure set, an ROI a label.

    ROIs are numbered 1, 2, 3 ... in the order of the labels' values. Without `labels` an ROI is called by its value.

    Raises:
        OutputError: `like` is no DICOM series, or one that cannot be referred to; the place cannot be written, or
            exists without `force`; or a value of the series' headers cannot be copied.
    """
    source = referred_series(like, path, KIND)
    with replacing(path, force=force) as temporary, without_warnings():
        try:
            # Imported on use: tracing takes packages that nothing else needs at the start.
            writing = import_module(".rtstruct_writing", __package__)
            writing.structure_set(array, like.grid, source, labels).save_as(temporary, enforce_file_format=True)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise OutputError(
                f"{path.name} cannot be written: a value in the headers of {like.name} is missing or breaks the "
                f"standard ({' '.join(str(error).split())[:200]}); save the label map as .nii.gz or .seg.nrrd."
            ) from error


def refuse_signal(path: Path, options: ReadOptions) -> Volume:
    """Refuse to read a structure set as an image; raises FormatError."""
    raise FormatError(f"{path} is {KIND}, which holds contours and no signal; give the folder of its series.")


RTSTRUCT = Format("rtstruct", (SUFFIX,), lambda start: False, refuse_signal, write, (SUFFIX,))
