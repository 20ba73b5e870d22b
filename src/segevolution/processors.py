"""How many processors this process may use, and how the threads of torch wait for each other.

Nothing here imports torch: the library of its threads reads the environment once, when it is loaded.
"""

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Processors that this process may run on, no more than its control group's share of time makes, and at least 1."""
    return max(1, min([_allowed(), *map(math.ceil, _shares())]))


def prepare_threads() -> None:
    """Set the environment for torch's threads, which must not be loaded yet; what a person set stays.

    Threads sleep while they wait. By default they wait awake, and where other programs want the processors too, each
    then keeps the others from the work that it is waiting for. There are as many as torch thinks right, unless a
    container's share of time is less than its processors.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if usable_processors() < _allowed():
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_processors()))


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shares() -> list[float]:
    """Processors that this process's control groups (version 2, then 1) allow; empty where there is no limit."""
    shares = []
    for folder in _folders():
        for quota_of in (_share_of_version_2, _share_of_version_1):
            try:
                share = quota_of(folder)
            except (OSError, ValueError):
                continue
            if share > 0:
                shares.append(share)
    return shares


def _folders() -> list[Path]:
    """Of the groups that may hold a limit: the one at the top, as a container sees its own, and the process's."""
    folders = [_GROUPS, _GROUPS / "cpu"]
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return folders
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        top = _GROUPS / "cpu" if "cpu" in controllers.split(",") else _GROUPS
        if controllers in ("", "cpu", "cpu,cpuacct"):
            own = top / place.strip("/")
            folders += [own, *(parent for parent in own.parents if top in parent.parents)]
    return folders


def _share_of_version_2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    return 0.0 if quota == "max" else int(quota) / int(period)


def _share_of_version_1(folder: Path) -> float:
    quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period"))
    return quota / period
