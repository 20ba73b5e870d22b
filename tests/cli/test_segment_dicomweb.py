"""`segevolution segment` with a DICOMweb service: fetch, segment, store, read back; and what it refuses."""

import json
import socket
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_objects import Stack, series
from dicomweb_server import Archive, serving
from segevolution.cli.app import main
from segevolution.imaging.formats import read, read_labels
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig

pytest.importorskip("dicomweb_client")

Run = Callable[..., tuple[int, str, str]]
_SERIES = "/studies/1.2.4/series/1.2.3"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), folder)
    return folder


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("TOKEN", "USER", "PASSWORD"):
        monkeypatch.delenv(f"SEGEVOLUTION_DICOMWEB_{name}", raising=False)

    def call(*words: object) -> tuple[int, str, str]:
        status = 0
        try:
            main(["segment", *map(str, words), "--model", str(model)])
        except SystemExit as error:
            status = int(error.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with serving() as service:
        service.add(series(tmp_path / "ct", Stack(rows=40, columns=36, slices=10), PatientName="Doe^Jane"))
        yield service


def _refused(run: Run, words: str, *arguments: object) -> str:
    status, out, err = run(*arguments, "--text", "liver")
    assert status == 2
    assert out == ""
    assert words in err
    assert len(err.strip().splitlines()) == 1, err
    assert list(Path().iterdir()) == []
    return err


def test_a_series_is_fetched_segmented_stored_and_read_back(run: Run, archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    status, _, err = run(archive.address + _SERIES, "--text", "liver", "--store", archive.address, "-o", "mask.dcm")
    assert status == 0, err
    assert run(tmp_path / "ct", "--text", "liver", "-o", "local.nii.gz")[0] == 0
    expected = read_labels("local.nii.gz").array
    (stored,) = [files for (_, uid), files in archive.files.items() if uid != "1.2.3"]
    data = pydicom.dcmread(BytesIO(stored[0]))
    assert (data.Modality, data.PatientName, data.StudyInstanceUID) == ("SEG", "Doe^Jane", "1.2.4")
    assert f"/studies/1.2.4/series/{data.SeriesInstanceUID}" in err
    (tmp_path / "stored.dcm").write_bytes(stored[0])
    np.testing.assert_array_equal(read_labels(tmp_path / "stored.dcm", like=read(tmp_path / "ct")).array, expected)
    assert expected.any()
    key = json.loads(Path("mask.json").read_text())
    assert key["image"] == archive.address.replace("dicomweb", "http") + _SERIES


def test_without_o_the_label_map_lies_in_the_current_folder(run: Run, archive: Archive) -> None:
    assert run(archive.address + _SERIES, "--text", "liver")[0] == 0
    assert {path.name for path in Path().iterdir()} == {"1.2.3_seg.nii.gz", "1.2.3_seg.json"}


def test_contours_of_a_folder_are_stored_too(run: Run, archive: Archive, tmp_path: Path) -> None:
    words = ("--text", "liver", "--store", archive.address, "-o", "mask.rtstruct.dcm")
    assert run(tmp_path / "ct", *words)[0] == 0
    (stored,) = [files for (_, uid), files in archive.files.items() if uid != "1.2.3"]
    assert pydicom.dcmread(BytesIO(stored[0])).Modality == "RTSTRUCT"


@pytest.mark.parametrize("kind", ["user", "token", "netrc"])
def test_credentials_come_from_the_environment_or_netrc_and_are_never_shown(
    kind: str, run: Run, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.authorization = "Bearer hush" if kind == "token" else "Basic bWU6aHVzaA=="
    err = _refused(run, "asks who you are (status 401); set SEGEVOLUTION_DICOMWEB_USER", archive.address + _SERIES)
    if kind == "token":
        monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_TOKEN", "hush")
    elif kind == "user":
        monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_USER", "me")
        monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_PASSWORD", "hush")
    else:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\n")
    status, out, err = run(archive.address + _SERIES, "--text", "liver")
    assert status == 0, err
    assert "hush" not in out + err + Path("1.2.3_seg.json").read_text()


def test_wrong_credentials_are_told_from_missing_ones(
    run: Run, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.authorization = "Bearer right"
    monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_TOKEN", "wrong-one")
    err = _refused(run, "refuses the credentials (status 401)", archive.address + _SERIES)
    assert "wrong-one" not in err


def test_credentials_never_travel_in_clear_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_TOKEN", "hush")
    _refused(run, "in clear text through plain HTTP", "dicomweb+http://pacs.invalid/rs" + _SERIES)
    monkeypatch.delenv("SEGEVOLUTION_DICOMWEB_TOKEN")
    monkeypatch.setenv("SEGEVOLUTION_DICOMWEB_USER", "me")
    _refused(run, "belong together", "dicomweb://pacs.invalid/rs" + _SERIES)


def test_what_a_service_does_not_have_or_cannot_send_is_one_sentence(run: Run, archive: Archive) -> None:
    address = archive.address + _SERIES
    _refused(run, "is not there (status 404)", archive.address + "/studies/9.9/series/9.8")
    archive.files["1.2.4", "5.5"] = []
    _refused(run, "is an empty series", archive.address + "/studies/1.2.4/series/5.5")
    archive.broken = b"no DICOM at all"
    _refused(run, "answers with what is no DICOMweb", address)
    archive.broken = None
    archive.status = 500
    _refused(run, "answers with status 500", address)
    archive.status = None
    _refused(run, "GB of memory", address, "--max-gigabytes", "0.000001")


def test_where_nobody_listens_is_one_sentence_at_once(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _refused(run, f"127.0.0.1:{port} cannot be reached", f"dicomweb://127.0.0.1:{port}/rs{_SERIES}")


def test_a_service_that_does_not_let_one_store_is_found_out_before_any_work(
    run: Run, archive: Archive, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    archive.authorization = "Bearer right"
    _refused(run, "asks who you are", tmp_path / "ct", "--store", archive.address, "-o", "mask.dcm")
    assert archive.requests == ["GET /dicom-web/studies?limit=1"]


def test_a_file_that_is_not_taken_is_told_and_stays_here(run: Run, archive: Archive, tmp_path: Path) -> None:
    archive.refuses = True
    words = ("--text", "liver", "--store", archive.address, "-o", "mask.rtstruct.dcm")
    status, _, err = run(tmp_path / "ct", *words)
    assert status == 2
    assert "did not store mask.rtstruct.dcm (failure reason 42752)" in err
    assert Path("mask.rtstruct.dcm").is_file()


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("names no series", ["SERVICE/studies/1.2.4"]),
        ("no address of a DICOMweb service", ["CT", "--store", "http://h/a"]),
        ("takes the address of a service, not of a study", ["CT", "--store", "SERVICE/studies/1.2"]),
        ("is no DICOM file, so it cannot be stored", ["CT", "--store", "SERVICE", "-o", "a.nii.gz"]),
        ("does not go together with --split", ["CT", "--store", "SERVICE", "--split"]),
        ("one series at a time", ["SERVICE/studies/1.2.4/series/1.2.3", "CT"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    words: str, arguments: list[str], run: Run, archive: Archive, tmp_path: Path
) -> None:
    said = [word.replace("SERVICE", archive.address).replace("CT", str(tmp_path / "ct")) for word in arguments]
    _refused(run, words, *said)
    assert archive.requests == []
