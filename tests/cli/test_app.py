"""The command line as a whole: help without torch, one sentence for an error, the right status."""

import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from segevolution import __version__
from segevolution.cli import app as application
from segevolution.cli.console import note, print_json, print_table
from segevolution.errors import OutputError

HEAVY = ("torch", "numpy", "nibabel", "SimpleITK", "pandas", "transformers", "lightning", "peft", "matplotlib")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `segevolution models` a command that raises."""
    command = typer.Typer(add_completion=False)

    @command.command()
    def fail() -> None:
        raise error

    module = type(sys)("segevolution_failing")
    module.app = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(application.COMMANDS, "models", (module.__name__, "Fails."))


def status(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        application.main(list(arguments))
    return caught.value.code


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom segevolution.cli.app import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as leave:\n    assert leave.code == 0\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    for name in application.COMMANDS:
        assert re.search(rf"\b{name}\b", done.stdout)


@pytest.mark.parametrize("name", sorted(application.COMMANDS))
def test_every_command_of_the_table_is_there_and_imports_nothing_heavy(name: str) -> None:
    module, _ = application.COMMANDS[name]
    code = f"import sys, {module}\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    result = CliRunner().invoke(application.app, [name, "--help"])
    assert result.exit_code == 0
    assert f"{name} " in result.stdout


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(application.app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.strip() == f"segevolution {__version__}"


def test_an_error_is_one_sentence_on_stderr_and_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, OutputError("x.nii.gz exists already."))
    assert status("models") == 2
    printed = capsys.readouterr()
    assert printed.err == "segevolution: x.nii.gz exists already.\n"
    assert printed.out == ""


def test_a_name_with_a_line_break_keeps_an_error_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, OutputError("new\nline.nii.gz exists already."))
    assert status("models") == 2
    note("new\nline: a warning")
    assert capsys.readouterr().err == "segevolution: new\\nline.nii.gz exists already.\nnew\\nline: a warning\n"


def test_what_the_system_refuses_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, PermissionError(13, "Permission denied", "/secret"))
    assert status("models") == 2
    assert capsys.readouterr().err == "segevolution: /secret: Permission denied.\n"


def test_an_interrupt_leaves_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert status("models") == 130


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        application.main(["models"])


def test_a_mistyped_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("modles") == 2
    assert "Did you mean 'models'?" in capsys.readouterr().err


def test_tables_keep_cells_whole_in_a_pipe_and_notes_stay_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "path"), [("a[b]", "x" * 150)])
    note("working")
    note("silent", quiet=True)
    print_json({"dice": 0.5, "name": "œsophage"})
    printed = capsys.readouterr()
    assert "a[b]" in printed.out
    assert "x" * 150 in printed.out
    assert "œsophage" in printed.out
    assert printed.err == "working\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(encoding: str) -> None:
    """A table, JSON and a sentence with letters that the encoding lacks, and with a name of undecodable bytes."""
    code = r"""
import sys
import typer
from segevolution.cli import app
from segevolution.cli.console import print_json, print_table
from segevolution.errors import OutputError

command = typer.Typer(add_completion=False)

@command.command()
def fail() -> None:
    print_table(("name",), [("\u0153sophage",), ("\udcff",)])
    print_json({"name": "\u0153 \udcff"})
    raise OutputError("\u0153 \udcff exists already.")

sys.modules["failing"] = type(sys)("failing")
sys.modules["failing"].app = command
app.COMMANDS["models"] = ("failing", "Fails.")
app.main(["models"])
"""
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith(b"exists already.")
