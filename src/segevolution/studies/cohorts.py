"""Cohorts: named training sets over the datasets of a study, so that methods are compared across them.

    cohorts:
      - {name: mri_ct}
      - {name: mri, modality: MRI}
      - {name: prostate, data: [made_prostate]}
      - {name: mri_200, modality: MRI, count: 200}

Roles decide who may train; a cohort takes some of them. Who is tested does not depend on it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import model_validator

from ..data.record import CaseRecord
from ..ranges import Several
from ..recipes.dataset import Dataset, with_modality
from ..recipes.parts import RecipePart, SafeName
from ..recipes.roles import CaseName
from ..vocabulary import Modality, did_you_mean


class Cohort(RecipePart):
    """Some of the cases that may be trained on: of some datasets, of one modality, or so many of each in turn."""

    name: SafeName
    data: list[str] | None = None  # None: all datasets
    modality: Modality | None = None  # None: any
    count: Several | None = None  # of cases, one of each dataset in turn; None: all

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return with_modality(values)

    def of(self, cases: Iterable[CaseName], records: Mapping[CaseName, CaseRecord]) -> tuple[CaseName, ...]:
        """Those of the cases that belong to it, in their order; `count` is not looked at."""
        return tuple(
            name
            for name in cases
            if (self.data is None or name.dataset in self.data)
            and (self.modality is None or records[name].modality == self.modality)
        )


class TrainedOnCohorts(Protocol):
    """The part of a method that cohorts look at."""

    @property
    def name(self) -> str:
        """Of the method."""
        ...

    @property
    def cohorts(self) -> list[str] | None:
        """Those that it is trained on; None: all."""
        ...


def check_cohorts(
    cohorts: Sequence[Cohort],
    methods: Iterable[TrainedOnCohorts],
    data: Sequence[Dataset],
    *,
    shots: bool,
    count: int | None,
) -> None:
    """Raise ValueError, in one sentence, for cohorts that do not fit the rest of a recipe."""
    names = [cohort.name for cohort in cohorts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"cohorts holds {', '.join(twice)} twice; each needs its own name")
    datasets = [dataset.name for dataset in data]
    for cohort in cohorts:
        for name in cohort.data or ():
            if name not in datasets:
                near = did_you_mean(name, datasets, _known(datasets))
                raise ValueError(f'cohort {cohort.name} holds "{name}", which is no dataset here; {near}')
        if cohort.count is not None and (shots or count is not None):
            raise ValueError(f"cohort {cohort.name} and the study both choose the training cases; give a count once")
    for method in methods:
        for name in method.cohorts or ():
            if name not in names:
                near = did_you_mean(name, names, _known(names))
                raise ValueError(f'{method.name} is trained on "{name}", which is no cohort; {near}')


def _known(names: Sequence[str]) -> str:
    return f"there are {', '.join(names) or 'none'}"
