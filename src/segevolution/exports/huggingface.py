"""A model or an adapter as a folder for the Hugging Face hub: weights, configuration, and a card with metadata.

What is written is a model folder or an adapter folder of ours, so that `load` and `models pull` take it as it is; no
code is in it.
"""

import shutil
from pathlib import Path
from typing import Any

from ..adapters.artifact import WEIGHTS as ADAPTER_WEIGHTS
from ..adapters.artifact import copy_with_card, describe
from ..documents import read_json
from ..errors import CheckpointError
from ..files import json_text
from ..inference.calibration import CALIBRATION, Calibration, read_calibration
from ..models import hub
from ..models.checkpoints import WEIGHTS, load_model
from .adapter_facts import adapter_card, adapter_use, shareable_values
from .model_facts import dataset_of, model_card, model_use
from .new_folder import new_folder
from .shared_card import CARD, LICENCE, SharedCard, public_name

LIBRARY = "segevolution"
# What a pulled model's folder says of this machine, or of where it is from; the card says the latter.
_LEFT_OUT = (hub.ORIGIN, hub.RECORD, CARD, CALIBRATION)


def export_model(name: str | Path, output: Path, *, licence: str | None = None, case_names: bool = False) -> None:
    """Write a model as a folder for the hub.

    Args:
        name: of the model, or its folder.
        output: a folder that is new or empty.
        licence: of the weights, stated by their owner; None takes what the model's card says.
        case_names: name the patients that its card names; else only their number.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        OutputError: the folder is taken, or cannot be written.
    """
    folder = hub.find(name)
    spec = load_model(folder).spec
    calibration = read_calibration(folder, folder / WEIGHTS)
    title = output.absolute().name
    use = model_use(title, spec)
    card = model_card(title, folder, spec, calibration, use=use, licence=licence, case_names=case_names)
    with new_folder(output) as temporary:
        copy_model(folder, temporary, calibration)
        write_card(temporary, card, LIBRARY)


def export_adapter(folder: Path, output: Path, *, licence: str | None = None, case_names: bool = False) -> None:
    """Write an adapter as a folder for the hub.

    Args:
        folder: of the adapter.
        output: a folder that is new or empty.
        licence: of the adapter's weights, stated by their owner.
        case_names: name the patients that it was trained on in its card; else only their number.

    Raises:
        AdapterError: it is not a whole adapter.
        OutputError: the folder is taken, or cannot be written.
    """
    described = describe(folder)
    base = public_name(described["base"]["name"])
    calibration = read_calibration(folder, folder / ADAPTER_WEIGHTS)
    use = adapter_use(output.absolute().name, described, base)
    with new_folder(output) as temporary:
        copy_adapter(folder, temporary, calibration, case_names=case_names, licence=licence)
        text = (temporary / CARD).read_text(encoding="utf-8")
        card = adapter_card(folder, text, calibration, base=base, use=use, licence=licence)
        write_card(temporary, card, "peft" if described["method"] == "lora" else LIBRARY)


def copy_model(folder: Path, target: Path, calibration: Calibration) -> None:
    """Copy a model folder's files into a folder, its card and what it says of this machine left out."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in _LEFT_OUT and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)
    _copy_calibration(folder, target, calibration)


def copy_adapter(
    folder: Path, target: Path, calibration: Calibration, *, case_names: bool, licence: str | None = None
) -> None:
    """Copy an adapter's files into a folder, with the card that may be shared."""
    described = describe(folder)
    values = {"title": target.name, **shareable_values(described["card"], case_names=case_names, licence=licence)}
    temporary = target / f".{target.name}"
    copy_with_card(folder, temporary, values, base=public_name(described["base"]["name"]))
    for path in temporary.iterdir():
        path.rename(target / path.name)
    temporary.rmdir()
    _copy_calibration(folder, target, calibration)


def write_card(target: Path, card: SharedCard, library: str) -> None:
    """Write README.md and LICENSE."""
    (target / CARD).write_text(card.front_matter(library) + card.markdown(), encoding="utf-8")
    (target / LICENCE).write_text(card.licence_text(), encoding="utf-8")


def _copy_calibration(folder: Path, target: Path, calibration: Calibration) -> None:
    """Copy what is known of the answers, without the names of the patients that it was measured on."""
    if not calibration.modalities:
        return
    content = read_json(folder / CALIBRATION, dict[str, Any], error=CheckpointError)
    for each in content["modalities"].values():
        each["measured"]["data"] = dataset_of(each["measured"]["data"])
    (target / CALIBRATION).write_text(json_text(content), encoding="utf-8")
