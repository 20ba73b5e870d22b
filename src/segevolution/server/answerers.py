"""What can answer: bare models and models with an adapter, each loaded when it is first asked for."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from threading import Lock

from ..adapters.artifact import load_adapter
from ..adapters.protocol import Adapter
from ..adapters.shipped import NONE, ShippedExpert, base_among, experts, find_adapter
from ..inference.calibration import Calibration
from ..inference.confidence import calibration_of
from ..inference.load import load
from ..models import hub
from ..models.backbone import BackboneModule
from ..models.spec import Spec
from ..vocabulary import Modality
from .faults import NotFound, SettingError
from .settings import Settings

BASE = "base"


@dataclass(frozen=True)
class AnswererChoice:
    """One thing that a client may choose.

    Attributes:
        id: how clients call it; a name, never a path.
        model: a model's name or folder.
        adapter: an adapter folder, or a name that ships; None = the bare model.
        expert_for: modalities that it answers unless a client says otherwise.
    """

    id: str
    model: str
    adapter: str | Path | None = None
    expert_for: tuple[Modality, ...] = ()

    @property
    def title(self) -> str:
        """What a person reads; names without their folders."""
        model = Path(self.model).name
        return model if self.adapter is None else f"{model} with {Path(self.adapter).name}"


@dataclass(frozen=True, eq=False)
class LoadedAnswerer:
    """A network with an adapter attached to it, on or off; see `AdaptedNetwork`."""

    backbone: BackboneModule
    adapter: Adapter | None
    calibration: Calibration

    @property
    def spec(self) -> Spec:
        """The network's, with what the adapter was taught."""
        return self.backbone.spec if self.adapter is None else self.adapter.adapted_spec()


class Answerers:
    """All that one server can answer with.

    Args:
        settings: of the server.

    Raises:
        CheckpointError, AdapterError: a model or an adapter is not there.
        SettingError: the adapter to begin with is none of those that are served.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._backbones: dict[str, BackboneModule] = {}
        self._loaded: dict[str, LoadedAnswerer] = {}
        hub.find(settings.model)
        self.all = tuple(_listed(settings))
        self.default = None
        if settings.adapter is not None:
            default_name = BASE if settings.adapter == NONE else _plain(Path(settings.adapter).name)
            if default_name not in self._ids:
                raise SettingError(f'--default "{settings.adapter}" is not served; served are {", ".join(self._ids)}.')
            self.default = default_name

    @property
    def _ids(self) -> list[str]:
        return [answerer.id for answerer in self.all]

    def find(self, name: str | None, modality: Modality | None) -> AnswererChoice:
        """By its id, or None for what answers a modality unless a client says otherwise.

        Raises:
            NotFound: nothing of that id is served.
        """
        if name is None:
            name = self.default
        if name is None:
            return next((answerer for answerer in self.all if modality in answerer.expert_for), self.all[0])
        for answerer in self.all:
            if answerer.id == name:
                return answerer
        raise NotFound(f'no adapter "{name[:60]}" is served here; served are {", ".join(self._ids)}.')

    def is_loaded(self, answerer: AnswererChoice) -> bool:
        """Whether it has answered before."""
        return answerer.id in self._loaded

    def load(self, answerer: AnswererChoice) -> LoadedAnswerer:
        """Its network and adapter, in memory from now on; raises CheckpointError or AdapterError."""
        with self._lock:
            if answerer.id not in self._loaded:
                if answerer.model not in self._backbones:
                    self._backbones[answerer.model] = load(answerer.model, device=self._settings.device)
                backbone, adapter = self._backbones[answerer.model], None
                if answerer.adapter is not None:
                    with backbone.lock:
                        adapter = load_adapter(find_adapter(answerer.adapter), backbone)
                        adapter.switch_off()
                calibration = calibration_of(answerer.model, answerer.adapter)
                self._loaded[answerer.id] = LoadedAnswerer(backbone, adapter, calibration)
            return self._loaded[answerer.id]


def _listed(settings: Settings) -> list[AnswererChoice]:
    """The bare model, the experts of its modalities, and what the command line names."""
    answerers = [AnswererChoice(BASE, settings.model)]
    modalities: dict[ShippedExpert, list[Modality]] = {}
    for (model, modality), expert in experts().items():
        if model == settings.model:
            modalities.setdefault(expert, []).append(modality)
    answerers += [
        AnswererChoice(expert.adapter or _plain(expert.model), expert.model, expert.adapter, tuple(expert_modalities))
        for expert, expert_modalities in modalities.items()
    ]
    for adapter_name in settings.adapters:
        folder = find_adapter(adapter_name)
        # One of another base goes to the model that is served, which refuses what misfits.
        model = base_among(folder, [answerer.model for answerer in answerers], settings.model)
        ids_taken = {answerer.id for answerer in answerers}
        name = folder.resolve().name
        if any(answerer.adapter == name for answerer in answerers):
            continue  # ships, and is listed already
        answerers.append(AnswererChoice(_free(name, ids_taken), model, folder))
    # What an adapter changed is seen beside its own base, which need not be the model that is served.
    bare = {answerer.model for answerer in answerers if answerer.adapter is None}
    for model in dict.fromkeys(answerer.model for answerer in answerers if answerer.model not in bare):
        answerers.append(AnswererChoice(_free(Path(model).name, {answerer.id for answerer in answerers}), model))
    return answerers


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with the first number that makes it one that is not taken."""
    numbered = (f"{_plain(name)}-{number}" for number in count(2))
    return next(each for each in chain([_plain(name)], numbered) if each not in taken)


def _plain(name: str) -> str:
    """A folder's name as it may stand in an address."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)
