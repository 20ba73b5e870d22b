"""What every request passes first."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from segevolution.server.faults import SettingError
from segevolution.server.settings import Settings

from .conftest import Serve, begun, uploaded

KEY = {"Authorization": "Bearer sesame"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/server"),
        ("GET", "/api/docs"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/nothing"),
        ("POST", "/api/volumes"),
        ("GET", "/api/sessions/token"),
        ("POST", "/claim"),
        ("GET", "/capabilities"),
        ("GET", "/lease_status"),
        ("POST", "/set_image"),
        ("POST", "/undo"),
        ("GET", "/monai/info/"),
        ("PUT", "/monai/session/"),
        ("POST", "/anything"),
    ],
)
def test_without_the_key_nothing_but_the_page_and_signs_of_life(serve: Serve, method: str, path: str) -> None:
    client = serve(key="sesame")
    for headers in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "Basic sesame"}, {"Authorization": "x"}):
        reply = client.request(method, path, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    assert client.request(method, path, headers=KEY).status_code != 401


def test_signs_of_life_need_no_key(serve: Serve) -> None:
    client = serve(key="sesame")
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/api/health").json()["key_required"] is True


def test_errors_have_the_form_of_the_api_they_are_sent_to(serve: Serve) -> None:
    client = serve(key="sesame")
    assert client.get("/api/server").json()["kind"] == "KeyRequired"
    assert "key" in client.post("/claim").json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://elsewhere.example"}, id="another site"),
        pytest.param({"Origin": "null"}, id="a file or a frame"),
        pytest.param({"Origin": "http://127.0.0.1:80"}, id="another port"),
        pytest.param({"Host": "elsewhere.example:1527"}, id="another name of this machine"),
    ],
)
def test_pages_of_other_sites_are_refused(serve: Serve, headers: dict[str, str]) -> None:
    client = serve()
    assert client.post("/claim", headers=headers).status_code == 403
    assert client.get("/api/server", headers=headers).json()["kind"] == "ForeignOrigin"
    assert client.post("/claim", headers={"Origin": "http://127.0.0.1:1527"}).status_code == 200


def test_the_page_may_ask_this_server_alone(serve: Serve) -> None:
    policy = serve().get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("told", [True, False], ids=["announced", "counted"])
def test_a_body_beyond_the_limit_is_refused_whatever_its_header_says(serve: Serve, told: bool) -> None:
    client = serve(request_bytes=10_000)
    body = b"x" * 20_000
    content = body if told else iter([body[:9_000], body[9_000:]])
    headers = {"Content-Type": "application/octet-stream"}
    reply = client.post("/api/volumes?name=a.nii", content=content, headers=headers)
    assert (reply.status_code, reply.json()["kind"]) == (413, "TooLarge")


@pytest.mark.parametrize("told", [True, False], ids=["announced", "counted"])
def test_without_the_key_no_more_than_a_login_is_read(serve: Serve, told: bool) -> None:
    client = serve(key="sesame")
    body = b"password=" + b"x" * 100_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    content = body if told else iter([body[:50_000], body[50_000:]])
    assert client.post("/monai/auth/token", content=content, headers=headers).status_code == 413
    assert client.post("/monai/auth/token", data={"password": "sesame"}).json()["access_token"] == "sesame"


def test_json_beyond_the_limit_is_too_large_where_its_length_is_not_announced(serve: Serve) -> None:
    body = b'{"volume": "' + b"x" * 20_000 + b'"}'
    content = iter([body[:9_000], body[9_000:]])
    reply = serve(request_bytes=10_000).post(
        "/api/sessions", content=content, headers={"Content-Type": "application/json"}
    )
    assert (reply.status_code, reply.json()["kind"]) == (413, "TooLarge")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"volume": "é"}'.encode("latin-1"), id="no UTF-8"),
        pytest.param(b'{"volume": ' + b"9" * 10_000 + b"}", id="a number without end"),
        pytest.param(b"[" * 200_000, id="without end"),
    ],
)
def test_what_cannot_be_read_as_json_is_said_to_be_so(serve: Serve, content: bytes) -> None:
    reply = serve().post("/api/sessions", content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["kind"]) == (422, "BadRequest")
    assert reply.json()["error"].startswith("the body cannot be read as JSON")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_body_of_another_kind_is_said_to_be_so(serve: Serve, kind: str) -> None:
    reply = serve().post("/api/sessions", content=b'{"volume": "a"}', headers={"Content-Type": kind})
    assert (reply.status_code, reply.json()["kind"]) == (415, "WrongKind")
    assert reply.json()["error"] == f"send JSON as the body (application/json), not {kind.partition(';')[0]}."


@pytest.mark.parametrize("headers", [{"Host": "[bad"}, {"Origin": "http://[bad"}])
def test_what_is_no_address_is_refused_as_a_foreign_one(serve: Serve, headers: dict[str, str]) -> None:
    reply = serve().get("/api/server", headers=headers)
    assert (reply.status_code, reply.json()["kind"]) == (403, "ForeignOrigin")


def test_an_upload_that_is_broken_off_is_no_fault_of_ours(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    messages = iter([{"type": "http.request", "body": b"x" * 5_000, "more_body": True}, {"type": "http.disconnect"}])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/volumes",
        "raw_path": b"/api/volumes",
        "root_path": "",
        "scheme": "http",
        "query_string": b"name=a.nii",
        "headers": [(b"host", b"127.0.0.1:1527"), (b"content-length", b"1000000")],
        "server": ("127.0.0.1", 1527),
        "client": ("127.0.0.1", 50000),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(serve().app(scope, receive, send))
    assert sent[0]["status"] == 422
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "--key is needed"),
        ({"key": ""}, "--key must be"),
        ({"sessions": 0}, "--sessions"),
        ({"idle_seconds": float("nan")}, "--idle-minutes must"),
        ({"idle_seconds": float("inf")}, "--idle-minutes must"),
        ({"volume_bytes": 0}, "--max-gigabytes must be a number above zero, not 0"),
    ],
)
def test_an_impossible_server_is_refused_in_a_sentence(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Settings(**settings)  # type: ignore[arg-type]


def test_the_key_stands_in_no_text_of_the_settings() -> None:
    assert "sesame" not in repr(Settings(key="sesame"))


def test_a_fault_of_ours_is_no_500_and_tells_nothing_of_us(
    serve: Serve, scan_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    address = begun(client, uploaded(client, scan_bytes))
    monkeypatch.setattr("segevolution.server.own.session_routes.point_parts", lambda *_, **__: 1 / 0)
    reply = client.post(f"{address}/structures/1/prompts", json={"kind": "point", "position": [5, 7, 8]})
    assert reply.status_code == 503
    assert "division" not in reply.text


def test_no_path_of_this_machine_is_served(serve: Serve) -> None:
    client = serve()
    for path in ("/../app.py", "/..%2fapp.py", "//etc/passwd", f"/{Path(__file__).resolve()}", "/%2e%2e/settings.py"):
        reply = client.get(path)
        assert reply.status_code in (400, 403, 404), path
