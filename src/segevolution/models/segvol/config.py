"""Every size and setting of a SegVol; the published network and segvol-mini are two values of SegVolConfig."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from ...documents import check
from ...errors import CheckpointError
from ...files import plain_values
from ...imaging.grid import triple
from ...vocabulary import TEMPLATES, did_you_mean
from ..backbone import Triple, Windows

# What a file may ask for at most. A network's sizes are held against its weights before memory is taken, and these
# bound the work of that.
Layers = Annotated[int, Field(ge=1, le=256)]
Channels = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=1, le=4096)]
Sides = tuple[Side, Side, Side]


@dataclass(frozen=True)
class TextConfig:
    """The text tower: CLIP's architecture at any size.

    Attributes:
        kind: "clip" reads sentences through CLIP's byte-pair tokenizer, "words" through a word list of its own.
        vocabulary: number of token ids; for "clip" the last one ends a text.
        width, layers, heads, mlp, positions: of the transformer.
        train_tower: False freezes the transformer, as the published training did.
        train_alignment: False freezes the linear layer that follows. The published code never trained it, since it
            ran under no_grad; nothing speaks for copying that.
    """

    kind: Literal["clip", "words"] = "clip"
    vocabulary: Annotated[int, Field(ge=1, le=1_000_000)] = 49408
    width: Channels = 512
    layers: Layers = 12
    heads: Channels = 8
    mlp: Channels = 2048
    positions: Channels = 77
    train_tower: bool = False
    train_alignment: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("clip", "words"):
            raise CheckpointError(f'text kind "{self.kind}" is not known; use "clip" or "words".')
        _require_positive(self, "vocabulary", "width", "layers", "heads", "mlp", "positions")
        _require_multiple("the text width", self.width, "its heads", self.heads)


@dataclass(frozen=True)
class StemConfig:
    """A convolutional stem in place of the linear patch embedding (Xiao et al. 2021, arXiv:2106.14881).

    Attributes:
        channels: one number a stage; the first stage works at full resolution, each further one a halving on,
            and a last halving makes the tokens. So there are as many stages as halvings in the longest patch side.
        groups: of the group normalisation.
    """

    channels: Annotated[tuple[Channels, ...], Field(max_length=12)] = (12, 24, 48)
    groups: Channels = 4

    def __post_init__(self) -> None:
        if not self.channels or self.groups < 1 or any(c < 1 or c % self.groups for c in self.channels):
            raise CheckpointError(f"stem channels {self.channels} must be multiples of its {self.groups} groups.")


@dataclass(frozen=True)
class PixelDecoderConfig:
    """Convolutions from tokens back to the stem's maps, once an image, see `pixel_decoder`.

    Attributes:
        channels: at twice and at four times the token grid.
        groups: of the group normalisation.
    """

    channels: tuple[Channels, Channels] = (96, 32)
    groups: Channels = 8

    def __post_init__(self) -> None:
        if self.groups < 1 or any(c < 1 or c % self.groups for c in self.channels):
            raise CheckpointError(
                f"pixel decoder channels {self.channels} must be multiples of its {self.groups} groups."
            )


@dataclass(frozen=True)
class StartConfig:
    """How a network that is trained from scratch starts; loaded weights overwrite all of it.

    Attributes:
        fourier: standard deviations of the Fourier matrix, from the first column to the last, log-spaced.
            (1, 1) is SAM's; (0.09, 0.9) lets a small model tell places apart from the first step on.
        position: the encoder's position embedding starts at this times the Fourier code of the grid;
            0 starts it at small noise, as MONAI's ViT does.
        tokens: factor on the first values of the mask and IoU tokens.
    """

    fourier: tuple[float, float] = (1.0, 1.0)
    position: float = 0.0
    tokens: float = 1.0

    def __post_init__(self) -> None:
        if len(self.fourier) != 2 or min(self.fourier) <= 0:
            raise CheckpointError(f"start.fourier {self.fourier} must be two positive standard deviations.")


@dataclass(frozen=True)
class SegVolConfig:
    """Sizes, settings and the optional parts of a SegVol; all sizes are functions of these.

    Attributes:
        window: (D, H, W) voxels of one encoding.
        patch: voxels a token along each axis; masks come out at four times the token grid.
        width, depth, heads, mlp: of the image encoder; every token of the decoder has the same width.
        decoder_depth, decoder_heads, decoder_mlp: of the two-way transformer.
        decoder_downsample: cross-attention works at width / this.
        iou_hidden: hidden width of the head that predicts the overlap.
        text: the text tower, or None for a network that accepts no text.
        template: a key of vocabulary.TEMPLATES. The published weights only ever saw "ct".
        structures: names that the text tower was trained on; empty when any text may be tried.
        exchanged_greys: see `Spec`; False where an adapter was merged that learned scans as they are.
        intensity: a name in imaging.intensity.NORMALISERS.
        windows: how zoom-in looks unless a caller says otherwise, see inference/strategies/zoom.py.
        coordinates: "published" keeps the published mix-up of axes between grid and prompt codes, which is
            trained into its weights; "matching" gives one place one code, for networks trained from scratch.
        stem, high_resolution, dense_prompts, pixel_decoder: the optional parts, absent from the published network.
        unused_mask_downscaling: keep the published checkpoint's 2-D mask_downscaling tensors, which nothing reads,
            so that loading it is exact.
        start: initial values for training from scratch.

    Raises:
        CheckpointError: the sizes do not fit each other.
    """

    window: Sides
    patch: Sides
    width: Channels
    depth: Layers
    heads: Channels
    mlp: Channels
    decoder_depth: Layers = 2
    decoder_heads: Channels = 8
    decoder_mlp: Channels = 2048
    decoder_downsample: Channels = 2
    iou_hidden: Channels = 256
    text: TextConfig | None = None
    template: str = "ct"
    structures: tuple[str, ...] = ()
    exchanged_greys: bool = True
    intensity: str = "foreground"
    windows: Windows = "roi"
    coordinates: Literal["published", "matching"] = "published"
    stem: StemConfig | None = None
    high_resolution: bool = False
    dense_prompts: bool = False
    pixel_decoder: PixelDecoderConfig | None = None
    unused_mask_downscaling: bool = False
    start: StartConfig = field(default_factory=StartConfig)

    def __post_init__(self) -> None:
        for name in ("window", "patch"):
            sides = getattr(self, name)
            if len(sides) != 3 or any(not isinstance(side, int) or side < 1 for side in sides):
                raise CheckpointError(f"{name} must be three positive whole numbers (D, H, W), not {sides}.")
        _require_positive(self, "width", "depth", "heads", "mlp", "decoder_depth", "decoder_heads", "decoder_mlp")
        _require_positive(self, "decoder_downsample", "iou_hidden")
        if any(side % patch for side, patch in zip(self.window, self.patch, strict=True)):
            raise CheckpointError(f"the window {self.window} is not a whole number of patches {self.patch}.")
        _require_multiple("the width", self.width, "the heads", self.heads)
        _require_multiple("the width", self.width, "eight, for the upscaling", 8)
        _require_multiple("the width", self.width, "decoder_downsample", self.decoder_downsample)
        _require_multiple("the width", self.width, "decoder_heads", self.decoder_heads)
        inner = self.width // self.decoder_downsample
        _require_multiple("the cross-attention width", inner, "decoder_heads", self.decoder_heads)
        if self.template not in TEMPLATES:
            raise CheckpointError(f'template "{self.template}" is not known; use one of {", ".join(TEMPLATES)}.')
        if self.windows not in get_args(Windows) or self.windows == "propagate":
            raise CheckpointError(f'windows "{self.windows}" must be one of {", ".join(get_args(Windows))}.')
        if self.coordinates not in ("published", "matching"):
            raise CheckpointError(f'coordinates "{self.coordinates}" must be "published" or "matching".')
        if self.stem is not None:
            self._check_stem(self.stem)
        if self.high_resolution and (self.stem is None or min(self.patch) < 4):
            raise CheckpointError("high_resolution needs a stem, and patch sides of at least 4.")
        if self.pixel_decoder is not None and not self.high_resolution:
            raise CheckpointError("a pixel_decoder needs high_resolution, whose maps it changes.")

    def _check_stem(self, stem: StemConfig) -> None:
        if any(side & (side - 1) for side in self.patch) or max(self.patch) < 2:
            raise CheckpointError(f"a stem halves step by step: patch sides {self.patch} must be powers of two.")
        if len(stem.channels) != len(self.stem_steps):
            raise CheckpointError(
                f"patch {self.patch} takes a stem of {len(self.stem_steps)} stages, not {len(stem.channels)}."
            )

    @property
    def grid(self) -> Triple:
        """Tokens along each axis."""
        return triple(side // patch for side, patch in zip(self.window, self.patch, strict=True))

    @property
    def mask_size(self) -> Triple:
        """Voxels of a decoded mask: four times the token grid."""
        return triple(4 * side for side in self.grid)

    @property
    def stem_steps(self) -> tuple[Triple, ...]:
        """Strides that lead from voxels to tokens; short patch sides start halving late: 4x8x8 -> 1,2,2 2,2,2 2,2,2."""
        halvings = [side.bit_length() - 1 for side in self.patch]
        total = max(halvings)
        return tuple(triple(2 if step >= total - count else 1 for count in halvings) for step in range(total))

    @classmethod
    def published(cls) -> "SegVolConfig":
        """The network of the public checkpoints (BAAI/SegVol): 180,890,064 parameters."""
        return cls(
            window=(32, 256, 256),
            patch=(4, 16, 16),
            width=768,
            depth=12,
            heads=12,
            mlp=3072,
            text=TextConfig(),
            unused_mask_downscaling=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; from_dict reads them back to an equal config."""
        return dict(plain_values(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the SegVol config") -> "SegVolConfig":
        """The config that to_dict wrote; `where` names it in a sentence.

        Raises:
            CheckpointError: a key is unknown or missing, or the values do not fit each other.
        """
        parts: dict[str, type] = {
            "text": TextConfig,
            "stem": StemConfig,
            "pixel_decoder": PixelDecoderConfig,
            "start": StartConfig,
        }
        _require_known(cls, values, "")
        for name, kind in parts.items():
            if isinstance(values.get(name), Mapping):
                _require_known(kind, values[name], f"{name}.")
        return check(dict(values), cls, where=where, error=CheckpointError)


def _require_known(kind: type, values: Mapping[str, Any], prefix: str) -> None:
    names = [entry.name for entry in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            hint = did_you_mean(key, names, f"known are {', '.join(names)}.", prefix)
            raise CheckpointError(f'"{prefix}{key}" is not a setting of SegVol; {hint}')


def _require_positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise CheckpointError(f"{name} must be a positive whole number, not {value!r}.")


def _require_multiple(what: str, value: int, of_what: str, divisor: int) -> None:
    if value % divisor:
        raise CheckpointError(f"{what} ({value}) must be a multiple of {of_what} ({divisor}).")
