"""`segevolution study RECIPE`: evaluate a base, adapt it, evaluate again, report."""

from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import AsJson, DataRoot, Device, Latex, Quiet, note, print_json, print_table, shipped_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from ..studies.forecast import Forecast
    from ..studies.run import Executor
    from ..studies.study import StudyOutcome

app = typer.Typer(add_completion=False)

_SHIPPED = ", ".join(shipped_names("studies", "recipes"))


@app.command()
def study(
    recipe: Annotated[
        str | None, typer.Argument(help=f"A shipped recipe ({_SHIPPED}) or a YAML file.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it, such as seeds=[0,1] methods.lora.fit.steps=50."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the study; default runs/<name>.")
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Train each method once on so many patients a dataset and modality, such as 1,5,all.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,...", help="Some of the recipe's methods only; the whole study keeps them."),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            metavar="I/N",
            help="Do part I of N only, beside the others in the same folder; the call without --part joins them.",
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask", metavar="ADDRESS", help="Let the workers of a Dask scheduler do it, such as tcp://node1:8786."
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Say what it would do: jobs, patients, missing datasets, about how many hours; do nothing."
        ),
    ] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes that ship, and leave.")] = False,
    latex: Latex = False,
    data: DataRoot = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a study, or what is missing of it: the same call goes on where an earlier one was stopped."""
    from ..errors import RecipeError
    from ..studies.reading import load_recipe, with_methods
    from ..studies.run import LocalExecutor, StudyPart
    from ..studies.study import run_study

    if list_recipes:
        _list(as_json)
        return
    if recipe is None:
        raise RecipeError(f"no recipe was given; give a YAML file or one that ships: {_SHIPPED}.")
    if part is not None and dask is not None:
        raise RecipeError("a cluster shares the work out by itself; give --part or --dask.")
    share = StudyPart.parse(part) if part is not None else None
    study_recipe = load_recipe(recipe, [*(changes or []), *([f"shots=[{shots}]"] if shots is not None else [])])
    if methods is not None:
        study_recipe = with_methods(study_recipe, [name.strip() for name in methods.split(",")])
    folder = output or Path("runs") / study_recipe.name
    if plan:
        from ..studies.forecast import forecast

        _print_plan(forecast(study_recipe, folder, root=data, device=device), as_json)
        return
    with _client(dask) as client:
        executor = _executor(client) if client is not None else LocalExecutor(share) if share else None
        done = run_study(study_recipe, folder, root=data, device=device, quiet=quiet, executor=executor, latex=latex)
    if part is not None and done.missing:
        progress_text = (
            f"measured {done.measured} of {done.planned}, trained {len(done.trained)}; {done.missing} are missing"
        )
        if as_json:
            print_json({"study": study_recipe.name, "part": part, **_counts(done)})
        else:
            note(
                f"part {part}: {progress_text}. When all parts are done, the same call without --part joins them.",
                quiet=quiet,
            )
        return
    if as_json:
        print_json(_summary(done, study_recipe.name))
    else:
        _print(done)
        note(
            f"measured {done.measured} of {done.planned} evaluations in this call, trained {len(done.trained)}.",
            quiet=quiet,
        )
        if done.report is not None:
            note(f"report: {done.report}", quiet=quiet)
        else:
            note(f"{done.missing} are missing still, so there is no report yet; call again.", quiet=quiet)


def _list(as_json: bool) -> None:
    """Print what each shipped recipe compares, and on what."""
    from ..studies.reading import load_recipe

    recipes = [load_recipe(name) for name in shipped_names("studies", "recipes")]
    rows = [
        {
            "recipe": recipe.name,
            "about": recipe.about,
            "data": [dataset.name for dataset in recipe.data],
            "methods": [method.name for method in recipe.methods],
        }
        for recipe in recipes
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("recipe", "about", "data", "methods"),
        [(row["recipe"], row["about"], ", ".join(row["data"]), ", ".join(row["methods"])) for row in rows],
    )


def _print_plan(told: "Forecast", as_json: bool) -> None:
    """The datasets, then what would be done, then how to get what is missing."""
    if as_json:
        print_json(asdict(told))
        return
    rows = [(one.name, one.state, str(one.cases), str(one.patients)) for one in told.datasets]
    print_table(("dataset", "state", "cases", "patients"), rows)
    typer.echo(
        f"{told.trainings} trainings, {told.evaluations} evaluations (a run, a case, a shift); "
        f"{told.trained_patients} patients are learned from, {told.tested_patients} tested."
    )
    typer.echo(
        f"About {told.training_hours:.1f} hours to train and {told.measuring_hours:.1f} to measure here, one job at a "
        "time, by the speed of the base on one view; right within a factor of two or three."
    )
    for sentence in told.not_asked:
        typer.echo(f"not asked: {sentence}")
    for one in told.missing:
        typer.echo(f"missing: {one.how}")
    if told.runs:
        typer.echo(f"trainings: {', '.join(told.runs)}")


@contextmanager
def _client(address: str | None) -> "Iterator[Client | None]":
    """A client of the Dask scheduler at an address; None without one."""
    from ..errors import RecipeError

    if address is None:
        yield None
        return
    if find_spec("distributed") is None:
        raise RecipeError("--dask needs Dask, which is not installed; pip install 'segevolution[dask]'.")
    from ..studies.cluster import connect

    with connect(address) as client:
        yield client


def _executor(client: "Client") -> "Executor":
    from ..studies.cluster import DaskExecutor

    return DaskExecutor(client)


def _print(done: "StudyOutcome") -> None:
    from ..evaluation.findings import findings
    from ..evaluation.tables import comparison_rows, level_rows, retention_rows

    study_findings = findings(done.table, done.analysis)
    levels = level_rows(study_findings.metric("dice"), study_findings.methods)
    print_table(("mean Dice: data", *levels.columns[1:]), levels.rows)
    for reference in dict.fromkeys(comparison.reference for comparison in study_findings.comparisons):
        typer.echo()
        compared = comparison_rows(study_findings.against(reference))
        print_table((f"against {reference}: method", *compared.columns[1:]), compared.rows)
    if study_findings.retention:
        typer.echo()
        retentions = retention_rows(study_findings.retention)
        print_table(("to be kept: method", *retentions.columns[1:]), retentions.rows)
    primary = study_findings.primary
    if primary is not None:
        typer.echo(f"\n{primary.question.words} Answer: {primary.answer}. {primary.sentence}")


def _summary(done: "StudyOutcome", name: str) -> dict[str, Any]:
    from ..evaluation.coordinates import varying
    from ..evaluation.findings import findings
    from ..evaluation.statistics import summarise

    study_findings = findings(done.table, done.analysis)
    by = ["method", "dataset", "modality", "prompt", "context", *varying(done.table)]
    primary = study_findings.primary and {
        "question": study_findings.primary.question.words,
        "answer": study_findings.primary.answer,
        "sentence": study_findings.primary.sentence,
        **vars(study_findings.primary.change.estimate),
        "p": study_findings.primary.change.p,
    }
    return {
        "study": name,
        "report": None if done.report is None else str(done.report),
        **_counts(done),
        "dice": summarise(done.table, by).to_dict("records"),
        "primary": primary,
        "differences": [
            {
                "method": comparison.method,
                "reference": comparison.reference,
                "dataset": comparison.question.dataset,
                "modality": comparison.question.modality,
                "prompt": comparison.question.prompt,
                "context": comparison.question.context,
                "question": comparison.question.words,
                **vars(comparison.change.estimate),
                "p": comparison.change.p,
                "corrected_p": comparison.corrected,
                "verdict": comparison.verdict.value,
            }
            for comparison in study_findings.comparisons
        ],
        "retention": [
            {
                "method": comparison.method,
                "dataset": comparison.dataset,
                "modality": comparison.modality,
                **vars(comparison.change.estimate),
                "margin": comparison.equivalence.margin,
                "corrected_p": comparison.corrected,
                "verdict": comparison.verdict.value,
            }
            for comparison in study_findings.retention
        ],
    }


def _counts(done: "StudyOutcome") -> dict[str, Any]:
    return {
        "trained": list(done.trained),
        "measured": done.measured,
        "planned": done.planned,
        "missing": done.missing,
        "left_out": dict(done.left_out),
        "not_asked": list(done.not_asked),
    }
