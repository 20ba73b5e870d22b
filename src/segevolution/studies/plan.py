"""From a recipe to jobs: prepare a dataset, train a run, evaluate a run on a case.

A job has a key: a digest of everything that decides its result. What is done is known by its key, so a second
call does only what is missing, and a changed recipe repeats exactly what the change touches.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

from ..data.record import CaseRecord
from ..errors import RecipeError
from ..evaluation.results import PartName
from ..imaging.case import Part
from ..training.settings import decisive
from ..vocabulary import closest
from .recipe import LOT, UNTRAINED, Dataset, Fit, Method, Recipe, Role
from .roles import PART_OF, CaseName, learned, pools

ROLES = ("train", "replay", "validation", "test")


@dataclass(frozen=True)
class PrepareJob:
    """Bring a dataset into a store."""

    dataset: Dataset
    key: str


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


@dataclass(frozen=True)
class Split:
    """Which patients of one dataset do what in one fold."""

    patients: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, role: str, records: Iterable[CaseRecord]) -> list[str]:
        """Names of the cases whose patient has a role."""
        return [record.name for record in records if record.patient in self.patients[role]]


def digest(value: Any) -> str:
    """A key: the first 16 hexadecimal digits of the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_data(recipe: Recipe) -> list[PrepareJob]:
    """One job a dataset."""
    return [prepare_job(dataset) for dataset in recipe.data]


def prepare_job(dataset: Dataset) -> PrepareJob:
    """How a dataset is brought into a store; its key does not change when only roles do."""
    made_of = {"name", "simulate", "source", "path", "modality"}
    return PrepareJob(dataset, digest(dataset.model_dump(include=made_of)))


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


def assign(dataset: Dataset, records: Sequence[CaseRecord]) -> tuple[Split, ...]:
    """Patients to roles, one split a fold; a patient, with all its cases, has one role in a fold.

    Named patients are taken first; the others are ordered by a lot that depends on the seed and their own name
    only, and dealt in the order test, train, replay, validation, so that a larger `train` never changes who is
    tested. With a `split`, each role is dealt from its own part.

    Raises:
        RecipeError: a patient is named that is not there or in two roles, there are too few, or the split is unusable.
    """
    there = sorted({record.patient for record in records})
    if dataset.patients is not None:
        _require(dataset, dataset.patients, there)
        there = sorted(set(dataset.patients))
    wishes: dict[str, Role] = {role: getattr(dataset, role) for role in ROLES}
    named: dict[str, list[str]] = {role: wish for role, wish in wishes.items() if isinstance(wish, list)}
    for role, names in named.items():
        _require(dataset, names, there)
        for other, others in named.items():
            twice = sorted(set(names) & set(others)) if other != role else []
            if twice:
                raise RecipeError(f"{dataset.name}: {twice[0]} is in both {role} and {other}; choose one.")
    if dataset.split != LOT:
        kept = [record for record in records if record.patient in set(there)]
        return (_deal_parts(dataset, wishes, pools(dataset, kept)),)
    taken = {name for names in named.values() for name in names}
    free = _shuffled(dataset, set(there) - taken)
    if dataset.folds == 1:
        return (_deal(dataset, wishes, free, len(there)),)
    if dataset.folds > len(free):
        raise RecipeError(f"{dataset.name} has {len(free)} patients, too few for {dataset.folds} folds.")
    splits = []
    for fold in range(dataset.folds):
        tested = free[fold :: dataset.folds]
        rest = [name for name in free if name not in tested]
        splits.append(_deal(dataset, {**wishes, "test": tested}, rest, len(there)))
    return tuple(splits)


def _deal(dataset: Dataset, wishes: Mapping[str, Role], free: Sequence[str], total: int) -> Split:
    left, dealt = list(free), {}
    for role in ("test", "train", "replay", "validation"):
        wish = wishes[role]
        if isinstance(wish, list):
            dealt[role] = frozenset(wish)
        elif wish != "rest":
            count = round(wish * total) if isinstance(wish, float) else int(wish)
            if count > len(left):
                raise RecipeError(f"{dataset.name}: {role} wants {count} patients, but only {len(left)} are left.")
            dealt[role], left = frozenset(left[:count]), left[count:]
    for role in ROLES:
        if wishes[role] == "rest":
            dealt[role] = frozenset(left)
    return Split(
        {
            role: frozenset(_shuffled(dataset, patients)[: dataset.cap[role]]) if role in dataset.cap else patients
            for role, patients in dealt.items()
        }
    )


def _deal_parts(dataset: Dataset, wishes: Mapping[str, Role], parts: Mapping[Part, Sequence[str]]) -> Split:
    """Each role from the patients of its part; fractions are of these."""
    dealt: dict[str, frozenset[str]] = {}
    for part, pool in parts.items():
        inside = {role: wish for role, wish in wishes.items() if PART_OF[role] == part}
        named = [name for wish in inside.values() if isinstance(wish, list) for name in wish]
        _require(dataset, named, pool, f"'s {part} part")
        split = _deal(dataset, dict.fromkeys(ROLES, 0) | inside, _shuffled(dataset, set(pool) - set(named)), len(pool))
        dealt |= {role: split.patients[role] for role in inside}
    return Split(dealt)


def _shuffled(dataset: Dataset, patients: Iterable[str]) -> list[str]:
    return sorted(patients, key=lambda name: digest([dataset.seed, dataset.name, name]))


def _require(dataset: Dataset, names: Sequence[str], there: Sequence[str], where: str = "") -> None:
    for name in names:
        if name not in there:
            near = closest(name, there)
            hint = f'did you mean "{near}"?' if near else f"there are {len(there)} others."
            raise RecipeError(f'{dataset.name}{where} has no patient "{name}"; {hint}')


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


def _at(splits: Sequence[Split], fold: int) -> Split:
    return splits[fold if len(splits) > 1 else 0]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return [value.dataset, value.case] if isinstance(value, CaseName) else value
