"""One person's session of the server's own API: structures on one volume, each a dialogue with a name and a colour."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from threading import RLock

import numpy as np

from ..errors import PromptError
from ..imaging.grid import Array
from ..imaging.legend import Label, legend
from ..imaging.prompts import PromptKind
from ..inference.confidence import judge
from ..inference.locking import in_turn
from ..inference.opened_volume import OpenVolume
from ..inference.segmentation import Segmentation
from ..inference.session import Session
from ..vocabulary import canonical
from .answerers import AnswererChoice, Answerers
from .dialogue import MaskChange, SessionDialogue
from .faults import Full, NotFound
from .network_thread import asked
from .volumes import Handle, Volumes

MOST_STRUCTURES = 255


@dataclass(frozen=True)
class Facts:
    """What is said of a structure's newest answer.

    Attributes:
        voxels, volume_ml, mean_intensity: of its mask; the last two None where they mean nothing.
        confidence: expected overlap with the truth, calibrated where a calibration ships, else the network's own
            estimate; None before the first answer, and for a segmentation from outside.
        warnings, notes: sentences without full stop.
    """

    voxels: int = 0
    volume_ml: float | None = 0.0
    mean_intensity: float | None = None
    confidence: float | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class Structure:
    """One structure.

    Attributes:
        id: its label in the label map.
        dialogue: what was said of it.
    """

    id: int
    name: str
    colour: str
    dialogue: SessionDialogue
    visible: bool = True
    facts: Facts = field(default_factory=Facts)


class SessionWorkspace:
    """A session; several threads use it in turn.

    Args:
        volumes, answerers: of the server.
        handle: the volume.
        adapter: id of what answers; None = what the server takes for this modality.

    Raises:
        NotFound, Gone, Full: the adapter or the volume is not there, or no memory is.
    """

    def __init__(self, volumes: Volumes, answerers: Answerers, handle: Handle, adapter: str | None) -> None:
        self._lock = RLock()
        self._volumes, self._answerers = volumes, answerers
        self.handle = handle
        self.answerer = answerers.find(adapter, handle.volume.modality)
        volumes.take(handle)
        self._closed = False
        self.structures: dict[int, Structure] = {}

    def close(self) -> None:
        """Let go of the volume."""
        if not self._closed:
            self._closed = True
            self._volumes.drop(self.handle)
            self.structures = {}

    @property
    def opened(self) -> OpenVolume:
        """The volume before what answers."""
        return self._volumes.open(self.handle, self.answerer)

    @property
    def accepts(self) -> frozenset[PromptKind]:
        """Kinds of prompt that the network takes itself."""
        return self.opened.network.spec.accepts

    def warm_up(self) -> None:
        """Do now what the first answer will need."""
        asked(self.opened.warm_up)
        _ = self.handle.content.surroundings

    def structure(self, number: int) -> Structure:
        """By its id; raises NotFound."""
        try:
            return self.structures[number]
        except KeyError:
            raise NotFound(f"this session has no structure {number}.") from None

    @in_turn
    def add_structure(self, name: str | None, colour: str | None) -> Structure:
        """A new one under the lowest id that is free.

        Raises:
            Full: there are as many as a label map of 8 bits holds.
        """
        number = next((number for number in range(1, MOST_STRUCTURES + 1) if number not in self.structures), None)
        if number is None:
            raise Full(f"this session has {MOST_STRUCTURES} structures already; delete one first.")
        name = name or f"structure {number}"
        colour = colour or self._colour_for(name)
        structure = Structure(number, name, colour, SessionDialogue(self.opened))
        self.structures[number] = structure
        return structure

    @in_turn
    def delete(self, number: int) -> None:
        """Forget a structure; raises NotFound."""
        self.structure(number)
        del self.structures[number]

    def note(self, structure: Structure, change: MaskChange) -> None:
        """Take down what is to be said of a structure after a change."""
        structure.facts = self._facts(structure.name, structure.dialogue.current, change.mask, self.answerer)

    @in_turn
    def switch(self, adapter: str, *, ask_again: bool) -> list[tuple[Structure, MaskChange]]:
        """Let another adapter answer from now on; with `ask_again` all that was said, a step of history each.

        Raises:
            NotFound: there is no such adapter.
            SegevolutionError: it cannot answer what was said; then all is as it was.
        """
        answerer = self._answerers.find(adapter, None)
        opened = self._volumes.open(self.handle, answerer)
        for structure in self.structures.values():
            answer = structure.dialogue.current
            if answer is not None:
                opened.understood(answer.prompt)
        self.answerer = answerer
        changes = []
        for structure in self.structures.values():
            change = structure.dialogue.move_to(opened, ask_again=ask_again)
            if change.answered:
                self.note(structure, change)
                changes.append((structure, change))
        return changes

    def compared(self, structure: Structure, adapter: str) -> tuple[Segmentation, Facts]:
        """Another adapter's answer to all that was said of a structure; nothing of the session changes.

        Raises:
            NotFound: there is no such adapter.
            PromptError: nothing was said yet.
        """
        answerer = self._answerers.find(adapter, None)
        now = structure.dialogue.current
        if now is None:
            raise PromptError("nothing was said of this structure yet, so there is nothing to compare.")
        session = Session.on(self._volumes.open(self.handle, answerer), history=0)
        segmentation = asked(lambda: session.segment(now.prompt, structure=now.structure))
        return segmentation, self._facts(structure.name, segmentation, segmentation.mask, answerer)

    @in_turn
    def label_map(self, only: Collection[int] | None = None) -> tuple[Array, list[Label]]:
        """(X, Y, Z) uint8, and its key; what several structures claim belongs to the one of the highest id.

        Raises:
            NotFound: one of `only` is not there.
        """
        chosen = sorted(self.structures) if only is None else sorted(self.structure(number).id for number in only)
        labels = np.zeros(self.handle.volume.grid.shape, np.uint8)
        segments = []
        for number in chosen:
            structure = self.structures[number]
            labels[structure.dialogue.mask] = number
            red, green, blue = bytes.fromhex(structure.colour[1:])
            segments.append(Label(number, structure.name, (red, green, blue)))
        return labels, segments

    def _colour_for(self, name: str) -> str:
        """The structure's own colour, or one that no other has."""
        names = [structure.name for structure in self.structures.values()]
        return "#" + bytes(legend([*names, canonical(name)])[-1].colour).hex()

    def _facts(self, name: str, answer: Segmentation | None, mask: Array, answerer: AnswererChoice) -> Facts:
        if answer is None:
            return Facts()
        volume = self.handle.content.volume
        voxels = int(mask.sum())
        warnings: tuple[str, ...] = ()
        confidence = None
        if not math.isnan(answer.iou):
            calibration = self._answerers.load(answerer).calibration
            judged = judge(answer, self.handle.content.surroundings, calibration, structure=answer.structure or name)
            confidence = answer.iou if judged.expected_overlap is None else judged.expected_overlap
            warnings = judged.warnings
        if not voxels:
            warnings = ("nothing was found: the mask is empty", *warnings)
        return Facts(
            voxels,
            voxels * volume.grid.voxel_volume / 1000 if volume.spacing_stated else None,
            float(np.mean(volume.array[mask], dtype=np.float64)) if voxels else None,
            confidence,
            warnings,
            answer.notes,
        )
