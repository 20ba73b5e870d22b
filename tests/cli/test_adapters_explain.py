import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from segevolution.adapters import create, save_adapter
from segevolution.cli.app import app, main
from segevolution.imaging.formats import write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone

NAMES = ("left adrenal gland", "right adrenal gland", "right kidney", "left kidney", "liver")


@pytest.fixture
def lab(tmp_path):
    """A base model, and an adapter of context priors that has learned something."""
    network = TinyBackbone().eval()
    save_model(network, tmp_path / "base")
    adapter = create("context_prior", {"lora_rank": 0})
    adapter.attach(network)
    adapter.add_structures(NAMES)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(0.05)
    save_adapter(adapter, network, tmp_path / "prior")
    return tmp_path


def run(*words: object):
    outcome = CliRunner().invoke(app, ["adapters", "explain", *map(str, words)])
    assert outcome.exit_code == 0, outcome.output
    return outcome


def test_explain_prints_what_the_tokens_say_without_the_base(lab):
    outcome = run(lab / "prior")
    assert all(name in outcome.stdout for name in NAMES)
    assert "left adrenal gland - right adrenal gland + right kidney against left kidney: cosine" in outcome.stderr
    found = json.loads(run(lab / "prior", "--json").stdout)
    assert found["structures"] == list(NAMES)
    assert np.shape(found["similarity"]) == (5, 5)
    assert np.shape(found["tsne"]) == np.shape(found["pca"]) == (5, 2)
    assert found["added"] == {}
    assert found["analogies"][0]["among"] == 2


def test_explain_writes_figures_and_tables(lab):
    run(lab / "prior", "-o", lab / "out")
    assert (lab / "out" / "map.png").stat().st_size > 1000
    assert (lab / "out" / "structures.csv").read_text("utf-8").count("\n") == 6


def test_with_the_base_the_additive_part_is_measured_on_an_image(lab):
    array = np.random.default_rng(0).normal(100, 20, (24, 24, 10)).astype(np.float32)
    write_volume(Volume(array, Grid(array.shape, np.eye(4))), lab / "mr.nii.gz")
    words = [lab / "prior", "--base", lab / "base", "--image", lab / "mr.nii.gz", "--modality", "MRI"]
    found = json.loads(run(*words, "--json", "-o", lab / "out").stdout)
    assert set(found["added"]) == set(NAMES)
    assert all(0 < size < 10 for size in found["added"].values())
    assert f"{100 * found['added']['liver']:.1f} %" in run(*words).stdout
    row = (lab / "out" / "structures.csv").read_text("utf-8").splitlines()[5].split(",")
    assert float(row[2]) == pytest.approx(found["added"]["liver"])


def test_an_image_without_a_network_is_refused_in_a_sentence(lab, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["adapters", "explain", str(lab / "prior"), "--image", "x.nii.gz"])
    assert stop.value.code == 2
    assert "name that one with --base" in capsys.readouterr().err
