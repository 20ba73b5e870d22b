"""A training checkpoint holds tensors and plain values, comes back as it was, and anything else is refused."""

import json
import math
import os
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from segevolution.errors import CheckpointError
from segevolution.training import checkpoint_file
from segevolution.training.checkpoint_file import read_checkpoint, step_of, write_checkpoint

MINIMAL = {
    "global_step": 3,
    "state_dict": {},
    "average": {},
    "loops": {},
    "callbacks": {},
    "optimizer_states": [],
    "lr_schedulers": [],
}


class Payload:
    """Unpickled by anything that trusts it, it makes a folder."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def test_a_checkpoint_comes_back_value_for_value_and_type_for_type(tmp_path):
    shared = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    state = {
        "tensor": shared,
        "view of it": shared.T,
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 2),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "whole": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "state": {0: {"step": torch.tensor(1.0)}, 1: {}},
        "groups": [{"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "params": [0, 1], "foreach": None, "fused": True}],
        "numbers": [1, -1.0, 1e-300, math.inf, -math.inf, math.nan, 2**70],
        "text": {"Milz, ß \n": "", "$": "an odd key", "nested": {"$": {"$": 1}}},
        "nothing": [{}, [], ()],
    }
    checkpoint = {**MINIMAL, "callbacks": state}
    write_checkpoint(tmp_path / "a.ckpt", checkpoint)
    assert same(read_checkpoint(tmp_path / "a.ckpt"), checkpoint)
    assert step_of(tmp_path / "a.ckpt") == 3
    assert step_of(tmp_path / "none.ckpt") == 0


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", print, {(1, 2): 3}, Payload("x")], ids=lambda value: type(value).__name__
)
def test_what_is_not_plain_is_not_written(tmp_path, value):
    with pytest.raises(CheckpointError, match="plain values only"):
        write_checkpoint(tmp_path / "a.ckpt", {**MINIMAL, "callbacks": {"x": [value]}})
    assert not list(tmp_path.iterdir())


def test_no_bit_of_a_checkpoint_can_change_unnoticed(tmp_path):
    path = tmp_path / "last.ckpt"
    tensors = {"weight": torch.arange(6.0).reshape(2, 3)}
    write_checkpoint(path, {**MINIMAL, "state_dict": tensors, "callbacks": {"Keeper": {"factor": 0.5}}})
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last\.ckpt is"):
            read_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 1, 8, 100, -1])
def test_a_checkpoint_that_was_cut_short_is_named(tmp_path, keep):
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, MINIMAL | {"state_dict": {"weight": torch.ones(5)}})
    path.write_bytes(path.read_bytes()[:keep])
    for read in (read_checkpoint, step_of):
        with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged \(.+\), so this run cannot go on from it"):
            read(path)


@pytest.mark.parametrize(
    "state", ["[]", "null", "{", "[" * 100_000, '{"$": "odd", "of": 1}', '{"$": "tensor", "of": "9"}', "{}"]
)
def test_a_state_that_makes_no_sense_is_refused_even_with_its_checksum(tmp_path, state):
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, MINIMAL)
    metadata = {"format": checkpoint_file.FORMAT, "state": state, "crc32": checkpoint_file._checksum(state, {})}
    save_file({}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        read_checkpoint(path)


def test_a_model_is_no_checkpoint(tmp_path):
    save_file({"weight": torch.ones(1)}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("form", ["torch", "legacy", "bare"])
def test_a_pickled_checkpoint_is_not_opened(toy, tmp_path, form):
    path, marker = tmp_path / "run" / "last.ckpt", tmp_path / "marker"
    path.parent.mkdir()
    content = {**MINIMAL, "callbacks": Payload(marker)}
    if form == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is a pickle.*could run code.*new folder"):
        toy.train(path.parent, toy.settings())
    assert not marker.exists()
    torch.load(path, weights_only=False) if form != "bare" else pickle.loads(path.read_bytes())
    assert marker.exists(), "the payload does nothing, so nothing was shown"


def test_a_run_does_not_go_on_from_another_networks_optimiser(toy, tmp_path):
    toy.train(tmp_path, toy.settings(seconds=0.0))
    path = tmp_path / "last.ckpt"
    checkpoint = read_checkpoint(path)
    first = checkpoint["optimizer_states"][0]["state"][0]
    first["exp_avg"] = torch.zeros(2, 2)
    write_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged \(its optimiser is of another network\)"):
        toy.train(tmp_path, toy.settings())


def test_a_run_does_not_go_on_with_other_groups_of_rates(toy, tmp_path):
    toy.train(tmp_path, toy.settings(seconds=0.0))
    changed = toy.settings(lr_multipliers={"patches": 2.0})
    with pytest.raises(CheckpointError, match=r"begun with lr_multipliers {}, and is now asked for {'patches': 2\.0};"):
        toy.train(tmp_path, changed)
    path = tmp_path / "last.ckpt"
    older = read_checkpoint(path)
    del older["callbacks"]["Keeper"]["settings"]
    write_checkpoint(path, older)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is of a run with other settings .*parameter group"):
        toy.train(tmp_path, changed)


@pytest.mark.parametrize("part", ["state_dict", "average"])
def test_weights_of_other_shapes_are_refused(toy, tmp_path, part):
    chosen = toy.settings(steps=2, ema_decay=0.9)
    toy.train(tmp_path, chosen)
    path = tmp_path / "last.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint[part]["backbone.mask_tokens"] = torch.zeros(1, 1)
    write_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match=r"backbone\.mask_tokens and 0 more"):
        toy.train(tmp_path, replace(chosen, steps=4))


def test_the_file_is_read_by_safetensors_alone(toy, tmp_path):
    toy.train(tmp_path, toy.settings(steps=2))
    content = (tmp_path / "last.ckpt").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["state"])["global_step"] == 2
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(content)


def test_a_checkpoint_whose_first_byte_is_that_of_a_pickle_is_read(tmp_path):
    for pad in range(64):  # the first byte is the length of the header, in steps of eight
        path = tmp_path / f"{pad}.ckpt"
        parts = {"state_dict": {}, "average": {}, "loops": {}, "callbacks": {"pad": "x" * 8 * pad}}
        write_checkpoint(path, {"global_step": 1, "optimizer_states": [], "lr_schedulers": [], **parts})
        if path.read_bytes()[:1] == b"\x80":
            assert read_checkpoint(path)["global_step"] == 1
            return
    pytest.fail("no header of that length was made")
