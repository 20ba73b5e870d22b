"""How the network of a training's recipe is made, by the type that `network.type` names; SegVol where it names none.

A network that is made from sizes alone needs nothing here: its sizes with a `window`, and its structures, are enough.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..errors import CheckpointError, RecipeError
from ..imaging.grid import Triple
from ..models.backbone import BackboneModule
from ..models.checkpoints import load_state
from ..models.registry import NETWORKS, network_of
from ..models.segvol.config import SegVolConfig
from ..models.segvol.encoder_weights import load_encoder
from ..models.segvol.resize import resized
from ..models.segvol.segvol import SegVol
from ..models.segvol.tokenizer import WordTokenizer
from ..vocabulary import did_you_mean
from .recipe import PretrainRecipe, network_config

# Of a network's configuration, what weights do not hang on, or what stages change.
_FREE = {"window", "windows", "structures", "start", "intensity"}


class NetworkMaker(ABC):
    """Makes one type of network for a training.

    Attributes:
        packs: whether its data may be packed into one file, see `data.pack_training`.
    """

    packs: ClassVar[bool] = False

    @abstractmethod
    def fresh(self, recipe: PretrainRecipe, folder: Path) -> BackboneModule:
        """The network of the first stage with random weights, which follow from the recipe's seed.

        Args:
            recipe: of the training.
            folder: of the run, for what must stay the same while it is stopped.

        Raises:
            RecipeError: the recipe's `network` cannot be.
        """

    @abstractmethod
    def started(self, recipe: PretrainRecipe, model: BackboneModule, folder: Path) -> BackboneModule:
        """The same with the weights of a model.

        Raises:
            RecipeError: the model is another network than the recipe's.
        """

    @abstractmethod
    def resized(self, model: BackboneModule, window: Triple) -> BackboneModule:
        """The same network at another window."""

    def require_packs(self, recipe: PretrainRecipe) -> None:
        """Raises RecipeError where this type's data cannot be packed."""
        if not self.packs:
            raise RecipeError(f"{recipe.name}: only data of a SegVol are packed into one file; train with --data.")

    def load_encoder(self, recipe: PretrainRecipe, model: BackboneModule, source: Path) -> tuple[str, Path]:
        """Put a pre-trained encoder into a fresh network; returns what to say of it, and its file.

        Raises:
            RecipeError: this type takes none.
        """
        raise RecipeError(f"{recipe.name} trains a {type(model).__name__}, which takes no encoder of SegVol's.")


class SegVolMaker(NetworkMaker):
    """SegVol with words of the run's own."""

    packs: ClassVar[bool] = True

    def fresh(self, recipe: PretrainRecipe, folder: Path) -> BackboneModule:
        """See NetworkMaker.fresh."""
        tokenizer = _tokenizer(folder)
        return SegVol.fresh(network_config(recipe, tokenizer), recipe.seed, tokenizer)

    def started(self, recipe: PretrainRecipe, model: BackboneModule, folder: Path) -> BackboneModule:
        """See NetworkMaker.started; the run goes on with the model's words. A pixel decoder may be new."""
        words = model.tokenizer if isinstance(model, SegVol) else None
        if not isinstance(model, SegVol) or not isinstance(words, WordTokenizer):
            raise RecipeError(f"{recipe.name} cannot start from {recipe.start}, which is no SegVol that reads words.")
        config = network_config(recipe, words)
        _require_alike(recipe, config, _with_parts_of(config, model.config))
        if not (folder / "tokenizer.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            words.save(folder)
        weights = resized(model, config.window).state_dict()
        started = SegVol.fresh(config, recipe.seed, words)
        load_state(started, started.state_dict() | weights, where=str(recipe.start))
        return started

    def resized(self, model: BackboneModule, window: Triple) -> BackboneModule:
        """See NetworkMaker.resized."""
        assert isinstance(model, SegVol)
        return resized(model, window)

    def load_encoder(self, recipe: PretrainRecipe, model: BackboneModule, source: Path) -> tuple[str, Path]:
        """See NetworkMaker.load_encoder."""
        assert isinstance(model, SegVol)
        report = load_encoder(model, source)
        return str(report), report.source


class SizedMaker(NetworkMaker):
    """A network of the registry whose weights hang on its sizes, and not on its window.

    Args:
        name: in `models.registry.NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def fresh(self, recipe: PretrainRecipe, folder: Path) -> BackboneModule:
        """See NetworkMaker.fresh."""
        sizes = {key: value for key, value in recipe.network.items() if key != "type"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = self._built(recipe.name, sizes, recipe.stages[0].window)
        differing = sorted(set(model.spec.structures) ^ set(recipe.known))
        if differing:
            raise RecipeError(
                f"{recipe.name}: {differing[0]} stands in one of structures and network alone; name the same in both."
            )
        return model

    def started(self, recipe: PretrainRecipe, model: BackboneModule, folder: Path) -> BackboneModule:
        """See NetworkMaker.started."""
        fresh = self.fresh(recipe, folder)
        if type(model) is not type(fresh):
            raise RecipeError(f"{recipe.name} cannot start from {recipe.start}, which is no {self.name} network.")
        _require_alike(recipe, fresh.config, model.config)
        load_state(fresh, model.state_dict(), where=str(recipe.start))
        return fresh

    def resized(self, model: BackboneModule, window: Triple) -> BackboneModule:
        """See NetworkMaker.resized."""
        larger = self._built(self.name, network_of(model).save(model, Path()), window)
        load_state(larger, model.state_dict(), where=f"the {self.name} network of the stage before")
        return larger

    def _built(self, name: str, sizes: dict[str, Any], window: Sequence[int]) -> BackboneModule:
        try:
            return NETWORKS[self.name].build({**sizes, "window": list(window)}, Path(name))
        except CheckpointError as error:
            sentence = str(error).replace(str(Path(name) / "config.json"), "network")
            raise RecipeError(f"{name}: {sentence}") from error


def maker_of(recipe: PretrainRecipe) -> NetworkMaker:
    """What makes a recipe's network; raises RecipeError for a type that is not known, or is not made from sizes."""
    name = recipe.network.get("type", "segvol")
    if name == "segvol":
        return SegVolMaker()
    if name not in NETWORKS:
        hint = did_you_mean(str(name), NETWORKS, f"known are {', '.join(NETWORKS)}.")
        raise RecipeError(f'{recipe.name}: network.type "{name}" is not known; {hint}')
    return SizedMaker(name)


def _with_parts_of(config: SegVolConfig, model_config: SegVolConfig) -> SegVolConfig:
    """A model's configuration with the part that a recipe may add to it: a pixel decoder begins by doing nothing."""
    if model_config.pixel_decoder is not None:
        return model_config
    return replace(model_config, pixel_decoder=config.pixel_decoder)


def _require_alike(recipe: PretrainRecipe, recipe_config: Any, model_config: Any) -> None:
    """Raises RecipeError where two configurations differ in what weights hang on."""
    for entry in fields(recipe_config):
        value, model_value = getattr(recipe_config, entry.name), getattr(model_config, entry.name)
        if entry.name not in _FREE and value != model_value:
            raise RecipeError(
                f"{recipe.name} cannot start from {recipe.start}: network.{entry.name} is {value} in the recipe and "
                f"{model_value} in the model."
            )


def _tokenizer(folder: Path) -> WordTokenizer:
    """The run's own word list: the vocabulary may grow while a run is stopped, its token ids must not move."""
    if not (folder / "tokenizer.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        WordTokenizer.of_vocabulary().save(folder)
    return WordTokenizer.load(folder)
