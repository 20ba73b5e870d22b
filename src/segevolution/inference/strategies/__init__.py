"""The strategies by the name that `Spec.framing` gives them; another one is one file and one line here."""

from ...errors import CheckpointError
from ...models.spec import Spec
from .autozoom import AutoZoomStrategy
from .base import Strategy
from .click import ClickStrategy
from .slices import SliceStrategy
from .sliding import SlidingStrategy
from .zoom import ZoomStrategy

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (ZoomStrategy(), ClickStrategy(), SliceStrategy(), SlidingStrategy(), AutoZoomStrategy())
}


def strategy_of(spec: Spec) -> Strategy:
    """The strategy that answers with a network of this Spec.

    Raises:
        CheckpointError: there is none of that name, or it cannot serve such a network.
    """
    if spec.framing not in STRATEGIES:
        raise CheckpointError(
            f'this network asks for the framing "{spec.framing}"; this version knows {", ".join(STRATEGIES)}.'
        )
    strategy = STRATEGIES[spec.framing]
    strategy.check(spec)
    return strategy
