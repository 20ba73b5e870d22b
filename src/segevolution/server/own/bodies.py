"""What clients send, as schemas."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ...documents import Document


def _printable(text: str) -> str:
    """Names go into headers of files, line by line."""
    if not text.isprintable() or not text.strip():
        raise ValueError("a name is one line of letters that can be printed")
    return text


Number = Annotated[float, Field(allow_inf_nan=False)]
Position = tuple[Number, Number, Number]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Range = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]


class NewSession(Document):
    """Begin to work on a volume."""

    volume: str
    adapter: str | None = None


class AdapterChoice(Document):
    """What answers from now on."""

    adapter: str
    ask_again: bool = True


class ComparisonBody(Document):
    """What is asked beside."""

    adapter: str


class NewStructure(Document):
    """A structure, before anything is said of it."""

    name: Name | None = None
    colour: Colour | None = None


class StructureChange(Document):
    """What is to be different; what is left out stays."""

    name: Name | None = None
    colour: Colour | None = None
    visible: bool | None = None


class DrawnMask(Document):
    """Voxels as `runs.encode_mask` tells them."""

    box: tuple[Range, Range, Range]
    runs: str
    encoding: Literal["runs"] = "runs"


class PointPrompt(Document):
    """A point on the structure, or off it."""

    kind: Literal["point"]
    position: Position
    positive: bool = True
    mm: bool = False


class BoxPrompt(Document):
    """A box by two opposite corners, both included."""

    kind: Literal["box"]
    corners: tuple[Position, Position]
    positive: bool = True
    mm: bool = False


class ScribblePrompt(Document):
    """A line, or drawn voxels."""

    kind: Literal["scribble"]
    path: Annotated[list[Position], Field(min_length=1, max_length=100_000)] | None = None
    mask: DrawnMask | None = None
    positive: bool = True
    mm: bool = False


class LassoPrompt(Document):
    """A closed outline in one slice, or all voxels within it."""

    kind: Literal["lasso"]
    outline: Annotated[list[Position], Field(min_length=1, max_length=100_000)] | None = None
    mask: DrawnMask | None = None
    positive: bool = True
    mm: bool = False


class TextPrompt(Document):
    """The name of what is meant."""

    kind: Literal["text"]
    text: Name


AnyPrompt = Annotated[PointPrompt | BoxPrompt | ScribblePrompt | LassoPrompt | TextPrompt, Field(discriminator="kind")]
