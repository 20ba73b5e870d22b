"""Gradient checkpointing saves memory and costs time; compiling the blocks saves time and costs a slow first step.

Both last for one run. Afterwards the network is as before: the same parameters under the same names.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..errors import RecipeError
from ..models.backbone import BackboneModule


@contextmanager
def recomputing(backbone: BackboneModule, *, on: bool = True) -> Iterator[None]:
    """While it lasts, the network's `blocks` keep only their inputs and are computed again for their gradients.

    Gradients are the same (Chen et al. 2016, arXiv:1604.06174).

    Raises:
        RecipeError: the network has no such blocks.
    """
    blocks = _blocks(backbone, "gradient_checkpointing") if on else ()

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        recompute_context = backbone.hooks.recompute_context
        return nullcontext(), nullcontext() if recompute_context is None else recompute_context()

    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


@contextmanager
def compiled(backbone: BackboneModule, how: bool | str) -> Iterator[None]:
    """While it lasts, the network's `blocks` run compiled: True by inductor, or a backend's name; False: not at all.

    They see one shape throughout a run; the decoder sees another number of prompts each step, and is not compiled.

    Raises:
        RecipeError: the network has no such blocks.
    """
    blocks = _blocks(backbone, "compile") if how else ()
    for block in blocks:
        block.compile(backend=how if isinstance(how, str) else "inductor")
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None


def _blocks(backbone: BackboneModule, setting: str) -> Sequence[nn.Module]:
    if not backbone.blocks:
        raise RecipeError(f"a {type(backbone).__name__} names no blocks for {setting}; leave that out of fit.")
    return backbone.blocks
