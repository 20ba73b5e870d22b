"""`segevolution data ...`: prepare a dataset into a store, and look into it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, Force, Quiet, note, print_json, print_table, progress_bar
from .data_check import check_command
from .data_example import example_command
from .data_export import export_command
from .data_simulate import simulate_command
from .data_split import split_command
from .data_synthesise import synthesise_command
from .options import DatasetModality, DatasetSequence, PatientRule

app = typer.Typer(add_completion=False, no_args_is_help=True)

SHOWN = 8  # remarks that are printed


@app.command("prepare")
def prepare_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help='Layout of the dataset (see "data sources"), or auto.')
    ],
    folder: Annotated[Path, typer.Argument(metavar="IN", help="Folder of the dataset.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Store to fill; made if it is not there.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that read and write.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first case that cannot be used.")] = False,
    modality: DatasetModality = None,
    sequence: DatasetSequence = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset in the store.")] = None,
    patients: PatientRule = None,
    split: Annotated[
        Path | None,
        typer.Option(
            help="Prepare the cases of this split only, and note their parts: a file of data split, or nnU-Net's "
            "splits_final.json (its fold 3: splits_final.json:3)."
        ),
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(
            help="Where the axes of files point that do not say it, such as LAS; such files are refused else."
        ),
    ] = None,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Let files of the dataset name other files outside of their folder."),
    ] = False,
    prefix: Annotated[str, typer.Option(help="Put before each case's name in the store.")] = "",
    update: Annotated[
        bool, typer.Option("--update", help="Read the cases that OUT holds again, and replace those that changed.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Put every case of a dataset into a store.

    What was taken for granted is said on stderr: which file is of which patient, labels that are called otherwise,
    files and channels that are not read. Run it again to go on after a stop. A case that cannot be used is skipped
    with its reason, and the status is 1; the store keeps the reasons, see "data show". Where none can be used, the
    status is 2.
    """
    from ..data.prepare import prepare, require_cases
    from ..data.sources import Overrides, open_source
    from ..data.sources.collection import in_lines
    from ..data.splits import Split
    from ..data.store import Store
    from ..errors import StoreError
    from ..imaging.grid import axis_codes
    from ..vocabulary import Modality

    if orientation is not None:
        axis_codes(orientation)
    overrides = Overrides(
        dataset, Modality.parse(modality) if modality else None, sequence, patients, orientation, allow_outside
    )
    dataset_source = open_source(source, folder, overrides)
    split_parts = Split.load(split) if split else None
    require_cases(dataset_source)
    store = Store.ensure(output)
    with progress_bar(quiet) as bar:
        task = bar.add_task(f"prepare {dataset_source.dataset}", total=None)
        report = prepare(
            dataset_source,
            store,
            workers=workers,
            strict=strict,
            prefix=prefix,
            update=update,
            split=split_parts,
            progress=lambda done, total, _: bar.update(task, completed=done, total=total),
        )
    for line in in_lines(report.decisions):
        note(line, quiet=quiet)
    if not report.usable:
        first = next(iter(report.failed.values()))
        raise StoreError(f"no case of {folder} can be used ({len(report.failed)} were tried): {first}")
    for case, reason in report.failed.items():
        note(f"skipped {case}: {reason}")
    remarks = list(dict.fromkeys(report.notes.values()))
    for remark in remarks[:SHOWN]:
        first, *others = [case for case, case_note in report.notes.items() if case_note == remark]
        alike = f" and {len(others)} more" if others else ""
        note(f"note on {first}{alike}: {remark}", quiet=quiet)
    if len(remarks) > SHOWN:
        note(f"and {len(remarks) - SHOWN} more notes, see --json", quiet=quiet)
    if as_json:
        print_json(asdict(report) | {"store": str(output), "dataset": dataset_source.dataset})
    else:
        parts = {"added": report.added, "kept": report.kept, "skipped": report.failed}
        if update:
            parts["updated"] = report.updated
        print_table(("dataset", *parts, "store"), [(dataset_source.dataset, *map(len, parts.values()), output)])
    if report.failed:
        were = "case was" if len(report.failed) == 1 else "cases were"
        note(f"{len(report.failed)} {were} skipped, so the status is 1; everything else is in {output}.")
        raise typer.Exit(1)


@app.command("show")
def show_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to look into.")],
    contact_sheet: Annotated[Path | None, typer.Option(help="Draw slices with their labels into this PNG.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Cases on the contact sheet.")] = 24,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print datasets, modalities, sequences and structures, with their numbers of cases and patients."""
    from ..data.overview import COLUMNS, overview
    from ..data.store import Store

    opened = {str(path): Store.open(path) for path in stores}
    tables = {path: overview(store.cases) for path, store in opened.items()}
    if as_json:
        print_json(
            [
                {
                    "store": path,
                    "cases": len(store),
                    "fingerprint": store.fingerprint(),
                    "datasets": store.datasets,
                    "skipped": store.skipped,
                    "decisions": store.decisions,
                    "rows": [asdict(row) for row in tables[path]],
                }
                for path, store in opened.items()
            ]
        )
    else:
        several = len(opened) > 1
        rows = [
            [*([path] if several else []), *("" if cell is None else cell for cell in asdict(row).values())]
            for path, table in tables.items()
            for row in table
        ]
        print_table(("store", *COLUMNS) if several else COLUMNS, rows)
    for path, store in opened.items():
        for dataset, reasons in store.skipped.items():
            note(f"{len(reasons)} of {dataset} left out of {path}; --json says which and why", quiet=quiet)
    if contact_sheet is not None:
        from ..data.contact_sheet import contact_sheet as draw

        drawn_count, of = draw(list(opened.values()), contact_sheet, most=most, force=force)
        note(f"{drawn_count} of {of} cases drawn in {contact_sheet}", quiet=quiet)


@app.command("sources")
def sources_command(as_json: AsJson = False) -> None:
    """List the layouts that "data prepare" reads, with licences, links and how to get them; nothing is downloaded."""
    from ..data.sources import SOURCES

    if as_json:
        print_json({name: {"summary": source.summary} | asdict(source.provenance) for name, source in SOURCES.items()})
        return
    rows = [
        (name, source.summary, source.provenance.licence, source.provenance.link, source.provenance.obtain)
        for name, source in SOURCES.items()
    ]
    print_table(("source", "layout", "licence", "link", "how to get it"), rows)


app.command("export")(export_command)
app.command("split")(split_command)
app.command("example")(example_command)
app.command("simulate")(simulate_command)
app.command("synthesise")(synthesise_command)
app.command("check")(check_command)
