"""Volumes in, by the server's own API: formats, limits, and what is never told."""

import io
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segevolution.files import PARTIAL, process_name
from segevolution.imaging.formats import read_labels
from segevolution.imaging.volume import Volume
from segevolution.memory import MemoryBudget

from .conftest import Serve, begun, file_bytes, scan, uploaded, with_volume

needs_highdicom = pytest.mark.skipif(find_spec("highdicom") is None, reason="needs the extra [dicom]")


def dicom_zip(volume: Volume, *, folder: str = "series") -> bytes:
    """A series of an LPS volume, as a zip with what zips bring along."""
    stream = io.BytesIO()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/README.txt", "made by a test")
        archive.writestr(f"__MACOSX/{folder}/._1.dcm", "resource fork")
        for number in range(volume.array.shape[2]):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
            meta.MediaStorageSOPInstanceUID = generate_uid()
            data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = series, study, frame
            data.Modality, data.PatientName, data.InstanceNumber = "CT", "Somebody", number + 1
            place = volume.grid.to_mm([[0, 0, number]])[0] * [-1, -1, 1]
            data.ImagePositionPatient = [f"{value:.6f}" for value in place]
            data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            data.PixelSpacing = [volume.grid.spacing[1], volume.grid.spacing[0]]
            data.Rows, data.Columns = volume.array.shape[1], volume.array.shape[0]
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.BitsAllocated = data.BitsStored = 16
            data.HighBit, data.PixelRepresentation = 15, 1
            data.PixelData = np.ascontiguousarray(volume.array[:, :, number].T).tobytes()
            one = io.BytesIO()
            pydicom.dcmwrite(one, data, enforce_file_format=True)
            archive.writestr(f"{folder}/{number}.dcm", one.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_file_comes_back_as_nifti_on_its_own_grid(serve: Serve, tmp_path: Path, suffix: str) -> None:
    client, sent = serve(), scan("SAL")
    volume = uploaded(client, file_bytes(sent, tmp_path / f"a{suffix}"), f"a{suffix}")
    assert (volume["shape"], volume["orientation"], volume["modality"]) == ([24, 20, 14], "SAL", "CT")
    np.testing.assert_allclose(volume["affine"], sent.grid.affine, atol=1e-4)
    content = client.get(volume["image"]).content
    image = nib.Nifti1Image.from_bytes(content)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), sent.array)
    np.testing.assert_allclose(image.affine, sent.grid.affine, atol=1e-4)
    assert client.get(f"{volume['image']}.gz").content[:2] == b"\x1f\x8b"
    assert client.get(volume["image"].replace("image.nii", "image.txt")).status_code == 404


def test_a_zip_of_dicom_says_its_modality_itself(serve: Serve) -> None:
    client, sent = serve(), scan()
    volume = uploaded(client, dicom_zip(sent), "series.zip", modality="")
    assert (volume["modality"], volume["orientation"]) == ("CT", "LPS")
    image = nib.Nifti1Image.from_bytes(client.get(volume["image"]).content)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), sent.array)
    assert "Somebody" not in str(volume)


def answered(client: Any, sent: Volume) -> str:
    """The address of a session on a DICOM series of this volume, with an answer."""
    address = begun(client, uploaded(client, dicom_zip(sent), "series.zip", modality=""))
    client.post(f"{address}/structures", json={"name": "liver"})
    body = {"kind": "box", "corners": [[0, 0, 0], [5, 6, 7]]}
    assert client.post(f"{address}/structures/1/prompts", json=body).status_code == 200
    return address


@needs_highdicom
def test_label_maps_of_a_dicom_series_are_saved_as_dicom(serve: Serve, tmp_path: Path) -> None:
    client, sent = serve(), scan()
    assert "dcm" in client.get("/api/server").json()["formats"]["labels"]
    address = answered(client, sent)
    reply = client.get(f"{address}/labels", params={"format": "dcm"})
    assert reply.headers["content-disposition"] == 'attachment; filename="series_seg.dcm"'
    data = pydicom.dcmread(io.BytesIO(reply.content))
    assert (data.Modality, data.PatientName) == ("SEG", "Somebody")
    (tmp_path / "a.nii").write_bytes(client.get(f"{address}/labels", params={"format": "nii"}).content)
    count = int((read_labels(tmp_path / "a.nii").array > 0).sum())
    assert int(data.pixel_array.sum()) == count > 0


def test_label_maps_of_a_dicom_series_are_saved_as_structure_sets(serve: Serve) -> None:
    client, sent = serve(), scan()
    assert "rtstruct.dcm" in client.get("/api/server").json()["formats"]["labels"]
    address = answered(client, sent)
    reply = client.get(f"{address}/labels", params={"format": "rtstruct.dcm"})
    assert reply.headers["content-disposition"] == 'attachment; filename="series_seg.rtstruct.dcm"'
    data = pydicom.dcmread(io.BytesIO(reply.content))
    assert (data.Modality, data.PatientName) == ("RTSTRUCT", "Somebody")
    assert [region.ROIName for region in data.StructureSetROISequence] == ["structure 1", "liver"]
    assert data.ROIContourSequence[0].ContourSequence


@pytest.mark.parametrize("form", [pytest.param("dcm", marks=needs_highdicom), "rtstruct.dcm"])
def test_a_label_map_of_another_file_is_not_saved_as_dicom(serve: Serve, tmp_path: Path, form: str) -> None:
    client = serve()
    address = begun(client, uploaded(client, file_bytes(scan(), tmp_path / "a.nii"), "a.nii"))
    client.post(f"{address}/structures", json={"name": "liver"})
    reply = client.get(f"{address}/labels", params={"format": form})
    assert reply.status_code == 400
    assert "refers to a DICOM series" in reply.text
    assert "/tmp" not in reply.text


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, np.float64, np.float32])
def test_voxels_reach_a_browser_in_types_that_it_can_show(serve: Serve, tmp_path: Path, dtype: Any) -> None:
    client = serve()
    sent = with_volume(scan(), array=np.abs(scan().array).clip(0, 250).astype(dtype))
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(sent.array, sent.grid.affine, dtype=dtype), path)
    volume = uploaded(client, path.read_bytes(), "a.nii")
    shown = nib.Nifti1Image.from_bytes(client.get(volume["image"]).content)
    assert shown.get_data_dtype().itemsize <= 4
    np.testing.assert_array_equal(np.asanyarray(shown.dataobj), sent.array)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        pytest.param("a.nii.gz", b"", 400, id="empty"),
        pytest.param("a.nii.gz", b"\x1f\x8b garbage", 400, id="damaged"),
        pytest.param("a.nii", b"x" * 400, 400, id="no nifti"),
        pytest.param("a.dcm", b"x" * 400, 400, id="no dicom"),
        pytest.param("a.zip", b"PK\x03\x04 garbage", 400, id="no zip"),
        pytest.param("a.txt", b"x", 422, id="suffix"),
        pytest.param("a.mhd", b"ElementDataFile = /etc/passwd", 422, id="header alone"),
        pytest.param("../a.nii", b"x", 422, id="path"),
        pytest.param("/etc/a.nii", b"x", 422, id="absolute"),
        pytest.param("a\x00.nii", b"x", 422, id="null"),
        pytest.param("a.nrrd", b"NRRD0004\ndata file: /etc/passwd\n\n", 400, id="names a file here"),
        pytest.param("a.mha", b"NDims = 3\nElementDataFile = /etc/passwd\n", 400, id="names a file, too"),
    ],
)
def test_a_bad_file_is_one_sentence_that_holds_no_path_of_ours(
    serve: Serve, name: str, content: bytes, status: int
) -> None:
    client = serve()
    reply = client.post("/api/volumes", params={"name": name}, content=content)
    assert reply.status_code == status
    said = reply.json()["error"]
    assert said.endswith(".")
    assert "/tmp" not in said
    assert PARTIAL not in said
    assert "root:" not in said


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_zip_that_unpacks_to_more_than_there_may_be_is_stopped(serve: Serve) -> None:
    client = serve(volume_bytes=1_000_000)
    reply = client.post("/api/volumes?name=a.zip", content=_zip(bomb=b"\0" * 5_000_000))
    assert (reply.status_code, reply.json()["kind"]) == (413, "TooLarge")


def test_a_zip_of_what_is_no_dicom_is_said_to_be_one(serve: Serve, scan_bytes: bytes) -> None:
    reply = serve().post("/api/volumes?name=a.zip", content=_zip(**{"folder/scan.nii.gz": scan_bytes}))
    assert reply.status_code == 400
    assert reply.json()["error"] == "a.zip holds no DICOM files but other images; send such a file as it is."


def test_names_in_a_zip_lead_nowhere(serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "planted.dcm"
    client = serve()
    reply = client.post("/api/volumes?name=a.zip", content=_zip(**{f"../../../..{target}": b"x", str(target): b"x"}))
    assert reply.status_code == 400
    assert not target.exists()


def test_a_volume_beyond_the_limit_is_refused_before_it_is_unpacked(serve: Serve, scan_bytes: bytes) -> None:
    client = serve(volume_bytes=5_000)
    reply = client.post("/api/volumes?name=a.nii.gz", content=scan_bytes)
    assert (reply.status_code, reply.json()["kind"]) == (413, "OversizeError")


def test_volumes_of_idle_sessions_make_room_and_used_ones_do_not(serve: Serve, tmp_path: Path) -> None:
    one = scan().array.nbytes
    client = serve(memory=MemoryBudget(5 * one // 2, stated=True))
    volumes = [
        uploaded(
            client, file_bytes(with_volume(scan(), array=scan().array + shift), tmp_path / f"{shift}.nii"), "a.nii"
        )
        for shift in range(3)
    ]
    assert client.get(f"/api/volumes/{volumes[0]['id']}").status_code == 410
    assert client.get(f"/api/volumes/{volumes[2]['id']}").status_code == 200


def test_a_volume_that_does_not_fit_is_refused_as_full(serve: Serve, scan_bytes: bytes) -> None:
    client = serve(memory=MemoryBudget(1_000, stated=True))
    reply = client.post("/api/volumes?name=a.nii.gz", content=scan_bytes)
    assert (reply.status_code, reply.json()["kind"]) == (503, "Full")


def test_equal_volumes_are_one_and_keep_the_names_that_each_client_gave(serve: Serve, scan_bytes: bytes) -> None:
    client = serve()
    mine, yours = uploaded(client, scan_bytes, "mine.nii.gz"), uploaded(client, scan_bytes, "yours.nii.gz")
    assert mine["id"] != yours["id"]
    assert (mine["name"], yours["name"]) == ("mine.nii.gz", "yours.nii.gz")
    assert len(client.app.state.service.volumes) == 1  # type: ignore[attr-defined]
    other = uploaded(client, scan_bytes, "mine.nii.gz", modality="MRI")
    assert other["id"] != mine["id"]
    assert len(client.app.state.service.volumes) == 2  # type: ignore[attr-defined]


def test_an_example_needs_no_file(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    monkeypatch.setattr("segevolution.server.examples._made", lambda example: scan())
    names = [example["id"] for example in client.get("/api/examples").json()["examples"]]
    assert names == ["ct", "mri"]
    volume = client.post("/api/volumes?example=ct").json()
    assert volume["name"] == "example_ct"
    begun(client, volume)
    assert client.post("/api/volumes?example=knee").status_code == 404
    assert client.post("/api/volumes?example=ct&name=a.nii").status_code == 422
    assert client.post("/api/volumes").status_code == 422


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
def test_a_form_is_no_file(serve: Serve, kind: str) -> None:
    reply = serve().post("/api/volumes?name=a.nii", content=b"{}", headers={"Content-Type": kind})
    assert reply.status_code == 415


def test_what_a_file_does_not_say_can_be_said_beside_it(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    nib.save(nib.Nifti1Image(scan().array, None), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    unstated = uploaded(client, content, "a.nii")
    assert not unstated["orientation_stated"]
    assert any("axes point" in warning for warning in unstated["warnings"])
    assert uploaded(client, content, "a.nii", orientation="RAS")["orientation"] == "RAS"
    reply = client.post("/api/volumes", params={"name": "a.nii", "spacing": "1,x"}, content=content)
    assert reply.status_code == 422


def test_nothing_of_an_upload_is_left_not_even_by_a_killed_server(
    serve: Serve, scan_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    left = tmp_path / "temporary" / f"{PARTIAL}{process_name().rpartition('-')[0]}-99999999-x"
    left.mkdir(parents=True)
    client = serve()
    assert not left.exists()
    uploaded(client, scan_bytes)
    client.post("/api/volumes?name=a.nii.gz", content=b"damaged")
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("method", "address", "words", "status"),
    [
        ("POST", "/api/volumes?name=a.nii.gz&modalty=MRI", 'no query key "modalty"; this route has', 422),
        ("GET", "/api/health?verbose=1", "this route has none", 422),
        ("POST", "/api/health", "does not take that method", 405),
        ("GET", "/api/nothing", "there is no route", 404),
    ],
)
def test_a_misspelt_address_is_not_passed_over(
    serve: Serve, scan_bytes: bytes, method: str, address: str, words: str, status: int
) -> None:
    answer = serve().request(method, address, content=scan_bytes if method == "POST" else None)
    assert answer.status_code == status
    assert words in answer.json()["error"]
