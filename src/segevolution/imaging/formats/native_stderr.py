"""Capture what C++ libraries print on the process's stderr, which Python's own redirection does not see.

GDCM's and ITK's own readers (libjpeg, OpenJPEG, MetaIO) print there whatever their callers ask.
"""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

_ONE_AT_A_TIME = threading.RLock()


class CapturedStderr:
    """What was printed so far; readable inside the block and after it."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._text = ""

    @property
    def text(self) -> str:
        """All of it; empty where stderr could not be caught."""
        if self._stream is not None and not self._stream.closed:
            self._stream.seek(0)
            self._text = self._stream.read().decode(errors="replace")
        return self._text


@contextlib.contextmanager
def caught() -> Iterator[CapturedStderr]:
    """Catch file descriptor 2 of the whole process, for the length of one call into a library.

    Threads wait for each other. A process without a stderr is left as it is, and nothing is caught.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as stream:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        try:
            stderr_copy = os.dup(2)
        except OSError:
            yield CapturedStderr(None)
            return
        captured = CapturedStderr(stream)
        try:
            os.dup2(stream.fileno(), 2)
            yield captured
        finally:
            os.dup2(stderr_copy, 2)
            os.close(stderr_copy)
            captured.text  # noqa: B018  # read before the file goes
