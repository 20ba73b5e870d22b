"""A round trip through Orthanc: store a series, segment it from its address, store the answer, read it back.

apt-get install orthanc orthanc-dicomweb
python -m pytest -m server tests/server/test_orthanc.py
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_objects import OBLIQUE, Stack, series
from segevolution.cli.app import main
from segevolution.imaging.formats import read, read_labels

pytestmark = pytest.mark.server

_PLUGINS = Path(os.environ.get("ORTHANC_PLUGINS", "/usr/share/orthanc/plugins"))
_STUDY, _SERIES = "1.2.4", "1.2.3"
_SECONDS = 30


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[str]:
    """A service of our own, with a user and a password; its address."""
    program, plugin = shutil.which("Orthanc"), _PLUGINS / "libOrthancDicomWeb.so"
    if program is None or not plugin.is_file():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed; ORTHANC_PLUGINS may name the plugins' folder")
    port = _free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "Plugins": [str(plugin)],
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"me": "hush"},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, tmp_path / "orthanc.json"], stdout=log, stderr=log)
        try:
            _wait_for(port, process, tmp_path / "orthanc.log")
            yield f"dicomweb://127.0.0.1:{port}/dicom-web"
        finally:
            process.terminate()
            process.wait(timeout=_SECONDS)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _run(*words: object) -> int:
    try:
        main([*map(str, words)])
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_series_goes_round_through_orthanc(
    orthanc: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("highdicom")
    pytest.importorskip("dicomweb_client")
    from segevolution.inference.dicomweb import DicomwebService
    from segevolution.inference.dicomweb_address import DicomwebAddress

    folder = series(tmp_path / "ct", Stack(rows=40, columns=36, slices=10, cosines=OBLIQUE), PatientName="Doe^Jane")
    address = f"{orthanc}/studies/{_STUDY}/series/{_SERIES}"
    words = ("segment", address, "--text", "liver", "--model", tiny_folder, "-o", tmp_path / "mask.dcm")
    assert _run(*words) == 2
    assert "asks who you are (status 401)" in capsys.readouterr().err
    monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_USER", "me")
    monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_PASSWORD", "hush")
    assert _run(*words) == 2
    assert "is not there (status 404)" in capsys.readouterr().err
    service = DicomwebService(DicomwebAddress.parse(orthanc))
    for file in sorted(folder.iterdir()):
        service.store(file)
    assert _run(*words, "--store", orthanc) == 0
    said = capsys.readouterr().err
    assert "hush" not in said
    written = pydicom.dcmread(tmp_path / "mask.dcm")
    assert f"/studies/{_STUDY}/series/{written.SeriesInstanceUID}" in said
    (tmp_path / "back").mkdir()
    stored = DicomwebAddress.parse(f"{orthanc}/studies/{_STUDY}/series/{written.SeriesInstanceUID}")
    assert DicomwebService(stored).fetch(tmp_path / "back") == 1
    assert _run("segment", folder, *words[2:6], "-o", tmp_path / "local.nii.gz") == 0
    expected = read_labels(tmp_path / "local.nii.gz").array
    assert expected.any()
    np.testing.assert_array_equal(read_labels(tmp_path / "back", like=read(folder)).array, expected)
