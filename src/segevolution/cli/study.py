"""`segevolution study RECIPE`: evaluate a base, adapt it, evaluate again, report."""

from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import AsJson, DataRoot, Device, Quiet, note, print_json, print_table, shipped_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

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
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes that ship, and leave.")] = False,
    data: DataRoot = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a study, or what is missing of it: the same call goes on where an earlier one was stopped."""
    from ..errors import RecipeError
    from ..studies.reading import load_recipe
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
    folder = output or Path("runs") / study_recipe.name
    with _client(dask) as client:
        executor = _executor(client) if client is not None else LocalExecutor(share) if share else None
        done = run_study(study_recipe, folder, root=data, device=device, quiet=quiet, executor=executor)
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
        print_json(_summary(done, study_recipe.name, study_recipe.reference))
    else:
        _print(done, study_recipe.reference)
        note(
            f"measured {done.measured} of {done.planned} evaluations in this call, trained {len(done.trained)}.",
            quiet=quiet,
        )
        note(f"report: {done.report}", quiet=quiet)


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


def _print(done: "StudyOutcome", reference: str) -> None:
    from ..evaluation.report import differences, glance

    methods = list(dict.fromkeys(done.table["method"]))
    overview = glance(done.table, methods)
    print_table(("mean Dice: data", *overview.columns[1:]), overview.rows)
    others = [method for method in methods if method != reference]
    if others and reference in methods:
        typer.echo()
        overview = differences(done.table, others, reference)
        print_table((f"against {reference}: method", *overview.columns[1:]), overview.rows)


def _summary(done: "StudyOutcome", name: str, reference: str) -> dict[str, Any]:
    from ..evaluation.coordinates import varying
    from ..evaluation.statistics import difference, grouped, summarise

    by = ["method", "dataset", "modality", "prompt", "context", *varying(done.table)]
    changes = []
    for values, rows in grouped(done.table, by[1:]):
        for method in dict.fromkeys(rows["method"]):
            if method != reference:
                gain = difference(rows, method, reference)
                summary = {**vars(gain.estimate), "p": gain.p, "verdict": gain.verdict}
                changes.append({"method": method, **dict(zip(by[1:], values, strict=True)), **summary})
    return {
        "study": name,
        "report": str(done.report),
        **_counts(done),
        "dice": summarise(done.table, by).to_dict("records"),
        "differences": changes,
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
