"""What can be told of the Dockerfile without Docker: that it names what is there, who runs it, and what it runs."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from segevolution.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions(text: str) -> list[tuple[str, str]]:
    """(name, arguments) of each instruction, comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in pairs]


ALL = instructions(TEXT)
LAST_STAGE = ALL[max(place for place, (name, _) in enumerate(ALL) if name == "FROM") :]


def of(name: str, among: list[tuple[str, str]] = ALL) -> list[str]:
    return [rest for found, rest in among if found == name]


def sent() -> set[Path]:
    """What .dockerignore lets through, at the top."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return {ROOT / line[1:] for line in lines if line.startswith("!")}


def test_every_file_that_is_copied_is_there_and_is_sent() -> None:
    copied = [words for words in map(shlex.split, of("COPY")) if not words[0].startswith("--from")]
    sources = {ROOT / word for words in copied for word in words[:-1]}
    assert ROOT / "src" in sources
    assert [path for path in sources if not path.exists()] == []
    assert sources == sent()


def test_instructions_are_known_and_begin_with_an_image() -> None:
    known = {"ARG", "FROM", "WORKDIR", "RUN", "ENV", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}
    assert {name for name, _ in ALL} <= known
    assert [name for name, _ in ALL[:2]] == ["ARG", "FROM"]


def test_the_server_does_not_run_as_root() -> None:
    (user,) = of("USER", LAST_STAGE)
    assert user == "segevolution"
    assert any(f"useradd --uid 10001 --create-home {user}" in command for command in of("RUN", LAST_STAGE))
    names = [name for name, _ in LAST_STAGE]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_no_key_and_no_index_is_built_in() -> None:
    assert not [each for each in (*of("ENV"), *of("ARG")) if "KEY" in each]
    assert of("ARG") == ["PYTHON=3.11-slim", 'TORCH_INDEX=""', "DEVICE=cpu"]
    assert not re.search(r"https?://(?!127\.0\.0\.1)", TEXT)


def entry() -> tuple[list[str], str]:
    (line,) = of("ENTRYPOINT", LAST_STAGE)
    shell, option, command, name = json.loads(line)
    assert (shell, option, name) == ("sh", "-c", "serve")
    return shlex.split(command), command


def test_what_it_runs_is_a_command_of_this_version() -> None:
    words, _ = entry()
    assert words[:3] == ["exec", "segevolution", "serve"]
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="segevolution")
    name, serve, rest = command.resolve_command(context, [word for word in words[2:] if word != "$@"])
    parsed = serve.make_context(name, rest, parent=context).params
    assert (parsed["host"], parsed["port"], parsed["device"]) == ("0.0.0.0", 1527, "$DEVICE")
    assert of("EXPOSE", LAST_STAGE) == ["1527"]


def test_extras_that_it_installs_exist() -> None:
    installs = [command for command in of("RUN") if ".[" in command]
    (extras,) = (re.search(r"\.\[([\w,]+)\]", command) for command in installs)
    assert extras is not None
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras[1].split(","))


def test_its_health_check_is_answered_without_a_key(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra [server] is not installed")
    from fastapi.testclient import TestClient

    from segevolution.models.checkpoints import save_model
    from segevolution.models.tiny import TinyBackbone
    from segevolution.server.app import create_app
    from segevolution.server.settings import Settings

    (check,) = of("HEALTHCHECK", LAST_STAGE)
    found = re.search(r"http://127\.0\.0\.1:1527(/\w+)", check)
    assert found is not None
    save_model(TinyBackbone(), tmp_path / "tiny")
    settings = Settings(model=str(tmp_path / "tiny"), device="cpu", host="0.0.0.0", key="a-long-word")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:1527") as client:
        assert client.get(found[1]).status_code == 200
        assert client.get("/api/server").status_code == 401
