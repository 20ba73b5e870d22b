"""`segevolution segment`: structures in a scan by text, points or a box."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import PromptError
from .console import AsJson, Force, Quiet, note, print_json, print_table

if TYPE_CHECKING:
    from ..inference.predict import SegmentReport

app = typer.Typer(add_completion=False)


@app.command()
def segment(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="A NIfTI, NRRD or MetaImage file, or a DICOM folder.", show_default=False),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", metavar="NAME", help="A structure, such as liver; give it again for more."),
    ] = None,
    point: Annotated[
        list[str] | None, typer.Option("--point", metavar="X,Y,Z", help="A point on the structure; may be given again.")
    ] = None,
    negative_point: Annotated[
        list[str] | None,
        typer.Option("--negative-point", metavar="X,Y,Z", help="A point off the structure; may be given again."),
    ] = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="X0,Y0,Z0,X1,Y1,Z1", help="A box round it, both corners included.")
    ] = None,
    mm: Annotated[
        bool, typer.Option("--mm", help="Points and box are patient millimetres (RAS+), not voxels of the file.")
    ] = False,
    modality: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="CT, MRI, PET or US. DICOM says it itself; other files cannot, so name it."),
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="UID", help="SeriesInstanceUID, where a DICOM folder holds several.")
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(metavar="CODES", help="Where the image's axes point, such as LAS, if its file does not say it."),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Millimetres between voxels, if the file does not say them."),
    ] = None,
    time: Annotated[
        int | None, typer.Option(metavar="N", help="Which time point of a 4-D file, counted from 0.")
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let a header name a data file outside its own folder.")
    ] = False,
    max_gigabytes: Annotated[
        float | None, typer.Option(metavar="GB", help="Memory that the image may take; default half of what is free.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="A name (see: segevolution models list) or a model folder.")
    ] = "segvol-mini",
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="An adapter folder, trained on this model, or the name of one that ships. Default: the expert that "
            "ships for this model and modality, where there is one; none leaves it out.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The label map, or a folder with --split; default <image>_seg beside the image.",
        ),
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="One file a structure, in a folder.")] = False,
    preview: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw three slices with outlines.")] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Print volume and mean intensity a structure.")
    ] = False,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Write the three alternative masks with their predicted overlap.")
    ] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    windows: Annotated[
        Literal["roi", "lattice", "focus", "off"] | None,
        typer.Option(
            help="How to zoom in: scan round each structure, on a lattice that structures share, one look at each "
            "structure and its surroundings, or not at all. "
            "Default: what the model prefers."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random number; no answer depends on it.")] = 0,
    force: Force = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Segment structures in a scan by text, points or a box; no label is ever needed.

    All structures of one call share one encoding of the scan.

    Masks lie on exactly the scan's grid: one label map, its key (JSON) beside it.

    For research; not a medical device.

    Examples:

    segevolution segment ct.nii.gz --text liver --text spleen --preview look.png

    segevolution segment mr.nii.gz --modality MRI --box 40,60,10,90,120,30
    """
    from ..inference.request import SegmentRequest
    from ..vocabulary import Modality

    request = SegmentRequest(
        image=image,
        texts=tuple(text or ()),
        points=tuple(numbers(spot, 3, "--point") for spot in point or ()),
        negative_points=tuple(numbers(spot, 3, "--negative-point") for spot in negative_point or ()),
        box=None if box is None else numbers(box, 6, "--box"),
        mm=mm,
        modality=None if modality is None else Modality.parse(modality),
        series=series,
        orientation=orientation,
        spacing=None if spacing is None else numbers(spacing, 3, "--spacing"),
        time=time,
        allow_outside=allow_outside,
        max_gigabytes=max_gigabytes,
        model=model,
        adapter=adapter,
        device=device,
        windows=windows,
        output=output,
        split=split,
        candidates=candidates,
        preview=preview,
        force=force,
    )

    from ..inference.predict import predict
    from ..runtime import seed_everything

    seed_everything(seed)
    hidden = quiet or not Console(stderr=True).is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("")
        report = predict(
            request, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )
    _show(report, json=json, statistics=statistics)
    for line in report.warnings:
        note(f"warning: {line}")  # also where no progress is wanted: the answer may be wrong
    for line in (*(f"wrote {path}" for path in report.files), *report.notes[len(report.warnings) :]):
        note(line, quiet=quiet)


def numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """Read "1,2.5,-3"; raises PromptError for anything but `count` finite numbers."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        shape = "X,Y,Z" if count == 3 else "X0,Y0,Z0,X1,Y1,Z1"
        raise PromptError(f'{option} "{text}" cannot be read; it takes {count} numbers with commas: {shape}.')
    return values


def _show(report: "SegmentReport", *, json: bool, statistics: bool) -> None:
    from ..inference.predict import as_plain

    if json:
        rows = [as_plain(entry) for entry in report.found]
        print_json({"structures": rows, "files": [str(path) for path in report.files], "notes": report.notes})
        return
    columns = ["structure", "label", "file", "predicted IoU"]
    rows_of_text = []
    for entry in report.found:
        estimate = "-" if entry.predicted_iou != entry.predicted_iou else f"{entry.predicted_iou:.2f}"  # NaN: none
        row = [entry.name, str(entry.label), entry.file.name, estimate]
        if statistics:
            mean = "-" if entry.mean_intensity is None else f"{entry.mean_intensity:.1f}"
            row += [f"{entry.volume_ml:.1f}", mean, str(entry.voxels)]
        rows_of_text.append(row)
    print_table(columns + (["volume (ml)", "mean intensity", "voxels"] if statistics else []), rows_of_text)
