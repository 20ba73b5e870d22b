"""The notebook runs from its first cell to its last, without a network, and is kept without its outputs."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import typer

from segevolution.cli.app import app

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "segment_and_adapt.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == kind]


def test_the_notebook_is_kept_without_outputs() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]


@pytest.mark.long
def test_the_notebook_runs_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the notebook asked for the network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    plt.switch_backend("agg")
    space: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(sources("code")):
        exec(compile(source, f"cell {number}", "exec"), space)
    said = capsys.readouterr().out
    dices = [float(value) for value in re.findall(r"Dice (0\.\d\d)", said)]
    assert len(dices) == 6
    assert max(dices) > 0.7
    assert "with its expert for MRI" in said
    assert len(plt.gcf().axes) == 3
    plt.close("all")
    assert not list(tmp_path.iterdir())


def test_links_and_commands_of_the_notebook_are_there() -> None:
    text = "\n".join(sources("markdown"))
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links)
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"`segevolution (\w+)", text)) <= set(known)
