"""The recipe of a training from nothing: a network, its data, its stages, and how the data are packed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from ..data.pack import PackLimits
from ..errors import RecipeError
from ..models.segvol.config import SegVolConfig
from ..models.segvol.tokenizer import WordTokenizer
from ..ranges import Seed
from ..recipes.dataset import Dataset
from ..recipes.parts import FitChanges, RecipePart, SafeName, fit_fault, merged
from ..recipes.reading import folder_of, read_as
from ..training.settings import FitSettings
from ..vocabulary import canonical

TRAININGS = folder_of("pretraining", "trainings")

Positive = Annotated[float, Field(gt=0)]


class WeightedDataset(Dataset):
    """A dataset, how often it is drawn from relative to the others, and the first stage that draws from it."""

    weight: float = Field(default=1.0, gt=0)
    licence: str | None = None  # of the data, for the model card; None: what the source says
    since: int = Field(default=1, ge=1)


class TrainingStage(RecipePart):
    """Training at one window; the weights grow from the stage before.

    `weights` replaces the weights of some datasets; 0 leaves one out.
    """

    window: tuple[int, int, int]
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    fit: FitChanges


class DatasetPackLimits(RecipePart):
    """What a pack holds of one dataset, where that differs from the others."""

    voxels: int | None = Field(default=None, ge=1000)
    levels: int | None = Field(default=None, ge=2, le=256)
    cases: int | None = Field(default=None, ge=1)


class Packing(RecipePart):
    """How the data are packed into one file, see `data.pack`.

    `finest` is in millimetres, (x, y, z). `cases` keeps at most so many of a dataset's training cases, spread evenly
    over their names; cases for validation are all kept.
    """

    finest: tuple[Positive, Positive, Positive] = (1.5, 1.5, 2.5)
    voxels: int = Field(default=1_000_000, ge=1000)  # most a case
    levels: int = Field(default=256, ge=2, le=256)  # of brightness
    cases: int | None = Field(default=None, ge=1)
    megabytes: float = Field(default=50.0, gt=0)  # a larger pack is refused
    datasets: dict[str, DatasetPackLimits] = Field(default_factory=dict)

    def limits(self, dataset: str) -> PackLimits:
        """How large a case of a dataset may be."""
        share = self.datasets.get(dataset, DatasetPackLimits())
        return PackLimits(self.finest, share.voxels or self.voxels, share.levels or self.levels)

    def kept(self, dataset: str, names: Sequence[str]) -> list[str]:
        """Those of a dataset's training cases that are packed."""
        most = self.datasets.get(dataset, DatasetPackLimits()).cases or self.cases or len(names)
        if most >= len(names):
            return list(names)
        return [names[place * len(names) // most] for place in range(most)]


class PretrainRecipe(RecipePart):
    """A network, what it sees, and in which stages.

    `network` holds SegVolConfig's keys, `text` with kind "words" filled in by the vocabulary's size; with a `type` it
    holds the keys of that network's configuration instead, see `networks`. `structures` are those it is asked for,
    anything else in the labels is ignored. `start` is a model, by name or folder, whose
    weights and words the first stage begins with; None begins with random ones.
    """

    name: SafeName
    about: str = ""
    licence: str = ""
    notes: list[str] = Field(default_factory=list)  # what else a reader of the model card must know
    seed: Seed = 0
    start: str | None = None
    network: dict[str, Any]
    structures: Annotated[list[str], Field(min_length=1)]
    data: Annotated[list[WeightedDataset], Field(min_length=1)]
    stages: Annotated[list[TrainingStage], Field(min_length=1)]
    fit: FitChanges = Field(default_factory=dict)  # shared by all stages
    pack: Packing = Packing()

    @property
    def intensity(self) -> str:
        """How the network's images are normalised."""
        return str(self.network.get("intensity", SegVolConfig.intensity))

    @property
    def known(self) -> tuple[str, ...]:
        """The structures by their names in the vocabulary."""
        return tuple(canonical(name) for name in self.structures)

    @model_validator(mode="after")
    def _named_datasets_are_there(self) -> "PretrainRecipe":
        names = {entry.name for entry in self.data}
        unknown = {name for stage in self.stages for name in stage.weights} - names
        if unknown:
            raise ValueError(f"a stage weighs {', '.join(sorted(unknown))}, which data does not list")
        unknown = set(self.pack.datasets) - names
        if unknown:
            raise ValueError(f"pack names {', '.join(sorted(unknown))}, which data does not list")
        return self


def load_pretraining(name_or_path: str, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """Read a shipped recipe of pre-training by name, or a YAML file; raises RecipeError in one sentence."""
    return read_as(PretrainRecipe, TRAININGS, name_or_path, overrides)


def stage_settings(recipe: PretrainRecipe, number: int) -> FitSettings:
    """The training of a stage: the recipe's `fit` with the stage's own changes.

    Raises:
        RecipeError: a key or value is not FitSettings'.
    """
    try:
        return replace(FitSettings(**merged(recipe.fit, recipe.stages[number].fit)), seed=recipe.seed + number)
    except ValidationError as error:
        raise RecipeError(f"{recipe.name}: fit of stage {number + 1}: {fit_fault(error)}") from error


def network_config(recipe: PretrainRecipe, tokenizer: WordTokenizer) -> SegVolConfig:
    """The network at the first stage's window, its vocabulary filled in."""
    values = dict(recipe.network)
    if isinstance(values.get("text"), Mapping):
        values["text"] = {**values["text"], "vocabulary": tokenizer.size}
    values["window"] = recipe.stages[0].window
    values["structures"] = recipe.known
    return SegVolConfig.from_dict(values)


def drawn_from(recipe: PretrainRecipe, number: int) -> list[WeightedDataset]:
    """The datasets that a stage (from 1) draws from, with its weights."""
    weights = recipe.stages[number - 1].weights
    entries = [
        entry.model_copy(update={"weight": weights[entry.name]}) if entry.name in weights else entry
        for entry in recipe.data
        if entry.since <= number
    ]
    return [entry for entry in entries if entry.weight > 0]
