"""The shapes of a network without its memory, to hold it against a file before anything is allocated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Drawing on tensors without memory would import torch's compiler, which takes a second of every start.
_DRAWN: frozenset[Callable[..., Any]] = frozenset(
    {
        Tensor.normal_,
        Tensor.uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.trunc_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.xavier_uniform_,
        nn.init.xavier_normal_,
    }
)


class _SkippedInitialisation(TorchFunctionMode):
    """While it lasts, random starts leave their tensors as they are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        arguments = kwargs or {}
        if func in _DRAWN:
            return args[0] if args else arguments["tensor"]
        return func(*args, **arguments)


@contextmanager
def outlined() -> Iterator[None]:
    """A context in which a network that is built has shapes and types, and neither memory nor a random start."""
    with torch.device("meta"), _SkippedInitialisation():
        yield
