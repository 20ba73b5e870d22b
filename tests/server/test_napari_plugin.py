"""The unmodified plugin of napari under a virtual screen.

napari brings Qt and versions of its own, so it lives in an environment beside ours:

    python -m venv napari && napari/bin/pip install napari==0.9.2 PyQt5 napari-nninteractive==2.5.4
    NAPARI_PYTHON=napari/bin/python python -m pytest -m server tests/server/test_napari_plugin.py
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from segevolution.inference.load import load
from segevolution.inference.session import Session

from .conftest import scan
from .running import serving

pytestmark = pytest.mark.server


def test_a_click_in_napari_is_the_python_sessions_answer(tiny_folder: Path, tmp_path: Path) -> None:
    interpreter, screen = os.environ.get("NAPARI_PYTHON"), shutil.which("xvfb-run")
    if interpreter is None or screen is None:
        pytest.skip("NAPARI_PYTHON names no Python with napari and its plugin, or there is no xvfb-run")
    volume = scan("LPS", (1.0, 1.0, 1.0))
    np.save(tmp_path / "image.npy", np.ascontiguousarray(volume.array.T))
    with serving("--model", str(tiny_folder), "--modality", "CT") as server:
        script = [str(Path(__file__).with_name("napari_click.py")), server.url, str(tmp_path / "image.npy")]
        command = [screen, "-a", interpreter, *script, "8,7,7", str(tmp_path / "answer.npy")]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=900,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
    assert "done" in done.stdout, done.stderr[-2000:]
    expected = Session(load(tiny_folder, device="cpu"), volume).segment(points=[(7, 7, 8)])
    np.testing.assert_array_equal(np.load(tmp_path / "answer.npy").T, expected.mask)
