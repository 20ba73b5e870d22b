"""Killed, full, unreadable: what a run leaves behind, and how it goes on."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from segevolution.errors import OutputError, StoreError
from segevolution.training.batches import StepDataset
from segevolution.training.checkpoint_file import read_checkpoint

EVERYTHING = {
    "steps": 10,
    "accumulate": 2,
    "ema_decay": 0.9,
    "schedule": "plateau",
    "plateau_patience": 1,
    "learning_rate": 0.2,  # far too high, so that validation does not get better each time
    "patience": 9,
    "keep_weights": "best",
    "validate_every": 2,
    "validation": {"volumes": 2, "prompts": ["text", "box"]},
}


def losses(folder) -> dict[int, str]:
    """Step -> loss as it was written, over all calls of a run; a later call's stands."""
    found = {}
    for path in sorted((folder / "curves").glob("*/metrics.csv")):
        with path.open() as stream:
            found |= {int(row["step"]): row["train/segmentation"] for row in csv.DictReader(stream)}
    return {step: loss for step, loss in found.items() if loss}


def checkpoint(folder, name="last.ckpt"):
    return read_checkpoint(folder / name)


@pytest.mark.long
def test_a_run_killed_within_an_accumulation_ends_as_if_nothing_had_happened(toy, tmp_path):
    whole, _ = toy.train(tmp_path / "whole", toy.settings(**EVERYTHING))
    killed = subprocess.run(
        [sys.executable, toy.__file__, tmp_path / "killed", json.dumps(EVERYTHING), "--die-at", "13"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert checkpoint(tmp_path / "killed")["global_step"] == 6  # batch 13 is the second half of step 7
    again, result = toy.train(tmp_path / "killed", toy.settings(**EVERYTHING))
    assert result.finished
    for name, value in toy.weights(whole).items():
        assert torch.equal(value, toy.weights(again)[name]), name
    ends = [checkpoint(tmp_path / folder) for folder in ("whole", "killed")]
    assert ends[0]["callbacks"] == ends[1]["callbacks"]
    assert ends[0]["callbacks"]["Keeper"]["factor"] < 1, "the plateau had no say, so nothing was shown of it"
    assert ends[0]["lr_schedulers"] == ends[1]["lr_schedulers"]
    states = [end["optimizer_states"][0]["state"] for end in ends]
    assert all(torch.equal(states[0][key]["exp_avg"], states[1][key]["exp_avg"]) for key in states[0])
    curve = losses(tmp_path / "whole")
    assert len(curve) >= 2
    assert losses(tmp_path / "killed") == curve


def test_a_run_that_validation_ended_stays_ended(toy, tmp_path):
    chosen = toy.settings(
        steps=20, learning_rate=0.5, validate_every=1, patience=2, ema_decay=0, validation={"volumes": 2}
    )
    _, result = toy.train(tmp_path, chosen)
    assert result.finished
    assert result.step < 20
    before = (tmp_path / "last.ckpt").read_bytes()
    _, again = toy.train(tmp_path, chosen)
    assert (again.finished, again.step) == (True, result.step)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays_whole(toy, tmp_path, monkeypatch):
    original = StepDataset.__getitem__
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(self, index):
        if index == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        return original(self, index)

    monkeypatch.setattr(StepDataset, "__getitem__", filling)
    try:
        with pytest.raises(OutputError, match=r"^.*last\.ckpt cannot be written: File too large\.$"):
            toy.train(tmp_path, toy.settings())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint(tmp_path)["global_step"] == 2
    assert not list(tmp_path.glob(".partial-*"))
    monkeypatch.setattr(StepDataset, "__getitem__", original)
    _, result = toy.train(tmp_path, toy.settings())
    assert result.step == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_a_case_that_cannot_be_read_any_more_is_one_sentence(toy, tmp_path, monkeypatch, workers):
    original = StepDataset.__getitem__

    def lost(self, index):
        if index == 5:
            raise StoreError("case7 cannot be read; put it back.")
        return original(self, index)

    monkeypatch.setattr(StepDataset, "__getitem__", lost)
    with pytest.raises(StoreError, match=r"^case7 cannot be read; put it back\.$"):
        toy.train(tmp_path, toy.settings(workers=workers))
    assert checkpoint(tmp_path)["global_step"] == 4


def test_a_disk_that_fails_elsewhere_says_how_to_go_on(toy, tmp_path, monkeypatch):
    original = StepDataset.__getitem__

    def failing(self, index):
        if index == 3:
            raise OSError(28, "No space left on device", "curves/0/metrics.csv")
        return original(self, index)

    monkeypatch.setattr(StepDataset, "__getitem__", failing)
    with pytest.raises(OutputError, match=r"stopped at step 3: curves/0/metrics\.csv .*No space.*last\.ckpt is whole"):
        toy.train(tmp_path, toy.settings())


def test_time_that_is_up_within_an_accumulation_waits_for_the_step(toy, tmp_path):
    chosen = toy.settings(accumulate=3, ema_decay=0.9)
    whole, _ = toy.train(tmp_path / "whole", chosen)
    _, result = toy.train(tmp_path / "stopped", replace(chosen, seconds=0.0))
    assert (result.step, result.finished) == (1, False)
    again, _ = toy.train(tmp_path / "stopped", chosen)
    for name, value in toy.weights(whole).items():
        assert torch.equal(value, toy.weights(again)[name]), name
