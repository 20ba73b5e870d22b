"""Safetensors files, read as what nobody vouches for: the header first, then finite numbers of sizes that weights have.

Safetensors cannot run code. What a file can still do is lie: NaN or infinity in the weights of an otherwise sound
network gives masks of nothing without a word, and so do values that no training reaches, or whole numbers where
fractions belong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SegevolutionError

WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST_WEIGHT = 1e6
"""Beyond what any trained weight reaches: the largest of segvol-mini is 3.4."""

_WEIGHT_TYPES_OF_FILES = ("F16", "BF16", "F32", "F64")  # the same, in safetensors' words


@dataclass(frozen=True)
class TensorHeader:
    """What a file says of one tensor before any of it is read.

    Attributes:
        shape: its sides.
        floating: whether it holds weights: numbers of one of WEIGHT_TYPES.
    """

    shape: tuple[int, ...]
    floating: bool


def read_headers(path: Path, error: type[SegevolutionError]) -> Mapping[str, TensorHeader]:
    """Name -> shape and type of every tensor in a safetensors file; none of its numbers are read.

    Raises:
        error: it is missing, truncated or something else.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            headers = {name: _header(stored.get_slice(name)) for name in stored.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError) as fault:
        raise _unreadable(path, fault, error) from fault
    return MappingProxyType(headers)


def read_tensors(path: Path, error: type[SegevolutionError], *, widened: bool = True) -> dict[str, Tensor]:
    """Every tensor of a safetensors file.

    Args:
        widened: weights of any precision become float32.

    Raises:
        error: it is missing, truncated, something else, or its values cannot be weights (see `check_weights`).
    """
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as fault:
        raise _unreadable(path, fault, error) from fault
    if widened:
        tensors = {name: value.float() if value.dtype in WEIGHT_TYPES else value for name, value in tensors.items()}
    check_weights(tensors, str(path), error)
    return tensors


def check_weights(tensors: Mapping[str, Tensor], where: str, error: type[SegevolutionError]) -> None:
    """Refuse NaN, infinity, and values beyond LARGEST_WEIGHT.

    Raises:
        error: names the first such tensor.
    """
    for name in sorted(tensors):
        tensor = tensors[name]
        if tensor.dtype not in WEIGHT_TYPES or not tensor.numel():
            continue
        low, high = (float(value) for value in tensor.detach().aminmax())
        if not (low >= -LARGEST_WEIGHT and high <= LARGEST_WEIGHT):
            values = "NaN" if low != low else f"values up to {max(-low, high):.3g}"
            raise error(
                f"{where} holds {values} in {name}, which no trained weights hold; it is damaged, or its training went "
                "wrong: get it again."
            )


def misfits(
    headers: Mapping[str, TensorHeader], expected: Mapping[str, TensorHeader], *, partly: bool = False, shown: int = 5
) -> str:
    """What is missing, unexpected, of another shape or of another type, as the end of a sentence; empty if nothing is.

    Args:
        headers: of the file.
        expected: of the network.
        partly: whether names may be missing.
        shown: names of each kind that are listed.
    """
    shared_names = sorted(expected.keys() & headers.keys())
    kinds = {
        "missing": [] if partly else sorted(expected.keys() - headers.keys()),
        "unexpected": sorted(headers.keys() - expected.keys()),
        "of another shape": [
            f"{name} ({_sides(headers[name].shape)} where {_sides(expected[name].shape)} is needed)"
            for name in shared_names
            if headers[name].shape != expected[name].shape
        ],
        "of another type": [
            f"{name} ({'fractions' if expected[name].floating else 'whole numbers'} are needed)"
            for name in shared_names
            if headers[name].floating != expected[name].floating
        ],
    }
    return "; ".join(f"{kind}: {_list(names, shown)}" for kind, names in kinds.items() if names)


def headers_of(tensors: Mapping[str, Tensor]) -> dict[str, TensorHeader]:
    """The headers of tensors in memory."""
    return {name: TensorHeader(tuple(value.shape), value.dtype in WEIGHT_TYPES) for name, value in tensors.items()}


def _header(stored: object) -> TensorHeader:
    return TensorHeader(tuple(stored.get_shape()), stored.get_dtype() in _WEIGHT_TYPES_OF_FILES)  # type: ignore[attr-defined]


def _unreadable(path: Path, fault: Exception, error: type[SegevolutionError]) -> SegevolutionError:
    reason = getattr(fault, "strerror", None) or str(fault).removeprefix("Error while deserializing header: ")
    return error(f"{path} cannot be read as safetensors ({reason}); it may be cut short: get it again.")


def _list(names: list[str], shown: int) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
