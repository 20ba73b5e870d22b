"""A budget of memory for reading a file, checked before anything is allocated.

A header of a few bytes can announce terabytes, and a compressed file of megabytes can unpack to them. A budget is a
number of bytes; the default is half of what the machine, or the container it runs in, has free.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import FormatError, OversizeError, SegevolutionError

GIGABYTE = 10**9
_SHARE = 0.5  # of the free memory: a network and its masks need the rest
_WHERE_NOTHING_IS_KNOWN = 4 * GIGABYTE


@dataclass(frozen=True)
class MemoryBudget:
    """What one file may take.

    Attributes:
        limit: bytes.
        stated: whether a person chose it with --max-gigabytes.
    """

    limit: int
    stated: bool = False

    @classmethod
    def of(cls, gigabytes: float | None = None) -> "MemoryBudget":
        """A budget of so many gigabytes (10^9 bytes); None takes half of the free memory.

        Raises:
            FormatError: the number is not above zero.
        """
        if gigabytes is None:
            return cls(int(_SHARE * free_bytes()))
        if not 0 < gigabytes < float("inf"):
            raise FormatError(f"a memory budget of {gigabytes:g} GB is impossible; give a number above zero.")
        return cls(int(gigabytes * GIGABYTE), stated=True)

    def require(self, needed: int, subject: str, error: type[SegevolutionError] = OversizeError) -> None:
        """Raise `error` where `subject` needs more bytes than there are."""
        if needed <= self.limit:
            return
        origin = "as --max-gigabytes says" if self.stated else "half of the free memory"
        raise error(
            f"{subject} needs {_gigabytes(needed)} GB of memory, but {_gigabytes(self.limit)} GB may be used "
            f"({origin}); if the file is sound, raise the limit with --max-gigabytes."
        )


def free_bytes() -> int:
    """Bytes that can still be had: of the machine, or of the container where that has less."""
    numbers = [number for number in (_free_of_machine(), _free_of_container()) if number is not None]
    return min(numbers, default=_WHERE_NOTHING_IS_KNOWN)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _free_of_container() -> int | None:
    """What a control group (version 2, then 1) leaves; None where there is no limit."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return None


def _gigabytes(number: int) -> str:
    amount = number / GIGABYTE
    return f"{amount:.1f}" if amount < 1e4 else f"{amount:.0e}"
