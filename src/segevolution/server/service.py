"""All that one server holds, and what its routes share."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from threading import Event, Thread
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from ..files import sweep
from .answerers import Answerers
from .faults import Gone
from .leases import Closable, Lease, Leases
from .settings import Settings
from .volumes import Volumes

LOG = logging.getLogger("segevolution.server")
_SWEEP_SECONDS = 2.0

Item = TypeVar("Item", bound=Closable)


class Service:
    """The state of one server.

    Args:
        settings: of the server.

    Raises:
        CheckpointError, AdapterError, SettingError: as Answerers does.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.answerers = Answerers(settings)
        self.volumes = Volumes(settings, self.answerers)
        self.leases: Leases[Closable] = Leases(settings.sessions)
        self._stop = Event()

    def claim(self, make: Callable[[], Item], *, liveness_seconds: float | None = None) -> Lease[Closable]:
        """A new lease; raises Full."""
        return self.leases.claim(make, idle_seconds=self.settings.idle_seconds, liveness_seconds=liveness_seconds)

    @contextmanager
    def using(
        self, token: str | None, kind: type[Item], *, action: bool = True, alive: bool = True
    ) -> Iterator[tuple[Lease[Closable], Item]]:
        """A lease for the length of a request, and its item; raises Gone, also where it is of another protocol."""
        with self.leases.use(token, action=action, alive=alive) as lease:
            if not isinstance(lease.item, kind):
                raise Gone("this session belongs to another protocol of this server; begin anew.")
            yield lease, lease.item

    def in_background(self, work: Callable[[], object], what: str) -> None:
        """Do something that a later request will need; where it fails, that request says so."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                LOG.info("%s: %s", what, error)

        Thread(target=run, name=what, daemon=True).start()

    def start(self) -> None:
        """Begin to free what is over, and load what may be asked for, the bare model first."""
        self._stop.clear()
        sweep(Path(gettempdir()))  # uploads that a killed server was reading
        self.in_background(lambda: [self.answerers.load(each) for each in self.answerers.all], "load models")
        Thread(target=self._sweep, name="sweep", daemon=True).start()

    def stop(self) -> None:
        """Free everything."""
        self._stop.set()
        self.leases.close()

    def _sweep(self) -> None:
        while not self._stop.wait(_SWEEP_SECONDS):
            self.leases.sweep()
            self.volumes.sweep()


def service_of(request: Request) -> Service:
    """The service of the application that answers a request."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(service_of)]
