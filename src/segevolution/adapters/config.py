"""Settings of a method of adaptation: plain values, presets, and one sentence for what cannot be."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from ..documents import check
from ..documents.renamed_keys import with_new_names
from ..errors import AdapterError
from ..vocabulary import did_you_mean


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of a method; each method extends it with fields of plain values and tuples of them.

    Attributes:
        presets: name -> settings to start from; a method without any has no key "preset".
        preset_word: what one is called in a sentence.
        limits: setting -> the largest value, or number of entries, that a file or a recipe may give it.
        sizes: settings that are sides of the adapter's tensors.
        renamed: old name of a setting -> its name today; files and recipes may use either.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_word: ClassVar[str] = "preset"
    limits: ClassVar[Mapping[str, float]] = {}
    sizes: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, str]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def preset(cls, name: str) -> Self:
        """One of `presets` by name; raises AdapterError for another."""
        if not isinstance(name, str) or name not in cls.presets:
            raise AdapterError(f'"{str(name)[:60]}" is not a {cls.preset_word}; known are {", ".join(cls.presets)}.')
        return cls(**cls.presets[name])

    @classmethod
    def in_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with their names of today; raises AdapterError where one has both of its names."""
        try:
            return with_new_names(values, cls.renamed, "settings of an adapter")
        except ValueError as error:
            raise AdapterError(f"the settings of this adapter: {error}.") from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave, or a recipe wrote; what is not said keeps its default, or its preset's value.

        Raises:
            AdapterError: an unknown setting (the sentence names the nearest), a value of another type, an impossible
                one, or one beyond `limits`.
        """
        values = cls.in_new_names(values)
        if cls.presets and "preset" in values:
            stated = {key: value for key, value in values.items() if key != "preset"}
            values = {**cls.preset(values["preset"]).to_dict(), **stated}
        known = [part.name for part in fields(cls)]
        for key in values:
            if key not in known:
                hint = did_you_mean(key, known, f"known are {', '.join(known) or 'none'}.")
                raise AdapterError(f'"{key[:60]}" is not a setting of this adapter; {hint}')
        # A mapping is how a file writes pairs.
        plain = {key: list(value.items()) if isinstance(value, Mapping) else value for key, value in values.items()}
        config = check(plain, cls, where="the settings of this adapter", error=AdapterError)
        for key, largest in cls.limits.items():
            value = getattr(config, key)
            size = len(value) if isinstance(value, tuple) else value or 0
            if not size <= largest:
                raise AdapterError(f"{key} {size:,} is not possible; an adapter has {largest:,.0f} at most.")
        return config
