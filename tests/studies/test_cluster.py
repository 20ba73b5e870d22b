"""A study on a Dask cluster of two processes, one of which is killed: the same table."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from segevolution.cli.app import main
from segevolution.studies.study import run_study
from segevolution.training.fit_result import FitResult

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'segevolution[dask]'")

import cloudpickle  # noqa: E402
import dask  # noqa: E402

from segevolution.studies.cluster import DaskExecutor  # noqa: E402


class FitThatKillsOnce:
    """Nudges what asks for gradients; the worker that trains for the first time is killed in the middle of it."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def __call__(self, backbone, groups, settings, folder, *, validation=(), device="auto", quiet=False):
        with self.note.open("a") as stream:
            stream.write(f"{os.getpid()} {folder.parent.name}\n")
        if self.note.read_text(encoding="utf-8").count("\n") == 1 and self.note.name == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(0.05 * torch.randn_like(parameter))
        return FitResult(settings.steps, True, 0.0, sum(parameter.numel() for parameter in trained), {})


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes that begin as copies of this one, so that they need not import everything again."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    settings = {"distributed.worker.multiprocessing-method": "fork", "distributed.admin.log-format": "%(message)s"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        yield cluster


def test_a_killed_worker_loses_its_job_only_and_the_table_is_the_same(
    toy_recipe, toy_root, changed, tmp_path, plain_pictures, cluster
):
    recipe = changed(toy_recipe, seeds=[0, 1], prompts=["box"])
    rest = {"root": toy_root, "device": "cpu", "quiet": True}
    here = run_study(recipe, tmp_path / "elsewhere" / "here", fit=FitThatKillsOnce(tmp_path / "nobody"), **rest)
    fit = FitThatKillsOnce(tmp_path / "kill")
    with distributed.Client(cluster) as client:
        there = run_study(recipe, tmp_path / "there", fit=fit, executor=DaskExecutor(client), **rest)
    steady = [name for name in here.table.columns if name != "seconds"]
    assert there.table[steady].equals(here.table[steady])
    assert (there.measured, there.trained, there.missing) == (12, ("lora-s0", "lora-s1"), 0)
    trained = [line.split() for line in (tmp_path / "kill").read_text(encoding="utf-8").splitlines()]
    assert len(trained) == 3
    assert trained[0][1] in {run for _, run in trained[1:]}
    assert {run for _, run in trained} == {"lora-s0", "lora-s1"}
    assert trained[0][0] not in {process for process, _ in trained[1:]}
    assert str(os.getpid()) not in {process for process, _ in trained}
    again = run_study(recipe, tmp_path / "there", fit=fit, **rest)
    assert (again.measured, again.trained) == (0, ())


def test_what_a_worker_cannot_do_is_the_sentence_that_it_would_be_here(
    toy_values, toy_root, tmp_path, plain_pictures, cluster, capsys
):
    for case in (toy_root / "ct" / "cases").iterdir():
        (case / "signal.b2nd").write_bytes(b"junk")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({**toy_values, "methods": [{"name": "base"}]}))
    words = ["study", str(recipe), "-o", str(tmp_path / "out"), "--data", str(toy_root), "--quiet", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--dask", cluster.scheduler_address])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert "signal.b2nd" in error
    assert "Traceback" not in error


def test_no_scheduler_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("segevolution.studies.cluster.CONNECT_SECONDS", 0.2)
    with pytest.raises(SystemExit) as ended:
        main(["study", "demo", "--dask", "tcp://127.0.0.1:9", "--quiet"])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert 'no Dask scheduler answers at "tcp://127.0.0.1:9"' in error
    assert "Traceback" not in error
