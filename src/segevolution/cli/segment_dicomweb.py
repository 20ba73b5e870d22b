"""`segevolution segment` with a DICOMweb service at either end, or at both."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import FormatError, OutputError
from .console import note, progress_bar
from .segment_runs import segment_one

if TYPE_CHECKING:
    from ..inference.dicomweb import DicomwebService
    from ..inference.dicomweb_address import DicomwebAddress
    from ..inference.request import SegmentRequest

_STORED = ".dcm"  # the suffix of all that can be stored


def segment_dicomweb(
    request: "SegmentRequest", image: str, store: str | None, *, statistics: bool, json: bool, quiet: bool
) -> None:
    """Fetch the series if `image` is an address, segment it, and store the label map if `store` is one.

    Args:
        request: its image is looked at where `image` is no address.

    Raises:
        FormatError: the series cannot be fetched.
        OutputError: the answer cannot be stored, or the service did not take it; then the file stays where it is.
    """
    from ..inference.dicomweb_address import DicomwebAddress, is_dicomweb, require_dicomweb

    source = DicomwebAddress.parse(image) if is_dicomweb(image) else None
    target = DicomwebAddress.parse(store, OutputError) if store is not None else None
    _check(request, source, target)
    require_dicomweb(FormatError if target is None else OutputError)
    with TemporaryDirectory(prefix="segevolution-dicomweb-") as folder:
        request = replace(request, output=request.output or _output(request, source, target))
        service = _service(target) if target is not None else None
        if service is not None:
            service.check()
        if source is not None:
            request = _fetched(request, source, Path(folder), quiet=quiet)
        segment_one(request, statistics=statistics, json=json, quiet=quiet)
        if service is not None:
            assert request.output is not None
            note(f"stored as {service.store(request.output)}", quiet=quiet)


def _check(request: "SegmentRequest", source: "DicomwebAddress | None", target: "DicomwebAddress | None") -> None:
    """Refuse, before anything is sent, what has no place to come from or to go to."""
    if source is not None and source.series is None:
        raise FormatError(f"{source.resource} names no series; add /studies/UID/series/UID.")
    if target is None:
        return
    if target.study is not None:
        raise OutputError(f"--store takes the address of a service, not of a study; give {target.service}.")
    if request.split or request.candidates:
        raise OutputError("--store stores one label map, so it does not go together with --split or --candidates.")
    if request.output is not None and not request.output.name.lower().endswith(_STORED):
        raise OutputError(
            f"{request.output} is no DICOM file, so it cannot be stored; name it .dcm (a segmentation) or "
            ".rtstruct.dcm (contours)."
        )


def _output(request: "SegmentRequest", source: "DicomwebAddress | None", target: "DicomwebAddress | None") -> Path:
    """Where the label map lies without -o: beside the image, or in the current folder where it comes from a service."""
    from ..imaging.formats.base import stem

    name = f"{source.series if source is not None else stem(request.image)}_seg"
    if request.split:
        return Path(name)
    return (Path() if source is not None else request.image.absolute().parent) / (
        f"{name}{_STORED if target is not None else '.nii.gz'}"
    )


def _service(address: "DicomwebAddress", gigabytes: float | None = None) -> "DicomwebService":
    from ..inference.dicomweb import DicomwebService
    from ..memory import MemoryBudget

    return DicomwebService(address, MemoryBudget.of(gigabytes))


def _fetched(request: "SegmentRequest", source: "DicomwebAddress", folder: Path, *, quiet: bool) -> "SegmentRequest":
    """The request for the files of a series, which are fetched into a folder."""
    assert source.series is not None
    place = folder / source.series
    place.mkdir()
    with progress_bar(quiet) as bar:
        task = bar.add_task(f"fetching from {source.host}", total=None)
        _service(source, request.max_gigabytes).fetch(place, lambda count: bar.update(task, completed=count))
    return replace(request, image=place, series=source.series, address=source.resource)
