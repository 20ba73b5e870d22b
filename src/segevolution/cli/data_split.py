"""`segevolution data split STORE OUT.json`: deal the patients of a store to training, validation and test."""

from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..data.record import CaseRecord
    from ..data.splits import Split

from .console import MOST_SEED, AsJson, Force, Quiet, note, print_json, print_table


def split_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Store whose patients are dealt.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.json", help="File for the names of the cases of each part.")],
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="TRAIN VALIDATION TEST", help="Shares of the patients; they sum to 1."),
    ] = (0.7, 0.1, 0.2),
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the lot.")] = 0,
    split: Annotated[
        Path | None,
        typer.Option(
            help="Take the parts from this file instead of the lot, such as nnU-Net's splits_final.json (its fold 3: "
            "splits_final.json:3)."
        ),
    ] = None,
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

    With --split, the parts are those of another program's file, in names of this store's cases. A study takes the file
    as a dataset's split. The same seed gives the same file, in whatever order cases came.
    """
    from ..data.splits import PARTS, part_sizes, split_patients
    from ..data.store import Store
    from ..files import check_writable

    records = Store.open(store).cases
    dealt = _read(split, records) if split else split_patients(records, fractions, seed, original=original)
    check_writable(output, force=force)
    dealt.save(output)
    sizes = part_sizes(records, dealt)
    if as_json:
        print_json({"store": str(store), "split": str(output), "parts": [asdict(size) for size in sizes]})
    else:
        print_table(("part", "dataset", "modality", "patients", "cases"), [astuple(size) for size in sizes])
    empty = [part for part in PARTS if not getattr(dealt, part)]
    if empty:
        note(f"no patient is in {' or '.join(empty)}.", quiet=quiet)
    note(f"{len(records)} cases split in {output}", quiet=quiet)


def _read(path: Path, records: "Sequence[CaseRecord]") -> "Split":
    """The parts of a file, in names of the store's cases; StoreError where it names cases that are not there."""
    from ..data.splits import PARTS, Split, torn_patients
    from ..errors import StoreError

    split = Split.load(path).matched(records)
    names = {record.name for record in records}
    missing = [name for part in PARTS for name in getattr(split, part) if name not in names]
    if missing:
        some = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise StoreError(f"{path} names {len(missing)} cases that the store does not hold: {some}")
    torn = torn_patients(records, split)
    if torn:
        (_, patient), parts = next(iter(torn.items()))
        note(f"patient {patient} is in {' and '.join(parts)}: data check --fix-splits mends that.")
    return split
