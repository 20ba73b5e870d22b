"""`segevolution adapt DATASET`: from a laboratory's patients to an adapter, and whether to use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import RecipeError
from .console import MOST_SEED, AsJson, Device, Force, Latex, Quiet, note, print_json, print_table, progress_bar
from .options import DatasetModality, DatasetSequence, PatientRule

app = typer.Typer(add_completion=False)


@app.command()
def adapt(
    dataset: Annotated[
        Path,
        typer.Argument(metavar="DATASET", help="A dataset's folder (nnU-Net, MSD, ...: see data sources), or a store."),
    ],
    method: Annotated[
        Literal["lora", "mixture", "prior", "full", "decoder", "bias"],
        typer.Option(
            help="lora learns most with least; mixture leaves CT exactly as it is; prior adds context tokens."
        ),
    ] = "lora",
    base: Annotated[str, typer.Option(metavar="NAME", help="The model that is adapted: a name or a folder.")] = (
        "segvol-mini"
    ),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="The adapter; default adapters/<dataset>-<method>."),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Learn from so many patients of each modality only.")
    ] = None,
    source: Annotated[str, typer.Option(help="Layout of the dataset, where it is not recognised.")] = "auto",
    modality: DatasetModality = None,
    sequence: DatasetSequence = None,
    patients: PatientRule = None,
    structures: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="What to learn and measure; default all labelled.")
    ] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="N|SHARE", help="Patients that choose the weights: 3, or 0.1 of all.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="N|SHARE", help="Patients held out to measure: 6, or 0.2 of all.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who learns, chooses and tests: a file of data split.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Test every patient, by K trainings on others; default 3 below 12 patients, else 1: hold some out.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Of training; default 900.")] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Stop training after so long, or after --steps.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Of the split and of training.")] = 0,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="CT mixed in so that it is not forgotten: a store, simulated (the default but for mixture), or none.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="ADAPTER",
            help="What training begins with: a folder, an adapter that ships, or none for the bare model; default the "
            "expert that answers these scans, where one ships.",
        ),
    ] = None,
    start_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            metavar="SHARE",
            help="Of what training began with, in the adapter that is kept: more loses less on other clinics' scans; "
            "default .25 where it began with an adapter, or at a model that answers such scans.",
        ),
    ] = None,
    simulated: Annotated[
        int, typer.Option(min=0, metavar="N", help="Simulated CT patients on which forgetting is measured.")
    ] = 6,
    ct: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Real CT on which forgetting is measured too.")
    ] = None,
    latex: Latex = False,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Adapt a model to your patients, and measure on others of them whether that helped.

    Prepares the dataset, splits it by patient, trains, asks the held-out patients with every kind of prompt before and
    after, asks CT as well, and writes an adapter folder with a one-page report that also says when not to adapt.

    The same call goes on where an earlier one was stopped; work is kept in ADAPTER.work beside the adapter.

    Examples:

    segevolution adapt Dataset501_MyMRI

    segevolution adapt my_mri --modality MRI --method mixture --shots 5 -o adapters/my_mri
    """
    from ..adaptation.adapt import adapt as run
    from ..adaptation.data import PatientCounts
    from ..adaptation.recipe import AdaptRequest
    from ..data.sources import Overrides
    from ..vocabulary import Modality

    if split is not None and (validation is not None or test is not None):
        raise RecipeError("--split says who tests and who validates; leave --test and --validation out.")
    request = AdaptRequest(
        dataset=dataset,
        output=output or Path("adapters") / f"{dataset.resolve().name}-{method}",
        method=method,
        base=base,
        source=source,
        overrides=Overrides(
            modality=Modality.parse(modality) if modality else None, sequence=sequence, patient_pattern=patients
        ),
        structures=tuple(name.strip() for name in (structures or "").split(",") if name.strip()),
        wishes=PatientCounts(share(validation, "--validation"), share(test, "--test"), split, folds, shots, seed),
        steps=steps,
        minutes=minutes,
        seed=seed,
        replay=replay,
        simulated=simulated,
        ct=ct,
        start=start,
        start_share=start_share,
    )
    bar = progress_bar(quiet)
    task = bar.add_task("prepare", total=None)

    def prepared(count: int, total: int, name: str) -> None:
        """The bar is gone before the study shows its own."""
        bar.start()
        bar.update(task, completed=count, total=total)
        if count == total:
            bar.stop()

    try:
        done = run(
            request,
            device=device,
            force=force,
            quiet=quiet,
            progress=prepared,
            say=lambda sentence: note(sentence, quiet=quiet),
            latex=latex,
        )
    finally:
        bar.stop()
    if as_json:
        print_json({"adapter": str(done.folder), "fresh": done.fresh, **done.report})
        return
    _print(done.report)
    note(f"report: {done.folder / 'report.html'}", quiet=quiet)
    if not done.fresh:
        note("all of this was done before; nothing was missing.", quiet=quiet)


def share(text: str | None, option: str) -> int | float | None:
    """Read "6" as a number of patients and "0.2" as a share of them; raises RecipeError for anything else."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if "." in text and 0 <= value < 1:
        return value
    if text.isdigit():
        return int(text)
    raise RecipeError(f'{option} "{text}" is neither a number of patients, such as 6, nor a share, such as 0.2.')


def _print(report: Mapping[str, Any]) -> None:
    rows = []
    for row in report["measured"]:
        change = row["difference"]
        interval = "" if change["low"] is None else f" [{change['low']:+.3f}, {change['high']:+.3f}]"
        change_text = "-" if change["mean"] is None else f"{change['mean']:+.3f}{interval}"
        sides = ("-" if row[side]["mean"] is None else f"{row[side]['mean']:.3f}" for side in ("before", "after"))
        where = f"{row['modality']} ({row['dataset']})"
        rows.append((where, row["prompt"], *sides, change_text, row["verdict"], row["after"]["patients"]))
    print_table(("mean Dice: data", "prompt", "before", "after", "difference", "verdict", "patients"), rows)
    typer.echo(f"\n{report['headline']}")
    typer.echo("\nTo use it:\n")
    typer.echo(f"  {report['use']}")
