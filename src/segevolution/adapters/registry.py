"""The methods of adaptation by name; a new one is one file, one line here, one test."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

from ..errors import AdapterError
from .base import BaseAdapter

# Name -> module and class. A module is imported when its method is asked for, since an answer of the bare network has
# no need of it.
_PLACES = {
    "lora": ("lora", "LoraAdapter"),
    "full": ("full", "FullAdapter"),
    "decoder": ("full", "DecoderAdapter"),
    "bias": ("full", "BiasAdapter"),
    "mixture": ("mixture.adapter", "MixtureAdapter"),
    "medical_sam_adapter": ("medical_sam", "MedicalSamAdapter"),
    "context_prior": ("prior.adapter", "ContextPriorAdapter"),
}


class _Methods(MutableMapping[str, type[BaseAdapter]]):
    """Reads as a dictionary; what is put into it by hand comes before what the table names."""

    def __init__(self) -> None:
        self._classes: dict[str, type[BaseAdapter]] = {}

    def __getitem__(self, name: str) -> type[BaseAdapter]:
        if name not in self._classes:
            module, class_name = _PLACES[name]
            self._classes[name] = getattr(import_module(f".{module}", __package__), class_name)
        return self._classes[name]

    def __setitem__(self, name: str, method: type[BaseAdapter]) -> None:
        self._classes[name] = method

    def __delitem__(self, name: str) -> None:
        del self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter({**_PLACES, **self._classes})

    def __len__(self) -> int:
        return len({**_PLACES, **self._classes})


METHODS: MutableMapping[str, type[BaseAdapter]] = _Methods()


def create(method: str, settings: Mapping[str, Any] | None = None) -> BaseAdapter:
    """A fresh adapter by the name of its method, not yet attached.

    Raises:
        AdapterError: no method has that name, or the settings do not fit it.
    """
    if method not in METHODS:
        raise AdapterError(f'"{method}" is not a method of adaptation; known are {", ".join(sorted(METHODS))}.')
    kind = METHODS[method]
    return kind(kind.config_type.from_dict(settings or {}))
