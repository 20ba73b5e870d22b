"""A step sees the same batches however processes and accumulation share them."""

import json
import os
import subprocess
import sys

import pytest
import torch

from segevolution.training.batches import StepDataset
from segevolution.training.module import PromptableModule

SHORT = {"steps": 1, "schedule": "constant", "ema_decay": 0.0, "warmup": 0}


@pytest.mark.long
def test_two_processes_get_the_gradients_that_one_gets_from_the_same_batches(toy, tmp_path, monkeypatch):
    env = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK", "WORLD_SIZE")}
    kept = ["--gradients", tmp_path / "two.pt"]
    stopping = json.dumps(SHORT | {"devices": 2, "steps": 3, "seconds": 0.0})
    run = subprocess.run(
        [sys.executable, toy.__file__, tmp_path / "two", stopping, *kept],
        env=env | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    two = torch.load(tmp_path / "two.pt", weights_only=True)

    one: list = []
    monkeypatch.setattr(PromptableModule, "on_before_optimizer_step", toy.recording(one))
    toy.train(tmp_path / "one", toy.settings(**SHORT | {"steps": 3, "accumulate": 2}))
    assert two[0].keys() == one[0].keys()
    for name, gradient in one[0].items():
        torch.testing.assert_close(two[0][name], gradient, rtol=1e-5, atol=1e-7, msg=name)
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in one[0].values())

    # What two processes began, one goes on with, on the batches that it would have seen from the start.
    rest: list = []
    monkeypatch.setattr(PromptableModule, "on_before_optimizer_step", toy.recording(rest))
    _, result = toy.train(tmp_path / "two", toy.settings(**SHORT | {"steps": 3, "accumulate": 2}))
    assert (result.step, len(rest), len(one)) == (3, 2, 3)
    for name, gradient in one[1].items():
        torch.testing.assert_close(rest[0][name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_accumulated_batches_draw_apart_and_as_processes_would(toy):
    spec = toy.model().spec
    alone = StepDataset(toy.groups(), spec, 12, seed=3, accumulate=4)
    shared = [StepDataset(toy.groups(), spec, 6, seed=3, stream=rank, world=2, accumulate=2) for rank in range(2)]
    plain = StepDataset(toy.groups(), spec, 3, seed=3)
    for step in range(3):
        images = [alone[4 * step + turn].images for turn in range(4)]
        assert torch.equal(images[0], plain[step].images)
        for turn in range(4):
            assert torch.equal(images[turn], shared[turn % 2][2 * step + turn // 2].images)
        assert not torch.equal(images[0], images[1])
