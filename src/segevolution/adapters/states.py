"""What the weights of an adapter must be to fit it."""

from collections.abc import Mapping

from torch import Tensor

from ..errors import AdapterError


def check_fit(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], *, partly: bool = False) -> None:
    """Refuse a state that does not fit the adapter.

    Args:
        state: what is to be loaded.
        shapes: what the adapter has.
        partly: whether names may be missing.

    Raises:
        AdapterError: names the first tensors that are missing, unexpected or of another shape.
    """
    missing = [] if partly else sorted(shapes.keys() - state.keys())
    unexpected = sorted(state.keys() - shapes.keys())
    reshaped = [name for name in sorted(shapes.keys() & state.keys()) if tuple(state[name].shape) != shapes[name]]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    said = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in found.items() if names]
    if said:
        raise AdapterError(f"the adapter's weights do not fit this network and these settings: {'; '.join(said)}.")
