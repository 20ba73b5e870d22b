"""One structure's dialogue on a server: what was said and shown, and what of it waits to be answered.

An addition may wait because a client wants no answer yet, or because it is off the structure and nothing is there to
take away from; it counts with the next one that is answered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock

import numpy as np

from ..errors import PromptError
from ..imaging.framing import foreground_box
from ..imaging.masks import Mask
from ..inference.locking import in_turn
from ..inference.opened_volume import OpenVolume
from ..inference.segmentation import Segmentation
from ..inference.session import Session
from ..inference.windows import VoxelBlock
from .faults import NothingToUndo
from .network_thread import asked
from .parts import Parts, is_positive, joined_parts

HISTORY_BYTES = 64 << 20  # of earlier answers, for each structure

WAITING = "what is off the structure takes away from an answer; it waits for something on the structure"


@dataclass(frozen=True, eq=False)
class MaskChange:
    """What one step did to what is shown.

    Attributes:
        mask: (X, Y, Z) as it is now.
        block: the voxels in which it differs from before; None = nowhere.
        answered: whether the network, or the history, gave an answer; False where the addition waits.
    """

    mask: Mask
    block: VoxelBlock | None
    answered: bool = True


class SessionDialogue:
    """Additions to one prompt, answered in their order.

    Args:
        opened: the volume before its network.
        history: bytes of earlier answers to keep.
    """

    def __init__(self, opened: OpenVolume, history: int = HISTORY_BYTES) -> None:
        self._lock = RLock()
        self.session = Session.on(opened, history=history)
        self._waiting: list[Parts] = []

    @property
    def current(self) -> Segmentation | None:
        """The newest answer; None before the first."""
        return self.session.current

    @property
    def waiting(self) -> tuple[Parts, ...]:
        """What was said and is not answered yet."""
        return tuple(self._waiting)

    @property
    def mask(self) -> Mask:
        """(X, Y, Z) as it is shown now."""
        answer = self.current
        return np.zeros(self.session.volume.grid.shape, bool) if answer is None else answer.mask

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._waiting) or self.session.steps[0] > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to bring again."""
        return not self._waiting and self.session.steps[1] > 0

    @in_turn
    def say(self, parts: Parts, *, answer: bool = True) -> MaskChange:
        """Add to the prompt, and answer anew unless `answer` is False.

        Raises:
            PromptError, VocabularyError, VolumeError: as Session does; then nothing was added.
        """
        self._waiting.append(parts)
        if not answer:
            return MaskChange(self.mask, None, answered=False)
        try:
            return self.answer()
        except BaseException:
            self._waiting.pop()
            raise

    @in_turn
    def answer(self) -> MaskChange:
        """Answer what waits; nothing changes where nothing does or all of it is off a structure not there yet."""
        if not self._waiting or (self.current is None and not any(map(is_positive, self._waiting))):
            return MaskChange(self.mask, None, answered=False)
        parts = joined_parts(self._waiting)
        answer = asked(lambda: self.session.add_parts(**parts))
        self._waiting.clear()
        return MaskChange(answer.mask, answer.changed)

    @in_turn
    def begin_with(self, mask: Mask, *, replace_all: bool = False) -> MaskChange:
        """Show a segmentation, to be corrected by what follows.

        Args:
            mask: (X, Y, Z), not empty.
            replace_all: forget what was said and shown before.

        Raises:
            PromptError: as Session.add_mask.
        """
        before = self.mask
        if replace_all:
            self._forget()
        self.session.add_mask(mask)
        return MaskChange(mask, _difference(mask, before))

    @in_turn
    def undo(self) -> MaskChange:
        """Take back the newest addition.

        Raises:
            NothingToUndo: there is none.
        """
        if self._waiting:
            self._waiting.pop()
            return MaskChange(self.mask, None)
        return self._step(self.session.steps[0], self.session.undo, "undo")

    @in_turn
    def redo(self) -> MaskChange:
        """Bring again what was taken back last; raises NothingToUndo."""
        return self._step(0 if self._waiting else self.session.steps[1], self.session.redo, "redo")

    @in_turn
    def reset(self) -> MaskChange:
        """Forget all that was said and shown."""
        before = self.mask
        self._forget()
        mask = self.mask
        return MaskChange(mask, _difference(mask, before))

    @in_turn
    def move_to(self, opened: OpenVolume, *, ask_again: bool) -> MaskChange:
        """Be answered by another network or adapter; with `ask_again` it answers what was said before, as a step."""
        estimated = self.session.network.spec.estimates_overlap
        self.session.move_to(opened)
        now = self.current
        is_given_mask = (
            now is not None and estimated and bool(np.isnan(now.iou))
        )  # a mask to begin with, that nobody answered
        if not ask_again or now is None or is_given_mask:
            return MaskChange(self.mask, None, answered=False)
        answer = self.session.take_up(asked(lambda: self.session.segment(now.prompt, structure=now.structure)))
        return MaskChange(answer.mask, answer.changed)

    def _step(self, steps: int, step: Callable[[], Segmentation | None], what: str) -> MaskChange:
        if not steps:
            raise NothingToUndo(f"there is nothing to {what}.")
        before = self.mask
        try:
            step()
        except PromptError as error:
            raise NothingToUndo(str(error)) from error
        mask = self.mask
        return MaskChange(mask, _difference(mask, before))

    def _forget(self) -> None:
        self._waiting.clear()
        self.session.reset()


def _difference(mask: Mask, before: Mask) -> VoxelBlock | None:
    changed = mask ^ before
    return VoxelBlock(*foreground_box(changed)) if changed.any() else None
