"""One client's session of nnInteractive's protocol: an image, a buffer that mirrors the client's, one dialogue.

Arrays come as (C, k, j, i) and coordinates in that order; inside they are voxels (i, j, k) of a volume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock

import numpy as np

from ...errors import PromptError
from ...imaging.grid import Array, Grid
from ...imaging.masks import as_mask
from ...imaging.volume import Volume
from ...inference.locking import in_turn
from ..dialogue import MaskChange, SessionDialogue
from ..faults import BadRequest, Gone
from ..network_thread import asked
from ..parts import Parts, box_parts, lasso_parts, point_parts, scribble_parts, voxel_of
from ..service import Service
from ..volumes import Handle

Ranges = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class Patch:
    """What a client writes into its buffer.

    Attributes:
        ran: whether anything was asked, or taken back.
        box: half-open, in (k, j, i); None = nothing changed.
        voxels: uint8 of the box's shape.
    """

    ran: bool
    box: list[list[int]] | None = None
    voxels: Array | None = None


class InteractiveSession:
    """A session; several requests use it in turn.

    Args:
        service: of the server.
    """

    def __init__(self, service: Service) -> None:
        self._lock = RLock()
        self._service = service
        self._handle: Handle | None = None
        self._dialogue: SessionDialogue | None = None
        self._closed = False

    @in_turn
    def close(self) -> None:
        """Let go of the image, after what is being answered now."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        handle, self._handle, self._dialogue = self._handle, None, None
        if handle is not None:
            self._service.volumes.drop(handle)

    @in_turn
    def set_image(self, image: Array, spacing: Sequence[float] | None) -> list[int]:
        """Begin with an image (C, k, j, i), of which the first channel is looked at.

        Returns:
            Its shape, with the channels.

        Raises:
            BadRequest: it has another number of dimensions.
            VolumeError: its voxels cannot be used.
            Full: there is no memory for it.
            Gone: the session was released meanwhile.
        """
        if image.ndim != 4:
            raise BadRequest(f"an image needs four dimensions, channel, k, j, i; this one has {image.ndim}.")
        settings, array = self._service.settings, np.asarray(image[0]).T
        array = array.astype(np.uint8) if array.dtype == np.bool_ else array
        steps = [_step(spacing, axis) for axis in (2, 1, 0)]
        shape = (array.shape[0], array.shape[1], array.shape[2])
        volume = Volume(
            np.ascontiguousarray(array), Grid.oriented(shape, steps, settings.orientation), settings.modality
        )
        handle = self._service.volumes.add(volume, "image")
        if self._closed:
            raise Gone("this session was released; begin anew.")
        self._service.volumes.take(handle)
        self._let_go()
        self._handle = handle
        opened = self._service.volumes.open(handle, self._service.answerers.find(None, settings.modality))
        self._dialogue = SessionDialogue(opened)
        self._service.in_background(lambda: asked(opened.warm_up), "warm up")
        return list(image.shape)

    def set_target_buffer(self, shape: Sequence[int]) -> None:
        """The client's buffer, in (k, j, i).

        Raises:
            BadRequest: no image was set, or the buffer has another shape.
        """
        volume_shape = self._current.session.volume.grid.shape[::-1]
        if tuple(shape) != volume_shape:
            raise BadRequest(f"the target buffer has shape {tuple(shape)}, the image {volume_shape}; they must agree.")

    def reset(self) -> None:
        """Forget all prompts; the client has emptied its buffer itself."""
        if self._dialogue is not None:
            self._dialogue.reset()

    def add_point(self, place: Sequence[float], *, positive: bool, run: bool) -> Patch:
        """A point (k, j, i)."""
        grid = self._grid
        return self._said(lambda: point_parts(grid, voxel_of(place[::-1]), positive=positive), run=run)

    def add_box(self, ranges: Ranges, *, positive: bool, run: bool) -> Patch:
        """A box by half-open ranges (k, j, i)."""
        dialogue, grid = self._current, self._grid
        pairs = [sorted(pair) for pair in ranges[::-1]]
        corners = [[low for low, _ in pairs], [max(low, high - 1) for low, high in pairs]]
        accepts = dialogue.session.network.spec.accepts
        return self._said(lambda: box_parts(grid, corners, accepts, positive=positive), run=run)

    def add_drawn(self, kind: str, drawn: Array, ranges: Ranges | None, *, positive: bool, run: bool) -> Patch:
        """A "scribble" or "lasso" as a mask (k, j, i): of a box in half-open ranges, or of the whole image."""
        grid = self._grid
        make = scribble_parts if kind == "scribble" else lasso_parts

        def parts() -> Parts:
            return make(grid, _placed(drawn, ranges, grid.shape), positive=positive)

        return self._said(parts, run=run)

    def add_initial_mask(self, mask: Array, *, run: bool) -> Patch:
        """Begin with a segmentation (k, j, i); what was said before is forgotten. The client shows it already.

        Raises:
            BadRequest: it has another shape than the image.
            VolumeError: it holds NaN, infinity or fractions.
        """
        dialogue = self._current
        begun = as_mask(mask, "segmentation").T
        if begun.shape != self._grid.shape:
            raise BadRequest(f"the segmentation has shape {mask.shape}, the image {self._grid.shape[::-1]}.")
        if not begun.any():
            dialogue.reset()
            return Patch(ran=run)
        dialogue.begin_with(np.ascontiguousarray(begun), replace_all=True)
        return self._patch(dialogue.say({})) if run else Patch(ran=False)

    def undo(self) -> Patch:
        """Take back the newest prompt; a patch that did not run where there is none."""
        dialogue = self._current
        return self._patch(dialogue.undo()) if dialogue.can_undo else Patch(ran=False)

    def predict(self) -> Patch:
        """Answer prompts that were added without an answer; a patch that did not run where there are none."""
        return self._patch(self._current.answer())

    @property
    def _current(self) -> SessionDialogue:
        if self._dialogue is None:
            raise BadRequest("no image was set in this session; call set_image first.")
        return self._dialogue

    @property
    def _grid(self) -> Grid:
        return self._current.session.volume.grid

    def _said(self, make: Callable[[], Parts], *, run: bool) -> Patch:
        """What a prompt changes; one that lies outside the image, or holds nothing, changes nothing.

        These clients do not catch a refusal of a prompt, so that a click beside the image would end their session.
        """
        dialogue = self._current
        try:
            parts = make()
        except PromptError:
            return Patch(ran=run)
        change = dialogue.say(parts, answer=run)
        return self._patch(change, ran=run)

    def _patch(self, change: MaskChange, *, ran: bool | None = None) -> Patch:
        ran = change.answered if ran is None else ran
        if change.block is None:
            return Patch(ran)
        start, stop = change.block.start, change.block.stop
        inside = change.mask[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
        box = [[low, high] for low, high in zip(start, stop, strict=True)][::-1]
        return Patch(ran, box, np.ascontiguousarray(inside.T).view(np.uint8))


def _step(spacing: Sequence[float] | None, axis: int) -> float:
    """Millimetres between voxels along an axis of (k, j, i); 1 where the client says nothing of use."""
    try:
        step = abs(float(spacing[axis])) if spacing is not None else 1.0
    except (IndexError, TypeError, ValueError):
        return 1.0
    return step if np.isfinite(step) and step > 0 else 1.0


def _placed(drawn: Array, ranges: Ranges | None, shape: tuple[int, int, int]) -> Array:
    """A drawn mask (k, j, i) of a box in an image (i, j, k); what leaves the image is cut off."""
    if drawn.ndim != 3:
        raise BadRequest(f"a drawn mask needs three dimensions, this one has {drawn.ndim}.")
    starts = [0, 0, 0] if ranges is None else [low for low, _ in ranges]
    whole = np.zeros(shape[::-1], bool)
    lows = [max(0, start) for start in starts]
    highs = [
        min(side, start + drawn_side) for start, drawn_side, side in zip(starts, drawn.shape, whole.shape, strict=True)
    ]
    if all(low < high for low, high in zip(lows, highs, strict=True)):
        inside = tuple(slice(low, high) for low, high in zip(lows, highs, strict=True))
        source = tuple(slice(low - s, high - s) for low, high, s in zip(lows, highs, starts, strict=True))
        whole[inside] = as_mask(drawn[source], "drawn mask")
    return np.ascontiguousarray(whole.T)
