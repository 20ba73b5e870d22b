"""A server with the tiny network, asked in this process, and volumes to send it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segevolution.imaging.formats import write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

if all(find_spec(name) for name in ("fastapi", "uvicorn", "python_multipart")):
    from fastapi.testclient import TestClient

    from segevolution.server.app import create_app
    from segevolution.server.settings import Settings
else:  # the extra [server] is not installed
    collect_ignore_glob = ["*"]

Serve = Callable[..., "TestClient"]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def serve(tiny_folder: Path) -> Iterator[Serve]:
    """Begin a server by its settings; a client of it."""
    with ExitStack() as stack:

        def begin(**settings: Any) -> TestClient:
            app = create_app(Settings(**{"model": str(tiny_folder), "device": "cpu", **settings}))
            client = TestClient(app, base_url="http://127.0.0.1:1527", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield begin


def scan(orientation: str = "LPS", spacing: tuple[float, float, float] = (2.0, 2.0, 3.0)) -> Volume:
    """Noise with a bright block that lies off the middle along each axis."""
    rng = np.random.default_rng(3)
    array = rng.normal(0, 20, (24, 20, 14)).astype(np.int16)
    array[4:12, 5:11, 6:11] += 300
    return Volume(array, Grid.oriented((24, 20, 14), spacing, orientation), Modality.CT, name="scan")


@pytest.fixture
def scan_bytes(tmp_path: Path) -> bytes:
    return file_bytes(scan(), tmp_path / "scan.nii.gz")


def file_bytes(volume: Volume, path: Path) -> bytes:
    write_volume(volume, path)
    return path.read_bytes()


def uploaded(client: TestClient, content: bytes, name: str = "scan.nii.gz", **query: Any) -> dict[str, Any]:
    reply = client.post(
        "/api/volumes",
        params={"name": name, "modality": "CT", **query},
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def begun(client: TestClient, volume: dict[str, Any], adapter: str | None = None) -> str:
    """A session with one structure; its address."""
    reply = client.post("/api/sessions", json={"volume": volume["id"], "adapter": adapter})
    assert reply.status_code == 201, reply.text
    address = f"/api/sessions/{reply.json()['id']}"
    assert client.post(f"{address}/structures", json={}).status_code == 201
    return address


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def with_volume(volume: Volume, **changes: Any) -> Volume:
    return dataclasses.replace(volume, **changes)
