"""The Spec of a network: the inputs it needs and the layers it offers to adapters. All other code reads this.

A Spec is obeyed or refused: a value that cannot be is a CheckpointError when the network is built, and a `framing`
that no strategy answers to is one when it is loaded (`inference/strategies/`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import CheckpointError
from ..imaging.grid import Triple
from ..imaging.intensity import NORMALISERS
from ..imaging.prompts import PromptKind
from ..imaging.resizing import Resizing
from ..vocabulary import Modality
from .prompt_maps import PromptMaps, possible

Axis = Literal["x", "y", "z"]

# How the strategy "zoom" looks closer after the whole image: see inference/strategies/zoom.py.
Windows = Literal["roi", "lattice", "central", "focus", "off", "propagate"]


@dataclass(frozen=True)
class DecoderSizes:
    """What an adapter that enters through the hooks must fit.

    Attributes:
        width: C, channels of image tokens and of mask tokens.
        masks: M, mask tokens before the hypernetworks.
        vector: c, channels of the mask vectors and of the features they are multiplied with.
        finest: channels of the finest of `Features.skips`; None = it hands on none, or says nothing of them.
    """

    width: int
    masks: int
    vector: int
    finest: int | None = None


@dataclass(frozen=True)
class Adaptation:
    """Where a low-rank adapter enters a network unless a person says otherwise.

    Attributes:
        targets: layers, in the words of `adapters.targets.layers`.
        also_train: parameters of the base that train as they are, in the words of `adapters.targets.parameters`.
    """

    targets: tuple[str, ...] = ("linear",)
    also_train: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswerGroup:
    """Structures that a network answers together, in one decoding whatever their number.

    Attributes:
        structures: their names.
        modality: of the images that it is meant for; None for any.
    """

    structures: tuple[str, ...]
    modality: Modality | None = None


@dataclass(frozen=True)
class Spec:
    """What a network asks of its inputs, so that nothing outside guesses by name.

    Attributes:
        window: (D, H, W) voxels of one encoding.
        accepts: kinds of prompt; the rest is refused in a sentence.
        intensity: a name in `imaging.intensity.NORMALISERS`.
        framing: the strategy that answers prompts with it, a name in `inference.strategies.STRATEGIES`: "zoom" (whole
            volume, then windows), "click" (a window round the prompt), "slices" (2-D) or "sliding" (no prompts).
        spacing: (x, y, z) millimetres to resample to, axes as in RAS+, or None for the volume's own.
        axis: across which the slices of a 2-D network are cut; None takes the axis of the thickest voxels.
        keep_aspect: whether a slice of a 2-D network keeps its proportions: its long side fills the window and the rest
            is padded at the end; otherwise both sides are stretched to the window.
        resizing: how a slice is brought to the size of a 2-D network.
        previous: (d, h, w) of the logits by which an earlier answer is told, where MASK is accepted; those of
            `Masks.logits`.
        estimates_overlap: whether `Masks.iou` was trained to be an estimate; where it was not, answers have none (NaN).
        exchanged_greys: whether it may also be asked with bright and dark exchanged, see `inference.second_opinion`;
            not with an adapter that learned from scans of another modality in no contrast but their own.
        maps: how prompts are drawn beside the image, for a network that reads them as channels; None for others.
        neighbours: slices on each side of one that are encoded together with it; 0 unless an adapter looks across them.
        adaptable: dotted names of the linear and convolution layers an adapter may wrap.
        encoding: those of `adaptable` that run when an image is encoded; the others run when a prompt is decoded.
        block_parts: (attention, perceptron) of each block of the encoder, for adapters that stand beside them.
        attends_grids: whether these attentions take any grid of tokens, smaller than their own too.
        words: layers of the text tower, which run when a prompt is decoded, and are wrapped only where asked for.
        layer_groups: a name for several of these layers -> patterns of their names, see `adapters.targets.layers`.
        parameter_groups: a name for several parameters -> patterns of theirs; "decoder" is what decoder-only
            fine-tuning trains.
        adaptation: where LoRA enters unless a person says otherwise.
        structures: names that its text encoder was trained on; empty when any text may be tried.
        answer_groups: for a network whose decoding reads the whole image: which of its structures it answers together.
            All prompts of an image are then decoded in one call. Empty for networks that decode each prompt by itself.
        windows: how "zoom" looks closer unless a caller says otherwise.
        decoder: sizes at the hooks; None for a network that does not offer them to adapters.

    Raises:
        CheckpointError: a value that no network can have.
    """

    window: Triple
    accepts: frozenset[PromptKind]
    intensity: str
    framing: str = "zoom"
    spacing: tuple[float, float, float] | None = None
    axis: Axis | None = None
    keep_aspect: bool = False
    resizing: Resizing = "bilinear"
    previous: Triple | None = None
    estimates_overlap: bool = True
    exchanged_greys: bool = True
    maps: PromptMaps | None = None
    neighbours: int = 0
    adaptable: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()
    block_parts: tuple[tuple[str, str], ...] = ()
    attends_grids: bool = False
    words: tuple[str, ...] = ()
    layer_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    parameter_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    adaptation: Adaptation = field(default_factory=Adaptation)
    structures: tuple[str, ...] = ()
    answer_groups: tuple[AnswerGroup, ...] = ()
    windows: Windows = "roi"
    decoder: DecoderSizes | None = None

    def __post_init__(self) -> None:
        _require(_sides(self.window), f"the window {self.window}", "three whole numbers of at least 1")
        kinds = {kind.value for kind in PromptKind}
        _require(
            len(self.accepts) > 0 and set(self.accepts) <= kinds,
            f"the kinds of prompt {sorted(self.accepts)}",
            f"some of {', '.join(PromptKind)}",
        )
        object.__setattr__(self, "accepts", frozenset(map(PromptKind, self.accepts)))
        _require(self.intensity in NORMALISERS, f'the intensity "{self.intensity}"', f"one of {', '.join(NORMALISERS)}")
        _require(isinstance(self.framing, str) and self.framing != "", f"the framing {self.framing!r}", "a name")
        _require(
            self.spacing is None or _lengths(self.spacing), f"the spacing {self.spacing}", "three millimetres above 0"
        )
        _require(self.axis in (None, *get_args(Axis)), f"the axis {self.axis!r}", "x, y, z or None")
        _require(
            self.resizing in get_args(Resizing),
            f'the resizing "{self.resizing}"',
            f"one of {', '.join(get_args(Resizing))}",
        )
        _require(
            (self.previous is not None) == (PromptKind.MASK in self.accepts)
            and (self.previous is None or _sides(self.previous)),
            f"previous = {self.previous}",
            "the (d, h, w) of its logits where it accepts a mask, and None where it does not",
        )
        _require(
            self.maps is None or possible(self.maps),
            f"prompts drawn as {self.maps}",
            "balls of 1 to 64 voxels that fade",
        )
        _require(
            self.windows in get_args(Windows),
            f'the windows "{self.windows}"',
            f"one of {', '.join(get_args(Windows))}",
        )
        beyond = sorted(set(self.encoding) - set(self.adaptable))
        _require(not beyond, f"encoding layers {', '.join(beyond)}", "among its adaptable layers")
        _require(len(set(self.structures)) == len(self.structures), "its list of structures", "free of doubles")
        grouped = {name for group in self.answer_groups for name in group.structures}
        _require(not self.answer_groups or grouped == set(self.structures), "its answer groups", "of its structures")

    def answer_group(self, structure: str, modality: Modality | None) -> int | None:
        """The number of the group that answers for a structure: the first of the modality, else the first that has it.

        None where the network has no groups, or none with this structure.
        """
        numbers = [number for number, group in enumerate(self.answer_groups) if structure in group.structures]
        suited = [number for number in numbers if self.answer_groups[number].modality in (None, modality)]
        return next(iter(suited or numbers), None)

    def answered_with(self, structure: str, modality: Modality | None) -> tuple[str, ...]:
        """The structures that are answered together with one of its own: those of its group; all without groups."""
        number = self.answer_group(structure, modality)
        return self.structures if number is None else self.answer_groups[number].structures


def _require(condition: bool, what: str, wanted: str) -> None:
    if not condition:
        raise CheckpointError(f"a network cannot have {what}; it must be {wanted}.")


def _sides(values: Sequence[int]) -> bool:
    return len(values) == 3 and all(isinstance(side, int) and side >= 1 for side in values)


def _lengths(values: Sequence[float]) -> bool:
    return len(values) == 3 and all(math.isfinite(length) and length > 0 for length in values)
