"""One command for a laboratory: from a dataset to an adapter and a page that says whether to use it.

It is a study with one method and good defaults (`studies` does the work), so all of it goes on where it was stopped:

    ADAPTER/          the adapter, its card, report.html, .md, .json, figures/, tables/: appears by one rename
    ADAPTER.work/     the store, the split, the study with its checkpoints and its detailed report.html
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..adapters.artifact import check_replaceable, is_adapter
from ..data.prepare import Progress
from ..data.store import Store
from ..documents import read_json
from ..documents.renamed_keys import with_old_names
from ..errors import RecipeError, SegevolutionError
from ..evaluation.report_files import has_latex
from ..files import check_writable, is_taken, sweep, write_json
from ..inference.load import load
from ..recipes.keys import digest
from ..runtime import resolve_device
from ..studies.recipe import Recipe
from ..studies.study import run_study
from ..studies.workspace import FitFunction
from ..training.settings import RENAMED
from ..vocabulary import did_you_mean
from .attempts import Attempt, note_attempt, people_of
from .cost import MeasuredFit
from .data import PreparedDataset, Shares, bring, check_dataset, share_out, structures_in
from .facts import AdaptFacts, datasets_learned_from
from .recipe import METHODS, NONE, SIMULATED, AdaptRequest, chosen_layers, make_recipe, replay_in_words
from .report import REPORT, write_adapter
from .start import choose_beginning


@dataclass(frozen=True)
class AdaptOutcome:
    """What a call left.

    Attributes:
        folder: the adapter's.
        report: what report.json holds.
        fresh: whether this call wrote it; False: it was there already.
    """

    folder: Path
    report: Mapping[str, Any]
    fresh: bool


class _Interval(BaseModel):
    model_config = ConfigDict(extra="allow")

    mean: float | None
    low: float | None
    high: float | None
    patients: int


class _MeasuredRow(BaseModel):
    model_config = ConfigDict(extra="allow")

    dataset: str
    modality: str
    prompt: str
    before: _Interval
    after: _Interval
    difference: _Interval
    verdict: str


class WrittenReport(BaseModel):
    """What is read again of report.json; the rest of it stays as it is."""

    model_config = ConfigDict(extra="allow")

    key: str
    request: dict[str, Any]
    headline: str
    use: str
    measured: list[_MeasuredRow]


def adapt(
    request: AdaptRequest,
    *,
    device: str = "auto",
    force: bool = False,
    quiet: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    fit: FitFunction | None = None,
    latex: bool = False,
) -> AdaptOutcome:
    """Prepare, train, measure before and after, and write the adapter; or go on with it.

    Args:
        request: what is asked for.
        device: "auto", "cpu" or "cuda".
        force: replace another adapter in the output's place.
        quiet: no progress.
        progress: told after each prepared case.
        say: told what is going on.
        fit: how adapters are trained; None takes `training.fit`.
        latex: write the report's tables as LaTeX, too; of an adapter that is there, its folder is written anew.

    Raises:
        SegevolutionError: the request, its data, its base or the output cannot be used.
    """
    _check(request, device)
    base = load(request.base, device="cpu")
    spec, layers = base.spec, chosen_layers(base)
    del base
    _check_output(request, force)
    work = request.work
    if work.exists() and not (work / "adapt.json").is_file() and any(work.iterdir()):
        raise RecipeError(f"{work} is where the work would be kept, and holds something else; choose another -o.")
    sweep(request.output.resolve().parent)
    write_json(work / "adapt.json", request.told())

    brought = bring(request.dataset, work, request.source, request.overrides, progress)
    for line in brought.decisions:
        say(line)
    for case, why in brought.failed.items():
        say(f"left out {case}: {why}")
    structures = structures_in(brought, request.structures)
    shares = share_out(brought, structures, request.wishes)
    split = shares.split
    split.save(work / "split.json")
    records = brought.store.cases
    say(_in_words(brought, shares))
    taught = [record for record in records if record.name in split.train]
    beginning = choose_beginning(
        request.base, request.start, request.method, [record.modality for record in taught], structures, spec, work
    )
    if beginning.sentence:
        say(beginning.sentence)
    if beginning.base != request.base:
        base = load(beginning.base, device="cpu")
        spec, layers = base.spec, chosen_layers(base)
        del base
    recipe, retention = make_recipe(request, brought, structures, taught, spec, layers, shares, beginning)
    key = digest([_in_first_names(recipe), brought.store.fingerprint(), asdict(split)])
    before = _report_of(request.output)
    is_same = before is not None and before.get("key") == key
    if before is not None and is_same and (has_latex(request.output) or not latex):
        return AdaptOutcome(request.output, before, False)
    if before is not None and not is_same and not force:
        raise RecipeError(
            f"{request.output} was made from other patients than {request.dataset} holds now, or begun elsewhere; "
            "use --force to replace it, or choose another -o."
        )
    tested = people_of(records, split.train if shares.folds > 1 else split.test)
    attempts = note_attempt(request.output, work, Attempt(key=key, patients=tested))
    watched = MeasuredFit(fit)
    outcome = run_study(recipe, work / "study", root=work, device=device, quiet=quiet, fit=watched)
    facts = AdaptFacts(
        request=request.told(),
        key=key,
        dataset=brought.name,
        split=split,
        patients=shares.counts,
        folds=shares.folds,
        how=shares.how,
        left_out=brought.failed,
        remarks=brought.remarks,
        structures=structures,
        modalities=tuple(dict.fromkeys(str(record.modality) for record in taught if record.modality)),
        retention=retention,
        simulated=[entry.name for entry in recipe.data if entry.simulate is not None],
        learned=datasets_learned_from(recipe, records, split),
        attempts=attempts,
        replay=replay_in_words(request, recipe),
        method=request.method,
        base=beginning.base,
        beginning=beginning.sentence,
        run=f"{request.method}-s{request.seed}",
        study=work / "study",
    )
    written = write_adapter(facts, outcome.table, request.output, force=force or is_same, latex=latex)
    return AdaptOutcome(request.output, written, True)


def _in_words(brought: PreparedDataset, shares: Shares) -> str:
    counts = shares.counts
    if shares.folds > 1:
        return (
            f"{brought.name}: {counts['test']} patients, {shares.how} ({shares.folds + 1} trainings; --folds 1 holds "
            "some out in place of it)"
        )
    return (
        f"{brought.name}: {counts['train']} patients to learn from, {counts['validation']} to choose the weights by, "
        f"{counts['test']} held out ({shares.how})"
    )


def _check(request: AdaptRequest, device: str) -> None:
    """Refuse before any work what would fail after it, as far as that shows before the cases are read."""
    if request.method not in METHODS:
        hint = did_you_mean(request.method, METHODS, f"known are {', '.join(METHODS)}.")
        raise RecipeError(f'"{request.method}" is no method to adapt by; {hint}')
    if not request.dataset.is_dir():
        raise RecipeError(f"{request.dataset} is not a folder; give the folder of a dataset, or a store.")
    if (request.steps is not None and request.steps < 1) or (request.minutes is not None and not request.minutes > 0):
        raise RecipeError("training takes at least 1 step and more than 0 minutes; raise --steps or --minutes.")
    if request.simulated < 0:
        raise RecipeError(f"{request.simulated} simulated patients cannot be made; give 0 or more.")
    for path in (request.ct, None if request.replay in (None, SIMULATED, NONE) else Path(str(request.replay))):
        if path is not None:
            Store.open(path)
    resolve_device(device)
    check_dataset(request.dataset, request.source, request.overrides, request.wishes)


def _check_output(request: AdaptRequest, force: bool) -> None:
    """Refuse an output that holds something else, or another adapter unless `force`."""
    check_writable(request.output)
    if not is_taken(request.output):
        return
    before = _report_of(request.output)
    if before is None or before.get("request") != request.told():
        check_replaceable(request.output, force=force)


def _report_of(folder: Path) -> dict[str, Any] | None:
    """What an earlier call wrote there; None where it is damaged, and is then no report of ours."""
    if not is_adapter(folder):
        return None
    try:
        return read_json(folder / REPORT, WrittenReport, error=RecipeError).model_dump()
    except SegevolutionError:
        return None


def _in_first_names(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, whose digest is what it was before settings of training got new names."""
    values = recipe.model_dump(mode="json")
    for part in (values, *values["methods"]):
        part["fit"] = with_old_names(part["fit"], RENAMED)
    return values
