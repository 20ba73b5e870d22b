"""What the report of an adaptation tells beside its measurements, and what it reads of the study's own notes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..adapters.artifact import WEIGHTS, describe
from ..adapters.mixture import MixtureAdapter, MixtureConfig
from ..data.record import CaseRecord
from ..data.splits import Person, Split
from ..data.store import Store
from ..documents import read_json
from ..errors import RecipeError
from ..studies.recipe import Recipe
from ..vocabulary import Modality
from .attempts import Attempt
from .cost import read_cost
from .report_values import Training


@dataclass(frozen=True)
class AdaptFacts:
    """What is told beside the measurements.

    Attributes:
        request: plain values.
        key: of the recipe, the data and the split.
        dataset: its name in the tables.
        split: cases; `patients`: part -> how many; `how`: they were dealt, in words; `folds`: of cross-validation.
        left_out: case -> why it cannot be used; `remarks`: case -> what is odd about it.
        structures: learned and measured.
        modalities: of the patients that were learned from.
        retention: datasets that tell what was forgotten; `simulated`: those of them that are simulated.
        learned: datasets that hold, among those who are tested, patients whom the adapter learned from.
        attempts: adapters that were measured on some of these patients, this one among them.
        replay: in words.
        method, base: by name; `beginning`: where the training began, in words, empty at the bare base.
        run: of the study, whose folder is `study`.
    """

    request: Mapping[str, Any]
    key: str
    dataset: str
    split: Split
    patients: Mapping[str, int]
    folds: int
    how: str
    left_out: Mapping[str, str]
    remarks: Mapping[str, str]
    structures: Sequence[str]
    modalities: Sequence[str]
    retention: Sequence[str]
    simulated: Sequence[str]
    learned: Sequence[str]
    attempts: Sequence[Attempt]
    replay: str
    method: str
    base: str
    beginning: str
    run: str
    study: Path


class _SavedFile(BaseModel):
    """Base of what is read of a file that a study wrote; the rest of the file is of no interest here."""

    model_config = ConfigDict(extra="ignore")


class _TrainedNote(_SavedFile):
    """trained.json."""

    trained_parameters: int
    step: int
    finished: bool
    best_step: int | None = None


class _ZeroShotBadges(_SavedFile):
    """A dataset in manifest.json."""

    unadapted_base: str | None = None


class _StudyManifest(_SavedFile):
    """manifest.json."""

    data: dict[str, _ZeroShotBadges]


def datasets_learned_from(recipe: Recipe, records: Iterable[CaseRecord], split: Split) -> list[str]:
    """Datasets of which some tested patient was learned from through another one, by the patients' names.

    Args:
        recipe: of the study; its first dataset is the laboratory's own.
        records: of that.
        split: of its cases.
    """
    own, *others = recipe.data
    people_learned_from: dict[str, set[Person]] = {own.name: set()}
    people_tested: dict[str, set[Person]] = {own.name: set()}
    for record in records:
        if record.name in (*split.train, *split.validation):
            people_learned_from[own.name].add(record.person)
        if own.folds > 1 or record.name in split.test:
            people_tested[own.name].add(record.person)
    for entry in others:
        if entry.path is not None:
            people = {record.person for record in Store.open(Path(entry.path)).cases}
            people_learned_from[entry.name] = people if entry.replay else set()
            people_tested[entry.name] = people if entry.test else set()
    return [
        name
        for name, people in people_tested.items()
        if any(people & taught for other, taught in people_learned_from.items() if other != name)
    ]


def left_alone(facts: AdaptFacts) -> list[str]:
    """Modalities that the adapter leaves to the base whatever the image: those that a mixture's table sends there."""
    description = describe(facts.study / "models" / facts.run / "adapter")
    if description["method"] != MixtureAdapter.method:
        return []
    config = MixtureConfig.from_dict(description["settings"])
    return [modality.value for modality in Modality if config.leaves_alone(modality)]


def read_training(facts: AdaptFacts) -> Training:
    """How the training of the adapter went, from the study's notes; RecipeError where they are damaged."""
    place_of = facts.study / "models" / facts.run
    note = read_json(place_of / "trained.json", _TrainedNote, error=RecipeError)
    return Training(
        values=note.trained_parameters,
        bytes=(place_of / "adapter" / WEIGHTS).stat().st_size,
        steps=note.step,
        best_step=note.best_step,
        finished=note.finished,
        cost=read_cost(place_of / "fit"),
    )


def read_badges(facts: AdaptFacts) -> dict[str, str]:
    """Dataset -> whether the base had seen it, from the study's manifest."""
    data = read_json(facts.study / "manifest.json", _StudyManifest, error=RecipeError).data
    return {name: entry.unadapted_base for name, entry in data.items() if entry.unadapted_base}
