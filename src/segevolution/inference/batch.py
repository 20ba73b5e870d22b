"""Many scans in one call: the network is loaded once, a bad file stops no other, and what is done is not done again.

    FOLDER/<name>_seg.nii.gz        the masks of one scan, or FOLDER/<name>/ with one file a structure
    FOLDER/<name>_seg.json          their key; it appears together with them
    FOLDER/<name>_seg.failed.txt    why a scan could not be segmented; gone when it could
    FOLDER/segmentations.csv        a row a structure and scan: volumes, expected overlap, warnings

The table is made from the keys, so that parts of a batch that run on several machines, and calls that go on where an
earlier one was stopped, share one.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import AdapterError, CheckpointError, DeviceError, OutputError, SegevolutionError, VocabularyError
from ..files import check_name_lengths, is_taken, write_text
from .answer_key import read_key
from .networks import Networks
from .outputs import Outputs, check_inputs
from .predict import Progress, predict
from .question_digest import question_digest
from .request import SegmentRequest
from .scan_inputs import ScanInput
from .segment_report import SegmentReport

TABLE = "segmentations.csv"
COLUMNS = (
    "scan",
    "structure",
    "label",
    "volume_ml",
    "voxels",
    "mean_intensity",
    "predicted_iou",
    "expected_overlap",
    "warnings",
    "file",
    "image",
    "status",
)
_FAILED = ".failed.txt"
# What is wrong with these is wrong for every scan, so that the batch stops at the first.
_EVERYWHERE = (CheckpointError, AdapterError, DeviceError, VocabularyError)


@dataclass(frozen=True)
class ScanResult:
    """What came of one scan.

    Attributes:
        scan: which.
        report: what was written; None where it failed, or was done by an earlier call.
        failure: why it could not be segmented; None = it was.
    """

    scan: ScanInput
    report: SegmentReport | None
    failure: str | None


class Batch:
    """The same question about many scans.

    Args:
        request: what is asked of every scan; its image, series, output and preview are set for each.
        scans: which.
        folder: where everything is written.
        previews: a folder of previews, a PNG a scan; None = none.
        markups: a folder with <name>.mrk.json for each scan; None = none.

    Raises:
        OutputError: the folder is none, holds answers to another question and `request.force` is False, or masks of
            another format; or an output of one scan would take the place of a file of a scan.
    """

    def __init__(
        self,
        request: SegmentRequest,
        scans: Sequence[ScanInput],
        folder: Path,
        *,
        previews: Path | None = None,
        markups: Path | None = None,
    ) -> None:
        self.folder = folder
        self.scans = tuple(scans)
        self._requests = {
            scan: _request_of(request, scan, folder, previews=previews, markups=markups) for scan in scans
        }
        if is_taken(folder) and not folder.is_dir():
            raise OutputError(f"{folder} is a file; several scans are written to a folder, so choose another name.")
        self._name_faults = {scan: fault for scan in scans if (fault := _name_fault(self._requests[scan].outputs))}
        nameable = {scan: own for scan, own in self._requests.items() if scan not in self._name_faults}
        inputs = (file for own in nameable.values() for file in own.inputs)
        check_inputs([own.outputs for own in nameable.values()], inputs)
        if not request.force:
            for scan, own in nameable.items():
                self._require_same(scan, own)

    def remaining(self, part: tuple[int, int] = (1, 1)) -> tuple[ScanInput, ...]:
        """The scans that an earlier call did not do, of part i of n."""
        number, parts = part
        mine = self.scans[number - 1 :: parts]
        return tuple(scan for scan in mine if self._requests[scan].force or not self._is_done(scan))

    def run(
        self, scans: Sequence[ScanInput], progress: Callable[[ScanInput, int], Progress] | None = None
    ) -> Iterator[ScanResult]:
        """Segment scans one after the other, and yield what came of each as soon as its files are there.

        Args:
            scans: some of `remaining`.
            progress: (scan, how many are done) -> what `predict` tells.

        Raises:
            SegevolutionError: the model, adapter, device or a structure's name is wrong, for every scan.
        """
        networks = Networks(next(iter(self._requests.values())).device) if self._requests else None
        for number, scan in enumerate(scans):
            if scan in self._name_faults:
                yield ScanResult(scan, None, self._name_faults[scan])
                continue
            # What a killed call left of this scan is replaced; `__init__` made sure that it answers the same question.
            request = replace(self._requests[scan], force=self._requests[scan].force or self._has_key(scan))
            failed = _failure_file(request.outputs)
            try:
                report = predict(request, progress(scan, number) if progress else None, networks)
            except _EVERYWHERE:
                raise
            except (SegevolutionError, OSError, MemoryError, RuntimeError) as error:
                sentence = " ".join(str(error).split()) or type(error).__name__
                write_text(failed, sentence + "\n")
                yield ScanResult(scan, None, sentence)
            else:
                failed.unlink(missing_ok=True)
                yield ScanResult(scan, report, None)

    def write_table(self) -> Path:
        """Write the table of all scans that are done or have failed, in the order of the scans; returns its path."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        write_text(self.folder / TABLE, stream.getvalue())
        return self.folder / TABLE

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        rows: list[dict[str, Any]] = []
        for scan in self.scans:
            outputs = self._requests[scan].outputs
            failed = _failure_file(outputs)
            about = {"scan": scan.name, "image": str(scan.path)}
            if scan in self._name_faults or failed.is_file():
                sentence = self._name_faults.get(scan) or failed.read_text(encoding="utf-8").strip()
                rows.append({**about, "status": "failed", "warnings": sentence})
            elif outputs.key.is_file():
                for row in read_key(outputs.key).structures:
                    values = row.model_dump(exclude={"name", "warnings", "file"})
                    file = (outputs.key.parent / row.file).relative_to(self.folder)
                    warnings = "; ".join(row.warnings)
                    rows.append(
                        {**about, **values, "structure": row.name, "file": file, "warnings": warnings, "status": "done"}
                    )
        return rows

    def _is_done(self, scan: ScanInput) -> bool:
        """Whether the key of a scan and all masks that it names are there."""
        outputs = self._requests[scan].outputs
        if scan in self._name_faults or not outputs.key.is_file() or _failure_file(outputs).is_file():
            return False
        structures = read_key(outputs.key).structures
        return all((outputs.key.parent / row.file).is_file() for row in structures)

    def _has_key(self, scan: ScanInput) -> bool:
        return self._requests[scan].outputs.key.is_file()

    def _require_same(self, scan: ScanInput, request: SegmentRequest) -> None:
        key = request.outputs.key
        if not key.is_file():
            return
        if read_key(key).question != question_digest(request):
            raise OutputError(
                f"{key} answers another question, or {scan.path} has changed since; use --force to replace what is "
                f"in {self.folder}, or choose another folder."
            )


def _request_of(
    request: SegmentRequest, scan: ScanInput, folder: Path, *, previews: Path | None, markups: Path | None
) -> SegmentRequest:
    """The question about one scan."""
    suffix = ".nii.gz" if request.output is None else "".join(request.output.suffixes)
    output = folder / scan.name if request.split else folder / f"{scan.name}_seg{suffix}"
    return replace(
        request,
        image=scan.path,
        series=scan.series or request.series,
        slices=scan.slices,
        output=output,
        preview=None if previews is None else previews / f"{scan.name}.png",
        markups=None if markups is None else markups / f"{scan.name}.mrk.json",
    )


def _name_fault(outputs: Outputs) -> str | None:
    """Why neither a key nor a failure can be written under the scan's name; None where they can."""
    try:
        for file in (outputs.key, _failure_file(outputs)):
            check_name_lengths(file)
    except OutputError as error:
        return str(error)
    return None


def _failure_file(outputs: Outputs) -> Path:
    return outputs.key.with_name(outputs.key.stem + _FAILED)
