"""Train a network from nothing, in stages that grow its window: how segvol-mini was made, and can be made again.

    runs/<name>/data/<dataset>/       stores
    runs/<name>/tokenizer.json        the words its text tower reads
    runs/<name>/manifest.json         the recipe resolved, data, seed, versions and git revision, from the first step on
    runs/<name>/stage-1/ ...          fit/ (checkpoint, curves) and weights.safetensors when done
    runs/<name>/model/                the model folder

A killed run continues where its last checkpoint stands; a finished stage is not trained again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from safetensors.torch import load_file, save_file

from ..data.store import Store
from ..errors import RecipeError
from ..evaluation.results import surroundings
from ..files import replacing, sha256, write_json
from ..models.checkpoints import save_model
from ..models.segvol.config import SegVolConfig
from ..models.segvol.encoder_weights import load_encoder
from ..models.segvol.resize import resized
from ..models.segvol.segvol import SegVol
from ..models.segvol.tokenizer import WordTokenizer
from ..training.batches import CaseGroup
from ..training.fit import FitResult, fit, load_group
from ..training.settings import FitSettings
from ..vocabulary import canonical
from .datasets import open_dataset
from .plan import assign, prepare_job
from .reading import read_as
from .recipe import Dataset, Part, fit_fault, merged

TRAININGS = "trainings"


class WeightedDataset(Dataset):
    """A dataset, how often it is drawn from relative to the others, and the first stage that draws from it."""

    weight: float = Field(default=1.0, gt=0)
    licence: str | None = None  # of the data, for the model card; None: what the source says
    since: int = Field(default=1, ge=1)


class Stage(Part):
    """Training at one window; the weights grow from the stage before.

    `weights` replaces the weights of some datasets; 0 leaves one out.
    """

    window: tuple[int, int, int]
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    fit: dict[str, Any]


class PretrainRecipe(Part):
    """A network, what it sees, and in which stages.

    `network` holds SegVolConfig's keys, `text` with kind "words" filled in by the vocabulary's size; `structures`
    are those it is asked for, anything else in the labels is ignored.
    """

    name: str = Field(min_length=1)
    about: str = ""
    licence: str = ""
    notes: list[str] = Field(default_factory=list)  # what else a reader of the model card must know
    seed: int = 0
    network: dict[str, Any]
    structures: Annotated[list[str], Field(min_length=1)]
    data: Annotated[list[WeightedDataset], Field(min_length=1)]
    stages: Annotated[list[Stage], Field(min_length=1)]
    fit: dict[str, Any] = Field(default_factory=dict)  # shared by all stages

    @model_validator(mode="after")
    def _weights_have_datasets(self) -> "PretrainRecipe":
        unknown = {name for stage in self.stages for name in stage.weights} - {entry.name for entry in self.data}
        if unknown:
            raise ValueError(f"a stage weighs {', '.join(sorted(unknown))}, which data does not list")
        return self


@dataclass(frozen=True)
class Pretrained:
    """What a call made.

    Attributes:
        model: the model folder; None while stages are missing.
        stages: how each stage that this call ran ended.
    """

    model: Path | None
    stages: tuple[FitResult, ...]


def pretrain(
    recipe: PretrainRecipe,
    folder: Path,
    *,
    root: Path | None = None,
    encoder: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Pretrained:
    """Train, or go on training.

    Args:
        recipe: see PretrainRecipe.
        folder: of the run.
        root: where the recipe's data paths begin.
        encoder: a pre-trained image encoder to start from, see `models.segvol.encoder_weights.load_encoder`; a run
            that goes on has it already.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.

    Raises:
        SegevolutionError: the recipe, its data or the folder cannot be used.
    """
    settings = [stage_settings(recipe, number) for number in range(len(recipe.stages))]
    tokenizer = _tokenizer(folder)
    model = SegVol.fresh(network_config(recipe, tokenizer), recipe.seed, tokenizer)
    told = {"seed": recipe.seed, "encoder": _begun_with(folder)}
    if encoder is not None:
        report = load_encoder(model, encoder)
        told["encoder"] = {"from": str(report), "sha256": sha256(report.source)}
    stores: dict[str, Store] = {}
    results = []
    for number, (stage, chosen) in enumerate(zip(recipe.stages, settings, strict=True), start=1):
        if model.config.window != stage.window:
            model = resized(model, stage.window)
        place = folder / f"stage-{number}"
        weights = place / "weights.safetensors"
        if weights.is_file():
            model.load_state_dict(load_file(weights))
            continue
        drawn = _drawn(recipe, number)
        stores |= {entry.name: _prepare(entry, folder, root) for entry in drawn if entry.name not in stores}
        _write_manifest(folder, recipe, settings, stores, told)
        training, validation = (_cases(recipe, drawn, stores, model, role) for role in ("train", "validation"))
        result = fit(model, training, chosen, place, validation=validation, device=device, quiet=quiet)
        results.append(result)
        if not result.finished:
            return Pretrained(None, tuple(results))
        model.cpu()
        with replacing(weights) as temporary:
            save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)
    stores |= {entry.name: _prepare(entry, folder, root) for entry in recipe.data if entry.name not in stores}
    save_model(model, folder / "model", dtype="float16", card=_card(recipe, stores), force=True)
    _write_manifest(folder, recipe, settings, stores, told)
    return Pretrained(folder / "model", tuple(results))


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
    values["structures"] = tuple(canonical(name) for name in recipe.structures)
    return SegVolConfig.from_dict(values)


def _tokenizer(folder: Path) -> WordTokenizer:
    """The run's own word list: the vocabulary may grow while a run is stopped, its token ids must not move."""
    if not (folder / "tokenizer.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        WordTokenizer.of_vocabulary().save(folder)
    return WordTokenizer.load(folder)


def _drawn(recipe: PretrainRecipe, number: int) -> list[WeightedDataset]:
    """The datasets that a stage (from 1) draws from, with its weights."""
    weights = recipe.stages[number - 1].weights
    entries = [
        entry.model_copy(update={"weight": weights[entry.name]}) if entry.name in weights else entry
        for entry in recipe.data
        if entry.since <= number
    ]
    return [entry for entry in entries if entry.weight > 0]


def _prepare(entry: WeightedDataset, folder: Path, root: Path | None) -> Store:
    return open_dataset(prepare_job(entry), folder / "data", root).store


def _cases(
    recipe: PretrainRecipe, drawn: Sequence[WeightedDataset], stores: Mapping[str, Store], model: SegVol, role: str
) -> list[CaseGroup]:
    groups = []
    for entry in drawn:
        records = stores[entry.name].cases
        names = assign(entry, records)[0].of(role, records)
        if names:
            groups.append(load_group(stores[entry.name], names, model.spec, entry.weight))
    if role == "train" and not groups:
        raise RecipeError(f"{recipe.name}: no patient has the role train.")
    return groups


def _card(recipe: PretrainRecipe, stores: Mapping[str, Store]) -> str:
    """The model card: what it is, what may be done with it, what it saw and what it did not."""
    lines = [f"# {recipe.name}", "", recipe.about.strip(), "", f"Licence: {recipe.licence.strip()}", ""]
    lines += ["It is for research, not a medical device.", "", "## Trained on", ""]
    for entry in recipe.data:
        records = stores[entry.name].cases
        seen, kept = (assign(entry, records)[0].of(role, records) for role in ("train", "validation"))
        said = next((facts.get("licence") for facts in stores[entry.name].datasets.values()), None)
        licence = entry.licence or said
        lines.append(
            f"- {entry.name}: {len(seen)} cases, labels: {entry.truth}, licence: {licence or 'not stated'}"
            + (f"; never trained on: {', '.join(kept)}" if kept else "")
        )
    lines += [
        "",
        *(f"- {note}" for note in recipe.notes),
        "",
        "## Structures",
        "",
        ", ".join(recipe.structures) + ".",
        "",
    ]
    return "\n".join(lines)


def _begun_with(folder: Path) -> Any:
    """What an earlier call of this run says of its encoder."""
    try:
        return json.loads((folder / "manifest.json").read_text("utf-8")).get("encoder")
    except (OSError, ValueError):
        return None


def _write_manifest(
    folder: Path,
    recipe: PretrainRecipe,
    settings: Sequence[FitSettings],
    stores: Mapping[str, Store],
    told: Mapping[str, Any],
) -> None:
    """What decides a run, so that it can be done again: with every default spelt out."""
    manifest = {
        "recipe": json.loads(recipe.model_dump_json()),
        "stages": [asdict(chosen) for chosen in settings],
        **told,
        "data": {name: store.fingerprint() for name, store in stores.items()},
        **surroundings(),
    }
    write_json(folder / "manifest.json", manifest)
