"""From a recipe to jobs. Below this module nobody sees a recipe: each job holds all that it takes to do it.

What is done is known by the keys of jobs, so a second call does only what is missing, and a changed recipe repeats
exactly what the change touches.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ..errors import RecipeError
from ..evaluation.analysis import PrimaryQuestion
from ..evaluation.questions import Questions
from ..evaluation.results import PartName
from ..recipes.keys import digest
from ..recipes.roles import CaseName, assign, of_all, of_fold, patient_names
from ..recipes.stores import PrepareJob, prepare_job
from ..training.settings import decisive
from ..vocabulary import canonical
from .cohorts import Cohort
from .facts import BaseFacts, DatasetFacts, MethodFacts, RivalFacts, rival_facts
from .jobs import EvaluateJob, Plan, ReportJob, TrainJob
from .places import check_runs
from .questions import drawn_prompt, known_structures, omissions, questions_of, shifts_of
from .ready_adapter import ReadyAdapter
from .recipe import Method, MethodFit, Recipe
from .rivals import RIVALS
from .runs import describe_runs, name_run
from .same_people import external_datasets
from .training_cases import learned
from .warm_start import taught_before
from .zero_shot import badges, rivals, torn


def plan_data(recipe: Recipe, root: Path | None = None) -> list[PrepareJob]:
    """One job a dataset; `root` is where paths of the recipe begin, None reads SEGEVOLUTION_DATA."""
    return [prepare_job(dataset, root) for dataset in recipe.data]


def plan(
    recipe: Recipe,
    data: Mapping[str, DatasetFacts],
    bases: Mapping[str, BaseFacts],
    starts: Mapping[str, ReadyAdapter] | None = None,
) -> Plan:
    """Trainings, evaluations and the report of a study.

    Args:
        data: of each dataset of the recipe.
        bases: of each base of its methods.
        starts: of each method that starts from a ready adapter.

    Raises:
        RecipeError: the roles do not fit the patients that are there, or a base cannot be asked anything.
    """
    return _Planner(recipe, data, bases, starts or {}).plan()


class _Planner:
    """Holds what every job of a study is made from."""

    def __init__(
        self,
        recipe: Recipe,
        data: Mapping[str, DatasetFacts],
        bases: Mapping[str, BaseFacts],
        starts: Mapping[str, ReadyAdapter],
    ) -> None:
        self.recipe, self.data, self.bases, self.starts = recipe, data, bases, starts
        self.records = {name: facts.records for name, facts in data.items()}
        self.patients = {name: patient_names(records) for name, records in self.records.items()}
        self.record_of = {
            CaseName(name, record.name): record for name, records in self.records.items() for record in records
        }
        labelled = {name for records in self.records.values() for record in records for name in record.structures}
        self.structures = known_structures(recipe, bases, labelled)
        picture_prompt = drawn_prompt(recipe, bases)
        self.drawn = picture_prompt
        self.facts = {method.name: self._facts(method) for method in recipe.methods}
        self.questions = {
            name: questions_of(recipe, facts, self.structures, picture_prompt) for name, facts in self.facts.items()
        }
        self.absent = {one.name: tuple(canonical(name) for name in one.absent) for one in recipe.data}
        self.truths = {dataset.name: dataset.truth for dataset in recipe.data}
        self.splits = {dataset.name: assign(dataset, self.records[dataset.name]) for dataset in recipe.data}
        self.folds = max(len(split) for split in self.splits.values())
        if any(len(split) not in (1, self.folds) for split in self.splits.values()):
            raise RecipeError(f"{recipe.name}: datasets have different numbers of folds; give all the same, or 1.")

    def _facts(self, method: Method) -> MethodFacts:
        """What is known of what a method adapts, or is."""
        if method.trained_as in RIVALS:
            base = self.recipe.base_of(method)
            return rival_facts(method.trained_as, method.settings, self.bases[base] if base else None)
        return self.bases[self.recipe.base_of(method)]

    def plan(self) -> Plan:
        """All jobs, in the order of the methods."""
        trainings: list[TrainJob] = []
        evaluations: list[EvaluateJob] = []
        for method in self.recipe.methods:
            for training, jobs in self._trained(method) if method.is_trained else [self._measured(method)]:
                trainings += [training] if training is not None else []
                evaluations += jobs
        if not evaluations:
            raise RecipeError(f"{self.recipe.name}: no patient has the role test, so there is nothing to measure.")
        check_runs(self.recipe.name, trainings, evaluations)
        planned_jobs = tuple(trainings), tuple(evaluations)
        return Plan(*planned_jobs, self._report(*planned_jobs))

    def _cases(self, role: str, fold: int | None) -> tuple[CaseName, ...]:
        """The cases that have a role in a fold; None: in the training on all patients of the folds."""
        return tuple(
            CaseName(name, case)
            for name, split in self.splits.items()
            for case in (of_all if fold is None and len(split) > 1 else of_fold)(
                split, fold or 0, role, self.records[name]
            )
        )

    def _tested(self, fold: int | None) -> tuple[CaseName, ...]:
        """Whom a run tests: where there is a training on all, data without folds are tested by that one alone."""
        cases = self._cases("test", fold)
        if not self.recipe.refit:
            return cases
        return tuple(name for name in cases if (len(self.splits[name.dataset]) > 1) == (fold is not None))

    def _measured(self, method: Method) -> tuple[TrainJob | None, list[EvaluateJob]]:
        """A base, a ready adapter or a rival as it is: once, whatever seeds, cohorts, shots and folds."""
        base = self.facts[method.name]
        tested = dict.fromkeys(name for fold in range(self.folds) for name in self._cases("test", fold))
        training = None
        if method.start is not None:
            key = digest([base.fingerprint, *self._begun(method)])
            training = self._training(method, method.name, key, self.recipe.seeds[0], None)
        method_run = _Asked(method, method.name, method.name, self.recipe.seeds[0])
        return training, self._evaluations(method_run, training, tested)

    def _trained(self, method: Method) -> Iterable[tuple[TrainJob, list[EvaluateJob]]]:
        """One run for each cohort, number of shots, seed and fold."""
        recipe, base = self.recipe, self.facts[method.name]
        fit = recipe.fit_of(method)
        new = base.unknown(self.structures)
        numbers: Sequence[int | Literal["all"] | None] = recipe.shots or [None]
        folds: list[int | None] = [*range(self.folds), *([None] if recipe.refit else [])]
        for cohort, shots, seed, fold in product(self._cohorts(method), numbers, recipe.seeds, folds):
            tag, label = name_run(method.name, None if cohort is None else cohort.name, shots)
            run = f"{tag}-s{seed}" + (f"-f{fold}" if self.folds > 1 and fold is not None else "")
            may_train, validation, replay = (
                self._cases(role, fold) if cohort is None else cohort.of(self._cases(role, fold), self.record_of)
                for role in ("train", "validation", "replay")
            )
            if not may_train:
                raise RecipeError(f"{recipe.name}: no patient of cohort {cohort and cohort.name} has the role train.")
            count = None if cohort is None else cohort.count
            train = learned(recipe, may_train, self.records, seed, None if shots == "all" else shots, count)
            replay = replay if fit.replay > 0 else ()
            datasets = dict.fromkeys(name.dataset for name in (*train, *replay, *validation))
            used = {name: self.data[name].fingerprint for name in datasets}
            taught = [method.trained_as, method.settings, _settings(fit), seed, train, replay, validation]
            key = digest(
                [base.fingerprint, used, _case_pairs(taught), *([sorted(new)] if new else []), *self._begun(method)]
            )
            job = self._training(method, run, key, seed, fit, train, replay, validation)
            people = len({self.record_of[name].person for name in train})
            method_run = _Asked(method, run, label, seed, "" if cohort is None else cohort.name, people)
            yield job, self._evaluations(method_run, job, self._tested(fold))

    def _cohorts(self, method: Method) -> list[Cohort | None]:
        """Those that a method is trained on; None: all that may train."""
        chosen = self.recipe.cohorts
        return [one for one in chosen if method.cohorts is None or one.name in method.cohorts] or [None]

    def _begun(self, method: Method) -> list[list[str]]:
        return [] if method.start is None else [["start", self.starts[method.name].mark]]

    def _training(
        self,
        method: Method,
        run: str,
        key: str,
        seed: int,
        fit: MethodFit | None,
        train: tuple[CaseName, ...] = (),
        replay: tuple[CaseName, ...] = (),
        validation: tuple[CaseName, ...] = (),
    ) -> TrainJob:
        datasets = dict.fromkeys(name.dataset for name in (*train, *replay, *validation))
        return TrainJob(
            run=run,
            key=key,
            study=self.recipe.name,
            base=self.recipe.base_of(method),
            method=method.name,
            kind=method.trained_as,
            settings=method.settings,
            fit=None if fit is None else fit.settings,
            replay_weight=0.0 if fit is None else fit.replay,
            seed=seed,
            train=train,
            replay=replay,
            validation=validation,
            stores=tuple(self.data[name].store for name in datasets),
            structures=tuple(canonical(name) for name in self.recipe.structures),
            start=method.start,
        )

    def _evaluations(self, asked: "_Asked", training: TrainJob | None, tested: Iterable[CaseName]) -> list[EvaluateJob]:
        """Each tested case as it is, then at each strength of each shift."""
        jobs = []
        method, base = asked.method, self.facts[asked.method.name]
        questions = {name: replace(self.questions[method.name], absent=absent) for name, absent in self.absent.items()}
        key_values = {name: own.key_values() for name, own in questions.items()}
        for name in tested:
            facts, record = self.data[name.dataset], self.record_of[name]
            is_on = method.modalities is None or record.modality in method.modalities
            needs = training.key if training is not None and is_on else None
            patient = self.patients[name.dataset][record.person]
            made_of = [needs or base.fingerprint, facts.fingerprint, name.dataset, name.case, key_values[name.dataset]]
            made_of += [patient] if patient != record.patient else []
            for shift, strength in [(PartName.shift, 0.0), *shifts_of(self.recipe, record)]:
                key = digest(made_of if shift == PartName.shift else [*made_of, shift, strength])
                jobs.append(
                    EvaluateJob(
                        part=PartName(asked.run, name.dataset, name.case, key, shift, strength),
                        method=asked.label,
                        seed=asked.seed,
                        base=self.recipe.base_of(method),
                        needs=needs,
                        store=facts.store,
                        labels=self.truths[name.dataset],
                        questions=questions[name.dataset]
                        if shift == PartName.shift
                        else _of_shifted(questions[name.dataset]),
                        family=method.name,
                        cohort=asked.cohort,
                        trained_on=asked.trained_on,
                        patient=patient,
                        rival=method.trained_as if isinstance(base, RivalFacts) else None,
                        settings=method.settings if isinstance(base, RivalFacts) else {},
                    )
                )
        return jobs

    def _report(self, trainings: tuple[TrainJob, ...], evaluations: tuple[EvaluateJob, ...]) -> ReportJob:
        recipe = self.recipe
        marks = badges(evaluations, self.records)
        warnings = [
            *torn(trainings, evaluations, self.records),
            *taught_before(trainings, evaluations, self.starts, self.records),
        ]
        read = {
            name: [case for case in facts.records if not (facts.unread and case.modality is None)]
            for name, facts in self.data.items()
        }
        omitted = omissions(recipe, self.facts, self.structures, read)
        first = self.bases.get(recipe.base) or next(iter(self.bases.values()), None)
        manifest = {
            "base": {} if first is None else {"name": first.name, "fingerprint": first.fingerprint},
            "bases": {name: base.fingerprint for name, base in self.bases.items()},
            "seeds": recipe.seeds,
            "data": {
                name: {
                    "fingerprint": facts.fingerprint,
                    "cases": len(facts.records),
                    "labels": self.truths[name],
                    "unadapted_base": marks.get(name),
                }
                for name, facts in self.data.items()
            },
            "runs": describe_runs(trainings, evaluations),
            "left_out": {
                f"{name}/{case}": why for name, facts in self.data.items() for case, why in facts.failed.items()
            },
            "not_asked": list(omitted),
            "recipe": recipe.model_dump(mode="json"),
            "plan": digest([[*vars(job.part).values()] for job in evaluations]),
        }
        return ReportJob(
            study=recipe.name,
            reference=recipe.reference,
            drawn=self.drawn,
            evaluations=evaluations,
            trainings=trainings,
            badges=marks,
            warnings=tuple(warnings),
            rivals=rivals(trainings, evaluations),
            external=external_datasets(trainings, evaluations, self.records),
            omitted=omitted,
            primary=self._primary(),
            retention=None if recipe.retention is None else recipe.retention.question(),
            manifest=manifest,
        )

    def _primary(self) -> PrimaryQuestion | None:
        """The primary question, of the method as the tables name it."""
        primary = self.recipe.primary
        if primary is None:
            return None
        shots = primary.shots or (self.recipe.shots[-1] if self.recipe.shots else None)
        methods = {method.name: method for method in self.recipe.methods}
        method, against = (
            name_run(one.name, self._primary_cohort(one), shots)[1] if one.is_trained else one.name
            for one in (methods[primary.method], methods[primary.against or self.recipe.reference])
        )
        return primary.question(method, against, self.recipe.contexts)

    def _primary_cohort(self, method: Method) -> str | None:
        """The training set that the primary question is about: the first of the method's, where there are several."""
        cohort = self._cohorts(method)[0]
        return None if cohort is None else cohort.name


@dataclass(frozen=True)
class _Asked:
    """What is measured: a run of a method, as the tables name it, with its training set."""

    method: Method
    run: str
    label: str
    seed: int
    cohort: str = ""
    trained_on: int = 0


def _settings(fit: MethodFit) -> dict[str, Any]:
    """What decides a training; what is not asked for is left out, as in the keys from before it existed."""
    values = {**asdict(fit), "settings": decisive(fit.settings)}
    sample = values["settings"]["sample"]
    if not sample["balance"]:
        del sample["balance"], sample["balance_power"]
    return values


def _of_shifted(questions: Questions) -> Questions:
    """Of shifted scans no masks are kept, and nothing absent is asked for."""
    return replace(questions, drawn=None, absent=())


def _case_pairs(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_case_pairs(item) for item in value]
    return [value.dataset, value.case] if isinstance(value, CaseName) else value
