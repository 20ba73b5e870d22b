"""Every method on every kind of network: the tiny variants, each with prompts that it accepts."""

import pytest
import torch
from torch import Tensor

from segevolution.adapters import (
    ContextPriorConfig,
    LoraConfig,
    MixtureConfig,
    create,
    load_adapter,
    save_adapter,
    trainable,
)
from segevolution.adapters.base import BaseAdapter
from segevolution.imaging.prompts import PromptKind
from segevolution.models.backbone import BackboneModule, PromptBatch
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.vocabulary import Context, Modality

SETTINGS = {
    "lora": LoraConfig(rank=2),
    "mixture": MixtureConfig(rank=2),
    "context_prior": ContextPriorConfig(lora_rank=2),
    "decoder": None,
    "bias": None,
    "full": None,
}
CONTEXTS = [Context(Modality.MRI, "liver"), Context(Modality.CT, "spleen")]


@pytest.fixture(params=sorted(VARIANTS))
def variant(request: pytest.FixtureRequest) -> BackboneModule:
    return TinyBackbone(VARIANTS[request.param]).eval()


def decode(network: BackboneModule) -> Tensor:
    """(2, 1, d, h, w): logits of one prompt on an MRI image, and of one on a CT image, asked apart."""
    images = torch.rand(2, 1, *network.spec.window, generator=torch.Generator().manual_seed(0))
    answers = []
    for image, context, spot in zip(images, CONTEXTS, ([0.0, 5, 7], [0.0, 9, 3]), strict=True):
        name = context.structure if PromptKind.TEXT in network.spec.accepts else None
        placed = PromptKind.POINT in network.spec.accepts
        prompts = PromptBatch(
            torch.tensor([0]),
            (name,),
            torch.tensor([[spot]]) if placed else None,
            torch.ones(1, 1, dtype=torch.int64) if placed else None,
        )
        answers.append(network.decode(network.encode(image[None], [context.modality]), prompts, [context]).logits)
    return torch.cat(answers)


def adapter_of(method: str) -> BaseAdapter:
    settings = SETTINGS[method]
    return create(method, {} if settings is None else settings.to_dict())


@pytest.mark.parametrize("method", SETTINGS)
def test_it_starts_as_the_base_learns_and_is_read_again(variant, method, tmp_path):
    other = TinyBackbone(variant.config).eval()
    base, adapter = decode(variant).detach(), adapter_of(method)
    adapter.attach(variant)
    assert torch.equal(decode(variant), base)
    optimizer = torch.optim.Adam(adapter.trainable_parameters(), lr=0.02)
    for _ in range(2):
        optimizer.zero_grad()
        decode(variant.train()).square().mean().backward()
        optimizer.step()
    variant.eval()
    with torch.no_grad():
        adapted = decode(variant)
        assert not torch.equal(adapted[0], base[0])
        if method == "mixture":
            assert torch.equal(adapted[1], base[1])  # CT goes to identity
        save_adapter(adapter, variant, tmp_path / method)
        adapter.detach()
        assert torch.equal(decode(variant), base)
        load_adapter(tmp_path / method, other)
        assert torch.equal(decode(other), adapted)


def test_each_group_that_a_network_names_chooses_something(variant):
    for group in variant.spec.layer_groups:
        adapter = create("lora", {"targets": [group], "rank": 1})
        adapter.attach(variant)
        assert trainable(variant)
        adapter.detach()
    for group in variant.spec.parameter_groups:
        adapter = create("full", {"parts": [group]})
        adapter.attach(variant)
        assert trainable(variant)
        adapter.detach()
