"""A decorator that lets one thread at a time into the methods of an object."""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class LockedObject(Protocol):
    """Something with a lock of its own, which one thread may take several times."""

    _lock: RLock


Owner = TypeVar("Owner", bound=LockedObject)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_turn(method: Callable[Concatenate[Owner, Given], Result]) -> Callable[Concatenate[Owner, Given], Result]:
    """A method that waits until no other thread is in one of the object's methods that wait so."""

    @wraps(method)
    def waiting(self: Owner, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._lock:
            return method(self, *args, **kwargs)

    return waiting
