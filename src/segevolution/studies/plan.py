"""From a recipe to jobs: prepare a dataset, train a run, evaluate a run on a case.

A job has a key: a digest of everything that decides its result. What is done is known by its key, so a second
call does only what is missing, and a changed recipe repeats exactly what the change touches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

from ..data.record import CaseRecord
from ..errors import RecipeError
from ..evaluation.results import PartName
from ..recipes.keys import digest
from ..recipes.roles import CaseName, RoleSplit, assign
from ..recipes.stores import PrepareJob, prepare_job
from ..training.settings import decisive
from .learning import learned
from .recipe import UNTRAINED, Fit, Method, Recipe


@dataclass(frozen=True)
class TrainJob:
    """Train one run: a method, a seed, a fold.

    Attributes:
        run: its name, such as "lora-s0", "lora-s0-f1" or, with so many shots, "lora-5shot-s0"; the method's alone
            where a ready adapter is measured as it is.
        train, replay, validation: cases; none of them is ever tested by this run.
        key: of all this, the base and the data.
    """

    run: str
    method: Method
    seed: int
    train: tuple[CaseName, ...]
    replay: tuple[CaseName, ...]
    validation: tuple[CaseName, ...]
    key: str


@dataclass(frozen=True)
class EvaluateJob:
    """Measure one run on one case.

    Attributes:
        part: where its rows go, with the key.
        method, seed: of the run; the method's name says with how many shots, as in "lora (5 shots)".
        needs: the training that makes the model; None = the base as it is.
    """

    part: PartName
    method: str
    seed: int
    needs: TrainJob | None


@dataclass(frozen=True)
class Plan:
    """All jobs of a study once its data are there; trainings come before the evaluations that need them."""

    trainings: tuple[TrainJob, ...]
    evaluations: tuple[EvaluateJob, ...]

    @property
    def parts(self) -> list[PartName]:
        """The parts whose join is the table of results."""
        return [job.part for job in self.evaluations]


def plan_data(recipe: Recipe) -> list[PrepareJob]:
    """One job a dataset."""
    return [prepare_job(dataset) for dataset in recipe.data]


def plan(
    recipe: Recipe,
    records: Mapping[str, Sequence[CaseRecord]],
    fingerprints: Mapping[str, str],
    base: str,
    questions: Any,
    new: Sequence[str] = (),
    starts: Mapping[str, str] | None = None,
) -> Plan:
    """Trainings and evaluations of a study.

    Args:
        records: dataset name -> its cases.
        fingerprints: dataset name -> digest of its content.
        base: fingerprint of the base model.
        questions: everything that decides how a case is measured, as plain values.
        new: structures that the base does not know and the trained methods learn.
        starts: method -> digest of the ready adapter that it starts from, for each that does.

    Raises:
        RecipeError: the roles do not fit the patients that are there.
    """
    splits = {dataset.name: assign(dataset, records[dataset.name]) for dataset in recipe.data}
    folds = max(len(split) for split in splits.values())
    if any(len(split) not in (1, folds) for split in splits.values()):
        raise RecipeError(f"{recipe.name}: datasets have different numbers of folds; give all the same, or 1.")

    def cases(role: str, fold: int) -> tuple[CaseName, ...]:
        return tuple(
            CaseName(name, case) for name, split in splits.items() for case in _at(split, fold).of(role, records[name])
        )

    trainings, evaluations = [], []
    for method in recipe.methods:
        begun = [["start", (starts or {})[method.name]]] if method.start is not None else []
        if method.trained_as == UNTRAINED or not method.train:
            tested = dict.fromkeys(name for fold in range(folds) for name in cases("test", fold))
            seed, ready = recipe.seeds[0], None
            if begun:
                ready = TrainJob(method.name, method, seed, (), (), (), digest([base, *begun]))
                trainings.append(ready)
            evaluations += [
                _evaluation(method.name, method.name, seed, base, name, ready, fingerprints, questions)
                for name in tested
            ]
            continue
        fit = recipe.fit_of(method)
        numbers: Sequence[int | Literal["all"] | None] = recipe.shots or [None]
        for shots, seed, fold in product(numbers, recipe.seeds, range(folds)):
            tag, label = _named(method, shots)
            run = f"{tag}-s{seed}" + (f"-f{fold}" if folds > 1 else "")
            train = learned(recipe, cases("train", fold), records, seed, None if shots == "all" else shots)
            validation = cases("validation", fold)
            replay = cases("replay", fold) if fit.replay > 0 else ()
            used = {name.dataset: fingerprints[name.dataset] for name in (*train, *replay, *validation)}
            taught = [method.trained_as, method.settings, _settings(fit), seed, train, replay, validation]
            key = digest([base, used, _plain(taught), *([sorted(new)] if new else []), *begun])
            job = TrainJob(run, method, seed, train, replay, validation, key)
            trainings.append(job)
            evaluations += [
                _evaluation(run, label, seed, base, name, job, fingerprints, questions) for name in cases("test", fold)
            ]
    if not evaluations:
        raise RecipeError(f"{recipe.name}: no patient has the role test, so there is nothing to measure.")
    return Plan(tuple(trainings), tuple(evaluations))


def _named(method: Method, shots: int | Literal["all"] | None) -> tuple[str, str]:
    """How a run's name begins, and how the tables name its method."""
    if shots is None:
        return method.name, method.name
    if shots == "all":
        return f"{method.name}-all", f"{method.name} (all shots)"
    return f"{method.name}-{shots}shot", f"{method.name} ({shots} shot{'s' if shots > 1 else ''})"


def _settings(fit: Fit) -> dict[str, Any]:
    """What decides a training; what is not asked for is left out, as in the keys from before it existed."""
    values = {**asdict(fit), "settings": decisive(fit.settings)}
    sample = values["settings"]["sample"]
    if not sample["balance"]:
        del sample["balance"], sample["balance_power"]
    return values


def _evaluation(
    run: str,
    method: str,
    seed: int,
    base: str,
    name: CaseName,
    needs: TrainJob | None,
    fingerprints: Mapping[str, str],
    questions: Any,
) -> EvaluateJob:
    key = digest([needs.key if needs else base, fingerprints[name.dataset], name.dataset, name.case, questions])
    return EvaluateJob(PartName(run, name.dataset, name.case, key), method, seed, needs)


def _at(splits: Sequence[RoleSplit], fold: int) -> RoleSplit:
    return splits[fold if len(splits) > 1 else 0]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return [value.dataset, value.case] if isinstance(value, CaseName) else value
