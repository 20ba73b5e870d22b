"""`segevolution data export`: a store in a layout that other programs read."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, Force, Quiet, note, print_json, print_table, progress_bar

LAYOUTS = ("m3d-seg",)


def export_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Store to write out.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to fill, one folder a dataset in it.")],
    layout: Annotated[str, typer.Option(help=f"Layout to write: {', '.join(LAYOUTS)}.")] = LAYOUTS[0],
    low: Annotated[float, typer.Option(help="Percentile of the foreground below which signal is clipped.")] = 0.05,
    high: Annotated[float, typer.Option(help="Percentile of the foreground above which signal is clipped.")] = 99.95,
    raw: Annotated[bool, typer.Option("--raw", help="Write the signal as it is, not normalised.")] = False,
    split: Annotated[
        Path | None, typer.Option(help="JSON with train, validation and test; else the datasets' own parts.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a store as M3D-Seg is laid out, which SegVol's own code reads.

    Images are clipped and standardised by their foreground on the way. Run it again to go on after a stop.
    """
    from ..data.m3d_export import Normalisation, export_m3d_seg
    from ..data.splits import Split
    from ..data.store import Store
    from ..errors import StoreError

    if layout not in LAYOUTS:
        raise StoreError(f'"{layout}" is no layout that can be written; known are {", ".join(LAYOUTS)}.')
    how = Normalisation(low, high, raw)
    parts = Split.load(split) if split else None
    opened = Store.open(store)
    with progress_bar(quiet) as bar:
        task = bar.add_task("export", total=None)
        report = export_m3d_seg(
            opened,
            output,
            how,
            split=parts,
            force=force,
            progress=lambda done, total, _: bar.update(task, completed=done, total=total),
        )
    if report.left_out:
        note(f"left out, being in no part of the split: {len(report.left_out)}", quiet=quiet)
    if as_json:
        print_json(asdict(report) | {"store": str(store), "output": str(output), "normalisation": asdict(how)})
    else:
        print_table(("code", "cases", "json"), [(c, n, output / c / f"{c}.json") for c, n in report.codes.items()])
        note(f"written: {len(report.written)}, there before: {len(report.kept)}", quiet=quiet)
