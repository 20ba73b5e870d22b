import pytest
import torch

from segevolution.errors import DeviceError
from segevolution.runtime import resolve_device

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
