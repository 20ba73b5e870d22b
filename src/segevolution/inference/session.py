"""One volume and one network: encode once, prompt often, take back. The only way to an answer.

session = Session(load("segvol-mini"), read("scan.nii.gz"))
liver = session.segment(text="liver")
spleen, kidney = session.segment([Prompt(...), Prompt(...)])     # from the same encodings
session.add_point((80, 70, 30)); session.add_point((90, 70, 30), positive=False); session.undo()
"""

from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import Any, Unpack, overload

import numpy as np

from ..errors import PromptError
from ..imaging.boxes import points_from_numbers
from ..imaging.prompts import Prompt
from ..imaging.regions import PackedMask, Region
from ..imaging.volume import Volume
from ..models.backbone import BackboneModule
from .encodings import Counts
from .history import DEFAULT_HISTORY, History, HistoryEntry
from .locking import in_turn
from .opened_volume import OpeningOptions, OpenVolume
from .prepared_prompt import drawn
from .segmentation import Mask, Segmentation

Numbers = Sequence[float]


class Session:
    """Prompts on one volume, answered from encodings that are made once.

    Answers depend on the volume, the network and the prompts only; nothing is drawn by chance. Sessions share a
    network, each with its adapter, also from several threads; one session that several threads use answers in turn.

    Args:
        backbone: in eval mode; see `load`.
        volume: signal as measured, in its file's own order.
        windows: "roi", "lattice", "central", "focus" or "off", how a network that zooms looks closer, see
            strategies/zoom.py, or "propagate", how a 2-D network walks through a box, see strategies/slices.py;
            None takes what the model prefers. Other strategies do not read it.
        precision: "bf16" runs the network under autocast.
        batch: windows encoded, and prompts decoded, in one call of the network.
        memory: bytes of window encodings to keep.
        history: bytes of earlier answers to keep for `undo` and `redo`, a bit a voxel; the oldest go first.
        context: "known" tells the network modality and structure, "withheld" neither (an arm of a study); what the
            text says and how intensities are normalised stay the same.
        adapter: what the network answers by in this session, whatever it answers others by: an adapter that is attached
            to it, on or off; None for the bare base; "attached" for what is on now.
        max_gigabytes: memory that the volume may take where it is resampled; None takes half of what is free.
        test_time: adapt the network to the scan and the prompt before each answer, see test_time.py; None = not.
        second_opinion: whether a question about a scan that was given another modality's intensities is also asked with
            bright and dark exchanged, and the surer answer given; see second_opinion.py.
        drop_islands: whether of an answer about an organ of one piece, asked for by name, what lies apart is left out;
            see islands.py.

    Raises:
        PromptError: `test_time` for a network that does not look at the whole scan first.
        AdapterError: the adapter is not attached to this network; also later, once it was detached.
        VolumeError: the voxels are constant or not finite, or resampled they need too much memory.
        CheckpointError: the network asks for a framing that this version does not know.
    """

    def __init__(
        self,
        backbone: BackboneModule,
        volume: Volume,
        *,
        history: int = DEFAULT_HISTORY,
        **options: Unpack[OpeningOptions],
    ) -> None:
        self._begin(OpenVolume(backbone, volume, **options), history)

    @classmethod
    def on(cls, opened: OpenVolume, *, history: int = DEFAULT_HISTORY) -> "Session":
        """A session on a volume that was opened before; all sessions on it share its encodings."""
        session = cls.__new__(cls)
        session._begin(opened, history)
        return session

    def _begin(self, opened: OpenVolume, history: int) -> None:
        self._lock = RLock()
        self._history = History(history)
        self._place(opened)

    def _place(self, opened: OpenVolume) -> None:
        self._opened = opened
        self.network, self.windows = opened.network, opened.windows
        self.volume, self.frame = opened.volume, opened.frame

    @in_turn
    def move_to(self, opened: OpenVolume) -> None:
        """Be answered by another network or adapter from now on; what was said and answered before stays.

        Raises:
            PromptError: it was opened on a volume of another grid.
        """
        if not opened.volume.grid.close_to(self.volume.grid):
            raise PromptError(f"{opened.volume.name} lies on another grid than this session's {self.volume.name}.")
        self._place(opened)
        self._history.forget_logits()

    @property
    def counts(self) -> Counts:
        """Encodings and decodings done so far, for all sessions on the same opened volume."""
        return self._opened.counts

    @overload
    def segment(
        self,
        prompt: Prompt | None = None,
        *,
        text: str | None = None,
        points: Iterable[Numbers] = (),
        negative_points: Iterable[Numbers] = (),
        box: Numbers | None = None,
        mm: bool = False,
        structure: str | None = None,
        keep_logits: bool = False,
    ) -> Segmentation: ...

    @overload
    def segment(
        self, prompt: Iterable[Prompt], *, structure: str | None = None, keep_logits: bool = False
    ) -> list[Segmentation]: ...

    def segment(
        self,
        prompt: Prompt | Iterable[Prompt] | None = None,
        *,
        text: str | None = None,
        points: Iterable[Numbers] = (),
        negative_points: Iterable[Numbers] = (),
        box: Numbers | None = None,
        mm: bool = False,
        structure: str | None = None,
        keep_logits: bool = False,
    ) -> Segmentation | list[Segmentation]:
        """Segment by a prompt, by several (each answered as if alone), or by the parts of one.

        Args:
            prompt: on the volume's grid; several give a list.
            text: a structure's name.
            points: (x, y, z) each, on the structure; voxel indices of the volume's file, or RAS+ millimetres if `mm`.
            negative_points: the same, off the structure.
            box: (x0, y0, z0, x1, y1, z1), both corners included.
            mm: whether points and box are millimetres.
            structure: what is asked for, where no text says it; only an adapter that knows contexts reads it.
            keep_logits: keep them in the answer.

        Raises:
            PromptError: no prompt, one that lies outside, or of a kind that the model does not accept.
            VocabularyError: a text that the model was not trained on.
        """
        on, off = points_from_numbers(points), points_from_numbers(negative_points)
        if prompt is None:
            prompt = Prompt.make(self.volume.grid, text=text, points=on, negative_points=off, box=box, mm=mm)
        elif text is not None or on or off or box is not None:
            raise PromptError("a whole prompt came together with parts of one; give either.")
        if isinstance(prompt, Prompt):
            return self._answers([prompt], structure, keep_logits=keep_logits)[0]
        return self._answers(prompt, structure, keep_logits=keep_logits)

    def candidates(
        self, prompt: Prompt, *, structure: str | None = None, keep_logits: bool = False
    ) -> list[Segmentation]:
        """Three alternative answers to one prompt, best predicted overlap first; raises as `segment`."""
        alternatives = self._answers([prompt], structure, keep_logits=keep_logits, multimask=True)
        return sorted(alternatives, key=lambda answer: -answer.iou)

    def check(self, prompts: Iterable[Prompt]) -> None:
        """Raise, as `segment` would, for the first prompt that cannot be answered; the network does no work."""
        for prompt in _prompts(prompts):
            self._opened.understood(prompt)

    @property
    def current(self) -> Segmentation | None:
        """The newest answer of the dialogue that the methods `add_...` lead; None before the first."""
        entry = self._history.current
        return None if entry is None else entry.answer(None)

    @in_turn
    def add(self, part: Prompt) -> Segmentation:
        """Say more: points and drawn voxels are added, anything else replaces what was said; raises as `segment`."""
        now = self._history.current
        return self._add(part if now is None else now.prompt.joined(part))

    @in_turn
    def add_parts(self, /, **parts: Any) -> Segmentation:
        """Add several parts at once, by the names of Prompt's attributes, in voxels; raises as `segment`."""
        now = self._history.current
        return self._add(Prompt(self.volume.grid, **parts) if now is None else now.prompt.extended(**parts))

    @in_turn
    def add_point(self, point: Numbers, *, positive: bool = True, mm: bool = False) -> Segmentation:
        """Add a point (x, y, z) to the current prompt and answer anew.

        Raises:
            PromptError: as `segment` does; a negative point comes first, so that there is nothing to take away from.
        """
        spot = Prompt.make(self.volume.grid, points=[point], mm=mm).points
        return self._add(self._more(positive, points=spot, labels=(int(positive),)))

    @in_turn
    def add_box(self, box: Numbers, *, mm: bool = False) -> Segmentation:
        """Give the current prompt a box (x0, y0, z0, x1, y1, z1), in place of one it had; raises as `segment`."""
        return self.add(Prompt.make(self.volume.grid, box=box, mm=mm))

    @in_turn
    def add_text(self, text: str) -> Segmentation:
        """Give the current prompt a text, in place of one it had; raises as `segment`."""
        return self.add(Prompt(self.volume.grid, text))

    @in_turn
    def add_scribble(self, path: Sequence[Numbers] | Mask, *, positive: bool = True, mm: bool = False) -> Segmentation:
        """Add a scribble: the line through positions (x, y, z) in their order, or a mask (X, Y, Z) of its voxels.

        Raises:
            PromptError: as `add_point` does.
        """
        grid = self.volume.grid
        where = drawn(grid, path, "scribble", mm=mm)
        is_mask = where.ndim == 3
        region = Region.of(where, positive=positive) if is_mask else Region.along(where, grid.shape, positive=positive)
        return self._add(self._more(positive, scribbles=region))

    @in_turn
    def add_lasso(self, region: Sequence[Numbers] | Mask, *, positive: bool = True, mm: bool = False) -> Segmentation:
        """Add a lasso: all voxels that it holds, as positions (x, y, z) or a mask (X, Y, Z).

        Raises:
            PromptError: as `add_point` does.
        """
        where = drawn(self.volume.grid, region, "lasso", mm=mm)
        return self._add(self._more(positive, lasso=Region.of(where, positive=positive)))

    @in_turn
    def add_mask(self, mask: Mask) -> Segmentation:
        """Begin with a segmentation (X, Y, Z), or replace the current one by it, to be corrected by what follows.

        It is the current answer as it is: the network is asked only with the next addition, and is then told the mask
        if it accepts one, else what `imaging.prompt_conversion` makes of it. Its predicted overlap is NaN.

        Raises:
            PromptError: it is empty, of another shape than the volume, or of no use to this network.
            VolumeError: it holds what is neither inside nor outside, such as NaN or a probability.
        """
        packed = PackedMask.pack(np.asarray(mask))
        now = self._history.current
        prepared = self._opened.understood(
            Prompt(self.volume.grid, mask=packed) if now is None else now.prompt.extended(mask=packed)
        )
        notes = (*prepared.notes, "this is the segmentation to begin with, not an answer of the network")
        return self._show(HistoryEntry(prepared.prompt, packed, prepared.prompt.text, float("nan"), notes))

    @in_turn
    def take_up(self, answer: Segmentation) -> Segmentation:
        """Make an answer of `segment` or `candidates` the current one, to be corrected by what follows."""
        prompt = self._opened.understood(answer.prompt).prompt
        mask = PackedMask.pack(answer.mask)
        return self._show(HistoryEntry(prompt, mask, answer.structure, answer.iou, answer.notes, answer.previous))

    @property
    def steps(self) -> tuple[int, int]:
        """How many answers `undo` can take back, and how many `redo` can bring again."""
        return self._history.steps

    @in_turn
    def undo(self) -> Segmentation | None:
        """Take back the last addition; the answer before it, bit for bit, or None if there was none.

        Raises:
            PromptError: nothing was added, or the answer before it was forgotten to stay within `history` bytes.
        """
        return self._step(self._history.undo)

    @in_turn
    def redo(self) -> Segmentation | None:
        """Bring again what was taken back last, bit for bit; raises PromptError where nothing was."""
        return self._step(self._history.redo)

    @in_turn
    def reset(self) -> None:
        """Forget the current prompt and its history; the encodings stay."""
        self._history.clear()

    def _more(self, positive: bool, **parts: Any) -> Prompt:
        """The current prompt with more parts, by their attributes' names."""
        now = self._history.current
        if now is not None:
            return now.prompt.extended(**parts)
        if not positive:
            raise PromptError(
                "what is off the structure takes away from an answer, and there is none yet; begin with a text, a "
                "positive point, a box or a mask."
            )
        return Prompt(self.volume.grid, **parts)

    def _add(self, prompt: Prompt) -> Segmentation:
        now = self._history.current
        prepared = self._opened.understood(prompt)
        with self._opened.lock:
            ((answer, name),) = self._opened.ask([prepared], None if now is None else now.structure, earlier=now)
            mask, _, notes = self._opened.given(prepared, answer)
        packed = PackedMask.pack(mask)
        return self._show(HistoryEntry(prepared.prompt, packed, name, answer.iou, notes, answer.previous), mask)

    def _show(self, entry: HistoryEntry, mask: Mask | None = None) -> Segmentation:
        """Keep an answer, and say where it differs from the one before."""
        before = self._history.current
        self._history.add(entry)
        return entry.answer(before, mask)

    def _step(self, move: Callable[[], None]) -> Segmentation | None:
        before = self._history.current
        move()
        entry = self._history.current
        return None if entry is None else entry.answer(before)

    @in_turn
    def _answers(
        self, prompts: Iterable[Prompt], structure: str | None, *, keep_logits: bool = False, multimask: bool = False
    ) -> list[Segmentation]:
        opened = self._opened
        questions = [opened.understood(prompt) for prompt in _prompts(prompts)]
        each = 3 if multimask else 1
        with opened.lock:
            return [
                opened.segmentation(questions[place // each], answer, name, keep_logits=keep_logits)
                for place, (answer, name) in enumerate(opened.ask(questions, structure, multimask=multimask))
            ]


def _prompts(prompts: Iterable[Prompt]) -> list[Prompt]:
    prompt_list = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, str) else [prompts]
    for prompt in prompt_list:
        if not isinstance(prompt, Prompt):
            raise PromptError(f'{prompt!r} is no Prompt; a structure is named by text: segment(text="liver").')
    return prompt_list
