import pytest
import torch

from segevolution.adapters.feature_statistics import (
    ChannelMap,
    channel_statistics,
    encoder_norms,
    estimate_maps,
    install,
    mapped,
)
from segevolution.errors import AdapterError
from segevolution.models.segvol.config import SegVolConfig, StemConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality

CONFIG = SegVolConfig(
    window=(8, 32, 32), patch=(4, 8, 8), width=32, depth=2, heads=2, mlp=32, decoder_mlp=32, iou_hidden=16,
    decoder_heads=2, intensity="soft_tissue", coordinates="matching", stem=StemConfig((4, 4, 8), groups=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return SegVol.fresh(CONFIG, seed=0).eval()


def windows(modality, count=3, gain=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(gain * torch.rand(1, 1, *CONFIG.window, generator=generator), modality) for _ in range(count)]


SOURCE, TARGET = windows(Modality.CT), windows(Modality.MRI, gain=0.2, seed=1)


def statistics(network, names, pairs):
    wrapped = [type("Window", (), {"image": image, "modality": modality})() for image, modality in pairs]
    return channel_statistics(network, names, wrapped)


def test_after_the_maps_every_norm_gives_target_scans_the_statistics_of_the_source(network):
    maps = estimate_maps(network, SOURCE, TARGET)
    before = statistics(network, maps, SOURCE)
    bare = statistics(network, maps, TARGET)
    with mapped(network, maps):
        after = statistics(network, maps, TARGET)
    for name, wanted in before.items():
        assert torch.allclose(after[name].mean, wanted.mean, atol=1e-4)
        assert torch.allclose(after[name].deviation, wanted.deviation, atol=1e-3)
    assert any(not torch.allclose(bare[name].mean, before[name].mean, atol=1e-2) for name in maps)


def test_the_norms_are_those_that_answer_while_an_image_is_encoded(network):
    names = encoder_norms(network, type("Window", (), {"image": SOURCE[0][0], "modality": None})())
    assert len(names) == 2 * 3 + 2 * 2 + 1
    assert all(name.startswith("image_encoder.") for name in names)
    assert names[-1] == "image_encoder.norm"


def test_removed_maps_leave_the_network_bit_for_bit(network):
    image = SOURCE[0][0]
    bare = network.encode(image, [None]).tokens
    handles = install(network, estimate_maps(network, SOURCE, TARGET))
    changed = network.encode(image, [None]).tokens
    for handle in handles:
        handle.remove()
    assert not torch.equal(bare, changed)
    assert torch.equal(bare, network.encode(image, [None]).tokens)


def test_a_target_like_the_source_needs_no_map_and_a_strong_prior_allows_none(network):
    for maps in (estimate_maps(network, SOURCE, SOURCE), estimate_maps(network, SOURCE, TARGET, prior=1e9)):
        for one in maps.values():
            assert torch.allclose(one.scale, torch.ones_like(one.scale), atol=1e-3)
            assert torch.allclose(one.shift, torch.zeros_like(one.shift), atol=1e-3)


def test_a_channel_that_never_changes_gets_no_infinite_scale():
    from_flat = type("S", (), {"mean": torch.zeros(2), "deviation": torch.tensor([0.0, 1.0])})()
    assert bool(torch.isfinite(ChannelMap.between(from_flat, from_flat).scale).all())


def test_a_network_without_norms_is_refused():
    tiny = TinyBackbone().eval()
    image = torch.rand(1, 1, *tiny.spec.window)
    with pytest.raises(AdapterError, match="has no norm"):
        estimate_maps(tiny, [(image, Modality.CT)], [(image, Modality.MRI)])
