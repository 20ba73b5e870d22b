"""MONAI Label's unmodified client against a server process."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra [server] is not installed")
pytest.importorskip("requests", reason="monailabel's client needs requests")
if sys.version_info >= (3, 13):
    pytest.skip("monailabel's client needs cgi, which Python 3.13 no longer has", allow_module_level=True)
pytest.importorskip("monailabel.client.client", reason="monailabel is not installed")

from monailabel.client.client import MONAILabelClient, MONAILabelClientException

from segevolution.imaging.formats import read_labels, write_volume
from segevolution.imaging.prompts import Prompt
from segevolution.inference.labelmap import label_map
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.backbone import BackboneModule

from .conftest import scan
from .running import ServerProcess, serving

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:'cgi' is deprecated"),
    pytest.mark.filterwarnings("ignore:unclosed file"),
]

VOLUME = scan("RAS")


@pytest.fixture(scope="module")
def server(tiny_folder: Path) -> Iterator[ServerProcess]:
    with serving("--model", str(tiny_folder), "--modality", "CT", "--sessions", "2") as running:
        yield running


@pytest.fixture(scope="module")
def network(tiny_folder: Path) -> BackboneModule:
    return load(tiny_folder, device="cpu")


@pytest.fixture
def client(server: ServerProcess, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(f"{server.url}/monai", tmpdir=str(tmp_path))


@pytest.fixture
def session(client: MONAILabelClient, tmp_path: Path) -> Iterator[str]:
    write_volume(VOLUME, tmp_path / "scan.nii.gz")
    token = client.create_session(str(tmp_path / "scan.nii.gz"))["session_id"]
    yield token
    client.remove_session(token)


def test_the_list_of_models_has_what_the_module_reads(client: MONAILabelClient) -> None:
    assert not client.auth_enabled()
    info = client.info()
    assert not info.get("config")
    assert info["models"]["base"]["type"] == "segmentation"
    assert "liver" in info["models"]["base"]["labels"]
    assert info["models"]["base-clicks"]["type"] == "deepgrow"
    assert {model["dimension"] for model in info["models"].values()} == {3}
    for key in ("trainers", "strategies", "scoring", "train_stats", "datastore", "labels"):
        assert key in info


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"label": ["liver", "spleen"]}, id="list"),
        pytest.param({"structures": "liver, spleen"}, id="option"),
    ],
)
def test_structures_by_name_lie_on_the_files_grid(
    client: MONAILabelClient, session: str, network: BackboneModule, said: dict[str, Any]
) -> None:
    file, params = client.infer("base", "", said, session_id=session)
    assert params["label_names"] == {"liver": 1, "spleen": 2}
    labels = read_labels(file)
    assert labels.grid.close_to(VOLUME.grid)
    own = Session(network, VOLUME)
    prompts = [Prompt(VOLUME.grid, name) for name in ("liver", "spleen")]
    expected = label_map(own.segment(prompts, keep_logits=True), own.frame)
    np.testing.assert_array_equal(labels.array, expected)
    assert labels.array.dtype == np.uint8


def test_points_are_voxels_of_the_file(client: MONAILabelClient, session: str, network: BackboneModule) -> None:
    said = {"label": "my tumour", "foreground": [[7, 7, 8], [9, 8, 9]], "background": [[20, 15, 3]]}
    said |= {"result_extension": ".nii.gz", "result_dtype": "uint8"}
    file, params = client.infer("base-clicks", "", said, session_id=session)
    assert params["label_names"] == {"my tumour": 1}
    assert file.endswith(".nii.gz")
    expected = Session(network, VOLUME).segment(points=said["foreground"], negative_points=said["background"])
    np.testing.assert_array_equal(read_labels(file).array > 0, expected.mask)


def test_an_image_may_come_with_its_question(client: MONAILabelClient, tmp_path: Path) -> None:
    write_volume(VOLUME, tmp_path / "scan.nrrd")
    file, params = client.infer("base", "scan", {"label": "liver"}, file=str(tmp_path / "scan.nrrd"))
    assert params["label_names"] == {"liver": 1}
    assert read_labels(file).grid.close_to(VOLUME.grid)


def test_sessions_are_counted_and_end(client: MONAILabelClient, session: str, tmp_path: Path) -> None:
    assert client.get_session(session)["session_id"] == session
    path = str(tmp_path / "scan.nii.gz")
    other = client.create_session(path)["session_id"]
    with pytest.raises(MONAILabelClientException) as full:
        client.create_session(path)
    assert full.value.status_code == 503
    assert client.remove_session(other)["released"]
    with pytest.raises(MONAILabelClientException) as gone:
        client.get_session(other)
    assert gone.value.status_code == 410


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("none of ours", {"label": "liver"}),
        ("base", {"label": "livre"}),
        ("base-clicks", {"background": [[1, 1, 1]]}),
        ("base-clicks", {"foreground": [[99, 1, 1]]}),
        ("base-clicks", {"foreground": "here"}),
        ("base", {"label": "liver", "result_extension": ".exe"}),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    client: MONAILabelClient, session: str, model: str, said: dict[str, Any]
) -> None:
    with pytest.raises(MONAILabelClientException) as refused:
        client.infer(model, "", said, session_id=session)
    assert "Status: 4" in refused.value.msg
    assert "detail" in refused.value.msg


def test_nothing_is_trained_chosen_or_kept_here(client: MONAILabelClient, tmp_path: Path) -> None:
    assert client.train_status(check_if_running=True) is False
    assert client.next_sample("random", {}) == {}
    assert client.datastore()["objects"] == {}
    (tmp_path / "label.nrrd").write_bytes(b"x")
    with pytest.raises(MONAILabelClientException) as kept:
        client.save_label("scan", str(tmp_path / "label.nrrd"))
    assert "keeps no labels" in kept.value.msg
    with pytest.raises(MONAILabelClientException) as without:
        client.infer("base", "scan", {})
    assert "no datastore" in without.value.msg


def test_the_key_is_the_password(tiny_folder: Path, tmp_path: Path) -> None:
    with serving("--model", str(tiny_folder), "--key", "sesame") as server:
        client = MONAILabelClient(f"{server.url}/monai", tmpdir=str(tmp_path))
        assert client.auth_enabled()
        with pytest.raises(MONAILabelClientException) as refused:
            client.info()
        assert refused.value.status_code == 401
        with pytest.raises(MONAILabelClientException):
            client.auth_token("somebody", "guess")
        client.update_auth(client.auth_token("somebody", "sesame"))
        assert client.auth_valid_token()
        assert client.info()["models"]
        write_volume(VOLUME, tmp_path / "scan.nii.gz")
        assert client.create_session(str(tmp_path / "scan.nii.gz"))["session_id"]
