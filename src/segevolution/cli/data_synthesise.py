"""`segevolution data synthesise`: labelled CT or MRI from any label map."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import MOST_SEED, AsJson, Force, Quiet, note, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from ..data.synthesis.sources import SimulatedSource, SynthesisedSource
    from ..vocabulary import Modality

Spacing = Annotated[tuple[float, float, float] | None, typer.Option(metavar="X Y Z", help="Voxel size in millimetres.")]
Field = Annotated[float | None, typer.Option("--field", help="Field strength of the MRI in tesla, 1.5 or 3.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the first case; the next one takes the next seed.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that make cases.")]
Detail = Annotated[
    bool,
    typer.Option("--detail/--plain", help="Dark bone shell in MRI and a full face; plain makes what recipes make."),
]


def synthesise_command(
    labels: Annotated[Path, typer.Option("--labels", help="A label map, or a folder of them.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Store to fill, or a .nii.gz file for one image with its labels.")
    ],
    names: Annotated[
        str, typer.Option(help='freesurfer, json (a table beside the map), {"1": "liver"}, or a JSON file.')
    ] = "json",
    modality: Annotated[str | None, typer.Option(help="CT or MRI; default what the sequence says, else MRI.")] = None,
    sequence: Annotated[
        str | None, typer.Option(help="t1, t1-in, t1-out, t2, t2-spir, flair, t1-ce, random; several in turn: t1,t2.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Images to make; default one a map.")] = None,
    seed: Seed = 0,
    spacing: Spacing = None,
    field: Field = None,
    deform: Annotated[
        float | None, typer.Option(min=0, help="Millimetres of random deformation; 0 is off; default 3, heads 2.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset in the store.")] = None,
    detail: Detail = True,
    workers: Workers = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make labelled CT or MRI from label maps: a body is made up where they leave 0, and bent a little.

    Run it again to go on after a stop. Names that are not known are imaged as soft tissue, and said.
    """
    from ..data.sources.naming import slug
    from ..data.synthesis.label_names import parse_names
    from ..data.synthesis.sources import SynthesisedSource
    from ..errors import StoreError, VolumeError

    if not labels.exists():
        raise StoreError(f"{labels} is not there; give a label map, or a folder of them.")
    if field not in (None, 1.5, 3.0):
        raise VolumeError(f"the field strength is {field} tesla; the tables hold 1.5 and 3.")
    kind, sequences = requested(modality, sequence)
    source = SynthesisedSource(
        path=labels,
        patients=count,
        dataset=dataset or slug(f"synthesised_{labels.name.split('.')[0]}"),
        seed=seed,
        names=parse_names(names),
        modality=kind,
        sequences=sequences,
        spacing=spacing,
        field=field,
        deform=deform,
        lenient=True,
        detail=detail,
    )
    if output.name.lower().endswith((".nii", ".nii.gz")):
        _pair(source, output, force, quiet, as_json)
        return
    for remark, maps in source.notes().items():
        note(f"note on {_some(maps)}: {remark}", quiet=quiet)
    fill_store(source, output, workers, quiet, as_json)


def fill_store(
    source: "SimulatedSource | SynthesisedSource", output: Path, workers: int, quiet: bool, as_json: bool
) -> None:
    """Make every case of a source into a store, or what is missing of it, and say how many; status 1 if any failed."""
    from ..data.prepare import prepare
    from ..data.store import Store
    from ..data.synthesis.sources import claim

    source.index()
    store = Store.ensure(output)
    claim(store, source)
    with progress_bar(quiet) as bar:
        task = bar.add_task(f"make {source.dataset}", total=None)
        report = prepare(
            source,
            store,
            workers=workers,
            progress=lambda done, total, _: bar.update(task, completed=done, total=total),
        )
    for case, reason in report.failed.items():
        note(f"skipped {case}: {reason}")
    counts = [len(part) for part in (report.added, report.kept, report.failed)]
    if as_json:
        summary = {"added": report.added, "kept": report.kept, "failed": report.failed}
        print_json(summary | {"store": str(output), "dataset": source.dataset})
    else:
        print_table(("dataset", "made", "kept", "failed", "store"), [(source.dataset, *counts, output)])
    if report.failed:
        raise typer.Exit(1)


def _pair(source: "SynthesisedSource", output: Path, force: bool, quiet: bool, as_json: bool) -> None:
    """One image, its label map with the map's own values, and the table of their names."""
    from ..data.synthesis.cases import check_map, synthesise
    from ..errors import OutputError
    from ..files import check_writable, write_json
    from ..imaging.formats import write_mask, write_volume

    if len(source.index()) != 1:
        raise OutputError(f"{output} holds one image, but {len(source.index())} are asked for; give a folder.")
    suffix = ".nii.gz" if output.name.lower().endswith(".nii.gz") else ".nii"
    stem = output.name[: -len(suffix)]
    label_file, table = output.with_name(f"{stem}_labels{suffix}"), output.with_name(f"{stem}_labels.json")
    label_map = next(iter(source.maps().values()))
    check_map(label_map, source.names)
    for path in (output, label_file, table):
        check_writable(path, force=force)
    synthesised = synthesise(
        label_map,
        source.seed,
        names=source.names,
        modality=source.modality,
        sequence=source.sequences[0],
        spacing=source.spacing,
        field=source.field,
        deform=source.deform,
        lenient=True,
        detail=source.detail,
    )
    for remark in synthesised.notes:
        note(f"note: {remark}", quiet=quiet)
    image, labels = synthesised.on_the_map()
    write_volume(image, output, force=force)
    write_mask(labels, image, label_file, force=force)
    named_values = {
        synthesised.values[v]: name
        for name, values in synthesised.case.structures.items()
        for v in values
        if v in synthesised.values
    }
    for name, values in synthesised.case.structures.items():  # the narrowest structure names a value
        if len(values) == 1 and values[0] in synthesised.values:
            named_values[synthesised.values[values[0]]] = name
    write_json(table, {str(value): name for value, name in sorted(named_values.items())})
    if as_json:
        print_json({"image": str(output), "labels": str(label_file), "names": str(table)})
    else:
        print_table(("image", "labels", "names"), [(output, label_file, table)])


def requested(modality: str | None, sequence: str | None) -> tuple["Modality", tuple[str | None, ...]]:
    """Modality and sequences from what a person wrote; a contrast phase alone means CT."""
    from ..data.synthesis.ct import PHASES
    from ..data.synthesis.patients import parse_sequence
    from ..vocabulary import Modality

    words = [word.strip() for word in sequence.split(",") if word.strip()] if sequence else []
    if modality is not None:
        kind = Modality.parse(modality)
    else:
        kind = Modality.CT if words and all(word.lower() in PHASES for word in words) else Modality.MRI
    return kind, tuple(parse_sequence(word, kind) for word in words) or (None,)


def _some(names: Iterable[str], most: int = 3) -> str:
    words = list(names)
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
