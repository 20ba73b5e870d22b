"""Adapters that ship with the package: by name, and which of them a model uses for a modality unless told otherwise.

They lie in `weights/adapters/<name>`. One whose card says `"expert_for": "MRI"` answers MRI for the base that it
belongs to; it must leave other modalities alone, as a mixture with an identity expert does.
"""

from pathlib import Path

from ..errors import AdapterError
from ..models.hub import packaged_root
from ..vocabulary import Modality, closest
from .artifact import CONFIG, describe

EXPERT_FOR = "expert_for"
NONE = "none"


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
    path = Path(name).expanduser()
    if path.exists():
        return path
    known = shipped()
    if str(name) in known:
        return known[str(name)]
    near = closest(str(name), known)
    ships = f'did you mean "{near}"?' if near else f"what ships is {', '.join(known) or 'none'}."
    raise AdapterError(f"{name} is neither an adapter folder nor the name of an adapter that ships; {ships}")


def expert_for(base: str, modality: Modality | None) -> str | None:
    """The name of the shipped adapter that answers a modality for a base unless a person says otherwise.

    Args:
        base: the model's name as it was asked for; a folder has none.
        modality: of the volume.
    """
    if modality is None:
        return None
    for name, folder in shipped().items():
        found = describe(folder)
        if found["base"]["name"] == base and found["card"].get(EXPERT_FOR) == modality.value:
            return name
    return None
