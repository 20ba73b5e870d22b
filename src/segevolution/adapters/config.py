"""Settings of a method of adaptation: plain values, presets, and one sentence for what cannot be."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from ..errors import AdapterError
from ..vocabulary import closest


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of a method; each method extends it with fields of plain values and tuples of them.

    Attributes:
        presets: name -> settings to start from; a method without any has no key "preset".
        preset_word: what one is called in a sentence.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_word: ClassVar[str] = "preset"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def preset(cls, name: str) -> Self:
        """One of `presets` by name; raises AdapterError for another."""
        if name not in cls.presets:
            raise AdapterError(f'"{name}" is not a {cls.preset_word}; known are {", ".join(cls.presets)}.')
        return cls(**cls.presets[name])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave, or a recipe wrote; what is not said keeps its default, or its preset's value.

        Raises:
            AdapterError: an unknown setting (the sentence names the nearest), or an impossible value.
        """
        if cls.presets and "preset" in values:
            said = {key: value for key, value in values.items() if key != "preset"}
            values = {**cls.preset(values["preset"]).to_dict(), **said}
        known = [part.name for part in fields(cls)]
        for key in values:
            if key not in known:
                near = closest(key, known)
                hint = f'did you mean "{near}"?' if near else f"known are {', '.join(known) or 'none'}."
                raise AdapterError(f'"{key}" is not a setting of this adapter; {hint}')
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
