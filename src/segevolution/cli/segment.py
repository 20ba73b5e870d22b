"""`segevolution segment`: structures in a scan by text, points or a box."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import OutputError, PromptError
from .console import MOST_SEED, AsJson, Force, Quiet, note
from .options import AnsweringModel, ImageModality, Orientation, SeriesUid, TimePoint, VoxelSpacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..inference.scan_inputs import ScanInput

app = typer.Typer(add_completion=False)


@app.command()
def segment(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="NIfTI, NRRD or MetaImage files, DICOM folders, folders of images, patterns in quotes, or a series on "
            "a DICOMweb service: dicomweb://host/path/studies/UID/series/UID.",
            show_default=False,
        ),
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
    every: Annotated[
        bool,
        typer.Option("--all", help="All structures that the model knows; what is not found, or doubted, is left out."),
    ] = False,
    markups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Points or a box from 3D Slicer (.mrk.json); of several images a folder, <name>.mrk.json.",
        ),
    ] = None,
    mm: Annotated[
        bool, typer.Option("--mm", help="Points and box are patient millimetres (RAS+), not voxels of the file.")
    ] = False,
    modality: ImageModality = None,
    series: SeriesUid = None,
    orientation: Orientation = None,
    spacing: VoxelSpacing = None,
    time: TimePoint = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let a header name a data file outside its own folder.")
    ] = False,
    max_gigabytes: Annotated[
        float | None, typer.Option(metavar="GB", help="Memory that the image may take; default half of what is free.")
    ] = None,
    model: AnsweringModel = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="An adapter folder or the name of one that ships. Default: the expert that "
            "ships for this model and modality, where there is one; none leaves it out.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The label map, or a folder with --split or of several images; default <image>_seg beside the image.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Store the DICOM label map on a DICOMweb service, dicomweb://host/path."),
    ] = None,
    form: Annotated[
        Literal[".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".dcm", ".rtstruct.dcm"],
        typer.Option("--format", help="Of the masks of several images."),
    ] = ".nii.gz",
    split: Annotated[bool, typer.Option("--split", help="One file a structure, in a folder.")] = False,
    probabilities: Annotated[
        Literal["float", "percent"] | None,
        typer.Option(help="Also a map of probability a structure: float32 from 0 to 1, or uint8 from 0 to 100."),
    ] = None,
    colours: Annotated[
        bool, typer.Option("--colours", help="Also a table of names and colours for ITK-SNAP (..._labels.txt).")
    ] = False,
    largest: Annotated[bool, typer.Option("--largest", help="Keep the largest piece of each structure.")] = False,
    smooth: Annotated[float, typer.Option(metavar="MM", help="Smooth masks by so many millimetres.")] = 0.0,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw slices through each structure; of several images a folder."),
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do part I of N of several images, beside other processes.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Ask once more, with a prompt moved a little, whether an answer is stable.")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Print volume and mean intensity a structure.")
    ] = False,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Write the three alternative masks with their predicted overlap.")
    ] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    windows: Annotated[
        Literal["roi", "lattice", "central", "focus", "off", "propagate"] | None,
        typer.Option(
            help="How to zoom in: scan round each structure, on a lattice that structures share, by the fewest windows "
            "of that lattice, one look at each structure and its surroundings, or not at all; propagate: how a 2-D "
            "model walks through a box. Default: what the model prefers."
        ),
    ] = None,
    no_second_opinion: Annotated[
        bool,
        typer.Option(
            "--no-second-opinion",
            help="Do not ask again with bright and dark exchanged, as is done for MRI that is matched to CT.",
        ),
    ] = False,
    keep_islands: Annotated[
        bool,
        typer.Option(
            "--keep-islands",
            help="Keep what an answer about an organ in one piece, asked for by name, holds apart from that piece.",
        ),
    ] = False,
    test_time_steps: Annotated[
        int,
        typer.Option(
            "--test-time-steps",
            metavar="N",
            help="Adapt the network to each scan and prompt before it answers, without labels, in N steps (Tent); each "
            "takes some seconds. Measure on labelled scans of your own whether it helps. 0 = not.",
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=MOST_SEED, help="Of every random number; no answer depends on it."),
    ] = 0,
    force: Force = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Segment structures in scans by text, points or a box; no label is ever needed.

    All structures share one encoding of the whole scan; a closer look is one more each. Masks lie on exactly the scan's
    grid: one label map, its key (JSON) beside it. Several images, a folder, a pattern or a DICOM study with several
    series go into the folder -o, with a table (segmentations.csv); the same call goes on where an earlier one was
    stopped, and the exit status is 1 where an image could not be segmented.

    For research; not a medical device.

    Examples:

    segevolution segment ct.nii.gz --text liver --text spleen --preview look.png

    segevolution segment mr.nii.gz --modality MRI --box 40,60,10,90,120,30

    segevolution segment scans/ --modality MRI --text liver -o masks

    segevolution segment dicomweb://localhost:8042/dicom-web/studies/1.2/series/1.3 --text liver -o liver.dcm
    """
    from ..adapters.shipped import model_of
    from ..inference.dicomweb_address import is_dicomweb
    from ..inference.request import SegmentRequest
    from ..inference.scan_inputs import find_scans
    from ..runtime import seed_everything
    from ..vocabulary import Modality
    from .segment_runs import segment_one, segment_several

    if "" in images:
        raise PromptError(
            "the path of an image is empty; check the words of the call, such as a variable of the shell."
        )
    paths = [Path(image) for image in images]
    request = SegmentRequest(
        image=paths[0],
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
        model=model_of(adapter) if model is None else model,
        adapter=adapter,
        device=device,
        windows=windows,
        split=split,
        candidates=candidates,
        force=force,
        every=every,
        markups=markups,
        probabilities=probabilities,
        colours=colours,
        smooth=smooth,
        largest=largest,
        check=check,
        test_time_steps=test_time_steps,
        second_opinion=not no_second_opinion,
        drop_islands=not keep_islands,
    )
    seed_everything(seed)
    if store is not None or any(map(is_dicomweb, images)):
        from .segment_dicomweb import segment_dicomweb

        if len(images) > 1 or part is not None:
            raise PromptError(
                "DICOMweb takes one series at a time; give one address, or one DICOM folder with --store."
            )
        request = replace(request, output=output, preview=preview)
        segment_dicomweb(request, images[0], store, statistics=statistics, json=json, quiet=quiet)
        return
    # A series is named of one folder, whatever else lies there.
    scans, left_out = ((), ()) if series is not None and len(paths) == 1 else find_scans(paths)
    into_folder = output is not None and not split and output.is_dir()
    if len(scans) > 1 or into_folder or (scans and scans[0].path not in paths):
        if output is None:
            what = f"{images[0]} and others hold" if len(images) > 1 else f"{images[0]} holds"
            raise OutputError(
                f"{what} {_counted(scans)}, so give a folder for the masks with -o; of a DICOM folder one series can "
                "be chosen with --series."
            )
        segment_several(
            request,
            scans,
            output,
            form=form,
            previews=preview,
            part=part,
            notes=left_out,
            statistics=statistics,
            json=json,
            quiet=quiet,
        )
        return
    if part is not None:
        raise PromptError(f"--part shares several images out, but {images[0]} is one.")
    for line in left_out:
        note(line, quiet=quiet)
    image = scans[0].path if scans else paths[0]
    segment_one(
        replace(request, image=image, output=output, preview=preview), statistics=statistics, json=json, quiet=quiet
    )


def _counted(scans: "Sequence[ScanInput]") -> str:
    names = ", ".join(scan.name for scan in scans[:3])
    return (
        f"one scan, {names}" if len(scans) == 1 else f"{len(scans)} scans ({names}{' ...' if len(scans) > 3 else ''})"
    )


def numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """Read "1,2.5,-3"; raises PromptError for anything but `count` finite numbers in ASCII, without Python's 1_000."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text.isascii() and "_" not in text else ()
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        shape = "X,Y,Z" if count == 3 else "X0,Y0,Z0,X1,Y1,Z1"
        raise PromptError(f'{option} "{text}" cannot be read; it takes {count} numbers with commas: {shape}.')
    return values
