"""Things that clients hold for a while: each under a secret token, freed when it is released or its time is up.

Two clocks run for a lease. A request of its client winds both up; a heartbeat winds up the second alone, which tells a
client that died from one that thinks. A lease that is being used is never freed under the hands of its user.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeVar

from .faults import Full, Gone


class Closable(Protocol):
    """Something that holds memory until it is closed."""

    def close(self) -> None:
        """Let go of what it holds; a second call does nothing."""
        ...


Held = TypeVar("Held", bound=Closable)


@dataclass(eq=False)
class Lease(Generic[Held]):
    """One thing held by one client.

    Attributes:
        token: its secret name.
        item: what is held.
        idle_seconds, liveness_seconds: how long it lasts without a request, and without a sign of life; None = no
            matter how long.
        acted, alive: when the last of each came.
        users: requests that are using it now.
    """

    token: str
    item: Held
    idle_seconds: float
    liveness_seconds: float | None
    acted: float
    alive: float
    users: int = 0

    def remaining(self, now: float) -> float:
        """Seconds until it is freed for want of requests."""
        return self.idle_seconds - (now - self.acted)

    def is_over(self, now: float) -> bool:
        """Whether its time is up."""
        dead = self.liveness_seconds is not None and now - self.alive > self.liveness_seconds
        return not self.users and (dead or self.remaining(now) <= 0)


class Leases(Generic[Held]):
    """All leases of one server.

    Args:
        most: at one time.
        clock: seconds that never run backwards.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        self._leases: dict[str, Lease[Held]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._leases)

    def claim(
        self, make: Callable[[], Held], *, idle_seconds: float, liveness_seconds: float | None = None
    ) -> Lease[Held]:
        """A new lease on what `make` makes.

        Raises:
            Full: there are as many as there may be.
        """
        self.sweep()
        now = self._clock()
        with self._lock:
            if len(self._leases) >= self.most:
                raise Full(f"all {self.most} sessions of this server are taken; try again later, or close one.")
            token = secrets.token_urlsafe(24)
            lease = Lease(token, make(), idle_seconds, liveness_seconds, now, now)
            self._leases[token] = lease
            return lease

    @contextmanager
    def use(self, token: str | None, *, action: bool = True, alive: bool = True) -> Iterator[Lease[Held]]:
        """Hold a lease for the length of one request.

        Args:
            token: of the lease.
            action: whether this winds up the idle clock.
            alive: whether this is a sign of life; with neither it is a look alone.

        Raises:
            Gone: there is no such lease, or its time is up.
        """
        self.sweep()
        with self._lock:
            lease = self._leases.get(token or "")
            if lease is None:
                raise Gone("this session is gone: it was released, timed out, or the server was restarted; begin anew.")
            lease.users += 1
        if action or alive:
            self._wind(lease, action=action)
        try:
            yield lease
        finally:
            if action or alive:
                self._wind(lease, action=action)
            with self._lock:
                lease.users -= 1

    def remaining(self, lease: Lease[Held]) -> float:
        """Seconds until a lease is freed for want of requests; at least 0."""
        return max(0.0, lease.remaining(self._clock()))

    def release(self, token: str | None) -> bool:
        """Free a lease; whether there was one."""
        with self._lock:
            lease = self._leases.pop(token or "", None)
        if lease is not None:
            lease.item.close()
        return lease is not None

    def sweep(self) -> int:
        """Free every lease whose time is up; returns how many."""
        now = self._clock()
        with self._lock:
            over = [token for token, lease in self._leases.items() if lease.is_over(now)]
            gone = [self._leases.pop(token) for token in over]
        for lease in gone:
            lease.item.close()
        return len(gone)

    def close(self) -> None:
        """Free all."""
        for token in list(self._leases):
            self.release(token)

    def _wind(self, lease: Lease[Held], *, action: bool) -> None:
        now = self._clock()
        lease.alive = now
        if action:
            lease.acted = now
