"""A server process: its socket, and its run from the first request to the last."""

import os
import socket
from collections.abc import Callable

import uvicorn

from ..runtime import limit_threads
from .app import create_app
from .faults import SettingError
from .settings import Settings

_SECONDS_TO_END = 5


def listening_socket(settings: Settings) -> socket.socket:
    """A socket on the host and port, taken before a model is loaded.

    Raises:
        SettingError: the place is taken, or is none of this machine.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        raise SettingError(
            f"the server cannot listen at {settings.host}, port {settings.port}: {error.strerror or error}; is another "
            "one running? Choose another port with --port."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket listens, as an address for a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings, listener: socket.socket, ready: Callable[[], None] | None = None) -> None:
    """Serve on a socket until the process is told to end, with a thread a core unless OMP_NUM_THREADS says otherwise.

    Args:
        ready: called when the first request would be answered.

    Raises:
        SettingError, CheckpointError, AdapterError: it cannot be served so.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        limit_threads()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        # One header of a prompt may hold more than the 64 KiB that h11 takes.
        h11_max_incomplete_event_size=1 << 20,
    )
    server = _Server(config, ready)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; then say that the server is ready."""
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()
