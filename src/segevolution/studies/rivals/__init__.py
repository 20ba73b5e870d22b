"""Methods of a study that train no adapter. A new one is one file here and one line in RIVALS."""

from collections.abc import Mapping

from .adabn import AdaBnRival
from .base import Rival
from .ellipsoid import EllipsoidRival
from .entropy import EntropyRival
from .nnunet import NnUnetRival
from .percentile import PercentileRival
from .unet import UnetRival

__all__ = ["RIVALS", "Rival"]

RIVALS: Mapping[str, Rival] = {
    rival.name: rival
    for rival in (
        EllipsoidRival(),
        PercentileRival(),
        AdaBnRival(),
        EntropyRival(),
        UnetRival(),
        NnUnetRival(),
    )
}
