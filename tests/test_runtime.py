import os

import pytest
import torch

from segevolution import processors
from segevolution.errors import DeviceError
from segevolution.processors import prepare_threads, usable_processors
from segevolution.runtime import has_bfloat16, resolve_device

ABSENT = [
    name
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
    if not there
]


@pytest.mark.parametrize("name", ["gpu", "", "cpu:7", "meta", "xpu", "cuda:x", "cuda:99", "mps:3", *ABSENT])
def test_a_device_that_is_not_there_is_one_sentence(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert str(caught.value).startswith(f'"{name}"')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 99])
def test_a_device_has_a_name(name):
    with pytest.raises(DeviceError):
        resolve_device(name)


def test_the_processor_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Eight processors, in control groups of files that a test writes."""
    monkeypatch.setattr(processors, "_GROUPS", tmp_path)
    monkeypatch.setattr(processors, "_OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(processors, "_allowed", lambda: 8)
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what is set here goes afterwards
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 3),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu.max": "no number"}, 8),
        ({"own": "0::/pod/box", "pod/cpu.max": "200000 100000", "pod/box/cpu.max": "max 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"own": "3:cpu,cpuacct:/box", "cpu/box/cpu.cfs_quota_us": "9", "cpu/box/cpu.cfs_period_us": "9"}, 1),
        ({"own": "nonsense\n"}, 8),
    ],
)
def test_no_more_processors_are_used_than_a_container_may(groups, files, count):
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert usable_processors() == count
    prepare_threads()
    assert os.environ.get("OMP_NUM_THREADS") == (str(count) if count < 8 else None)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_what_a_person_says_of_threads_stays(groups, monkeypatch):
    (groups / "cpu.max").write_text("200000 100000")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    prepare_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("5", "ACTIVE")


@pytest.mark.parametrize("there", [True, False])
def test_a_processor_says_whether_it_computes_in_bfloat16(monkeypatch, there):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there, raising=False)
    assert has_bfloat16(torch.device("cpu")) is there
    assert has_bfloat16(torch.device("mps"))
