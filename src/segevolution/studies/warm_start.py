"""Check methods that start from a ready adapter: does it fit, and is it tested on patients it learned from?

So the gate of combined experts is trained, an adapter from unlabelled data is tuned, and any is measured as it is:

    methods:
      - {name: gated, kind: mixture, start: adapters/both, fit: {steps: 60}}
      - {name: simmim, kind: lora, start: runs/simmim_mri/adapter, train: false}
      - {name: expert, base: segvol-mini-2, kind: mixture, start: segvol-mini-mri, train: false}  # one that ships
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..adapters import METHODS, describe
from ..adapters.shipped import find_adapter
from ..data.record import CaseRecord
from ..errors import AdapterError, RecipeError
from .facts import BaseFacts
from .jobs import EvaluateJob, TrainJob
from .ready_adapter import ReadyAdapter, image_mark, read_ready
from .recipe import Recipe


def starts_of(recipe: Recipe, bases: Mapping[str, BaseFacts]) -> dict[str, ReadyAdapter]:
    """Name of a method -> what it starts from, for those that do.

    Args:
        bases: of all methods.

    Raises:
        RecipeError: no whole adapter is there, or it is of another method or base, or takes no such settings.
    """
    starts = {}
    for method in recipe.methods:
        if method.start is None:
            continue
        where = f"{recipe.name}: methods.{method.name}.start"
        base = bases[recipe.base_of(method)]
        try:
            folder = find_adapter(method.start)
            about = describe(folder)
            start = read_ready(folder)
        except AdapterError as error:
            raise RecipeError(f"{where}: {error}") from error
        if about["method"] != method.trained_as:
            kind = about["method"]
            raise RecipeError(f"{where}: {folder} is a {kind} adapter, not {method.trained_as}; say kind: {kind}.")
        if about["base"]["fingerprint"] != base.fingerprint:
            raise RecipeError(
                f"{where}: {folder} belongs to another base, {about['base']['name']} "
                f"({about['base']['fingerprint'][:12]}), than {base.name} ({base.fingerprint[:12]}); "
                "start from one of this base."
            )
        try:
            config_type = METHODS[method.trained_as].config_type
            learned_with = config_type.in_new_names(about["settings"])
            config_type.from_dict({**learned_with, **config_type.in_new_names(method.settings)})
        except (AdapterError, TypeError) as error:
            raise RecipeError(f"{recipe.name}: methods.{method.name}.settings: {error}") from error
        starts[method.name] = start
    return starts


def taught_before(
    trainings: Iterable[TrainJob],
    evaluations: Iterable[EvaluateJob],
    starts: Mapping[str, ReadyAdapter],
    records: Mapping[str, Sequence[CaseRecord]],
) -> list[str]:
    """A sentence for each run that is, or may be, tested on patients from whom its start had learned.

    A case is known by its scan and by its person, whatever it is called; where a card says neither, by names, which
    tell nothing of the other cases of the same dataset.

    Args:
        records: dataset name -> its cases.
    """
    method_of = {job.run: job.method for job in trainings}
    record_of = {(name, record.name): record for name, cases in records.items() for record in cases}
    taught_cases = {name: _TaughtCases.of(start) for name, start in starts.items()}
    cases_by_run: dict[str, set[str]] = {}
    unknown_by_run: dict[str, set[str]] = {}
    for job in evaluations:
        taught = taught_cases.get(method_of.get(job.part.run, ""))
        if taught is None:
            continue
        dataset, case = job.part.dataset, job.part.case
        if taught.holds(dataset, record_of[dataset, case]):
            cases_by_run.setdefault(job.part.run, set()).add(f"{dataset}/{case}")
        elif {dataset, record_of[dataset, case].dataset} & taught.datasets_by_name:
            unknown_by_run.setdefault(job.part.run, set()).add(dataset)
    return [
        *(
            f"{run} is tested on cases that what it started from had learned from, or on others of the same patients: "
            f"{', '.join(sorted(names))}; its results on them are too good."
            for run, names in cases_by_run.items()
        ),
        *(
            f"whether {run} is tested on patients that what it started from had learned from is not known: of "
            f"{', '.join(sorted(names))} its card says cases alone, not whose they are."
            for run, names in unknown_by_run.items()
        ),
    ]


@dataclass(frozen=True)
class _TaughtCases:
    """What a ready adapter learned from.

    Attributes:
        images, people: of the cases whose scan and person its card says.
        names: of the others.
        datasets_by_name: of these.
    """

    images: frozenset[str]
    people: frozenset[str]
    names: frozenset[str]
    datasets_by_name: frozenset[str]

    @classmethod
    def of(cls, start: ReadyAdapter) -> "_TaughtCases":
        """As its card says."""
        known = start.known
        names = {entry.split(" (")[0] for entry in start.taught} - {match["case"] for match in known}
        return cls(
            frozenset(match["image"] for match in known),
            frozenset(match["person"] for match in known),
            frozenset(names),
            frozenset(name.partition("/")[0] for name in names if "/" in name),
        )

    def holds(self, dataset: str, record: CaseRecord) -> bool:
        """Whether a case, or its person, is among what was learned from."""
        return (
            bool({f"{dataset}/{record.name}", f"{record.dataset}/{record.name}"} & self.names)
            or "/".join(record.person) in self.people
            or (bool(self.images) and image_mark(record) in self.images)
        )
