"""What the sizes of most networks share: the way to `config.json` and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

from ..errors import CheckpointError


class NetworkConfig:
    """Base of a frozen dataclass of numbers, words and tuples of them.

    Attributes:
        described: what a sentence calls the network.
    """

    described: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave, possibly through JSON; raises CheckpointError for another key or type."""
        unknown = sorted(set(values) - {part.name for part in fields(cls)})
        if unknown:
            raise CheckpointError(f"the configuration of {cls.described} has no {', '.join(unknown)}; remove it.")
        try:
            return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
        except TypeError as error:
            raise CheckpointError(f"the configuration of {cls.described} cannot be read: {error}.") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)
