"""The shifts by name; a new one is one file, one line here, one test."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from ..errors import VocabularyError
from ..vocabulary import did_you_mean
from .base import Shift

# Name -> module and constant. Modules are imported when their shift is asked for: motion and ghosting bring torchio
# and with it torch (seconds), which training workers and tables of names have no need of.
_PLACES = {
    "bias_field": ("bias_field", "BIAS_FIELD"),
    "contrast": ("contrast", "CONTRAST"),
    "gamma": ("gamma", "GAMMA"),
    "ghosting": ("ghosting", "GHOSTING"),
    "inversion": ("inversion", "INVERSION"),
    "motion": ("motion", "MOTION"),
    "noise": ("noise", "NOISE"),
    "resolution": ("resolution", "RESOLUTION"),
    "slice_spacing": ("resolution", "SLICE_SPACING"),
    "spikes": ("spikes", "SPIKES"),
}


class _Shifts(Mapping[str, Shift]):
    """Reads as a dictionary."""

    def __getitem__(self, name: str) -> Shift:
        module, constant = _PLACES[name]
        shift: Shift = getattr(import_module(f".{module}", __package__), constant)
        return shift

    def __contains__(self, name: object) -> bool:
        return name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


SHIFTS: Mapping[str, Shift] = _Shifts()


def find(name: str) -> Shift:
    """The shift of that name.

    Raises:
        VocabularyError: there is none; the sentence names the nearest.
    """
    if name in SHIFTS:
        return SHIFTS[name]
    hint = did_you_mean(name, SHIFTS, f"known are {', '.join(SHIFTS)}.")
    raise VocabularyError(f'"{name}" is not a shift of appearance; {hint}')
