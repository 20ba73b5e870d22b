"""`segevolution data check`: what is wrong or odd in stores, and in a split over them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, Force, Quiet, note, print_json, print_table, progress_bar


def check_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to look through, together.")],
    split: Annotated[
        Path | None, typer.Option(help="JSON file with the case names of train, validation and test.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="A model, such as segvol or segvol-mini: say what it was trained on.")
    ] = None,
    fix_splits: Annotated[
        bool, typer.Option("--fix-splits", help="Write the split with whatever leaks moved out of the held-out part.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; default the split's name with -fixed.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read.")] = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look for damage, misregistration, odd intensities, duplicates, leaks and overlaps with a model's training data.

    The status is 0 where nothing is an error, and 1 where something is. With --fix-splits, leaks that the new split
    mends count no more.
    """
    from ..data.audit import check, check_input
    from ..data.audit.findings import SEVERITIES, counts
    from ..data.splits import Split
    from ..data.store import Store
    from ..errors import OutputError, StoreError
    from ..files import check_writable

    if fix_splits and split is None:
        raise StoreError("--fix-splits needs a split to mend; give it with --split FILE.")
    if output is not None and not fix_splits:
        raise OutputError(f"nothing would be written to {output}; give --fix-splits too.")
    opened = [Store.open(path) for path in stores]
    parts = Split.load(split) if split else None
    check_input(opened, split=parts, base=base)
    target = None
    if fix_splits and split is not None:
        target = output or split.with_name(f"{split.stem}-fixed{split.suffix}")
        check_writable(target, force=force)
    with progress_bar(quiet) as bar:
        tasks = {stage: bar.add_task(f"{stage} cases", total=None, visible=False) for stage in ("reading", "comparing")}
        audit = check(
            opened,
            split=parts,
            base=base,
            workers=workers,
            progress=lambda what, done, total: bar.update(tasks[what], completed=done, total=total, visible=True),
        )
    moved = {}
    if target is not None and audit.repair is not None:
        audit.repair.split.save(target)
        moved = dict(audit.repair.moved)
        note(f"{len(moved)} cases moved; the new split is {target}", quiet=quiet)
        for name, (old, new) in moved.items():
            note(f"moved {name} from {old} to {new}", quiet=quiet)
    if as_json:
        audit_summary = {
            "stores": [str(path) for path in stores],
            "cases": audit.cases,
            "counts": counts(audit.findings),
        }
        audit_summary |= {"findings": [asdict(finding) for finding in audit.findings]}
        audit_summary |= {"duplicates": [asdict(match) for match in audit.duplicates]}
        audit_summary |= {
            "moved": {name: list(change) for name, change in moved.items()},
            "split": target and str(target),
        }
        print_json(audit_summary)
    elif audit.findings:
        print_table(
            ("severity", "check", "what", "what to do"),
            [(finding.severity, finding.check, finding.message, finding.remedy) for finding in audit.findings],
        )
    number = counts(audit.findings)
    summary = ", ".join(f"{number[severity]} {severity}s" for severity in SEVERITIES)
    note(f"{audit.cases} cases: {summary}; --json names every case", quiet=quiet)
    unmended = [
        finding
        for finding in audit.findings
        if finding.severity == "error" and not (target is not None and finding.check == "leak")
    ]
    if unmended:
        raise typer.Exit(1)
