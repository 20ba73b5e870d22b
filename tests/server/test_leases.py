"""Things that clients hold for a while."""

import pytest

pytest.importorskip("fastapi")

from segevolution.server.faults import Full, Gone
from segevolution.server.leases import Leases

from .conftest import Clock


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def leases_of(most: int = 2) -> tuple[Leases[Thing], Clock]:
    clock = Clock()
    return Leases(most, clock), clock


def test_a_lease_is_used_by_its_token_and_freed_once() -> None:
    leases, _ = leases_of()
    lease = leases.claim(Thing, idle_seconds=10)
    with leases.use(lease.token) as found:
        assert found is lease
    assert leases.release(lease.token)
    assert not leases.release(lease.token)
    assert lease.item.closed == 1
    with pytest.raises(Gone), leases.use(lease.token):
        pass


def test_no_more_leases_than_there_may_be_until_one_is_freed() -> None:
    leases, _ = leases_of(most=1)
    lease = leases.claim(Thing, idle_seconds=10)
    with pytest.raises(Full, match="all 1 sessions"):
        leases.claim(Thing, idle_seconds=10)
    leases.release(lease.token)
    assert leases.claim(Thing, idle_seconds=10).token != lease.token


def test_requests_wind_up_the_idle_clock_and_heartbeats_do_not() -> None:
    leases, clock = leases_of()
    lease = leases.claim(Thing, idle_seconds=10, liveness_seconds=6)
    clock.now += 5
    with leases.use(lease.token, action=False):
        pass
    clock.now += 4
    assert leases.remaining(lease) == pytest.approx(1)
    with leases.use(lease.token):
        pass
    assert leases.remaining(lease) == pytest.approx(10)


def test_a_client_without_heartbeat_is_taken_for_dead_and_a_look_is_no_heartbeat() -> None:
    leases, clock = leases_of(most=1)
    lease = leases.claim(Thing, idle_seconds=100, liveness_seconds=6)
    clock.now += 5
    with leases.use(lease.token, action=False, alive=False):
        pass
    clock.now += 2
    leases.claim(Thing, idle_seconds=10)  # the dead one makes room
    assert lease.item.closed == 1
    with pytest.raises(Gone, match="begin anew"), leases.use(lease.token):
        pass


def test_a_lease_in_use_is_not_freed_however_long_that_takes() -> None:
    leases, clock = leases_of()
    lease = leases.claim(Thing, idle_seconds=10, liveness_seconds=5)
    with leases.use(lease.token):
        clock.now += 100
        assert leases.sweep() == 0
    assert leases.remaining(lease) == pytest.approx(10)
    clock.now += 11
    assert leases.sweep() == 1
    assert len(leases) == 0


@pytest.mark.parametrize("token", [None, "", "unknown"])
def test_an_unknown_token_is_gone(token: str | None) -> None:
    leases, _ = leases_of()
    with pytest.raises(Gone), leases.use(token):
        pass


def test_closing_frees_all() -> None:
    leases, _ = leases_of()
    held = [leases.claim(Thing, idle_seconds=10) for _ in range(2)]
    leases.close()
    assert [lease.item.closed for lease in held] == [1, 1]
