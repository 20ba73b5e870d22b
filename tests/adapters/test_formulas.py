"""Numbers of adapters against what their papers and settings say, worked out beside them."""

import math

import pytest
import torch

from segevolution.adapters import create
from segevolution.adapters.mixture.config import MixtureConfig
from segevolution.adapters.mixture.decision import while_learning
from segevolution.adapters.mixture.gates import LearnedGate
from segevolution.adapters.prior.prototypes import AdditivePrototypes
from segevolution.models.backbone import DecoderSizes
from segevolution.vocabulary import Modality


def test_additive_prototypes_are_an_mlp_times_the_scale():
    torch.manual_seed(0)
    part = AdditivePrototypes(6, 5, DecoderSizes(width=4, masks=3, vector=2), scale=0.25)
    torch.nn.init.normal_(part.outer.weight)
    torch.nn.init.normal_(part.outer.bias)
    posterior = torch.randn(2, 3, 2)
    hidden = (posterior.reshape(2, 6) @ part.inner.weight.T + part.inner.bias).clamp_min(0)
    expected = 0.25 * (hidden @ part.outer.weight.T + part.outer.bias).reshape(2, 3, 4)
    assert torch.allclose(part(posterior), expected, atol=1e-6)
    assert not torch.allclose(part(posterior), expected / 0.25, atol=1e-2)


@pytest.mark.parametrize("scale", [0.0, 0.1, 2.0])
def test_the_scale_in_the_settings_is_the_prototypes(tiny, scale):
    adapter = create("context_prior", {"prototype": "additive", "scale": scale})
    adapter.attach(tiny)
    assert adapter.network.additive.scale == scale


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.3, 200, 400), (0.9, 850, 950)])
def test_a_gate_loses_the_modality_as_often_as_the_settings_say(share, low, high, monkeypatch):
    torch.manual_seed(0)
    config = MixtureConfig(gate="learned+modality", modality_dropout=share, hidden=4)
    gate = LearnedGate(4, 4, config.choices, reads_modality=True)
    seen = []
    forward = LearnedGate.forward

    def watching(self, values, modalities):
        seen.extend(modalities)
        return forward(self, values, modalities)

    monkeypatch.setattr(LearnedGate, "forward", watching)
    while_learning(config, gate, torch.randn(1000, 4), (Modality.MRI,) * 1000)
    assert len(seen) == 1000
    assert low <= sum(modality is None for modality in seen) <= high
    assert math.isclose(MixtureConfig().modality_dropout, 0.1)
