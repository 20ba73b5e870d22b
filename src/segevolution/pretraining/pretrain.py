"""Train a network, from nothing or from a model, in stages that grow its window: how segvol-mini was made.

    runs/<name>/data/<dataset>/       stores
    runs/<name>/tokenizer.json        the words its text tower reads
    runs/<name>/manifest.json         the recipe resolved, data, seed, versions and git revision, from the first step on
    runs/<name>/stage-1/ ...          fit/ (checkpoint, curves) and weights.safetensors when done
    runs/<name>/model/                the model folder

A killed run continues where its last checkpoint stands; a finished stage is not trained again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file

from ..documents import read_json
from ..errors import RecipeError
from ..evaluation.results import surroundings
from ..files import replacing, sha256, write_json
from ..models.backbone import BackboneModule
from ..models.checkpoints import fingerprint, load_model, load_state, read_weights, save_model
from ..models.hub import find
from ..training.batches import CaseGroup
from ..training.checkpoint_file import LAST
from ..training.fit import fit
from ..training.fit_result import FitResult
from ..training.settings import FitSettings, difference
from .data import TrainingData, open_data
from .networks import NetworkMaker, maker_of
from .recipe import PretrainRecipe, WeightedDataset, drawn_from, stage_settings


class PackedNote(BaseModel):
    """From which packed set a stage was trained."""

    model_config = ConfigDict(extra="allow")

    file: str
    sha256: str
    about: str


class RunManifest(BaseModel):
    """What is read again of a run's manifest.json."""

    model_config = ConfigDict(extra="ignore")

    start: dict[str, str] | None = None
    encoder: dict[str, Any] | None = None
    packed: dict[str, PackedNote | None] = Field(default={})
    stages: list[dict[str, Any]] = Field(default=[])


@dataclass(frozen=True)
class PretrainOutcome:
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
    packed: Path | None = None,
    encoder: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> PretrainOutcome:
    """Train, or go on training.

    Args:
        recipe: see PretrainRecipe.
        folder: of the run.
        root: where the recipe's data paths begin.
        packed: a packed set that holds all data, see `data.pack_training`; None reads the recipe's datasets.
        encoder: a pre-trained image encoder to start from, see `models.segvol.encoder_weights.load_encoder`; a run
            that goes on has it already.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.

    Raises:
        SegevolutionError: the recipe, its data or the folder cannot be used.
    """
    maker = maker_of(recipe)
    if packed is not None:
        maker.require_packs(recipe)
    data = open_data(recipe, folder, root, packed)
    settings = [stage_settings(recipe, number) for number in range(len(recipe.stages))]
    before = _manifest(folder)
    model, start = _first(recipe, maker, folder, before)
    manifest: dict[str, Any] = {"seed": recipe.seed, "start": start, "encoder": before.get("encoder")}
    manifest["packed"] = dict(before.get("packed") or {})  # stage -> the packed set that it was trained from, or None
    if encoder is not None:
        if start is not None:
            raise RecipeError(f"{recipe.name} starts from {recipe.start}, which has an encoder; leave one of them out.")
        report, encoder_file = maker.load_encoder(recipe, model, encoder)
        manifest["encoder"] = {"from": report, "sha256": sha256(encoder_file)}
    drawn_datasets: dict[str, WeightedDataset] = {}
    results = []
    for number, (stage, stage_fit) in enumerate(zip(recipe.stages, settings, strict=True), start=1):
        if model.spec.window != stage.window:
            model = maker.resized(model, stage.window)
        place = folder / f"stage-{number}"
        weights = place / _WEIGHTS
        _require_as_before(place, stage_fit, before.get("stages", [])[number - 1 : number])
        if weights.is_file():
            load_state(model, read_weights(weights), where=str(weights))
            continue
        stage_datasets = drawn_from(recipe, number)
        drawn_datasets |= {entry.name: entry for entry in stage_datasets}
        if (place / LAST).is_file() and _digest(manifest["packed"].get(place.name)) != _digest(data.packed):
            raise RecipeError(
                f"{place} was begun with other data; go on with {_said(manifest, place)}, or in a new folder."
            )
        manifest["packed"][place.name] = data.packed
        _write_manifest(folder, recipe, settings, data, drawn_datasets, manifest)
        training, validation = (_groups(recipe, stage_datasets, data, model, role) for role in ("train", "validation"))
        result = fit(model, training, stage_fit, place, validation=validation, device=device, quiet=quiet)
        results.append(result)
        if not result.finished:
            return PretrainOutcome(None, tuple(results))
        model.cpu()
        with replacing(weights) as temporary:
            save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)
    card = _card(recipe, data, manifest["packed"])
    save_model(model, folder / "model", dtype="float16", card=card, force=True)
    _write_manifest(folder, recipe, settings, data, {entry.name: entry for entry in _drawn(recipe)}, manifest)
    return PretrainOutcome(folder / "model", tuple(results))


def _first(
    recipe: PretrainRecipe, maker: NetworkMaker, folder: Path, before: Mapping[str, Any]
) -> tuple[BackboneModule, dict[str, str] | None]:
    """The network that the first stage begins with, and which model its weights are from; None for random ones.

    Raises:
        RecipeError: that model is another kind of network than the recipe's, or another than this run began with.
        CheckpointError: there is no such model.
    """
    if recipe.start is None:
        return maker.fresh(recipe, folder), None
    source = find(recipe.start)
    mark, earlier = fingerprint(source), (before.get("start") or {}).get("fingerprint")
    if earlier not in (None, mark):
        raise RecipeError(
            f"{folder} began with a {recipe.start} of fingerprint {earlier[:12]}, which now is {mark[:12]}; name the "
            "former as the recipe's start, or begin in a new folder."
        )
    return maker.started(recipe, load_model(source), folder), {"model": recipe.start, "fingerprint": mark}


def _groups(
    recipe: PretrainRecipe, datasets: Sequence[WeightedDataset], data: TrainingData, model: BackboneModule, role: str
) -> list[CaseGroup]:
    case_groups = [data.group(entry, role, model.spec) for entry in datasets]
    groups = [group for group in case_groups if group is not None]
    if role == "train" and not groups:
        raise RecipeError(f"{recipe.name}: no patient has the role train.")
    return groups


_WEIGHTS = "weights.safetensors"


def _require_as_before(place: Path, settings: FitSettings, before: Sequence[Mapping[str, Any]]) -> None:
    """Raises RecipeError where a stage that is finished, or begun, has other settings than the recipe now has.

    Args:
        before: its settings as the manifest has them, alone; nothing where it has none.
    """
    finished = (place / _WEIGHTS).is_file()
    changed = difference(before[0], settings) if before and (finished or (place / LAST).is_file()) else None
    if changed:
        raise RecipeError(
            f"{place} was {'trained to its end' if finished else 'begun'} with {changed}; train in a new folder, or "
            "delete that stage and those after it."
        )


def _drawn(recipe: PretrainRecipe) -> list[WeightedDataset]:
    """The datasets that any stage draws from."""
    numbers = range(1, len(recipe.stages) + 1)
    names = {entry.name for number in numbers for entry in drawn_from(recipe, number)}
    return [entry for entry in recipe.data if entry.name in names]


def _said(manifest: Mapping[str, Any], place: Path) -> str:
    """Which data a stage was begun with, in words."""
    packed = manifest["packed"].get(place.name)
    return f"--packed {packed['file']}, sha256 {packed['sha256'][:12]}" if packed else "the data themselves"


def _card(recipe: PretrainRecipe, data: TrainingData, packed: Mapping[str, Any]) -> str:
    """The model card: what it is, what may be done with it, what it saw and what it did not."""
    lines = [f"# {recipe.name}", "", recipe.about.strip(), "", f"Licence: {recipe.licence.strip()}", ""]
    if recipe.start is not None:
        lines += [f"Its training began with the weights of {recipe.start}.", ""]
    lines += ["It is for research, not a medical device.", "", "## Trained on", ""]
    for entry in _drawn(recipe):
        train_names = data.names(entry, "train")
        held_out = [name for role in ("validation", "test") for name in data.names(entry, role)]
        lines.append(
            f"- {entry.name}: {len(train_names)} cases, labels: {entry.truth}, "
            f"licence: {data.licence(entry) or 'not stated'}"
            + (f"; never trained on: {', '.join(held_out)}" if held_out else "")
        )
    lines += [
        "",
        *_packed_notes(packed),
        *(f"- {note}" for note in recipe.notes),
        "",
        "## Structures",
        "",
        ", ".join(recipe.structures) + ".",
        "",
    ]
    return "\n".join(lines)


def _packed_notes(packed: Mapping[str, Any]) -> list[str]:
    """What the packed sets held that stages were trained from, a line each."""
    stages: dict[str, list[str]] = {}
    for stage, facts in packed.items():
        if facts:
            stages.setdefault(facts["about"], []).append(stage)
    return [f"- {', '.join(names)}: trained from a packed set, {about}" for about, names in stages.items()]


def _digest(packed: Mapping[str, Any] | None) -> str | None:
    return packed["sha256"] if packed else None


def _manifest(folder: Path) -> dict[str, Any]:
    """What an earlier call of this run says of itself; empty where there is none. RecipeError where it is damaged."""
    path = folder / "manifest.json"
    return read_json(path, RunManifest, error=RecipeError).model_dump() if path.is_file() else {}


def _write_manifest(
    folder: Path,
    recipe: PretrainRecipe,
    settings: Sequence[FitSettings],
    data: TrainingData,
    drawn_datasets: Mapping[str, WeightedDataset],
    facts: Mapping[str, Any],
) -> None:
    """What decides a run, so that it can be done again: with every default spelt out."""
    manifest = {
        "recipe": recipe.model_dump(mode="json"),
        "stages": [asdict(stage_fit) for stage_fit in settings],
        **facts,
        "data": {name: data.fingerprint(entry) for name, entry in drawn_datasets.items()},
        **surroundings(),
    }
    write_json(folder / "manifest.json", manifest)
