"""Models on disk: a folder of safetensors, configuration, tokenizer and model card, written whole and read strictly.

    config.json         {"network": "segvol", "format": 1, ... the sizes of that network}
    model.safetensors   the state dict, float32 or float16; float32 once loaded
    tokenizer.json ...  what the network's own text encoder wants
    README.md           the model card

Nothing in such a folder can run code. Published pickles become one through `published.py`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ..documents import read_json
from ..errors import CheckpointError, OutputError
from ..files import check_writable, json_text, replacing
from ..imaging.intensity import NORMALISERS
from .backbone import BackboneModule
from .outline import outlined
from .registry import network_named, network_of
from .tensor_files import TensorHeader, headers_of, misfits, read_headers, read_tensors

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
ADAPTER_CONFIG = "adapter_config.json"  # as peft names it
FORMAT = 1
NAMES_SHOWN = 5

DEFAULT_CARD = """# {network} model

A promptable 3-D segmentation network of {parameters:,} parameters, saved by segevolution.

For research only; not a medical device.
"""


def save_model(
    model: BackboneModule,
    folder: Path,
    dtype: Literal["float32", "float16"] = "float32",
    card: str | None = None,
    *,
    force: bool = True,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        model: a network of the registry, without an adapter attached.
        folder: is replaced where it is a model folder or empty.
        dtype: of the stored weights; float16 halves the file and rounds the model that comes back.
        card: text of README.md; None writes a short one.
        force: whether an existing model folder may be replaced.

    Raises:
        OutputError: the folder cannot be written, exists and `force` is False, or holds something else.
        CheckpointError: the model's type is not in the registry.
    """
    folder = Path(folder)
    network = network_of(model)
    check_replaceable(folder, force=force)
    precision = torch.float16 if dtype == "float16" else torch.float32
    state = {
        name: (tensor.to(precision) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with replacing(folder) as temporary:
        temporary.mkdir()
        sizes = network.save(model, temporary)
        config = json_text({"network": network.name, "format": FORMAT, **sizes})
        (temporary / CONFIG).write_text(config, encoding="utf-8")
        save_file(state, temporary / WEIGHTS, metadata={"format": "pt"})
        text = card or DEFAULT_CARD.format(network=network.name, parameters=count_parameters(model))
        (temporary / CARD).write_text(text, encoding="utf-8")


def load_model(folder: Path, device: torch.device | str = "cpu") -> BackboneModule:
    """Read a model folder: float32, in eval mode, on `device`.

    The network is outlined without memory first and held against the header of the weights, so that sizes which the
    weights do not have are refused before anything is allocated.

    Raises:
        CheckpointError: it is no model folder, or its weights are not exactly those that its configuration asks for.
    """
    folder = Path(folder)
    config = read_config(folder)
    network = network_named(config["network"], where=str(folder))
    with torch.random.fork_rng(devices=[]):  # loading leaves the caller's random stream where it was
        with outlined():
            outline = headers_of(network.build(sizes_of(config), folder).state_dict())
        _require_fit(read_headers(folder / WEIGHTS, CheckpointError), outline, where=str(folder))
        model = network.build(sizes_of(config), folder)
    load_state(model, read_weights(folder / WEIGHTS), where=str(folder))
    return model.to(device).eval()


def read_config(folder: Path) -> dict[str, Any]:
    """The contents of config.json.

    Raises:
        CheckpointError: the folder, its configuration or its weights are missing, or it is not one of ours.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a model is a folder with {CONFIG} and {WEIGHTS}.")
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a model folder: it has no {CONFIG}.")
    config = read_json(path, dict[str, Any], error=CheckpointError)
    if not isinstance(config.get("network"), str):
        raise CheckpointError(
            f'{path} names no "network", so {folder} is not a model folder of this package; if it holds published '
            "SegVol weights, run: segevolution models convert SOURCE TARGET."
        )
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {config.get('format')}, this version reads format {FORMAT}; update segevolution."
        )
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{folder} is not a whole model folder: it has no {WEIGHTS}.")
    return config


def sizes_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of config.json belongs to the network itself."""
    return {key: value for key, value in config.items() if key not in ("network", "format")}


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file, floating tensors as float32.

    Raises:
        CheckpointError: it is missing, truncated, something else, or holds values that no weights have.
    """
    return read_tensors(path, CheckpointError)


def load_state(model: BackboneModule, state: Mapping[str, Tensor], where: str, *, assign: bool = False) -> None:
    """Load a state dict that must fit exactly; `assign` puts its tensors in place instead of copying their values.

    Raises:
        CheckpointError: names what is missing, unexpected, of another shape or of another type.
    """
    _require_fit(headers_of(state), headers_of(model.state_dict()), where)
    model.load_state_dict(state, assign=assign)


def _require_fit(headers: Mapping[str, TensorHeader], expected: Mapping[str, TensorHeader], where: str) -> None:
    problems = misfits(headers, expected, shown=NAMES_SHOWN)
    if problems:
        raise CheckpointError(f"the weights in {where} do not fit the network: {problems}.")


def fingerprint(model_or_folder: BackboneModule | Path) -> str:
    """Hexadecimal SHA-256 over sorted names, shapes and float32 values: the same for a folder and what it loads.

    An adapter keeps its base's and refuses others. Take it before an adapter is attached, since that renames layers.
    The profile of intensities that a network's scans are matched to belongs to it, as a weight does.

    Raises:
        CheckpointError: the folder is not a model folder.
    """
    if isinstance(model_or_folder, BackboneModule):
        state: Mapping[str, Tensor] = model_or_folder.state_dict()
        intensity: object = model_or_folder.spec.intensity
    else:
        intensity = read_config(model_or_folder).get("intensity")
        state = read_weights(Path(model_or_folder) / WEIGHTS)
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        values = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.numpy().data)
    normaliser = NORMALISERS.get(intensity) if isinstance(intensity, str) else None
    if normaliser is not None and normaliser.profile is not None:
        digest.update(np.asarray(normaliser.profile.values, np.float64).data)
    return digest.hexdigest()


def count_parameters(model: BackboneModule) -> int:
    """Number of parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_replaceable(folder: Path, *, force: bool) -> None:
    """Refuse to write a model over anything but a model folder or an empty one.

    Raises:
        OutputError: the folder cannot be written, exists and `force` is False, or holds something else, such as
            another model inside it.
    """
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        return
    check_writable(folder, force=force)
    if folder.exists() and not (folder.is_dir() and (folder / CONFIG).is_file()):
        raise OutputError(f"{folder} exists and is not a model folder, so it is not replaced; choose another name.")
    check_holds_no_other(folder)


def check_holds_no_other(folder: Path) -> None:
    """Refuse to replace a folder that holds the folder of another model or adapter; raises OutputError."""
    configs = (path for name in (CONFIG, ADAPTER_CONFIG) for path in sorted(folder.rglob(name)))
    other = next((path.parent for path in configs if path.parent != folder), None)
    if other is not None:
        raise OutputError(
            f"{folder} is not replaced, since it also holds {other.relative_to(folder)}; choose another name."
        )
