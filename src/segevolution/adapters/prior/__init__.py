"""Context priors: learned tokens of modality and structure, fused with the image, and prototypes of the answer."""

from .adapter import ContextPriorAdapter
from .config import ContextPriorConfig

__all__ = ["ContextPriorAdapter", "ContextPriorConfig"]
