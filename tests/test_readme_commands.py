"""README's commands on a scan run as they are written, in turn, in the example that the first of them makes."""

import os
import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main

_README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
_RUN = ("Segment a scan", "Prepare data, and trust it")  # what takes seconds; studies take minutes, pulling a network


def _blocks(title: str) -> list[tuple[str, str]]:
    part = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## )", _README, re.MULTILINE | re.DOTALL)
    assert part, f"README has no section {title}"
    return re.findall(r"^```(bash|python)\n(.*?)^```$", part[1], re.MULTILINE | re.DOTALL)


def test_the_sections_that_are_run_hold_commands() -> None:
    lines = [line for title in _RUN for kind, text in _blocks(title) if kind == "bash" for line in text.splitlines()]
    assert len([line for line in lines if line.startswith("segevolution segment ")]) == 4
    assert len([line for line in lines if line.startswith("segevolution data ")]) == 5


@pytest.mark.long
def test_commands_on_a_scan_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: None)  # a page is served until it is stopped
    for kind, text in (block for title in _RUN for block in _blocks(title)):
        if kind == "python":
            exec(compile(text, "README.md", "exec"), {})
            assert "predicted overlap" in capsys.readouterr().out
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words[0] == "cd":
                os.chdir(words[1])
                continue
            with pytest.raises(SystemExit) as leaving:
                main(words[1:])
            captured = capsys.readouterr()
            assert leaving.value.code in (0, None), f"{line}\n{captured.err}"
    written = {path.relative_to(tmp_path / "example").as_posix() for path in (tmp_path / "example").rglob("*")}
    assert {"ct_seg.nii.gz", "look.png", "slicer.seg.nrrd", "liver_by_python.nii.gz"} <= written
    by_command, by_python = (
        nib.load(tmp_path / "example" / name) for name in ("liver.nii.gz", "liver_by_python.nii.gz")
    )
    assert np.array_equal(np.asarray(by_command.dataobj), np.asarray(by_python.dataobj))
    assert {"masks/patient5_seg.nii.gz", "masks/segmentations.csv", "stores/my_mri/store.json"} <= written
