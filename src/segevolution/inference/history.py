"""The answers of a dialogue, so that they can be taken back and brought again, within a stated memory.

Masks are kept at one bit a voxel. Where they need more memory than there may be, the oldest go first; the newest answer
is always kept.
"""

from dataclasses import dataclass, replace

from ..errors import PromptError
from ..imaging.prompts import Prompt
from ..imaging.regions import PackedMask
from .previous_answer import PreviousAnswer
from .segmentation import Mask, Segmentation, difference

DEFAULT_HISTORY = 256 << 20  # bytes: 26 answers on 512 x 512 x 300 voxels


@dataclass(frozen=True, eq=False)
class HistoryEntry:
    """An answer without its unpacked mask.

    Attributes:
        prompt: all that was said up to here.
        mask: in file order.
        structure, iou, notes: as of Segmentation.
        previous: what a network that accepts a mask is told of this answer; None = the mask itself.
    """

    prompt: Prompt
    mask: PackedMask
    structure: str | None
    iou: float
    notes: tuple[str, ...]
    previous: PreviousAnswer | None = None

    def answer(self, before: "HistoryEntry | None", mask: Mask | None = None) -> Segmentation:
        """The answer; `before` is the one shown before it, `mask` its own unpacked, where that is at hand."""
        mask = self.mask.unpack() if mask is None else mask
        changed = difference(mask, None if before is None else before.mask.unpack())
        return Segmentation(
            mask, self.prompt.grid, self.prompt, self.structure, self.iou, None, self.notes, changed, self.previous
        )

    @property
    def size(self) -> int:
        """Bytes of its mask and of what the network is told."""
        previous_bytes = (
            0 if self.previous is None else self.previous.logits.numel() * self.previous.logits.element_size()
        )
        return len(self.mask.bits) + previous_bytes


class History:
    """Answers in the order in which they were given.

    Args:
        memory: bytes to keep; see the module.
    """

    def __init__(self, memory: int = DEFAULT_HISTORY) -> None:
        self.memory = memory
        self._done: list[HistoryEntry] = []
        self._undone: list[HistoryEntry] = []
        self._forgotten = False

    @property
    def current(self) -> HistoryEntry | None:
        """The newest answer that was not taken back."""
        newest = self._done[-1:]  # a copy, so that another thread may take it back meanwhile
        return newest[0] if newest else None

    def add(self, entry: HistoryEntry) -> None:
        """A new answer; what was taken back before cannot be brought again."""
        self._undone.clear()
        self._done.append(entry)
        while len(self._done) > 1 and sum(each.size for each in self._done) > self.memory:
            del self._done[0]
            self._forgotten = True

    def undo(self) -> None:
        """Take back the newest answer.

        Raises:
            PromptError: there is none, or the one before it was forgotten.
        """
        if not self._done:
            raise PromptError("there is nothing to undo; add a point, a box or a text first.")
        if len(self._done) == 1 and self._forgotten:
            raise PromptError(
                f"the answers before this one were forgotten, to stay within {self.memory} bytes; begin anew with "
                "reset, or open the session with a larger history."
            )
        self._undone.append(self._done.pop())

    def redo(self) -> None:
        """Bring the answer again that was taken back last; raises PromptError where there is none."""
        if not self._undone:
            raise PromptError("there is nothing to redo; undo something first, and add nothing after it.")
        self._done.append(self._undone.pop())

    def forget_logits(self) -> None:
        """Keep the masks alone: the logits beside them mean nothing to another network, or on another frame."""
        for entries in (self._done, self._undone):
            entries[:] = [replace(entry, previous=None) for entry in entries]

    @property
    def steps(self) -> tuple[int, int]:
        """How many answers can be taken back, and how many brought again."""
        return len(self._done) - int(self._forgotten and len(self._done) > 0), len(self._undone)

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()
        self._forgotten = False
