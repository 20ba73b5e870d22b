"""Methods of a study that adapt no base network. A new one is one file here and one line in RIVALS."""

from collections.abc import Mapping

from .base import Rival
from .ellipsoid import EllipsoidRival

__all__ = ["RIVALS", "Rival"]

RIVALS: Mapping[str, Rival] = {rival.name: rival for rival in (EllipsoidRival(),)}
