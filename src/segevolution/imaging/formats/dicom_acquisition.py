"""Whether the slices of one series are of one person, one place and one kind of signal, as a volume's must be.

Geometry alone does not tell: slices of two people, or of magnitude and phase, may lie in one even stack.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom

from ...errors import FormatError

_IDENTITY = {"PatientID": "several patients", "FrameOfReferenceUID": "several frames of reference"}
# Parts of a complex signal, a value of ImageType (DICOM PS3.3 C.8.3.1.1.1, and as vendors write it).
_PARTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
_SAME_TIME = 0.05  # of an echo time: scanners round it by slice


def check_one_acquisition(headers: Sequence[pydicom.Dataset], files: Sequence[Path], path: Path) -> tuple[str, ...]:
    """What differs between slices that may belong together all the same, a sentence each.

    AcquisitionNumber differs where a scan was done in several breath holds, so nothing is said of it. A tag that a
    slice lacks says nothing.

    Args:
        headers: of `files`, in their order.

    Raises:
        FormatError: the slices are of several patients, of several frames of reference, or of several parts of a
            complex signal.
    """
    for name, what in _IDENTITY.items():
        _require_one([str(header.get(name, "") or "").strip() for header in headers], files, path, what)
    kinds = [_image_type(header) for header in headers]
    parts = [", ".join(word for key, word in _PARTS.items() if key in kind) for kind in kinds]
    _require_one(parts, files, path, "several parts of the signal")
    remarks = []
    echo_times = sorted({float(header.EchoTime) for header in headers if header.get("EchoTime") is not None})
    if echo_times and echo_times[-1] - echo_times[0] > _SAME_TIME * echo_times[-1]:
        remarks.append(
            f"{path} holds slices of echo times from {echo_times[0]:g} to {echo_times[-1]:g} ms; they were read as one "
            "volume, whose contrast may change from slice to slice"
        )
    types = sorted({"\\".join(kind) for kind in kinds if kind})
    if len(types) > 1:
        remarks.append(f"{path} holds slices of {len(types)} image types ({'; '.join(types[:3])}), read as one volume")
    return tuple(remarks)


def _image_type(header: pydicom.Dataset) -> tuple[str, ...]:
    value: Any = header.get("ImageType", None)
    return () if value is None else (value,) if isinstance(value, str) else tuple(map(str, value))


def _require_one(values: Sequence[str], files: Sequence[Path], path: Path, what: str) -> None:
    """Refuse two values that are both said."""
    file_by_value = {value: file for value, file in zip(reversed(values), reversed(files), strict=True) if value}
    if len(file_by_value) > 1:
        (first, file), (second, other) = sorted(file_by_value.items(), key=lambda item: item[1])[:2]
        raise FormatError(
            f"{path} holds slices of {what} in one series ({file.name}: {first[:60]}; {other.name}: {second[:60]}), so "
            "they are no volume; separate them first."
        )
