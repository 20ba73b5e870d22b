"""What `segevolution segment` does with a request: one scan, or several into a folder; and what it prints."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from ..errors import OutputError, PromptError
from ..files import one_line
from ..inference.batch import Batch, ScanResult
from ..inference.predict import SegmentReport, StructureResult, as_plain, predict
from ..inference.request import SegmentRequest
from ..inference.scan_inputs import ScanInput
from .console import note, print_json, print_table, progress_bar

_SOME_FAILED = 1


def segment_one(request: SegmentRequest, *, statistics: bool, json: bool, quiet: bool) -> None:
    """Segment one scan and print what was found."""
    with progress_bar(quiet) as bar:
        task = bar.add_task("", total=None)
        report = predict(
            request, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )
    if json:
        rows = [as_plain(result) for result in report.structures]
        print_json({"structures": rows, "files": [str(path) for path in report.files], "notes": report.notes})
    else:
        columns = ["structure", "label", "file", "predicted IoU", "expected overlap"]
        print_table(
            columns + (["volume (ml)", "mean intensity", "voxels"] if statistics else []),
            [_cells(result, statistics=statistics) for result in report.structures],
        )
    _say(report, quiet=quiet)


def segment_several(
    request: SegmentRequest,
    scans: Sequence[ScanInput],
    folder: Path,
    *,
    form: str,
    previews: Path | None,
    part: str | None,
    notes: Sequence[str],
    statistics: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Segment several scans into a folder, print a row a structure, and leave with status 1 where one failed."""
    from ..studies.run import WHOLE, StudyPart

    _refuse_places(request)
    if previews is not None and previews.suffix.lower() == ".png":
        raise OutputError(f"{previews} is one picture; of several images, --preview is a folder.")
    request, markups = _per_scan(request, form)
    batch = Batch(request, scans, folder, previews=previews, markups=markups)
    share = StudyPart.parse(part) if part is not None else WHOLE
    remaining = batch.remaining((share.number, share.count))
    mine = len(batch.scans[share.number - 1 :: share.count])
    for line in (*notes, _beginning(len(remaining), mine, request)):
        note(line, quiet=quiet)
    results: list[ScanResult] = []
    started = time.monotonic()
    try:
        with progress_bar(quiet) as bar:
            task = bar.add_task("", total=len(remaining))

            def tell(scan: ScanInput, done: int) -> Any:
                return lambda what, _done, _total: bar.update(task, description=f"{scan.name}: {what}", completed=done)

            for result in batch.run(remaining, tell):
                results.append(result)
                bar.update(task, completed=len(results))
                _say_of_scan(result)
    finally:
        table = batch.write_table() if results or folder.is_dir() else None
    failed = [result for result in results if result.failure is not None]
    _print_several(results, table, statistics=statistics, json=json)
    seconds = time.monotonic() - started
    succeeded = len(results) - len(failed)
    skipped = mine - len(remaining)
    note(
        f"{succeeded} scans segmented in {seconds:.0f} s, {len(failed)} failed, {skipped} were done before; "
        f"table: {table}",
        quiet=quiet,
    )
    note("for research, not a medical device", quiet=quiet)
    if failed:
        raise typer.Exit(_SOME_FAILED)


def _refuse_places(request: SegmentRequest) -> None:
    if request.points or request.negative_points or request.box is not None:
        raise PromptError(
            "points and a box belong to one image, and several were given; set them a file each in a folder of markups "
            "(--markups FOLDER with <name>.mrk.json), or segment one image at a time."
        )


def _per_scan(request: SegmentRequest, form: str) -> tuple[SegmentRequest, Path | None]:
    """The request with the masks' format in its output's name, and the folder of markups."""
    markups = request.markups
    if markups is not None and not markups.is_dir():
        raise PromptError(f"{markups} is no folder; of several images, --markups is a folder with <name>.mrk.json.")
    return replace(request, output=None if request.split else Path(f"mask{form}")), markups


def _beginning(remaining: int, mine: int, request: SegmentRequest) -> str:
    structures_text = "every structure" if request.every else ", ".join(request.names)
    if remaining == mine:
        return f"{mine} scans, {structures_text}; the first takes longest, as the model is loaded then"
    return f"{remaining} of {mine} scans are left to do, {structures_text}"


def _say(report: SegmentReport, *, quiet: bool) -> None:
    for line in report.warnings:
        note(f"warning: {line}")  # also where no progress is wanted: the answer may be wrong
    for line in (*(f"wrote {path}" for path in report.files), *report.notes[len(report.warnings) :]):
        note(line, quiet=quiet)


def _say_of_scan(result: ScanResult) -> None:
    """Warnings and failures, also where no progress is wanted."""
    if result.failure is not None:
        note(f"failed: {result.scan.name}: {result.failure}")
    for line in result.report.warnings if result.report is not None else ():
        note(f"warning: {result.scan.name}: {line}")


def _print_several(results: Sequence[ScanResult], table: Path | None, *, statistics: bool, json: bool) -> None:
    if json:
        print_json(
            {
                "scans": [
                    {
                        "scan": result.scan.name,
                        "image": str(result.scan.path),
                        "series": result.scan.series,
                        "failure": result.failure,
                        "structures": [as_plain(each) for each in result.report.structures] if result.report else [],
                        "files": [str(path) for path in result.report.files] if result.report else [],
                        "notes": result.report.notes if result.report else [],
                    }
                    for result in results
                ],
                "table": None if table is None else str(table),
            }
        )
        return
    columns = ["scan", "structure", "label", "file", "predicted IoU", "expected overlap"]
    print_table(
        columns + (["volume (ml)", "mean intensity", "voxels"] if statistics else []),
        [
            [one_line(result.scan.name), *_cells(structure, statistics=statistics)]
            for result in results
            if result.report is not None
            for structure in result.report.structures
        ],
    )


def _cells(result: StructureResult, *, statistics: bool) -> list[str]:
    expected = "-" if result.expected_overlap is None else f"{result.expected_overlap:.2f}"
    predicted = "-" if math.isnan(result.predicted_iou) else f"{result.predicted_iou:.2f}"
    row = [result.name, str(result.label), one_line(result.file.name), predicted, expected]
    if statistics:
        mean = "-" if result.mean_intensity is None else f"{result.mean_intensity:.1f}"
        row += [f"{result.volume_ml:.1f}", mean, str(result.voxels)]
    return row
