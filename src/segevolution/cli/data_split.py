"""`segevolution data split STORE OUT.json`: deal the patients of a store to training, validation and test."""

from dataclasses import asdict, astuple
from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, Force, Quiet, note, print_json, print_table


def split_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Store whose patients are dealt.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.json", help="File for the names of the cases of each part.")],
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="TRAIN VALIDATION TEST", help="Shares of the patients; they sum to 1."),
    ] = (0.7, 0.1, 0.2),
    seed: Annotated[int, typer.Option(help="Of the lot.")] = 0,
    original: Annotated[
        bool,
        typer.Option(
            "--original/--no-original",
            help="Keep the parts of datasets whose authors made some; what they left out comes from their training.",
        ),
    ] = True,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Split a store by patient, each dataset and modality with its share in every part.

    A study takes the file as a dataset's split. The same seed gives the same file, in whatever order cases came.
    """
    from ..data.splits import PARTS, part_sizes, split_patients
    from ..data.store import Store
    from ..files import check_writable

    records = Store.open(store).cases
    check_writable(output, force=force)
    split = split_patients(records, fractions, seed, original=original)
    split.save(output)
    sizes = part_sizes(records, split)
    if as_json:
        print_json({"store": str(store), "split": str(output), "parts": [asdict(size) for size in sizes]})
    else:
        print_table(("part", "dataset", "modality", "patients", "cases"), [astuple(size) for size in sizes])
    empty = [part for part in PARTS if not getattr(split, part)]
    if empty:
        note(f"no patient is in {' or '.join(empty)}.", quiet=quiet)
    note(f"{len(records)} cases split in {output}", quiet=quiet)
