"""Do what is missing of a study, and write its table, its report and its manifest.

Every job leaves its result whole or not at all, so a study can be killed at any moment; the same call goes on.

    runs/<name>/data/<dataset>/        stores that the study made
    runs/<name>/models/<run>/          fit/ (checkpoint, curves), adapter/, trained.json
    runs/<name>/parts/ ... results.parquet, manifest.json        see evaluation.results
    runs/<name>/report.md, report.html, figures/
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import RecipeError
from ..evaluation.blocks import Picture
from ..evaluation.evaluate import Questions, Run, evaluate
from ..evaluation.figures import choose_cases, draw_slice
from ..evaluation.report import place, write_report
from ..evaluation.results import Mask, Results, surroundings
from ..files import check_writable, write_json
from ..inference.load import load
from ..models.backbone import Spec
from ..models.checkpoints import fingerprint
from ..recipes.keys import digest
from ..recipes.stores import Prepared, open_dataset
from ..runtime import resolve_device
from .badges import badges, rivals, torn
from .gating import note_gates
from .methods import Fit, train, trained_folder
from .plan import EvaluateJob, Plan, plan, plan_data
from .recipe import Recipe, known_structures
from .starting import starts_of, taught_before


@dataclass(frozen=True)
class Outcome:
    """What a call did.

    Attributes:
        table: all rows of the study.
        report: the HTML file.
        trained: runs that this call trained.
        measured: (run, case) pairs that this call measured.
        planned: all of them.
        left_out: "dataset/case" -> why it cannot be used.
    """

    table: pd.DataFrame
    report: Path
    trained: tuple[str, ...]
    measured: int
    planned: int
    left_out: Mapping[str, str]


def run_study(
    recipe: Recipe,
    folder: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
    fit: Fit | None = None,
) -> Outcome:
    """Run a study, or the rest of it.

    Args:
        folder: of the study; one that holds another study is refused.
        root: where the recipe's data paths begin; None reads SEGEVOLUTION_DATA.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.
        fit: how adapters are trained; None takes `training.fit`.

    Raises:
        SegevolutionError: the recipe, its data, its base or the folder cannot be used.
    """
    started = time.time()
    console = Console(stderr=True, quiet=quiet)
    resolve_device(device)
    before = _manifest(folder, recipe)
    base = load(recipe.base, device="cpu")
    spec, mark = base.spec, fingerprint(base)
    del base
    starts = starts_of(recipe, mark)
    data = _data(recipe, folder, root, console)
    stores = {name: prepared.store for name, prepared in data.items()}
    records = {name: store.cases for name, store in stores.items()}
    fingerprints = {name: store.fingerprint() for name, store in stores.items()}
    labelled = {name for cases in records.values() for record in cases for name in record.structures}
    questions = _questions(recipe, spec, labelled)
    new = [name for name in questions.structures if spec.structures and name not in spec.structures]
    begun = {name: start.mark for name, start in starts.items()}
    made = plan(recipe, records, fingerprints, mark, asdict(questions), new, begun)
    marks, leaks = badges(made, records, recipe.base), [*torn(made, records), *taught_before(made, starts)]
    for sentence in leaks:
        console.print(f"warning: {sentence}")
    results = Results(folder)

    runs = dict.fromkeys(job.part.run for job in made.evaluations)
    missing = {
        run: [job for job in made.evaluations if job.part.run == run and not results.has(job.part)] for run in runs
    }
    trained = []
    for run, jobs in missing.items():
        if not jobs:
            continue
        needs = jobs[0].needs
        if needs is not None and trained_folder(folder, needs) is None:
            how = f"{len(needs.train)} cases, {len(needs.replay)} replayed"
            console.print(f"training {run}: {how}" if needs.method.train else f"{run} is {needs.method.start}")
            train(needs, recipe, stores, folder, device, quiet, fit)
            trained += [run] if needs.method.train else []
        _measure(jobs, recipe, data, questions, results, folder, device, console)

    measured = sum(len(jobs) for jobs in missing.values())
    left_out = {f"{name}/{case}": why for name, entry in data.items() for case, why in entry.failed.items()}
    told = {"recipe": recipe.model_dump(mode="json"), "plan": digest([[*vars(part).values()] for part in made.parts])}
    report = folder / "report.html"
    whole = report.is_file() and results.table_path.is_file()
    if measured or trained or not whole or any(before.get(key) != value for key, value in told.items()):
        table = results.join(made.parts)
        slices = _slices(table, made, results, recipe, data)
        write_report(table, folder, recipe.name, recipe.reference, slices, marks, leaks, rivals(made))
        call = {
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started, 1),
            "device": str(resolve_device(device)),
            "trained": trained,
            "measured": measured,
        }
        write_json(
            folder / "manifest.json",
            {
                "study": recipe.name,
                **surroundings(),
                "base": {"name": recipe.base, "fingerprint": mark},
                "seeds": recipe.seeds,
                "data": {
                    name: {
                        "fingerprint": fingerprints[name],
                        "cases": len(records[name]),
                        "labels": _truth(recipe, name),
                        "unadapted_base": marks.get(name),
                    }
                    for name in data
                },
                "runs": _runs(made),
                "left_out": left_out,
                "calls": [*before.get("calls", []), call],
                **told,
            },
        )
    else:
        table = results.table()
    note_gates(made, table, recipe, stores, questions.structures, folder, device)
    return Outcome(table, report, tuple(trained), measured, len(made.evaluations), left_out)


def _manifest(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The manifest of an earlier call; RecipeError where the folder is another study's."""
    path = folder / "manifest.json"
    check_writable(path)
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError:
        return {}
    if found.get("study") != recipe.name:
        raise RecipeError(f"{folder} holds the study {found.get('study')}; choose another folder with -o.")
    return dict(found)


def _questions(recipe: Recipe, spec: Spec, labelled: Collection[str]) -> Questions:
    said = {part for kind in recipe.prompts for part in kind.split("+")}
    refused = sorted(said - set(spec.accepts))
    if refused:
        raise RecipeError(f"{recipe.name}: prompts hold {refused[0]}, which {recipe.base} does not take; leave it out.")
    return Questions(
        prompts=tuple(recipe.prompts),
        contexts=tuple(recipe.contexts),
        structures=known_structures(recipe, spec.structures, labelled),
        windows=recipe.windows,
        seed=recipe.prompt_seed,
        points=recipe.points,
        box_jitter=recipe.box_jitter,
        tolerance_mm=recipe.surface_tolerance_mm,
        surface=recipe.surface,
        drawn=recipe.drawn,
    )


def _data(recipe: Recipe, folder: Path, root: Path | None, console: Console) -> dict[str, Prepared]:
    data = {}
    for job in plan_data(recipe):
        with _bar(console, f"preparing {job.dataset.name}") as bar:
            data[job.dataset.name] = open_dataset(job, folder / "data", root, bar)
        for case, why in data[job.dataset.name].failed.items():
            console.print(f"left out {case}: {why}")
    return data


def _measure(
    jobs: Sequence[EvaluateJob],
    recipe: Recipe,
    data: Mapping[str, Prepared],
    questions: Questions,
    results: Results,
    folder: Path,
    device: str,
    console: Console,
) -> None:
    """Measure one run on its missing cases; each case's rows are written before the next begins."""
    first = jobs[0]
    adapter = None if first.needs is None else trained_folder(folder, first.needs)
    backbone = load(recipe.base, adapter=adapter, device=device)
    with _bar(console, f"measuring {first.part.run}") as bar:
        for number, job in enumerate(jobs, start=1):
            part = job.part
            case = replace(data[part.dataset].store.read(part.case), dataset=part.dataset)
            found = evaluate(
                backbone, case, Run(part.run, job.method, job.seed), questions, _truth(recipe, part.dataset)
            )
            results.write(part, found.rows, found.masks)
            bar(number, len(jobs), part.case)


def _slices(
    table: pd.DataFrame, made: Plan, results: Results, recipe: Recipe, data: Mapping[str, Prepared]
) -> list[Picture]:
    """Pictures of the cases that the rule of `choose_cases` picks for the first method beside the reference."""
    others = [name for name in dict.fromkeys(table["method"]) if name != recipe.reference]
    method = others[0] if others else recipe.reference
    parts = {(job.part.run, job.part.dataset, job.part.case): job for job in made.evaluations}
    pictures = []
    for choice in choose_cases(table, method, recipe.reference, recipe.drawn):
        case = data[choice.dataset].store.read(choice.case)
        shown: dict[str, dict[str, Mask]] = {}
        for job in parts.values():
            same = (job.part.dataset, job.part.case) == (choice.dataset, choice.case)
            if same and (job.method == recipe.reference or job.part.run == choice.run):
                shown.setdefault(job.method, results.masks(job.part))
        structures = list(dict.fromkeys(name for masks in shown.values() for name in masks))
        if not structures:
            continue
        scores = f"{choice.method} {choice.dice:.3f}"
        if choice.method != recipe.reference:
            scores += f", {recipe.reference} {choice.reference_dice:.3f}"
        where = place(choice.dataset, choice.modality)
        caption = f"{choice.case}, the {choice.rank} of {where} by Dice of {method} with {recipe.drawn}: {scores}"
        png = draw_slice(case, shown, structures, choice.case)
        pictures.append(Picture(f"{choice.dataset}-{choice.rank}", f"{caption} (means over structures).", png))
    return pictures


def _runs(made: Plan) -> dict[str, Any]:
    """Run -> who taught it and who tested it, by case."""
    tested: dict[str, list[str]] = {}
    for job in made.evaluations:
        tested.setdefault(job.part.run, []).append(f"{job.part.dataset}/{job.part.case}")
    taught = {
        job.run: {
            "key": job.key,
            **{role: _listed(getattr(job, role)) for role in ("train", "replay", "validation")},
        }
        for job in made.trainings
    }
    return {run: {**taught.get(run, {}), "test": cases} for run, cases in tested.items()}


def _listed(names: Iterable[Any]) -> list[str]:
    return [f"{name.dataset}/{name.case}" for name in names]


def _truth(recipe: Recipe, dataset: str) -> str:
    return next(entry.truth for entry in recipe.data if entry.name == dataset)


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Any]:
    """A progress bar told (done, total, name); it appears with the first of them."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[name]}"), console=console) as progress:
        task = progress.add_task(what, total=None, name="", visible=False)

        def tell(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, name=name, visible=True)

        yield tell
