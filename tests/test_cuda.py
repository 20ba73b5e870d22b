"""On a GPU, the same answers within rounding: segmenting, bfloat16, adapters, a training step. Skipped without one."""

import numpy as np
import pytest
import torch

from segevolution.adapters import LoraAdapter, LoraConfig
from segevolution.data.synthesis.patients import simulate_case
from segevolution.imaging.case import Case
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.metrics import dice
from segevolution.vocabulary import Modality

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


@pytest.fixture(scope="module")
def patient() -> Case:
    return simulate_case(7, modality=Modality.CT, sequence="portal", spacing=(4.0, 4.0, 5.0))


def liver(session: Session) -> np.ndarray:
    return session.segment(text="liver").mask


def test_a_mask_is_that_of_the_cpu_but_for_single_voxels(patient: Case) -> None:
    on_cpu, on_gpu = (liver(Session(load(device=device), patient.volume)) for device in ("cpu", "cuda"))
    assert on_cpu.any()
    assert dice(on_gpu, on_cpu) > 0.999


def test_bfloat16_changes_a_mask_little(patient: Case) -> None:
    network = load(device="cuda")
    exact, rounded = (liver(Session(network, patient.volume, precision=each)) for each in ("fp32", "bf16"))
    assert dice(rounded, exact) > 0.97


def test_an_adapter_is_switched_where_the_network_is(patient: Case) -> None:
    network = load(device="cuda")
    base = liver(Session(network, patient.volume))
    adapter = LoraAdapter(LoraConfig(rank=2))
    adapter.attach(network)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            assert parameter.device.type == "cuda"
            parameter.add_(0.02)
    assert not np.array_equal(liver(Session(network, patient.volume)), base)
    adapter.switch_off()
    assert np.array_equal(liver(Session(network, patient.volume)), base)


def test_a_training_step_on_the_gpu_has_the_gradients_of_the_cpu() -> None:
    networks = [load(device="cpu"), load(device="cuda")]
    adapters = [LoraAdapter(LoraConfig(rank=2)) for _ in networks]
    for adapter, network in zip(adapters, networks, strict=True):
        adapter.attach(network)
    adapters[1].load_state(adapters[0].state())  # each device draws by a generator of its own
    images = torch.rand(1, 1, *networks[0].spec.window, generator=torch.Generator().manual_seed(0))
    gradients = []
    for adapter, network in zip(adapters, networks, strict=True):
        network.encode(images.to(network.device), [None]).tokens.square().mean().backward()
        gradients.append([p.grad.cpu() for p in adapter.trainable_parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 10
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-5)
