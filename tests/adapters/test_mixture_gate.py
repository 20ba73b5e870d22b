"""What a learned gate reads of an image, and how it is standardised."""

from dataclasses import replace

import pytest
import torch

from segevolution.adapters import create
from segevolution.adapters.mixture.config import MixtureConfig
from segevolution.adapters.mixture.decision import while_learning
from segevolution.adapters.mixture.gates import LearnedGate, Standardised, input_count, inputs
from segevolution.errors import AdapterError
from segevolution.models.backbone import DecoderSizes, Features
from segevolution.vocabulary import Modality

CT, MRI = Modality.CT, Modality.MRI


def channels(count: int, images: int = 3) -> torch.Tensor:
    return torch.randn(images, count, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def test_it_reads_mean_and_deviation_of_the_finest_map_or_of_tokens_where_there_is_none():
    coarse, fine = channels(6), channels(4)
    features = Features(torch.zeros(3, 32, 8), (2, 4, 4), (coarse, fine), (CT,) * 3)
    sizes = DecoderSizes(width=8, masks=4, vector=2, finest=4)
    expected = torch.cat([fine.flatten(2).mean(dim=2), fine.flatten(2).std(dim=2)], dim=1)
    assert torch.equal(inputs(features, sizes), expected)
    assert expected.shape[1] == input_count(sizes) == 8
    tokens = Features(coarse.flatten(2).transpose(1, 2), (2, 4, 4), (), (CT,) * 3)
    bare = DecoderSizes(width=6, masks=4, vector=2)
    assert torch.equal(inputs(tokens, bare)[:, :6], coarse.flatten(2).mean(dim=2))
    assert input_count(bare) == 12
    assert all(torch.equal(inputs(features.rows([row]), sizes)[0], inputs(features, sizes)[row]) for row in range(3))


def test_segvol_hands_on_the_map_that_its_spec_tells_of(segvol):
    sizes = segvol.spec.decoder
    with torch.no_grad():
        features = segvol.encode(torch.rand(1, 1, *segvol.spec.window), [MRI])
    assert sizes.finest == (features.skips[-1].shape[1] if features.skips else None)
    assert inputs(features, sizes).shape == (1, input_count(sizes))


def test_batch_by_batch_it_counts_what_all_images_have_together():
    values = torch.randn(11, 5, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 6) + 100
    counted = Standardised(5)
    for batch in values.split((1, 4, 2, 4)):
        counted.count(batch)
    assert counted.seen == 11
    assert torch.allclose(counted.mean, values.mean(dim=0), rtol=1e-5)
    assert torch.allclose(counted.variance, values.var(dim=0, correction=0), rtol=1e-3)
    standard = counted(values)
    assert standard.mean(dim=0).abs().max() < 1e-3
    assert torch.allclose(standard.std(dim=0, correction=0), torch.ones(5), rtol=1e-2)


def test_one_image_alone_has_no_deviation_and_is_divided_by_none():
    counted = Standardised(3)
    counted.count(torch.ones(1, 3))
    assert bool(counted(torch.ones(1, 3)).isfinite().all())


def test_differences_small_beside_those_between_channels_are_told_apart_in_few_steps():
    torch.manual_seed(0)
    gate = LearnedGate(12, 16, ("identity", "MRI"), reads_modality=False)
    config = MixtureConfig(gate="learned", hidden=16)
    optimizer = torch.optim.AdamW(gate.parameters(), lr=3e-3)
    offsets = 30 * torch.randn(12)
    is_mri = torch.tensor([0, 1] * 2)
    images = [offsets + 0.1 * torch.randn(4, 12) + 0.15 * is_mri[:, None] for _ in range(80)]
    for values in images[:60]:
        _, loss = while_learning(config, gate, values, [MRI if mri else CT for mri in is_mri])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        chosen = torch.stack([gate(values, [None] * 4).clean.argmax(dim=1) for values in images[60:]])
        alone, together = gate.one_by_one(images[0], [None] * 4).clean, gate(images[0], [None] * 4).clean
    assert (chosen == is_mri).float().mean() > 0.9
    assert alone.shape == (4, 2)
    assert torch.allclose(alone, together, atol=1e-5)


def test_only_training_counts_and_what_was_counted_is_part_of_the_weights(tiny):
    adapter = create("mixture", {"gate": "learned"})
    adapter.attach(tiny)
    images = torch.rand(2, 1, *tiny.spec.window)
    tiny.eval()
    tiny.encode(images, [CT, MRI])
    assert adapter.state()["gate.standardised.seen"] == 0
    tiny.train()
    tiny.encode(images, [CT, MRI])
    state = adapter.state()
    assert state["gate.standardised.seen"] == 2
    assert state["gate.standardised.mean"].abs().sum() > 0
    tiny.eval()
    before = adapter.route(images, [None, None]).confidence
    adapter.load_state(state)
    assert torch.equal(adapter.route(images, [None, None]).confidence, before)


@pytest.mark.parametrize("gate", ["learned", "learned+modality"])
def test_a_network_that_says_no_width_is_refused_in_a_sentence(tiny, gate):
    tiny.spec = replace(tiny.spec, decoder=None)
    with pytest.raises(AdapterError, match="does not say its width"):
        create("mixture", {"gate": gate}).attach(tiny)
