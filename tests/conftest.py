"""Fixtures that every test may use."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums depend on the number of threads, and commands that ran in an earlier test may have set it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes beside a developer's checkout; a lone clone skips what needs them."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real volumes (../shared/data) are not here")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers computed by the published code; see golden/README.md."""
    return Path(__file__).parent / "golden"


@pytest.fixture
def within_memory() -> Callable[[float], AbstractContextManager[None]]:
    """A context in which this process can take no more than so many bytes beside what it has; Linux only."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        pytest.skip("how much memory a process has is not known here")

    @contextmanager
    def limited(further: float) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        own = int(status.read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + int(further), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    return limited
