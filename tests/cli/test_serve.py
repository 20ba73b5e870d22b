"""`segevolution serve`, up to the moment when it would listen."""

import socket

import pytest

pytest.importorskip("fastapi", reason="the extra [server] is not installed")

from segevolution.cli.app import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--key is needed"),
        (["--host", "no.such.host.invalid", "--key", "x"], "cannot listen"),
        (["--orientation", "LLS"], "no orientation"),
        (["--modality", "smell"], "not a modality"),
        (["--idle-minutes", "0"], "--idle-minutes must"),
        (["--liveness-seconds", "-1"], "--liveness-seconds must"),
        (["--max-gigabytes", "0"], "--max-gigabytes must"),
        (["--max-gigabytes", "inf"], "--max-gigabytes must"),
        (["--max-request-gigabytes", "nan"], "--max-request-gigabytes must"),
        (["--memory-gigabytes", "-1"], "impossible"),
        (["--model", "no such model", "--port", "0"], "no model is called"),
        (["--adapter", "no such adapter", "--port", "0"], "neither an adapter folder"),
        (["--default", "no such adapter", "--port", "0"], "is not served"),
    ],
)
def test_an_impossible_server_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", *arguments])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert said in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_said_before_a_model_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit):
            main(["serve", "--port", str(taken.getsockname()[1])])
    assert "is another one running?" in capsys.readouterr().err


def test_without_its_packages_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("segevolution.cli.serve.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["serve"])
    assert 'pip install "segevolution[server]"' in capsys.readouterr().err
