"""The declaration of a dataset in a recipe: where its patients come from, and which role each has."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..errors import VocabularyError
from ..imaging.case import Part
from ..ranges import NUMBER, Count, Seed, Several
from ..vocabulary import Modality, canonical
from .parts import RecipePart, SafeName, check_distinct

Role = Annotated[int | float | Literal["rest"] | list[str], NUMBER]
RoleName = Literal["train", "replay", "validation", "test"]

LOT, ORIGINAL = "lot", "original"


class Simulation(RecipePart):
    """Patients made by `data.synthesis`: exact labels, and nothing to download.

    With `labels`, a folder of label maps below the data root, images are made from these instead of from our own
    anatomy; `names` says which value is which structure ("freesurfer", "json" for a file beside each map, or here).
    """

    patients: Several
    seed: Count = 0  # patient i is made from seed + i
    region: Literal["torso", "head"] = "torso"
    modality: Modality = Modality.CT
    sequence: str | None = None
    labels: str | None = None
    names: Literal["freesurfer", "json"] | dict[int, str] = "json"
    spacing: tuple[float, float, float] | None = None  # millimetres; None: the region's, or the map's own

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return with_modality(values)


class Published(RecipePart):
    """So many patients of a dataset as its authors count them, for plans that are made before it is there."""

    patients: Several
    scans: Several = 1  # of each patient
    modality: Modality | None = None
    part: Part | None = None  # where the authors put them
    site: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return with_modality(values)


class Dataset(RecipePart):
    """One dataset and what its patients are for; a patient has one role only.

    A role is a number of patients, a fraction of them (0.5), their names, or "rest". `train`, `replay` (mixed
    into the training of others, so that they are not forgotten) and `validation` are never tested on. With
    `folds`, every patient is tested once, and each fold trains on `train` of the patients outside it; `train: rest`
    takes all of them that no other role takes.

    `split` says who may have which role: "lot", anyone; "original", each role takes from the part where the dataset's
    authors put a patient (`replay` from training; see `data.splits.split_patients` for parts that they left out); or a
    file that `data split` wrote. `cap` keeps at most so many patients of a role. `sites` takes these sites alone.
    """

    name: SafeName
    simulate: Simulation | None = None
    source: str | None = None  # a registered layout, such as "msd"; read from `path`
    path: str | None = None  # a source's folder, or a prepared store's; relative to the data root
    modality: Modality | None = None  # where the source does not say
    labels: str | None = None  # who made the labels, such as "manual": printed with every figure
    absent: list[str] = Field(default=[])  # outside every case's field of view; asked for, and nothing is right
    patients: list[str] | None = None  # only these
    sites: list[str] | None = None  # only patients of these
    published: list[Published] = Field(default=[])  # how many there are, for `study --plan` before they are
    train: Role = 0
    replay: Role = 0
    validation: Role = 0
    test: Role = "rest"
    folds: Several = 1
    split: str = LOT
    cap: dict[RoleName, Count] = Field(default={})
    seed: Seed = 0  # of the split

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return with_modality(values)

    @model_validator(mode="after")
    def _one_origin(self) -> "Dataset":
        check_distinct({"absent": self.absent}, canonical)
        if (self.simulate is None) == (self.path is None):
            raise ValueError("give either simulate, or the path of a source or of a store")
        if self.folds > 1 and self.test != "rest":
            raise ValueError("with folds every patient is tested once; leave test out")
        if self.folds > 1 and (self.split != LOT or "test" in self.cap):
            raise ValueError("with folds every patient is tested once; leave split out, and test out of cap")
        if self.split not in (LOT, ORIGINAL) and not self.split.endswith(".json"):
            raise ValueError(f'split is "{self.split}"; give lot, original, or a .json file that data split wrote')
        sharing = ("train", "replay", "validation", "test") if self.split == LOT else ("train", "replay")
        dealt_by_fold = ("test",) if self.folds > 1 else ()
        rests = [role for role in sharing if getattr(self, role) == "rest" and role not in dealt_by_fold]
        if len(rests) > 1:
            raise ValueError(f"only one role can take the rest, these do: {', '.join(rests)}")
        for role in ("train", "replay", "validation", "test"):
            value = getattr(self, role)
            if isinstance(value, int | float) and (not value >= 0 or (isinstance(value, float) and value > 1)):
                raise ValueError(f"{role} is {value}; give a whole number, a fraction up to 1.0, names, or rest")
        return self

    @property
    def truth(self) -> str:
        """Where the labels come from, in words."""
        return self.labels or ("exact (simulated)" if self.simulate else "origin not stated")


def with_modality(values: Any) -> Any:
    """A recipe's part with the modality that its word names; a word that names none is a `ValueError`."""
    if isinstance(values, Mapping) and isinstance(values.get("modality"), str):
        try:
            return {**values, "modality": Modality.parse(values["modality"])}
        except VocabularyError as error:
            raise ValueError(str(error)) from error
    return values
