"""The one thread in which networks are asked.

A network answers one question at a time anyway. In one thread its large arrays come from one arena of the allocator, so
that the memory of a server with many clients stays that of a server with one, and clients that wait do not wake up.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_THREAD = ThreadPoolExecutor(1, thread_name_prefix="network")


def asked(work: Callable[[], Result]) -> Result:
    """The result of something that asks a network, done when all earlier questions are answered."""
    return _THREAD.submit(work).result()
