"""Official model folders of nnInteractive to model folders of ours, strictly: exactly their names and shapes.

A folder holds `dataset.json`, `plans.json`, `fold_0/checkpoint_final.pth` and how prompts are drawn,
`inference_session_class.json` (version 1) or `inference_info.json` (later). In a checkpoint many tensors stand under
several names, which must agree.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...documents import read_json
from ...errors import CheckpointError
from ..checkpoints import load_state, save_model
from ..outline import outlined
from ..published_state import read_state
from .config import OFFICIAL, NnInteractiveConfig
from .nninteractive import NnInteractive

REPOSITORY = "MIC-DKFZ/nnInteractive"
CHECKPOINT, MODELS = Path("fold_0") / "checkpoint_final.pth", "models.json"
SETTINGS = ("inference_info.json", "inference_session_class.json")
FILES = (MODELS, "*/dataset.json", "*/plans.json", *(f"*/{name}" for name in SETTINGS), "*/LICENSE", f"*/{CHECKPOINT}")
_COPIES, _ENCODER_AGAIN = {".all_modules.0.": ".conv.", ".all_modules.1.": ".norm."}, "decoder.encoder."
_BARE_STRING_DECAY = 0.9  # of files from before the decay was written down
# As numpy's numbers are pickled: their type, and the function that makes one of it.
_NUMBERS: tuple[Any, ...] = (
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    np.float64(0).__reduce__()[0],
)
CARD = f"""# nnInteractive, as published

license: CC BY-NC-SA 4.0

Isensee et al. 2025, arXiv:2503.08373; weights of {REPOSITORY}. Trained on more than 120 public datasets of CT, MRI and
more: a benchmark may hold what it has seen. Not for commercial use; an adapter of these weights keeps their licence.

For research only; not a medical device.
"""


def convert_nninteractive(source: Path, folder: Path, *, force: bool = True) -> None:
    """Write an official model folder as one of ours.

    Args:
        source: the model's folder, or the root of the hub's repository, whose default model is taken.
        folder: the model folder to write.

    Raises:
        CheckpointError: a file is missing or damaged, holds more than numbers, or is another network's, or prompts are
            to be drawn in a way that this version does not know.
        OutputError: see save_model.
    """
    source = _model_in(source)
    for name in ("dataset.json", "plans.json", CHECKPOINT):
        if not (source / name).is_file():
            raise CheckpointError(f"{source} is no model of nnInteractive: it has no {name}.")
    config = _config(source)
    state = _without_copies(read_state(source / CHECKPOINT, under="network_weights", allowed=_NUMBERS), source)
    with outlined():
        model = NnInteractive(config)
    load_state(model, state, where=str(source / CHECKPOINT), assign=True)
    save_model(model, folder, card=CARD, force=force)


def _model_in(source: Path) -> Path:
    """The model's folder: the source itself, or the default of the repository's list."""
    listed = source / MODELS
    if not listed.is_file():
        return source
    content = read_json(listed, dict[str, Any], error=CheckpointError)
    models = content.get("models")
    entries = [entry for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []
    default_entry = next((entry for entry in entries if entry.get("default")), entries[0] if entries else {})
    path = default_entry.get("path")
    if not isinstance(path, str) or not path.startswith("nnInteractive_") or "/" in path or "\\" in path:
        raise CheckpointError(f"{listed} lists no model of nnInteractive.")
    return source / path


def _config(source: Path) -> NnInteractiveConfig:
    """The official sizes, with prompts drawn as the folder says."""
    settings_file = next((source / name for name in SETTINGS if (source / name).is_file()), None)
    if settings_file is None:
        raise CheckpointError(f"{source} is no model of nnInteractive: it has neither {' nor '.join(SETTINGS)}.")
    content = read_json(settings_file, Any, error=CheckpointError)
    if isinstance(content, str):
        return replace(OFFICIAL, decay=_BARE_STRING_DECAY)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{settings_file} says nothing of how prompts are drawn.")
    for key in ("channel_mapping", "interaction_channels"):
        if content.get(key) not in (None, 7, [], {}):
            raise CheckpointError(
                f"{settings_file} orders the prompts' channels by {key}, which this version does not read: "
                f"{content[key]!r}."
            )
    radius, decay = content.get("point_radius", OFFICIAL.point_radius), content.get("interaction_decay", OFFICIAL.decay)
    if not isinstance(radius, int) or not isinstance(decay, int | float):
        raise CheckpointError(
            f"{settings_file} draws points of radius {radius!r:.40} that fade by {decay!r:.40}; get it again."
        )
    if content.get("pad_mode_image", "constant") != "constant":
        raise CheckpointError(
            f"{settings_file} pads images in a way that this version does not know: it knows constant."
        )
    return replace(OFFICIAL, point_radius=radius, decay=float(decay))


def _without_copies(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Each tensor once; raises CheckpointError where two that are one differ."""
    originals = {name: _original(name) for name in state}
    kept_tensors = {name: state[name] for name, original in originals.items() if name == original}
    for name, original in originals.items():
        value = state[name]
        if original not in kept_tensors or not torch.equal(kept_tensors[original], value):
            raise CheckpointError(
                f"{source / CHECKPOINT} says two things of {original}; it is damaged: fetch it again."
            )
    return kept_tensors


def _original(name: str) -> str:
    """The name under which ours has a tensor of the file."""
    name = name.removeprefix("decoder.") if name.startswith(_ENCODER_AGAIN) else name
    for copy, original in _COPIES.items():
        name = name.replace(copy, original)
    return name
