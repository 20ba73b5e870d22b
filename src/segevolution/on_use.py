"""Modules that are imported when something of them is asked for first, not at the start.

What a scan's first answer has no need of (codecs, other file formats, clients of hubs) is a second of its time. A type
checker sees the module itself:

    if TYPE_CHECKING:
        import blosc2
    else:
        blosc2 = ModuleOnUse("blosc2")
"""

from importlib import import_module
from typing import Any


class ModuleOnUse:
    """Stands for a module, and imports it at the first look at one of its names.

    Args:
        name: of the module, dotted; that it is there is not looked at.
    """

    def __init__(self, name: str) -> None:
        self._module_name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module_name), name)
