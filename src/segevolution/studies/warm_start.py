"""Check methods that start from a ready adapter: does it fit, and is it tested on patients it learned from?

So the gate of combined experts is trained, an adapter from unlabelled data is tuned, and any is measured as it is:

    methods:
      - {name: gated, kind: mixture, start: adapters/both, fit: {steps: 60}}
      - {name: simmim, kind: lora, start: runs/simmim_mri/adapter, train: false}
      - {name: expert, base: segvol-mini-2, kind: mixture, start: segvol-mini-mri, train: false}  # one that ships
"""

from collections.abc import Iterable, Mapping

from ..adapters import METHODS, describe
from ..adapters.shipped import find_adapter
from ..errors import AdapterError, RecipeError
from .facts import BaseFacts
from .jobs import EvaluateJob, TrainJob
from .ready_adapter import ReadyAdapter, read_ready
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
    trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob], starts: Mapping[str, ReadyAdapter]
) -> list[str]:
    """A sentence for each run that is tested on a case from which its start had learned, by the names of both."""
    method_of = {job.run: job.method for job in trainings}
    tested: dict[str, set[str]] = {}
    for job in evaluations:
        start = starts.get(method_of.get(job.part.run, ""))
        if start is not None:
            learned = {entry.split(" (")[0] for entry in start.taught}
            name = f"{job.part.dataset}/{job.part.case}"
            if name in learned:
                tested.setdefault(job.part.run, set()).add(name)
    return [
        f"{run} is tested on cases that what it started from had learned from: {', '.join(sorted(names))}; its results "
        "on them are too good."
        for run, names in tested.items()
    ]
