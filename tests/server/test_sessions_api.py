"""Work on a volume by the server's own API: answers are those of the Python session, bit for bit."""

import io
import threading
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from segevolution.adapters import create, save_adapter
from segevolution.imaging.formats import read_labels
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.backbone import BackboneModule
from segevolution.server.runs import decode_mask
from segevolution.server.workspace import SessionWorkspace

from .conftest import Serve, begun, file_bytes, scan, uploaded

INSIDE, OTHER, OUTSIDE = (7.0, 7.0, 8.0), (9.0, 8.0, 9.0), (20.0, 15.0, 3.0)


class Shown:
    """What a viewer shows: the masks of answers laid over one another."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.mask = np.zeros(shape, bool)

    def take(self, answer: dict[str, Any]) -> np.ndarray:
        mask = answer["mask"]
        if mask is not None:
            inside = tuple(slice(*pair) for pair in mask["box"])
            self.mask[inside] = decode_mask(mask["box"], mask["runs"], self.mask.shape)[inside]
        return self.mask


@pytest.fixture(scope="session")
def network(tiny_folder: Path) -> BackboneModule:
    return load(tiny_folder, device="cpu")


def said(client: TestClient, address: str, **body: Any) -> dict[str, Any]:
    reply = client.post(f"{address}/structures/1/prompts", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def step(client: TestClient, address: str, what: str) -> dict[str, Any]:
    reply = client.post(f"{address}/structures/1/{what}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAL"])
def test_every_answer_is_the_python_sessions(
    serve: Serve, tmp_path: Path, network: BackboneModule, orientation: str
) -> None:
    client, volume = serve(), scan(orientation)
    address = begun(client, uploaded(client, file_bytes(volume, tmp_path / "scan.nii.gz")))
    session, shown = Session(network, volume), Shown(volume.grid.shape)
    place = volume.grid.to_mm([INSIDE])[0].tolist()
    steps: list[tuple[dict[str, Any], Any]] = [
        ({"kind": "point", "position": place, "mm": True}, lambda: session.add_point(place, mm=True)),
        (
            {"kind": "point", "position": OUTSIDE, "positive": False},
            lambda: session.add_point(OUTSIDE, positive=False),
        ),
        ({"kind": "box", "corners": [[12, 11, 11], [3, 4, 5]]}, lambda: session.add_box((3, 4, 5, 12, 11, 11))),
        ({"kind": "text", "text": "liver"}, lambda: session.add_text("liver")),
        ({"kind": "scribble", "path": [INSIDE, OTHER]}, lambda: session.add_scribble([INSIDE, OTHER])),
    ]
    for body, ask in steps:
        answer, expected = said(client, address, **body), ask()
        np.testing.assert_array_equal(shown.take(answer), expected.mask)
        assert answer["structure"]["voxels"] == expected.mask.sum()
        assert answer["structure"]["confidence"] == pytest.approx(expected.iou, abs=1e-4)
    for what in ("undo", "undo", "redo", "undo"):
        np.testing.assert_array_equal(
            shown.take(step(client, address, what)), getattr(session, what)().mask, err_msg=what
        )
    step(client, address, "reset")
    whole = client.get(f"{address}/structures/1/mask").json()
    assert whole["mask"] is None


def test_undo_ends_where_it_began_and_then_refuses(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    shown = Shown(scan().grid.shape)
    assert shown.take(said(client, address, kind="point", position=INSIDE)).any()
    assert not shown.take(step(client, address, "undo")).any()
    for what in ("undo", "redo", "redo"):
        reply = client.post(f"{address}/structures/1/{what}")
        assert reply.status_code == (200 if what == "redo" and not shown.mask.any() else 409)
        if reply.status_code == 200:
            shown.take(reply.json())


def test_what_is_off_the_structure_waits_for_what_is_on_it(
    serve: Serve, scan_bytes: bytes, network: BackboneModule
) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    waiting = said(client, address, kind="point", position=OUTSIDE, positive=False)
    assert waiting["mask"] is None
    assert any("waits" in note for note in waiting["structure"]["notes"])
    assert waiting["structure"]["can_undo"]
    answer = said(client, address, kind="point", position=INSIDE)
    expected = Session(network, scan()).segment(points=[INSIDE], negative_points=[OUTSIDE])
    np.testing.assert_array_equal(Shown(scan().grid.shape).take(answer), expected.mask)


def test_a_client_hears_that_a_point_contradicts_another(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    assert not said(client, address, kind="point", position=INSIDE)["structure"]["notes"]
    contradicted = said(client, address, kind="point", position=INSIDE, positive=False)["structure"]
    assert ["on the structure and off it" in note for note in contradicted["notes"]] == [True]


def test_two_clients_on_one_volume_encode_it_once_and_keep_dialogues_of_their_own(
    serve: Serve, scan_bytes: bytes
) -> None:
    client = serve()
    addresses = [begun(client, uploaded(client, scan_bytes, name)) for name in ("a.nii.gz", "b.nii.gz")]
    answers = [said(client, address, kind="point", position=INSIDE) for address in addresses]
    assert answers[0]["mask"] == answers[1]["mask"]
    (content,) = client.app.state.service.volumes._contents.values()  # type: ignore[attr-defined]
    (opened,) = content.opened.values()
    alone = serve()
    said(alone, begun(alone, uploaded(alone, scan_bytes)), kind="point", position=INSIDE)
    (one,) = next(iter(alone.app.state.service.volumes._contents.values())).opened.values()  # type: ignore[attr-defined]
    assert opened.counts.encodings == one.counts.encodings
    assert opened.counts.decodings == 2 * one.counts.decodings
    said(client, addresses[0], kind="point", position=OUTSIDE, positive=False)
    assert client.get(addresses[1]).json()["structures"][0]["prompt"]["labels"] == [1]


def test_many_threads_get_what_each_gets_alone(serve: Serve, scan_bytes: bytes, network: BackboneModule) -> None:
    client = serve()
    places = [(INSIDE[0] + number % 3, INSIDE[1] + number % 2, INSIDE[2]) for number in range(6)]
    addresses = [begun(client, uploaded(client, scan_bytes)) for _ in places]
    found: dict[int, dict[str, Any]] = {}

    def ask(number: int) -> None:
        found[number] = said(client, addresses[number], kind="point", position=places[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session = Session(network, scan())
    for number, place in enumerate(places):
        expected = session.segment(points=[place]).mask
        np.testing.assert_array_equal(Shown(expected.shape).take(found[number]), expected)


@pytest.fixture
def adapter_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """An adapter that answers otherwise than its base."""
    import torch

    backbone = load(tiny_folder, device="cpu")
    adapter = create("lora", {"rank": 2})
    adapter.attach(backbone)
    generator = torch.Generator().manual_seed(1)
    for parameter in adapter.trainable_parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7
    save_adapter(adapter, backbone, tmp_path / "mine")
    return tmp_path / "mine"


def test_adapters_are_listed_switched_and_compared(serve: Serve, scan_bytes: bytes, adapter_folder: Path) -> None:
    client = serve(adapters=(adapter_folder,))
    listed = client.get("/api/adapters").json()["adapters"]
    assert [adapter["id"] for adapter in listed] == ["base", "mine"]
    assert str(adapter_folder.parent) not in str(listed)
    address = begun(client, uploaded(client, scan_bytes))
    shown = Shown(scan().grid.shape)
    base = shown.take(said(client, address, kind="point", position=INSIDE)).copy()

    compared = client.post(f"{address}/structures/1/compare", json={"adapter": "mine"}).json()
    beside = Shown(base.shape).take(compared).copy()
    assert (beside != base).any()
    assert client.get(address).json()["adapter"] == "base"

    reply = client.put(f"{address}/adapter", json={"adapter": "mine"}).json()
    (answer,) = reply["answers"]
    np.testing.assert_array_equal(shown.take(answer), beside)
    assert reply["session"]["adapter"] == "mine"
    np.testing.assert_array_equal(shown.take(step(client, address, "undo")), base)

    backbone = load(client.app.state.service.settings.model, device="cpu")  # type: ignore[attr-defined]
    from segevolution.adapters import load_adapter

    load_adapter(adapter_folder, backbone)
    expected = Session(backbone, scan()).segment(points=[INSIDE, OTHER]).mask
    np.testing.assert_array_equal(shown.take(said(client, address, kind="point", position=OTHER)), expected)
    reply = client.put(f"{address}/adapter", json={"adapter": "base", "ask_again": False}).json()
    assert reply["answers"] == []
    assert client.put(f"{address}/adapter", json={"adapter": "yours"}).status_code == 404
    assert client.post("/api/sessions", json={"volume": "x", "adapter": "mine"}).status_code == 410


def test_the_first_adapter_answers_where_the_command_line_says_so(
    serve: Serve, scan_bytes: bytes, adapter_folder: Path
) -> None:
    client = serve(adapters=(adapter_folder,), adapter="mine")
    address = begun(client, uploaded(client, scan_bytes))
    assert client.get(address).json()["adapter"] == "mine"


@pytest.mark.parametrize("form", ["nii.gz", "nii", "seg.nrrd"])
def test_label_maps_lie_on_the_files_grid_with_names(serve: Serve, tmp_path: Path, form: str) -> None:
    client, volume = serve(), scan("RAS")
    address = begun(client, uploaded(client, file_bytes(volume, tmp_path / "scan.nii.gz"), "my scan.nii.gz"))
    said(client, address, kind="point", position=INSIDE)
    client.post(f"{address}/structures", json={"name": "liver", "colour": "#ff8000"})
    body = {"kind": "box", "corners": [[0, 0, 0], [5, 6, 7]]}
    assert client.post(f"{address}/structures/2/prompts", json=body).status_code == 200
    masks = {
        number: Shown(volume.grid.shape).take(client.get(f"{address}/structures/{number}/mask").json()).copy()
        for number in (1, 2)
    }
    reply = client.get(f"{address}/labels", params={"format": form})
    assert reply.headers["content-disposition"] == f'attachment; filename="my scan_seg.{form}"'
    path = tmp_path / f"labels.{form}"
    path.write_bytes(reply.content)
    labels = read_labels(path)
    assert labels.grid.close_to(volume.grid)
    np.testing.assert_array_equal(labels.array == 2, masks[2])
    np.testing.assert_array_equal(labels.array == 1, masks[1] & ~masks[2])
    if form == "seg.nrrd":
        assert b"liver" in reply.content.partition(b"\n\n")[0]
        assert b"1 0.50" in reply.content.partition(b"\n\n")[0]
    only = client.get(f"{address}/labels", params={"format": form, "only": "1"})
    path.write_bytes(only.content)
    np.testing.assert_array_equal(read_labels(path).array == 1, masks[1])
    assert client.get(f"{address}/labels?format=docx").status_code == 404
    assert client.get(f"{address}/labels?only=7").status_code == 404


def test_a_segmentation_from_elsewhere_is_taken_up_and_corrected(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    mask = np.zeros(scan().grid.shape, np.uint8)
    mask[4:9, 5:9, 6:9], mask[15:, 15:, 12:] = 1, 2
    content = nib.Nifti1Image(mask, scan().grid.affine).to_bytes()
    url = f"{address}/structures/1/mask"
    answer = client.put(url, params={"name": "seg.nii", "label": 1}, content=content).json()
    shown = Shown(mask.shape)
    np.testing.assert_array_equal(shown.take(answer), mask == 1)
    assert answer["structure"]["confidence"] is None
    shown.take(said(client, address, kind="point", position=INSIDE))
    shown.take(step(client, address, "undo"))
    np.testing.assert_array_equal(shown.mask, mask == 1)
    elsewhere = nib.Nifti1Image(mask, np.diag([1.0, 1, 1, 1])).to_bytes()
    assert client.put(url, params={"name": "seg.nii"}, content=elsewhere).status_code == 400


def test_structures_are_named_coloured_hidden_and_deleted(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    liver = client.post(f"{address}/structures", json={"name": "liver"}).json()
    assert (liver["id"], liver["name"], liver["confidence"]) == (2, "liver", None)
    changed = client.patch(f"{address}/structures/2", json={"colour": "#010203", "visible": False}).json()
    assert (changed["name"], changed["colour"], changed["visible"]) == ("liver", "#010203", False)
    assert client.delete(f"{address}/structures/1").json() == {"deleted": True}
    assert [each["id"] for each in client.get(address).json()["structures"]] == [2]
    assert client.post(f"{address}/structures", json={}).json()["id"] == 1
    assert client.get(f"{address}/structures/9/mask").status_code == 404


def test_names_for_completion_come_with_their_synonyms(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    names = client.get(f"{address}/names").json()
    known = {entry["name"]: entry["other_names"] for entry in names["names"]}
    assert "gall bladder" in known["gallbladder"]
    assert names["free_text"] is False


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"kind": "point", "position": [99, 0, 0]}, 400, "PromptError"),
        ({"kind": "point", "position": [1, 2]}, 422, "BadRequest"),
        ({"kind": "point", "position": [1, 2, 3], "sign": 1}, 422, "BadRequest"),
        ({"kind": "text", "text": "livre"}, 400, "VocabularyError"),
        ({"kind": "text", "text": ""}, 422, "BadRequest"),
        ({"kind": "smell"}, 422, "BadRequest"),
        ({"kind": "scribble"}, 422, "BadRequest"),
        ({"kind": "lasso", "outline": [[1, 1, 1], [2, 2, 2], [3, 1, 3]]}, 400, "PromptError"),
        ({"kind": "scribble", "mask": {"box": [[0, 2], [0, 2], [0, 99]], "runs": "AAAA"}}, 400, "PromptError"),
    ],
)
def test_a_bad_prompt_is_one_sentence_and_changes_nothing(
    serve: Serve, scan_bytes: bytes, body: dict[str, Any], status: int, kind: str
) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    before = said(client, address, kind="point", position=INSIDE)["structure"]
    reply = client.post(f"{address}/structures/1/prompts", json=body)
    assert (reply.status_code, reply.json()["kind"]) == (status, kind)
    assert reply.json()["error"].endswith((".", "?"))
    assert client.get(address).json()["structures"] == [before]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"kind": "point", "position": [NaN, 1, 1]}', b"\xff" * 9])
def test_what_is_no_json_is_refused(serve: Serve, scan_bytes: bytes, content: bytes) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    reply = client.post(
        f"{address}/structures/1/prompts", content=content, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code in (400, 422)
    assert "error" in reply.json()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "the body is no JSON: "),
        (b"{}", "kind is missing."),
        (b'{"kind": "blob"}', "kind is none of 'point', "),
    ],
)
def test_what_is_wrong_with_a_body_is_said(serve: Serve, scan_bytes: bytes, content: bytes, words: str) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    headers = {"Content-Type": "application/json"}
    reply = client.post(f"{address}/structures/1/prompts", content=content, headers=headers)
    assert reply.status_code == 422
    assert words in reply.json()["error"]


def test_a_session_that_ended_is_gone_and_its_memory_too(serve: Serve, scan_bytes: bytes) -> None:
    client = serve(sessions=1, idle_seconds=0.2)
    service = client.app.state.service  # type: ignore[attr-defined]
    address = begun(client, uploaded(client, scan_bytes))
    full = client.post("/api/sessions", json={"volume": uploaded(client, scan_bytes)["id"]})
    assert (full.status_code, full.json()["kind"]) == (503, "Full")
    assert client.delete(address).json() == {"released": True}
    assert (client.get(address).status_code, client.get(address).json()["kind"]) == (410, "Gone")
    again = begun(client, uploaded(client, scan_bytes))
    threading.Event().wait(0.3)
    assert client.post(f"{again}/heartbeat").status_code == 410
    threading.Event().wait(0.3)
    service.volumes.sweep()
    assert (len(service.leases), len(service.volumes), service.volumes.size) == (0, 0, 0)


def test_a_token_of_another_protocol_opens_nothing(serve: Serve) -> None:
    client = serve()
    token = client.post("/claim").json()["lease_token"]
    assert client.get(f"/api/sessions/{token}").status_code == 410


def test_the_list_of_routes_is_a_page_without_a_foreign_script(serve: Serve) -> None:
    page = serve().get("/api/docs").text
    assert "/api/sessions/{session}/structures/{number}/prompts" in page
    assert "http" not in page.replace("nothing", "")
    assert io.StringIO(page).read(15) == "<!doctype html>"


def test_a_workspace_lets_go_of_its_volume_once(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    service = client.app.state.service  # type: ignore[attr-defined]
    handle = service.volumes.find(uploaded(client, scan_bytes)["id"])
    workspace = SessionWorkspace(service.volumes, service.answerers, handle, None)
    workspace.close()
    workspace.close()
    assert handle.content.users == 0
