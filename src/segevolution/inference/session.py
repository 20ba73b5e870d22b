"""One volume and one network: encode once, prompt often, take back. The only way to an answer.

session = Session(load("segvol-mini"), read("scan.nii.gz"))
liver = session.segment(text="liver")
spleen, kidney = session.segment([Prompt(...), Prompt(...)])     # from the same encodings
session.add_point((80, 70, 30)); session.add_point((90, 70, 30), positive=False); session.undo()
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from threading import RLock
from typing import Concatenate, Literal, ParamSpec, TypeVar, overload

import torch

from ..adapters.protocol import Adapter
from ..adapters.switch import AdaptedNetwork
from ..errors import PromptError
from ..imaging.framing import Frame
from ..imaging.prompts import Kind, Prompt
from ..imaging.volume import Volume
from ..models.backbone import BackboneModule, Windows
from ..vocabulary import Context, canonical, require_known
from .encodings import DEFAULT_BATCH, DEFAULT_MEMORY, Counts, Precision
from .frame_prompt import to_frame_prompt
from .segmentation import Segmentation
from .strategies import strategy_of
from .strategies.base import Answer, OpenImage, Options

Numbers = Sequence[float]
Given = ParamSpec("Given")
Result = TypeVar("Result")


def _in_turn(
    method: Callable[Concatenate["Session", Given], Result],
) -> Callable[Concatenate["Session", Given], Result]:
    """One thread after the other."""

    @wraps(method)
    def waiting(self: "Session", /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._lock:
            return method(self, *args, **kwargs)

    return waiting


class Session:
    """Prompts on one volume, answered from encodings that are made once.

    Answers depend on the volume, the network and the prompts only; nothing is drawn by chance. Sessions share a
    network, each with its adapter, also from several threads; one session that several threads use answers in turn.

    Args:
        backbone: in eval mode; see `load`.
        volume: signal as measured, in its file's own order.
        windows: "roi", "lattice", "focus" or "off", how a network that zooms looks closer, see strategies/zoom.py;
            None takes what the model prefers. Other strategies do not read it.
        precision: "bf16" runs the network under autocast.
        batch: windows encoded, and prompts decoded, in one call of the network.
        memory: bytes of window encodings to keep.
        context: "known" tells the network modality and structure, "withheld" neither (an arm of a study); what the
            text says and how intensities are normalised stay the same.
        adapter: what the network answers by in this session, whatever it answers others by: an adapter that is attached
            to it, on or off; None for the bare base; "attached" for what is on now.

    Raises:
        AdapterError: the adapter is not attached to this network; also later, once it was detached.
        VolumeError: the voxels are constant or not finite.
        CheckpointError: the network asks for a framing that this version does not know.
    """

    def __init__(
        self,
        backbone: BackboneModule,
        volume: Volume,
        *,
        windows: Windows | None = None,
        precision: Precision = "fp32",
        batch: int = DEFAULT_BATCH,
        memory: int = DEFAULT_MEMORY,
        context: Literal["known", "withheld"] = "known",
        adapter: Adapter | Literal["attached"] | None = "attached",
    ) -> None:
        self._lock = RLock()
        self.network = AdaptedNetwork.of(backbone) if adapter == "attached" else AdaptedNetwork(backbone, adapter)
        self.volume = volume
        self.windows: Windows = windows or self.network.spec.windows
        strategy = strategy_of(self.network.spec)
        self.frame: Frame = strategy.prepare(volume, self.network.spec)
        self._told = context == "known"
        self._image: OpenImage = strategy.open(
            self.network,
            torch.from_numpy(self.frame.image).to(self.network.device),
            self.frame.pad,
            volume.modality if self._told else None,
            Options(self.windows, precision, batch, memory),
        )
        self._history: list[Segmentation] = []

    @property
    def counts(self) -> Counts:
        """Encodings and decodings done so far."""
        return self._image.counts

    @overload
    def segment(
        self,
        prompt: Prompt | None = None,
        *,
        text: str | None = None,
        points: Sequence[Numbers] = (),
        negative_points: Sequence[Numbers] = (),
        box: Numbers | None = None,
        mm: bool = False,
        structure: str | None = None,
        keep_logits: bool = False,
    ) -> Segmentation: ...

    @overload
    def segment(
        self, prompt: Sequence[Prompt], *, structure: str | None = None, keep_logits: bool = False
    ) -> list[Segmentation]: ...

    def segment(
        self,
        prompt: Prompt | Sequence[Prompt] | None = None,
        *,
        text: str | None = None,
        points: Sequence[Numbers] = (),
        negative_points: Sequence[Numbers] = (),
        box: Numbers | None = None,
        mm: bool = False,
        structure: str | None = None,
        keep_logits: bool = False,
    ) -> Segmentation | list[Segmentation]:
        """Segment by a prompt, by several (each answered as if alone), or by the parts of one.

        Args:
            prompt: on the volume's grid; a sequence gives a list.
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
        if prompt is None:
            prompt = Prompt.make(
                self.volume.grid, text=text, points=points, negative_points=negative_points, box=box, mm=mm
            )
        elif text is not None or len(points) or len(negative_points) or box is not None:
            raise PromptError("a whole prompt came together with parts of one; give either.")
        if isinstance(prompt, Prompt):
            return self._answers([prompt], structure, keep_logits=keep_logits)[0]
        return self._answers(prompt, structure, keep_logits=keep_logits)

    def candidates(
        self, prompt: Prompt, *, structure: str | None = None, keep_logits: bool = False
    ) -> list[Segmentation]:
        """Three alternative answers to one prompt, best predicted overlap first; raises as `segment`."""
        found = self._answers([prompt], structure, keep_logits=keep_logits, multimask=True)
        return sorted(found, key=lambda answer: -answer.iou)

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise, as `segment` would, for the first prompt that cannot be answered; the network does no work."""
        for prompt in prompts:
            self._checked(prompt)

    @property
    def current(self) -> Segmentation | None:
        """The answer to the prompt that add_point, add_box and add_text have built up; None before the first."""
        newest = self._history[-1:]
        return newest[0] if newest else None

    @_in_turn
    def add_point(self, point: Numbers, *, positive: bool = True, mm: bool = False) -> Segmentation:
        """Add a point (x, y, z) to the current prompt and answer anew; raises as `segment`."""
        spot = Prompt.make(self.volume.grid, points=[point], mm=mm).points[0]
        now = self._said
        if now is None:
            return self._add(Prompt(self.volume.grid, points=(spot,), labels=(int(positive),)))
        return self._add(replace(now, points=(*now.points, spot), labels=(*now.labels, int(positive))))

    @_in_turn
    def add_box(self, box: Numbers, *, mm: bool = False) -> Segmentation:
        """Give the current prompt a box (x0, y0, z0, x1, y1, z1), in place of one it had; raises as `segment`."""
        given = Prompt.make(self.volume.grid, box=box, mm=mm)
        return self._add(given if self._said is None else replace(self._said, box=given.box))

    @_in_turn
    def add_text(self, text: str) -> Segmentation:
        """Give the current prompt a text, in place of one it had; raises as `segment`."""
        given = Prompt(self.volume.grid, text)
        return self._add(given if self._said is None else replace(self._said, text=text))

    @_in_turn
    def undo(self) -> Segmentation | None:
        """Take back the last addition; the answer before it, bit for bit, or None if there was none.

        Raises:
            PromptError: nothing was added.
        """
        if not self._history:
            raise PromptError("there is nothing to undo; add a point, a box or a text first.")
        self._history.pop()
        return self.current

    @_in_turn
    def reset(self) -> None:
        """Forget the current prompt and its history; the encodings stay."""
        self._history.clear()

    @property
    def _said(self) -> Prompt | None:
        return self._history[-1].prompt if self._history else None

    def _add(self, prompt: Prompt) -> Segmentation:
        self._history.append(self._answers([prompt], None)[0])
        return self._history[-1]

    @_in_turn
    def _answers(
        self, prompts: Sequence[Prompt], structure: str | None, *, keep_logits: bool = False, multimask: bool = False
    ) -> list[Segmentation]:
        if not prompts:
            return []
        asked = [self._checked(prompt) for prompt in prompts]
        named = [prompt.text or (None if structure is None else canonical(structure)) for prompt in asked]
        contexts = [Context(self.volume.modality, name) if self._told else Context() for name in named]
        found = self._image.answers(
            [to_frame_prompt(prompt, self.frame) for prompt in asked], contexts, multimask=multimask
        )
        each = 3 if multimask else 1
        return [
            self._segmentation(answer, asked[place // each], named[place // each], keep_logits)
            for place, answer in enumerate(found)
        ]

    def _segmentation(self, answer: Answer, prompt: Prompt, name: str | None, keep_logits: bool) -> Segmentation:
        mask = self.frame.restore(self.frame.on_crop(answer.logits.cpu().numpy()) > 0)
        logits = answer.logits.half().cpu().numpy() if keep_logits else None
        return Segmentation(mask, self.volume.grid, prompt, name, answer.iou, logits)

    def _checked(self, prompt: Prompt) -> Prompt:
        """The prompt with its text's canonical name, if the model takes it and it belongs to this volume."""
        spec = self.network.spec
        given = {
            Kind.TEXT: prompt.text is not None,
            Kind.POINT: bool(prompt.points),
            Kind.BOX: prompt.box is not None,
        }
        for kind, present in given.items():
            if present and kind not in spec.accepts:
                known = ", ".join(sorted(spec.accepts))
                raise PromptError(f"this model takes no {kind} prompt; it takes {known}.")
        if prompt.grid is not self.volume.grid and not self.volume.grid.close_to(prompt.grid):
            raise PromptError(
                f"the prompt belongs to another grid than {self.volume.name}; make it on the volume's own grid."
            )
        if prompt.text is None:
            return prompt
        name = require_known(prompt.text, spec.structures) if spec.structures else canonical(prompt.text)
        if not any(character.isalnum() for character in name):
            raise PromptError("the text is empty; name a structure, such as liver.")
        return replace(prompt, text=name)
