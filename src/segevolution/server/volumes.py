"""The volumes that a server holds: each once, whoever sent it, opened once for each adapter, freed when unused.

What is equal (voxels, place, modality, header) is one `Content`; a `Handle` is a content under the name that one client
gave it. So two clients on one volume share its encodings and learn nothing of each other.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock, RLock

import numpy as np

from ..imaging.signal_checks import signal_warnings
from ..imaging.volume import Volume
from ..inference.opened_volume import OpenVolume
from ..inference.preview import display_range
from ..inference.signs import Surroundings
from .answerers import AnswererChoice, Answerers
from .faults import Full, Gone
from .settings import Settings

ENCODING_BYTES = 128 << 20  # of window encodings kept for each volume and adapter


@dataclass(eq=False)
class Content:
    """One volume and what was made of it.

    Attributes:
        digest: equal for equal contents.
        volume: under a name that says nothing.
        opened: by the id of what answers.
        users: sessions on it.
        used: when it was last used.
    """

    digest: bytes
    volume: Volume
    opened: dict[str, OpenVolume] = field(default_factory=dict)
    users: int = 0
    used: float = 0.0
    lock: RLock = field(default_factory=RLock, repr=False)

    @property
    def size(self) -> int:
        """Bytes of voxels and frames, and what their encodings may take."""
        frames = [opened.frame.image.nbytes for opened in list(self.opened.values())]
        return self.volume.array.nbytes + sum(frames) + ENCODING_BYTES * len(frames)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What answers on it are judged by."""
        return Surroundings.of(self.volume)

    @cached_property
    def display(self) -> tuple[float, float]:
        """Signal shown as black and as white, to begin with."""
        return display_range(self.volume)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the image, a sentence each, without full stop."""
        return (*self.volume.unstated, *self.volume.remarks, *signal_warnings(self.volume))


@dataclass(frozen=True, eq=False)
class Handle:
    """A content under the name that a client gave it."""

    id: str
    name: str
    content: Content

    @property
    def volume(self) -> Volume:
        """The volume under the client's name."""
        return replace(self.content.volume, name=self.name)


class Volumes:
    """All volumes of one server.

    Args:
        settings: of the server.
        answerers: that open volumes.
        clock: seconds that never run backwards.
    """

    def __init__(self, settings: Settings, answerers: Answerers, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._answerers, self._clock = settings, answerers, clock
        self._secret = secrets.token_bytes(32)
        self._contents: dict[bytes, Content] = {}
        self._handles: dict[str, Handle] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._contents)

    @property
    def size(self) -> int:
        """Bytes that all take."""
        return sum(content.size for content in list(self._contents.values()))

    def add(self, volume: Volume, name: str) -> Handle:
        """Keep a volume under a name; an equal one that is here already takes its place.

        Raises:
            VolumeError: its voxels cannot be used.
            Full: there is no memory for it.
        """
        volume.check_voxels()
        digest = _digest(volume, self._secret)
        self.sweep()
        with self._lock:
            content = self._contents.get(digest)
            if content is None:
                self._make_room(volume.array.nbytes)
                content = Content(digest, replace(volume, name="the volume"))
                self._contents[digest] = content
            content.used = self._clock()
            key = hmac.new(self._secret, digest + name.encode(), hashlib.sha256).hexdigest()[:32]
            return self._handles.setdefault(key, Handle(key, name, content))

    def find(self, key: str) -> Handle:
        """By its id.

        Raises:
            Gone: it is not here, or no more.
        """
        self.sweep()
        with self._lock:
            handle = self._handles.get(key)
            if handle is None:
                raise Gone("this volume is not here, or no more; send it again.")
            handle.content.used = self._clock()
            return handle

    def take(self, handle: Handle) -> None:
        """A session begins on it.

        Raises:
            Gone: it was freed in between.
        """
        with self._lock:
            if self._handles.get(handle.id) is not handle:
                raise Gone("this volume is not here, or no more; send it again.")
            handle.content.users += 1

    def drop(self, handle: Handle) -> None:
        """A session on it ends."""
        with self._lock:
            handle.content.users -= 1
            handle.content.used = self._clock()
        self.sweep()

    def open(self, handle: Handle, answerer: AnswererChoice) -> OpenVolume:
        """The volume before a network, opened when it is first asked for.

        Raises:
            Full: there is no memory for its frame.
            SegevolutionError: as OpenVolume does.
        """
        content = handle.content
        with content.lock:
            if answerer.id not in content.opened:
                with self._lock:
                    self._make_room(4 * content.volume.array.size + ENCODING_BYTES)
                loaded = self._answerers.load(answerer)
                content.opened[answerer.id] = OpenVolume(
                    loaded.backbone,
                    content.volume,
                    windows=self._settings.windows,
                    memory=ENCODING_BYTES,
                    adapter=loaded.adapter,
                )
            return content.opened[answerer.id]

    def sweep(self) -> int:
        """Free what no session uses and nobody asked for in the idle time; returns how many."""
        limit = self._clock() - self._settings.idle_seconds
        with self._lock:
            return self._free([each for each in self._contents.values() if not each.users and each.used < limit])

    def _make_room(self, needed: int) -> None:
        """Free unused volumes, the oldest first, until so many bytes fit; the lock is held."""
        limit = self._settings.memory.limit
        unused = sorted((each for each in self._contents.values() if not each.users), key=lambda each: each.used)
        while self.size + needed > limit and unused:
            self._free([unused.pop(0)])
        if self.size + needed > limit:
            raise Full("the volumes of this server leave no memory for another; try again later, or close a session.")

    def _free(self, contents: list[Content]) -> int:
        gone = {content.digest for content in contents}
        for digest in gone:
            del self._contents[digest]
        if gone:
            self._handles = {key: each for key, each in self._handles.items() if each.content.digest not in gone}
        return len(gone)


def _digest(volume: Volume, secret: bytes) -> bytes:
    """Equal for volumes that answers and files cannot tell apart."""
    header = None if volume.origin is None else (volume.origin.format, volume.origin.header, volume.origin.orientation)
    source = None if volume.origin is None else volume.origin.source
    slices = None if source is None else [str(header.get("SOPInstanceUID")) for header in source.headers]
    facts = (
        volume.array.shape,
        volume.array.dtype.str,
        volume.modality,
        volume.orientation_stated,
        volume.spacing_stated,
        volume.remarks,
        header,
        slices,  # a saved segmentation refers to them
    )
    digest = hashlib.blake2b(repr(facts).encode(), key=secret, digest_size=32)
    digest.update(volume.grid.affine.tobytes())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.digest()
