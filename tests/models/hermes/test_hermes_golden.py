"""Hermes' fusion, heads, whole network and losses against the authors' code. See golden/README.md."""

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segevolution.models.hermes.config import HermesConfig, TaskSet
from segevolution.models.hermes.fusion import PriorFusion
from segevolution.models.hermes.heads import ModalityClassifier, PosteriorPrototypes
from segevolution.models.hermes.hermes import Hermes
from segevolution.training.losses import bce_loss, tversky_loss
from segevolution.vocabulary import Modality

GOLDEN = Path(__file__).parents[2] / "golden" / "hermes_tiny_outputs.npz"
CONFIG = HermesConfig(
    tasks=(TaskSet("a", Modality.CT, tuple("abcd")), TaskSet("b", Modality.MRI, tuple("efg"))),
    window=(32, 32, 48),
    width=8,
)
PLACES = ("prior_init_fuse_2", "prior_init_fuse_3", "prior_init_fuse_4", "prior_fuse_5", "prior_fuse_6")


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return {name: stored[name] for name in stored.files}


@cache
def facts() -> dict[str, Any]:
    return json.loads(str(golden()["facts"]))


def tensor(name: str) -> Tensor:
    return torch.from_numpy(golden()[name])


def close(ours: Tensor, name: str, tolerance: float = 1e-5) -> None:
    truth = tensor(name).to(ours.dtype)
    assert ours.shape == truth.shape
    assert (ours - truth).abs().max() <= tolerance * truth.abs().max()


def filled(module: nn.Module, part: str, prefix: str) -> nn.Module:
    """The module under the published names and shapes, all of them, with the weights of the golden run."""
    published, state = facts()[part], {}
    for name, fact in published.items():
        draws = np.random.default_rng(zlib.crc32((prefix + name).encode())).standard_normal(np.prod(fact["shape"]))
        values = draws.reshape(fact["shape"])
        if values.ndim == 1:
            values = 1 + 0.1 * values if "norm" in name and name.endswith("weight") else 0.1 * values
        elif not name.endswith(("task_prior", "modality_prior")):
            values = values / np.sqrt(np.prod(fact["shape"][1:]))
        state[name] = torch.from_numpy(values.astype(np.float32))
        assert float(state[name].double().sum()) == pytest.approx(fact["sum"], abs=1e-3)
    module.load_state_dict(state, strict=True)
    return module.eval()


@torch.inference_mode()
def test_fusion_is_the_authors() -> None:
    fusion = filled(PriorFusion(64, 2, 5, 3), "fusion", "fusion.")
    tasks, modalities = tensor("fusion_tasks"), tensor("fusion_modalities")[:, 0]
    priors, x = fusion.priors(tasks, modalities), tensor("fusion_x")
    close(priors, "fusion_priors_in")
    tokens, after = fusion.attn_layers[0](x.flatten(2).transpose(1, 2), priors)
    close(tokens, "fusion_block0_features")
    close(after, "fusion_block0_priors")
    features, posteriors = fusion(x, tasks, modalities)
    close(features, "fusion_features")
    close(posteriors, "fusion_priors")


@torch.inference_mode()
def test_prototypes_and_the_modality_are_the_authors() -> None:
    head = filled(PosteriorPrototypes(136, 4), "head", "head.")
    prototypes = head([tensor(f"head_task_posteriors_{place}") for place in range(5)])
    close(prototypes, "head_prototypes")
    close(torch.einsum("bcdhw,btc->btdhw", tensor("head_features"), prototypes), "head_logits")
    classifier = filled(ModalityClassifier(136, 3), "modality", "modality.")
    close(classifier([tensor(f"head_modality_posteriors_{place}") for place in range(5)]), "modality_logits")


@torch.inference_mode()
def test_the_whole_network_is_the_authors_under_their_names() -> None:
    network = filled(Hermes(CONFIG), "network", "").double()
    assert isinstance(network, Hermes)
    tasks, modalities = tensor("network_tasks"), tensor("network_modalities")[:, 0]
    before: list[Tensor] = []
    network.prior_init_fuse_4.register_forward_pre_hook(lambda module, given: before.append(given[0]))
    fused = network.late(network.early(tensor("network_x").double()), tasks, modalities)
    close(before[0], "network_features_before_fuse_4")
    for place, posterior in zip(PLACES, fused.posteriors, strict=True):
        close(posterior, f"network_priors_{place}")
    # The authors' logits are of single precision, which adds in another order on each processor: they lie 1.6e-5 of the
    # maximum from double precision, and ours of single precision within 1e-5 of them on some processors only.
    close(network.classify(fused, tasks[0])[..., ::2, ::2, ::2], "network_logits", 2e-5)
    close(network.name_modality(fused), "network_modality_logits")


def test_losses_and_their_gradient_are_the_authors() -> None:
    logits, target = tensor("loss_logits").clone().requires_grad_(), tensor("loss_target").float()
    real = (tensor("loss_tasks") >= 0).flatten()
    each = [loss(logits.flatten(0, 1), target.flatten(0, 1))[real].mean() for loss in (bce_loss, tversky_loss)]
    assert each[0].item() == pytest.approx(float(golden()["loss_bce"]), rel=1e-5)
    assert each[1].item() == pytest.approx(float(golden()["loss_tversky"]), rel=1e-5)
    sum(each).backward()
    assert logits.grad is not None
    close(logits.grad, "loss_gradient")
