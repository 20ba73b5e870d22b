"""A training checkpoint on disk: one safetensors file that holds tensors and plain values, and can run no code.

The tensors are those of Lightning's checkpoint (weights, moving average, optimiser), numbered in the order in which
they stand there. The header's `state` is JSON: everything else, with a reference in the place of each tensor. The
header's `crc32` covers both, so that a damaged file is refused instead of training on with other numbers.
"""

import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..documents import Limits, json_from_text
from ..errors import CheckpointError

FORMAT = "segevolution checkpoint 1"
LAST, BEST = "last.ckpt", "best.ckpt"  # in the folder of a training
_STATE_LIMITS = Limits(items=10_000_000, digits=100)  # an optimiser names every parameter
# How a value that JSON has not is written: an object with this one key, then what it is and what it holds.
_TAG = "$"
_PICKLE_BEGINNINGS = (b"PK", b"\x80")
_PARTS: dict[str, type] = {
    "global_step": int,
    "state_dict": dict,
    "average": dict,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


def write_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: is overwritten; whole-or-not-at-all is the caller's (`files.replacing`).
        checkpoint: dictionaries, lists and tuples of tensors, text, numbers, booleans and None, at any depth.

    Raises:
        CheckpointError: it holds anything else.
        OSError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    state = json.dumps(_packed(checkpoint, tensors), ensure_ascii=False, allow_nan=False)
    metadata = {"format": FORMAT, "state": state, "crc32": _checksum(state, tensors)}
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # which is how it tells of a full disk, too
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint that `write_checkpoint` wrote, every value equal and of the same type, tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, empty, damaged, a pickle, or holds no training checkpoint.
    """
    metadata, tensors = _contents(path, with_tensors=True)
    if _checksum(metadata["state"], tensors) != metadata.get("crc32"):
        raise _damaged(path, "its checksum does not fit")
    checkpoint = _state(path, metadata["state"], tensors)
    for part, kind in _PARTS.items():
        if not isinstance(checkpoint.get(part), kind):
            raise _damaged(path, f"it has no {part}")
    return checkpoint


def step_of(path: Path) -> int:
    """Optimiser steps that a checkpoint stands for; 0 where there is none. Reads the header alone.

    Raises:
        CheckpointError: see `read_checkpoint`.
    """
    if not path.exists():
        return 0
    step = _state(path, _contents(path, with_tensors=False)[0]["state"], None).get("global_step")
    if not isinstance(step, int) or step < 0:
        raise _damaged(path, "it has no global_step")
    return step


def check_restored(optimizers: Sequence[torch.optim.Optimizer], path: Path) -> None:
    """Refuse, with a CheckpointError, moments that are not of their parameters' shapes: torch does not look."""
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            shapes = {value.shape for value in state.values() if isinstance(value, Tensor) and value.ndim}
            if shapes - {parameter.shape}:
                raise _damaged(path, "its optimiser is of another network")


def _contents(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header's texts, and the tensors where they are wanted, copied out of the file."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(2)
        if not beginning:
            raise _damaged(path, "it is empty")
        with safe_open(path, framework="pt") as stored:
            metadata: dict[str, str] = stored.metadata() or {}
            names = stored.keys() if with_tensors else ()
            tensors = {name: stored.get_tensor(name).clone() for name in names}
    except SafetensorError as error:  # asked first: the length of its header may begin as a pickle does
        if beginning.startswith(_PICKLE_BEGINNINGS):
            raise CheckpointError(
                f"{path} is a pickle, as versions before this one wrote, which could run code when opened; it was not "
                "opened. Begin in a new folder, or delete it to begin this run again."
            ) from error
        raise _damaged(path, str(error).removeprefix("Error while deserializing header: ")) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    if metadata.get("format") != FORMAT or "state" not in metadata:
        raise CheckpointError(f"{path} is not a training checkpoint of this version; begin in a new folder.")
    return metadata, tensors


def _state(path: Path, text: str, tensors: Mapping[str, Tensor] | None) -> dict[str, Any]:
    """What the text says, with the tensors in their places, or None there."""
    try:
        plain = json_from_text(text, dict[str, Any], where="its state", error=CheckpointError, limits=_STATE_LIMITS)
        state = _unpacked(plain, tensors)
    except (CheckpointError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "its state cannot be understood") from error
    if not isinstance(state, dict):
        raise _damaged(path, "its state is no mapping")
    return state


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({reason}), so this run cannot go on from it; put back a copy, or delete it to begin again."
    )


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON has it; its tensors go into `tensors` under the numbers that stand in their places."""
    match value:
        case None | bool() | str():
            return value
        case int() if type(value) is int:
            return value
        case float() if type(value) is float:
            return value if math.isfinite(value) else {_TAG: "float", "of": str(value)}
        case Tensor():
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {_TAG: "tensor", "of": name}
        case tuple():
            return {_TAG: "tuple", "of": [_packed(item, tensors) for item in value]}
        case list():
            return [_packed(item, tensors) for item in value]
        case dict() if all(type(key) is str and key != _TAG for key in value):
            return {key: _packed(item, tensors) for key, item in value.items()}
        case dict() if all(type(key) in (str, int) for key in value):
            return {_TAG: "map", "of": [[key, _packed(item, tensors)] for key, item in value.items()]}
    raise CheckpointError(
        f"a checkpoint keeps tensors and plain values only, and this run's state holds a {type(value).__name__}."
    )


def _unpacked(value: Any, tensors: Mapping[str, Tensor] | None) -> Any:
    """The inverse of `_packed`; without tensors, None stands for each."""
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    content = value["of"]
    match value[_TAG]:
        case "tensor":
            return None if tensors is None else tensors[content]
        case "float":
            return float(content)
        case "tuple":
            return tuple(_unpacked(item, tensors) for item in content)
        case "map":
            return {key: _unpacked(item, tensors) for key, item in content}
    raise ValueError(f"{value[_TAG]} is not known")


def _checksum(state: str, tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 over the state, and name, dtype, shape and bytes of every tensor; eight hexadecimal digits."""
    total = zlib.crc32(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
