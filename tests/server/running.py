"""A server in a process of its own, for clients of other projects."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import segevolution


class ServerProcess:
    """A running `segevolution serve`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "segevolution", "serve", "--device", "cpu", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(segevolution.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            found = re.search(r"at (http://\S+)", line)
            if found:
                self.url = found[1]
                return
        raise AssertionError(f"the server did not start: {said}")

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def serving(*arguments: str, port: str = "0") -> Iterator[ServerProcess]:
    server = ServerProcess("--port", port, *arguments)
    try:
        yield server
    finally:
        server.end()


def until(condition: object, seconds: float = 20.0) -> bool:
    """Wait for what another process does; whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False
