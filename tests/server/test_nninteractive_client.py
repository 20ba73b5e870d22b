"""The unmodified `nninteractive-client` against a server process: what 3D Slicer and napari do."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra [server] is not installed")
pytest.importorskip("nnInteractive.inference.remote", reason="nninteractive-client is not installed")

from nnInteractive.inference import remote
from nnInteractive.inference.remote.serialization import pack_array as their_pack
from nnInteractive.inference.remote.serialization import unpack_array as their_unpack

from segevolution.imaging.regions import Region
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.backbone import BackboneModule
from segevolution.server.nninteractive.packed_array import pack_array, unpack_array

from .conftest import scan, with_volume
from .running import ServerProcess, serving, until

pytestmark = pytest.mark.server

VOLUME = with_volume(scan("LPS"), name="image")
IMAGE = VOLUME.array.T[None]  # (C, k, j, i)
SPACING = list(VOLUME.grid.spacing[::-1])


@pytest.fixture(scope="module")
def server(tiny_folder: Path) -> Iterator[ServerProcess]:
    with serving("--model", str(tiny_folder), "--modality", "CT", "--sessions", "3") as running:
        yield running


@pytest.fixture(scope="module")
def network(tiny_folder: Path) -> BackboneModule:
    return load(tiny_folder, device="cpu")


class Client:
    """What Slicer does before the first prompt."""

    def __init__(self, url: str, **arguments: Any) -> None:
        self.session = remote.nnInteractiveRemoteInferenceSession(url, **arguments)
        self.session.set_do_autozoom(True)
        self.session.set_image(IMAGE, {"spacing": SPACING})
        self.buffer = np.zeros(IMAGE.shape[1:], np.uint8)
        self.session.set_target_buffer(self.buffer)
        self.session.reset_interactions()

    @property
    def mask(self) -> np.ndarray:
        """(X, Y, Z), as Python's session has it."""
        return self.buffer.T > 0


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    client = Client(server.url)
    yield client
    client.session.close()


def test_capabilities_are_what_the_client_needs(client: Client) -> None:
    session = client.session
    assert session.supported_interactions == dict.fromkeys(["points", "bbox2d", "bbox3d", "scribble", "lasso"], True)
    assert session.supports_undo
    assert session.supports_initial_label
    assert len(session.preferred_scribble_thickness) == 3
    assert "not a medical device" in session.license
    assert session.original_image_shape == IMAGE.shape
    assert session.ping()


def test_every_interaction_answers_as_the_python_session(client: Client, network: BackboneModule) -> None:
    session, expected = client.session, Session(network, VOLUME)
    changed = session.add_point_interaction((8.2, 6.9, 7), True)  # napari sends what is not whole
    answer = expected.add_point((7, 7, 8))
    assert changed is not None
    np.testing.assert_array_equal(client.mask, answer.mask)
    assert answer.changed is not None
    assert changed == [list(pair) for pair in zip(answer.changed.start, answer.changed.stop, strict=True)][::-1]

    session.add_point_interaction([3, 15, 20], False)
    np.testing.assert_array_equal(client.mask, expected.add_point((20, 15, 3), positive=False).mask)
    session.add_bbox_interaction([[5, 12], [4, 12], [3, 13]], True)
    np.testing.assert_array_equal(client.mask, expected.add_box((3, 4, 5, 12, 11, 11)).mask)

    drawn = np.zeros((1, 3, 4), np.uint8)
    drawn[0, 1] = 1
    session.add_scribble_interaction(drawn, True, interaction_bbox=[[8, 9], [6, 9], [5, 9]])
    scribble = np.zeros(VOLUME.grid.shape, bool)
    scribble[5:9, 7, 8] = True
    np.testing.assert_array_equal(client.mask, expected.add_scribble(scribble).mask)
    whole = np.zeros(IMAGE.shape[1:], np.uint8)
    whole[9, 6:10, 5:11] = 1
    session.add_lasso_interaction(whole, True)
    np.testing.assert_array_equal(client.mask, expected.add_lasso(whole.T > 0).mask)
    for _ in range(3):
        assert session.undo()
        answer = expected.undo()
        assert answer is not None
        np.testing.assert_array_equal(client.mask, answer.mask)


def test_prompts_may_wait_and_be_answered_together(client: Client, network: BackboneModule) -> None:
    session = client.session
    assert session.add_point_interaction((3, 15, 20), False) is None  # nothing is there yet to take away from
    assert session.add_point_interaction((8, 7, 7), True, run_prediction=False) is None
    assert session.add_point_interaction((9, 8, 9), True, run_prediction=False) is None
    assert not client.buffer.any()
    assert session.undo()  # the last point, which nobody saw
    assert session._predict() is not None
    answer = Session(network, VOLUME).add_parts(points=((20.0, 15.0, 3.0), (7.0, 7.0, 8.0)), labels=(0, 1))
    np.testing.assert_array_equal(client.mask, answer.mask)
    assert session._predict() is None
    assert session.undo()
    assert not client.buffer.any()
    assert not session.undo()


def test_a_box_in_one_slice_as_slicer_draws_it_is_no_box_that_ends_there(client: Client) -> None:
    assert client.session.add_bbox_interaction([[8, 9], [5, 11], [4, 12]], True) is not None
    assert len(np.unique(np.argwhere(client.buffer)[:, 0])) > 1


def test_a_box_off_the_structure_takes_away(client: Client, network: BackboneModule) -> None:
    client.session.add_point_interaction((8, 7, 7), True)
    client.session.add_bbox_interaction([[2, 4], [14, 16], [18, 21]], False)
    off = np.zeros(VOLUME.grid.shape, bool)
    off[18:21, 14:16, 2:4] = True
    session = Session(network, VOLUME)
    session.add_point((7, 7, 8))
    np.testing.assert_array_equal(client.mask, session.add_parts(lasso=Region.of(off, positive=False)).mask)


def test_a_segmentation_is_taken_up_corrected_and_brought_back(client: Client, network: BackboneModule) -> None:
    begun = np.zeros(IMAGE.shape[1:], np.uint8)
    begun[6:10, 5:9, 4:9] = 1
    assert client.session.add_initial_seg_interaction(begun) is None
    np.testing.assert_array_equal(client.buffer, begun)
    client.session.add_point_interaction((9, 8, 9), True)
    session = Session(network, VOLUME)
    session.add_mask(begun.T > 0)
    np.testing.assert_array_equal(client.mask, session.add_point((9, 8, 9)).mask)
    assert client.session.undo()
    np.testing.assert_array_equal(client.buffer, begun)
    client.session.add_initial_seg_interaction(begun, run_prediction=True)
    assert client.buffer.any()
    client.session.add_initial_seg_interaction(np.zeros_like(begun))
    assert client.session.add_point_interaction((8, 7, 7), True) is not None
    np.testing.assert_array_equal(client.mask, Session(network, VOLUME).add_point((7, 7, 8)).mask)


def test_reset_forgets_all_and_another_image_begins_anew(client: Client) -> None:
    client.session.add_point_interaction((8, 7, 7), True)
    first = client.buffer.copy()
    client.session.reset_interactions()
    assert not client.buffer.any()
    assert not client.session.undo()
    client.session.add_point_interaction((8, 7, 7), True)
    np.testing.assert_array_equal(client.buffer, first)
    client.session.set_image(IMAGE[:, :, :, ::-1], {"spacing": SPACING})
    client.session.set_target_buffer(client.buffer)
    client.session.reset_interactions()
    client.session.add_point_interaction((8, 7, 16), True)
    assert client.buffer.any()


@pytest.mark.parametrize("place", [(99, 0, 0), (-5, 3, 3)])
def test_a_click_beside_the_image_changes_nothing_and_is_no_error(client: Client, place: tuple[int, int, int]) -> None:
    assert client.session.add_point_interaction(place, True) is None
    assert client.session.add_bbox_interaction([[50, 60]] * 3, True) is None
    empty = np.zeros(IMAGE.shape[1:], np.uint8)
    assert client.session.add_scribble_interaction(empty, True) is None
    assert client.session.add_point_interaction((8, 7, 7), True) is not None


def test_left_is_where_the_stated_orientation_says(tiny_folder: Path, network: BackboneModule) -> None:
    """Arrays come without a place; the server says which way their axes point, and answers follow that."""
    with serving("--model", str(tiny_folder), "--modality", "CT", "--orientation", "SAR") as server:
        client = Client(server.url)
        client.session.add_bbox_interaction([[5, 12], [4, 12], [3, 13]], True)
        box = (3, 4, 5, 12, 11, 11)
        assumed = Session(network, scan("SAR")).segment(box=box).mask
        np.testing.assert_array_equal(client.mask, assumed)
        client.session.close()
    usual = Session(network, scan("LPS")).segment(box=box).mask
    assert (usual != assumed).any()  # the network sees another array, so the order matters


def test_leases_end(server: ServerProcess) -> None:
    clients = [remote.nnInteractiveRemoteInferenceSession(server.url) for _ in range(3)]
    with pytest.raises(remote.ServerAtCapacityError, match="all 3 sessions"):
        remote.nnInteractiveRemoteInferenceSession(server.url)
    status = clients[0].lease_status()
    assert 0 < status["remaining_seconds"] <= status["idle_timeout_seconds"] == 600
    assert clients[0].heartbeat() <= status["remaining_seconds"]
    token = clients[0]._lease_token
    for client in clients:
        client.close()
    with pytest.raises(httpx.HTTPStatusError):
        httpx.get(f"{server.url}/lease_status", headers={"X-Lease-Token": token}).raise_for_status()


def test_every_route_says_410_to_a_dead_lease_and_never_500(server: ServerProcess) -> None:
    body = their_pack(np.zeros((2, 2, 2), np.uint8))
    for path, content in {
        "/set_image": body,
        "/add_scribble_interaction": body,
        "/add_lasso_interaction": body,
        "/add_initial_seg_interaction": body,
        "/set_target_buffer": {"shape": [2, 2, 2], "dtype": "uint8"},
        "/set_do_autozoom": {"do_autozoom": True},
        "/reset_interactions": {},
        "/add_point_interaction": {"coordinates": [1, 1, 1], "include_interaction": True},
        "/add_bbox_interaction": {"bbox_coords": [[0, 1]] * 3, "include_interaction": True},
        "/undo": {},
        "/predict": {"force_full_refine": False},
        "/heartbeat": {},
    }.items():
        for headers in ({}, {"X-Lease-Token": "gone"}):
            sent = {"content": content} if isinstance(content, bytes) else {"json": content}
            reply = httpx.post(server.url + path, headers=headers, timeout=20, **sent)
            assert reply.status_code == 410, path
            assert "begin anew" in reply.json()["detail"]
    assert httpx.get(f"{server.url}/lease_status").status_code == 410
    assert httpx.post(f"{server.url}/release", headers={"X-Lease-Token": "gone"}).json() == {"released": True}


@pytest.mark.parametrize(
    ("path", "content", "meta"),
    [
        ("/set_image", b"", "{}"),
        ("/set_image", b"NNIA\x01\x01\x04\x05uint8", "{}"),
        ("/set_image", their_pack(np.zeros((2, 2, 2), np.uint8)), "{}"),
        ("/set_image", their_pack(np.zeros((1, 4, 4, 4), np.uint8)), "{}"),
        ("/set_image", their_pack(np.full((1, 4, 4, 4), np.nan, np.float32)), "{}"),
        ("/set_image", their_pack(np.zeros((1, 4, 4, 4), np.complex64)), "{}"),
        ("/set_image", their_pack(IMAGE), "no json"),
        ("/set_image", their_pack(IMAGE), '{"image_properties": 3}'),
        ("/add_scribble_interaction", b"x", "{}"),
        ("/add_scribble_interaction", their_pack(np.ones((2, 2), np.uint8)), "{}"),
        ("/add_lasso_interaction", their_pack(np.ones((2, 2, 2), np.uint8)), '{"interaction_bbox": [[0, 1]]}'),
        ("/add_initial_seg_interaction", their_pack(np.ones((2, 2, 2), np.uint8)), "{}"),
        ("/add_point_interaction", b"{", None),
        ("/add_point_interaction", b'{"coordinates": [1, 2]}', None),
        ("/add_point_interaction", b'{"coordinates": [1, 2, NaN]}', None),
        ("/add_bbox_interaction", b'{"bbox_coords": [[0, 1], [0, 1]]}', None),
        ("/set_target_buffer", b'{"shape": [1, 2, 3], "dtype": "uint8"}', None),
        ("/set_target_buffer", b'{"shape": "all"}', None),
    ],
)
def test_nonsense_is_refused_in_a_sentence_and_never_500(
    server: ServerProcess, path: str, content: bytes, meta: str | None
) -> None:
    client = Client(server.url)
    headers = {"X-Lease-Token": client.session._lease_token}
    headers |= {"Content-Type": "application/json"} if meta is None else {"X-Meta": meta}
    reply = httpx.post(server.url + path, content=content, headers=headers, timeout=20)
    client.session.close()
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["detail"].endswith((".", "?"))


def test_prompts_before_an_image_are_refused_not_500(server: ServerProcess) -> None:
    session = remote.nnInteractiveRemoteInferenceSession(server.url)
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        session.add_point_interaction((1, 1, 1), True)
    assert session.heartbeat() > 0
    session.close()


def test_a_key_is_asked_for(tiny_folder: Path) -> None:
    with serving("--model", str(tiny_folder), "--key", "sesame") as server:
        for key in (None, "wrong"):
            with pytest.raises(httpx.HTTPStatusError, match="401"):
                remote.nnInteractiveRemoteInferenceSession(server.url, api_key=key)
        client = Client(server.url, api_key="sesame")
        assert client.session.add_point_interaction((8, 7, 7), True) is not None
        client.session.close()


def test_a_killed_client_frees_its_lease(tiny_folder: Path) -> None:
    with serving("--model", str(tiny_folder), "--sessions", "1", "--liveness-seconds", "8") as server:
        script = """
            import sys, time
            from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession
            session = nnInteractiveRemoteInferenceSession(sys.argv[1])
            print("claimed", flush=True)
            time.sleep(100)
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), server.url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "claimed"
        assert httpx.post(f"{server.url}/claim").status_code == 503
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert until(lambda: httpx.post(f"{server.url}/claim").status_code == 200, 40)


def test_a_server_that_was_killed_and_started_again_says_410(tiny_folder: Path) -> None:
    server = ServerProcess("--port", "0", "--model", str(tiny_folder))
    client = Client(server.url)
    server.kill()
    with pytest.raises(httpx.TransportError):
        client.session.add_point_interaction((8, 7, 7), True)
    with serving("--model", str(tiny_folder), port=server.port):
        with pytest.raises(remote.SessionExpiredError, match="begin anew"):
            client.session.add_point_interaction((8, 7, 7), True)
        again = Client(server.url)
        assert again.session.add_point_interaction((8, 7, 7), True) is not None
        again.session.close()


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "float32"])
def test_both_sides_read_each_others_arrays(dtype: str) -> None:
    array = (np.arange(2 * 3 * 4) % 5).reshape(2, 3, 4).astype(dtype)
    np.testing.assert_array_equal(their_unpack(pack_array(array)), array)
    np.testing.assert_array_equal(unpack_array(their_pack(array), 10_000), array)


def test_the_capabilities_are_plain_json(server: ServerProcess) -> None:
    capabilities = httpx.get(f"{server.url}/capabilities").json()
    assert json.dumps(capabilities)
    assert {"channel_mapping", "num_interaction_channels", "interaction_decay", "inference_session_version"} <= set(
        capabilities
    )
