"""Pre-train an image encoder without labels: SimMIM by a recipe.

    name: my-simmim
    network: segvol_mini              # sizes of a training recipe, shipped or a file; or sizes in full
    simmim: {ratio: 0.6, unit: [1, 1, 1]}
    data:
      - {name: images, path: stores/images, train: rest, validation: 2, test: 0}
    fit: {steps: 2000}

What is left in the run's folder:

    data/<dataset>/       stores
    fit/                  last.ckpt, curves
    encoder/              encoder.safetensors and simmim.json, for `train --encoder`
    adapter/              in place of encoder/ where an adapter learned: adaptation without labels
    reconstruction.png    images, what was hidden of them, and what was painted in

A killed run continues where its last checkpoint stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from ..adapters.artifact import save_adapter
from ..adapters.base import BaseAdapter
from ..adapters.registry import create
from ..data.store import Store
from ..errors import AdapterError, RecipeError
from ..evaluation.results import surroundings
from ..inference.load import load
from ..models.checkpoints import fingerprint
from ..models.segvol.config import SegVolConfig
from ..models.segvol.encoder_weights import FOLDER, save_encoder
from ..models.segvol.segvol import SegVol
from ..models.segvol.tokenizer import WordTokenizer
from ..ranges import Seed
from ..recipes.dataset import Dataset
from ..recipes.parts import FitChanges, RecipePart, SafeName, fit_fault, merged
from ..recipes.reading import read_as
from ..recipes.roles import assign
from ..recipes.stores import open_dataset, prepare_job
from ..training.fit_result import FitResult
from ..training.masking import MaskSettings, UnlabelledImages
from ..training.settings import FitSettings
from ..training.simmim import MaskedPrediction, leads, learn
from .recipe import TRAININGS, load_pretraining, network_config
from .reconstruction import draw_reconstruction

PICTURE = "reconstruction.png"

# Of FitSettings: there are no prompts here, nothing is frozen, and nothing is chosen by validation.
WITHOUT_PART = (
    *("prompt", "objective", "validation", "cache_features", "cache_dtype"),
    *("patience", "plateau_factor", "plateau_patience", "keep_weights", "start_share"),
)


class ImageDataset(Dataset):
    """Images, whose labels, if any, are not looked at; how often they are drawn from, and their licence."""

    weight: float = Field(default=1.0, gt=0)
    licence: str | None = None  # of the data, for what is written; None: what the source says


class SimMIMAdapter(RecipePart):
    """The adapter that learns in place of the encoder."""

    method: str = "lora"
    settings: dict[str, Any] = Field(default_factory=lambda: {"targets": ["encoder"]})


class SimMIMRecipe(RecipePart):
    """Which encoder learns, from which images.

    Either `network`, from nothing (SegVolConfig's keys, or a training recipe whose first stage to prepare for), or
    `base`, a model that learns on; with `adapter`, only that learns.
    """

    name: SafeName
    about: str = ""
    seed: Seed = 0
    network: str | dict[str, Any] | None = None
    base: str | None = None
    window: tuple[int, int, int] | None = None  # another than the network's
    adapter: SimMIMAdapter | None = None
    simmim: dict[str, Any]  # MaskSettings' keys; that it is there tells such a recipe from others
    data: Annotated[list[ImageDataset], Field(min_length=1)]
    fit: FitChanges = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "SimMIMRecipe":
        if (self.network is None) == (self.base is None):
            raise ValueError("give either network, to begin from nothing, or base, a model that learns on")
        if self.adapter is not None and self.base is None:
            raise ValueError("an adapter learns on a base; name one")
        if self.base is not None and self.window is not None:
            raise ValueError("a base has its own window; leave window out")
        if not any(entry.train for entry in self.data):
            raise ValueError("no patient has the role train")
        for key in self.fit:
            if key in WITHOUT_PART or (key == "schedule" and self.fit[key] == "plateau"):
                raise ValueError(f"fit.{key} has no part in learning without labels; leave it out")
        odd = sorted(set(self.fit.get("sample", {})) - {"views"})
        if odd:
            raise ValueError(f"fit.sample.{odd[0]} has no part in learning without labels; only views has")
        if "seed" in self.fit:
            raise ValueError("fit holds a seed; give it as the recipe's seed")
        try:
            self.masking()
            self.settings()
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    def masking(self) -> MaskSettings:
        """What is hidden; RecipeError names a key that is none."""
        return MaskSettings.from_dict(self.simmim)

    def settings(self) -> FitSettings:
        """The run; RecipeError names a key that is none."""
        try:
            return FitSettings(**merged(self.fit, {"seed": self.seed}))
        except ValidationError as error:
            raise RecipeError(f"fit: {fit_fault(error)}") from error


@dataclass(frozen=True)
class SimMIMOutcome:
    """What a call made.

    Attributes:
        made: the folder of the encoder or the adapter; None while steps are missing.
        result: how the training ended.
        picture: of reconstructions; None while steps are missing.
    """

    made: Path | None
    result: FitResult
    picture: Path | None


def load_simmim(name_or_path: str, overrides: Sequence[str] = ()) -> SimMIMRecipe:
    """Read a shipped recipe by name, or a YAML file; raises RecipeError in one sentence."""
    return read_as(SimMIMRecipe, TRAININGS, name_or_path, overrides)


def pretrain_simmim(
    recipe: SimMIMRecipe, folder: Path, *, root: Path | None = None, device: str = "auto", quiet: bool = False
) -> SimMIMOutcome:
    """Pre-train, or go on.

    Args:
        recipe: see SimMIMRecipe.
        folder: of the run.
        root: where the recipe's data paths begin.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.

    Raises:
        SegevolutionError: the recipe, its data or the folder cannot be used.
    """
    network = _network(recipe)
    stores = {entry.name: open_dataset(prepare_job(entry, root), folder / "data").store for entry in recipe.data}
    training, validation = (_pools(recipe, stores, network, role) for role in ("train", "validation"))
    if not training:
        raise RecipeError(f"{recipe.name}: no patient has the role train.")
    adapter = None
    base = fingerprint(network)
    if recipe.adapter is not None:
        adapter = create(recipe.adapter.method, recipe.adapter.settings)
        adapter.attach(network)
    result, prediction = learn(
        network,
        training,
        recipe.settings(),
        recipe.masking(),
        folder / "fit",
        validation=validation,
        device=device,
        quiet=quiet,
    )
    if not result.finished:
        return SimMIMOutcome(None, result, None)
    network.cpu()
    prediction.cpu()
    result_folder = folder / (FOLDER if adapter is None else "adapter")
    if leads():
        facts = _facts(recipe, stores, result, base)
        if adapter is None:
            save_encoder(network, result_folder, facts)
        else:
            _save_adapter(adapter, network, result_folder, recipe, facts)
        _draw(network, prediction, validation or training, recipe, folder / PICTURE)
    return SimMIMOutcome(result_folder, result, folder / PICTURE)


def _network(recipe: SimMIMRecipe) -> SegVol:
    if recipe.base is not None:
        base = load(recipe.base, device="cpu")
        if not isinstance(base, SegVol):
            raise RecipeError(f"{recipe.name}: {recipe.base} is a {type(base).__name__}; SimMIM needs a SegVol.")
        return base
    tokenizer = WordTokenizer.of_vocabulary()
    if isinstance(recipe.network, str):
        sizes = network_config(load_pretraining(recipe.network), tokenizer).to_dict()
    else:
        sizes = dict(recipe.network or {})
    if recipe.window is not None:
        sizes["window"] = recipe.window
    if isinstance(sizes.get("text"), Mapping):
        sizes["text"] = {**sizes["text"], "vocabulary": tokenizer.size}
    return SegVol.fresh(SegVolConfig.from_dict(sizes), recipe.seed, tokenizer)


def _pools(recipe: SimMIMRecipe, stores: Mapping[str, Store], network: SegVol, role: str) -> list[UnlabelledImages]:
    pools = []
    for entry in recipe.data:
        records = stores[entry.name].cases
        names = assign(entry, records)[0].of(role, records)
        if names:
            pools.append(UnlabelledImages(stores[entry.name], names, network.spec.intensity, entry.weight))
    return pools


def _facts(recipe: SimMIMRecipe, stores: Mapping[str, Store], result: FitResult, base: str) -> dict[str, Any]:
    """What simmim.json says: how this came about."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "simmim": recipe.masking().to_dict(),
        "steps": result.step,
        "trained_parameters": result.trained_parameters,
        "metrics": result.metrics,
        "start": base,
        "data": {name: store.fingerprint() for name, store in stores.items()},
        "licences": _licences(recipe, stores),
        **surroundings(),
    }


def _licences(recipe: SimMIMRecipe, stores: Mapping[str, Store]) -> dict[str, str]:
    licences = {}
    for entry in recipe.data:
        licence = next((facts.get("licence") for facts in stores[entry.name].datasets.values()), None)
        licences[entry.name] = str(entry.licence or licence or "not stated")
    return licences


def _save_adapter(
    adapter: BaseAdapter, network: SegVol, folder: Path, recipe: SimMIMRecipe, facts: Mapping[str, Any]
) -> None:
    card = {
        "base": recipe.base,
        "about": f"{recipe.about} Learned by SimMIM from images alone: no label was seen, and no Dice was measured.",
        "data": facts["data"],
        "licences": facts["licences"],
        "steps": {"steps": facts["steps"], **facts["simmim"]},
        "metrics": facts["metrics"],
        "git": facts["git"],
    }
    try:
        save_adapter(adapter, network, folder, card, force=True)
    except AdapterError as error:
        raise AdapterError(f"{recipe.name}: {error}") from error


def _draw(
    network: SegVol, prediction: MaskedPrediction, pools: Sequence[UnlabelledImages], recipe: SimMIMRecipe, path: Path
) -> None:
    draw_reconstruction(network, prediction, pools, recipe.masking(), path, seed=recipe.seed)
