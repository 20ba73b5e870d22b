from dataclasses import replace

import pytest
import torch

from segevolution.adapters import BiasAdapter, DecoderAdapter, FullAdapter, FullConfig, create, trainable
from segevolution.errors import AdapterError
from segevolution.models.tiny import TinyBackbone


@pytest.mark.parametrize("method", ["full", "decoder", "bias"])
def test_each_baseline_starts_as_the_base_trains_and_gives_it_back(method, segvol, answer, disturb):
    before = {name: tensor.clone() for name, tensor in segvol.state_dict().items()}
    adapter = create(method)
    with torch.no_grad():
        base = answer(segvol)
        adapter.attach(segvol)
        assert torch.equal(answer(segvol), base)
        disturb(segvol)
        adapted = answer(segvol)
        assert not torch.allclose(adapted, base)
        with adapter.suspended():
            assert torch.equal(answer(segvol), base)
        assert torch.equal(answer(segvol), adapted)
        adapter.detach()
        assert all(torch.equal(tensor, before[name]) for name, tensor in segvol.state_dict().items())
        adapter.attach(segvol)
        assert torch.equal(answer(segvol), adapted)


def test_full_trains_what_the_network_lets_train(tiny):
    tiny.text.requires_grad_(False)
    free = {name for name, parameter in tiny.named_parameters() if parameter.requires_grad}
    FullAdapter().attach(tiny)
    assert set(trainable(tiny)) == free
    assert "text.weight" not in free


def test_decoder_only_leaves_the_encoder_frozen(segvol, answer):
    DecoderAdapter().attach(segvol)
    answer(segvol).sum().backward()
    assert trainable(segvol)
    assert all(name.startswith("mask_decoder.") for name in trainable(segvol))
    assert all(p.grad is None for name, p in segvol.named_parameters() if not name.startswith("mask_decoder."))


def test_a_network_with_another_decoder_names_its_parts(tiny):
    DecoderAdapter().attach(tiny)
    decoder = ("keys.", "queries.", "voxels.", "overlap.", "mask_tokens")
    assert set(trainable(tiny)) == {name for name, _ in tiny.named_parameters() if name.startswith(decoder)}
    tiny = TinyBackbone()
    tiny.spec = replace(tiny.spec, parameter_groups={})
    with pytest.raises(AdapterError, match='no parameter "decoder"'):
        DecoderAdapter().attach(tiny)
    DecoderAdapter(FullConfig(parts=("queries", "mask_tokens"))).attach(tiny)
    assert set(trainable(tiny)) == {"queries.weight", "queries.bias", "mask_tokens"}


def test_bias_trains_the_biases_of_adaptable_layers(segvol):
    BiasAdapter().attach(segvol)
    expected = {f"{name}.bias" for name in segvol.spec.adaptable if segvol.get_submodule(name).bias is not None}
    assert set(trainable(segvol)) == expected


def test_the_state_holds_only_what_changed(tiny):
    adapter = FullAdapter()
    adapter.attach(tiny)
    assert adapter.state() == {}
    with torch.no_grad():
        tiny.keys.bias.add_(1)
    state = adapter.state()
    assert list(state) == ["keys.bias"]
    assert torch.equal(state["keys.bias"], tiny.keys.bias)


def test_loading_a_state_puts_the_rest_back_to_the_base(tiny):
    adapter = FullAdapter()
    adapter.attach(tiny)
    base = tiny.keys.weight.detach().clone()
    with torch.no_grad():
        tiny.keys.weight.add_(1)
    adapter.load_state({"keys.bias": torch.full_like(tiny.keys.bias, 3.0)})
    assert torch.equal(tiny.keys.weight, base)
    assert (tiny.keys.bias == 3).all()
    with pytest.raises(AdapterError, match=r"unexpected: key\.bias"):
        adapter.load_state({"key.bias": torch.zeros(1)})


def test_merging_keeps_the_values_and_ends_the_adapter(tiny, answer, disturb):
    adapter = FullAdapter()
    with torch.no_grad():
        adapter.attach(tiny)
        disturb(tiny)
        adapted = answer(tiny)
        adapter.merge()
        assert torch.equal(answer(tiny), adapted)
    with pytest.raises(AdapterError, match="not attached"):
        adapter.merge()
    FullAdapter().attach(tiny)


def test_parts_as_one_word_are_refused():
    with pytest.raises(AdapterError, match="list"):
        FullConfig(parts="mask_decoder")
