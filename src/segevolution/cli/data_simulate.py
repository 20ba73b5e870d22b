"""`segevolution data simulate`: a store of patients that this package draws itself, with exact labels."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import AsJson, Quiet
from .data_synthesise import Detail, Field, Seed, Spacing, Workers, fill_store, requested


def simulate_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Store to fill; made if it is not there.")],
    region: Annotated[Literal["torso", "head"], typer.Option(help="Part of the body.")] = "torso",
    modality: Annotated[str | None, typer.Option(help="CT or MRI; default what the sequence says, else CT.")] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            help="MRI: t1, t1-in, t1-out, t2, t2-spir, flair, t1-ce, random. CT: native, arterial, portal, "
            "late. Several in turn: t1,t2."
        ),
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: Seed = 0,
    spacing: Spacing = None,
    field: Field = None,
    tumour: Annotated[
        bool | None, typer.Option("--tumour/--no-tumour", help="In heads; default in every third.")
    ] = None,
    pelvis: Annotated[
        bool | None, typer.Option("--pelvis/--no-pelvis", help="In the field of view of torsos; default one in four.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset in the store.")] = None,
    detail: Detail = True,
    workers: Workers = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make patients: the same seed is the same anatomy in CT and in every MR sequence.

    Run it again to go on after a stop, or with more --patients to add some.
    """
    from ..data.synthesis.sources import SimulatedSource
    from ..errors import VolumeError

    if field not in (None, 1.5, 3.0):
        raise VolumeError(f"the field strength is {field} tesla; the tables hold 1.5 and 3.")
    kind, sequences = requested(modality or (None if sequence else "CT"), sequence)
    name = dataset or "_".join(["simulated", region, kind.lower()])
    source = SimulatedSource(
        patients=patients,
        dataset=name,
        seed=seed,
        region=region,
        modality=kind,
        sequences=sequences,
        spacing=spacing,
        field=field,
        tumour=tumour,
        pelvis=pelvis,
        wholes=detail,
        detail=detail,
    )
    fill_store(source, output, workers, quiet, as_json)
