"""Find adapters that ship by name, and the shipped expert that answers a modality in a model's place.

    weights/adapters/<name>     an adapter folder
    weights/experts.json        model -> modality -> the model and the adapter (or null) that answer it

A base that has seen CT alone stays what it is for CT, to the last bit, and MRI goes to a base and an adapter that were
taught for it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..documents import read_json
from ..errors import AdapterError
from ..models.hub import DEFAULT, list_models, packaged_root
from ..vocabulary import Modality, did_you_mean
from .artifact import CONFIG, describe

EXPERTS = "experts.json"
NONE = "none"


@dataclass(frozen=True)
class ShippedExpert:
    """What answers a modality.

    Attributes:
        model: a model that ships.
        adapter: an adapter that ships, on this model; None = none.
    """

    model: str
    adapter: str | None = None

    def __str__(self) -> str:
        return self.model if self.adapter is None else f"{self.model} with {self.adapter}"


def shipped() -> dict[str, Path]:
    """Name -> folder of every adapter that ships, by name."""
    root = packaged_root() / "adapters"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {folder.name: folder for folder in folders if (folder / CONFIG).is_file()}


def find_adapter(name: str | Path) -> Path:
    """The adapter folder behind a path or a name.

    Raises:
        AdapterError: there is neither; the sentence names what ships.
    """
    if not str(name):
        raise AdapterError(f'the name of an adapter is empty; give a folder or a name, or "{NONE}" to have none.')
    path = Path(name).expanduser()
    if path.exists():
        return path
    known = shipped()
    if str(name) in known:
        return known[str(name)]
    if str(name).lower() == NONE:
        ships = f'did you mean "{NONE}"?'
    else:
        ships = did_you_mean(str(name), known, f"what ships is {', '.join(known) or 'none'}.")
    raise AdapterError(f"{name} is neither an adapter folder nor the name of an adapter that ships; {ships}")


def model_of(adapter: str | Path | None) -> str:
    """What answers where nobody names a model: the base that an adapter names, where it is here, else the default.

    Raises:
        AdapterError: there is no such adapter.
    """
    if adapter is None or adapter == NONE:
        return DEFAULT
    return base_among(find_adapter(adapter), [entry.name for entry in list_models()], DEFAULT)


def base_among(folder: Path, known: Collection[str], otherwise: str) -> str:
    """The base that an adapter says it belongs to, where it is among those that are known; raises AdapterError."""
    base = str(describe(folder)["base"]["name"])
    return base if base in known else otherwise


def experts() -> dict[tuple[str, Modality], ShippedExpert]:
    """(model, modality) -> what answers it unless a person says otherwise."""
    path = packaged_root() / EXPERTS
    if not path.is_file():
        return {}
    return {
        (model, modality): expert
        for model, by_modality in read_json(path, dict[str, dict[Modality, ShippedExpert]], error=AdapterError).items()
        for modality, expert in by_modality.items()
    }


def expert_for(model: str, modality: Modality | None) -> ShippedExpert | None:
    """What answers a modality in a model's place; None where the model answers itself.

    Args:
        model: its name as it was asked for; a folder has no expert.
        modality: of the volume, None where nobody said it.
    """
    return None if modality is None else experts().get((model, modality))
