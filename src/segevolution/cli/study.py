"""`segevolution study RECIPE`: evaluate a base, adapt it, evaluate again, report."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import AsJson, DataRoot, Device, Quiet, note, print_json, print_table

if TYPE_CHECKING:
    import pandas as pd

    from ..studies.study import Outcome

app = typer.Typer(add_completion=False)


@app.command()
def study(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe (demo, ct_to_mri) or a YAML file.")],
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
    data: DataRoot = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a study, or what is missing of it: the same call goes on where an earlier one was stopped."""
    from ..studies.reading import load_recipe
    from ..studies.study import run_study

    what = load_recipe(recipe, [*(changes or []), *([f"shots=[{shots}]"] if shots is not None else [])])
    folder = output or Path("runs") / what.name
    done = run_study(what, folder, root=data, device=device, quiet=quiet)
    if as_json:
        print_json(_summary(done, what.name, what.reference))
    else:
        _print(done, what.reference)
        note(
            f"measured {done.measured} of {done.planned} (run, case) pairs in this call, trained {len(done.trained)}.",
            quiet=quiet,
        )
        note(f"report: {done.report}", quiet=quiet)


def _print(done: "Outcome", reference: str) -> None:
    from ..evaluation.report import differences, glance

    methods = list(dict.fromkeys(done.table["method"]))
    found = glance(done.table, methods)
    print_table(("mean Dice: data", *found.columns[1:]), found.rows)
    others = [method for method in methods if method != reference]
    if others and reference in methods:
        typer.echo()
        found = differences(done.table, others, reference)
        print_table((f"against {reference}: method", *found.columns[1:]), found.rows)


def _summary(done: "Outcome", name: str, reference: str) -> dict[str, Any]:
    from ..evaluation.coordinates import varying
    from ..evaluation.statistics import difference, grouped, summarise

    by = ["method", "dataset", "modality", "prompt", "context", *varying(done.table)]
    changes = []
    for values, rows in grouped(done.table, by[1:]):
        for method in dict.fromkeys(rows["method"]):
            if method != reference:
                found = difference(rows, method, reference)
                told = {**vars(found.estimate), "p": found.p, "verdict": found.verdict}
                changes.append({"method": method, **dict(zip(by[1:], values, strict=True)), **told})
    return {
        "study": name,
        "report": str(done.report),
        "trained": list(done.trained),
        "measured": done.measured,
        "planned": done.planned,
        "left_out": dict(done.left_out),
        "dice": _plain(summarise(done.table, by)),
        "differences": [{key: _number(value) for key, value in row.items()} for row in changes],
    }


def _plain(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(key): _number(value) for key, value in row.items()} for row in table.to_dict("records")]


def _number(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
