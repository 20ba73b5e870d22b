"""The tensors of a file that others published, by name, as a state dict that is then held against a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .checkpoints import read_weights
from .pickled import read_pickled, require_plain
from .tensor_files import check_weights


def read_state(file: Path, under: str, allowed: Sequence[type] = ()) -> dict[str, Tensor]:
    """Name -> tensor.

    Args:
        file: a pickle of tensors, or safetensors.
        under: the key that holds the state dict, in files that hold more than that.
        allowed: see `read_pickled`.

    Raises:
        CheckpointError: the file is not there, is damaged, or holds no tensors under names.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is not there; give a published checkpoint.")
    content: Any = read_weights(file) if file.suffix == ".safetensors" else read_pickled(file, allowed)
    inner = content.get(under, content) if isinstance(content, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    state = {name: value for name, value in inner.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{file} holds no tensors under names, so it is no published checkpoint.")
    for name, value in state.items():
        require_plain(name, value, file)
    check_weights(state, str(file), CheckpointError)
    return state
