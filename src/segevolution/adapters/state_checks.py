"""Check that the tensors of a file fit an adapter."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import AdapterError
from ..models.tensor_files import TensorHeader, check_weights, headers_of, misfits, read_tensors


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights of an adapter from its safetensors file, as float32.

    Raises:
        AdapterError: the file is missing, damaged, or holds anything but finite weights.
    """
    state = read_tensors(path, AdapterError)
    whole = [name for name, header in sorted(headers_of(state).items()) if not header.floating]
    if whole:
        raise AdapterError(
            f"{path} holds {str(state[whole[0]].dtype).removeprefix('torch.')} numbers in {whole[0]}, which are no "
            "weights; get it again."
        )
    return state


def check_fit(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], *, partly: bool = False) -> None:
    """Refuse a state that does not fit the adapter.

    Args:
        state: what is to be loaded.
        shapes: what the adapter has.
        partly: whether names may be missing.

    Raises:
        AdapterError: names the first tensors that are missing, unexpected, of another shape or type, or not finite.
    """
    expected = {name: TensorHeader(tuple(shape), floating=True) for name, shape in shapes.items()}
    problems = misfits(headers_of(state), expected, partly=partly, shown=3)
    if problems:
        raise AdapterError(f"the adapter's weights do not fit this network and these settings: {problems}.")
    check_weights(state, "this adapter", AdapterError)
