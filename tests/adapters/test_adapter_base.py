import copy
import gc
import weakref
from typing import ClassVar

import pytest
import torch
from torch import nn

from segevolution.adapters import (
    METHODS,
    Adapter,
    AdapterConfig,
    ContextPriorAdapter,
    ContextPriorConfig,
    FullAdapter,
    LoraAdapter,
    LoraConfig,
    MixtureAdapter,
    MixtureConfig,
    attached,
    create,
    load_adapter,
    save_adapter,
    switched,
    trainable,
)
from segevolution.adapters.base import BaseAdapter
from segevolution.errors import AdapterError


class ImageShift(BaseAdapter):
    """What a context prior will be: a module of its own that enters through the hooks."""

    method: ClassVar[str] = "image shift"
    config_type: ClassVar[type[AdapterConfig]] = AdapterConfig
    shift: nn.Parameter | None = None

    def _enter(self, backbone):
        self.shift = nn.Parameter(torch.zeros(1))
        self._return()

    def _leave(self):
        self.backbone.hooks.fuse = None

    def _return(self):
        self.backbone.hooks.fuse = lambda tokens, contexts: (tokens + self.shift, None)

    def _fold(self):
        raise AdapterError("what depends on the context cannot be folded into fixed weights.")

    def _forget(self):
        self.shift = None

    def _parameters(self):
        return {"shift": self.shift}


@pytest.fixture
def image_shift(monkeypatch):
    monkeypatch.setitem(METHODS, ImageShift.method, ImageShift)
    return ImageShift()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_satisfies_the_protocol_and_keeps_its_settings(method):
    adapter = create(method)
    assert isinstance(adapter, Adapter)
    assert adapter.method == method
    assert create(method, adapter.config.to_dict()).config == adapter.config


def test_the_methods_are_these():
    assert set(METHODS) >= {"lora", "full", "decoder", "bias", "context_prior", "mixture"}  # a new one has its own test
    assert all(METHODS[name].method == name for name in METHODS)


def test_an_adapter_on_the_hooks_fits_the_seam(image_shift, tiny, answer, disturb, tmp_path):
    bare = copy.deepcopy(tiny)
    with torch.no_grad():
        base = answer(tiny)
        image_shift.attach(tiny)
        assert torch.equal(answer(tiny), base)
        assert trainable(tiny) == {}  # its parameter is its own, not the network's
        disturb(tiny)
        adapted = answer(tiny)
        assert not torch.equal(adapted, base)
        save_adapter(image_shift, tiny, tmp_path / "shift")
        with pytest.raises(AdapterError, match="cannot be folded"):
            image_shift.merge()
        image_shift.detach()
        assert torch.equal(answer(tiny), base)
        load_adapter(tmp_path / "shift", bare)
        assert torch.equal(answer(bare), adapted)


def test_what_is_no_network_is_refused_in_a_sentence(tiny, tmp_path):
    adapter = create("full")
    adapter.attach(tiny)
    save_adapter(adapter, tiny, tmp_path / "adapter")
    with pytest.raises(AdapterError, match="belongs to a network, such as load"):
        load_adapter(tmp_path / "adapter", None)
    with pytest.raises(AdapterError, match="not to a Linear"):
        create("full").attach(nn.Linear(2, 2))


def test_words_that_a_network_has_no_parameter_for_are_not_offered(tiny):
    with pytest.raises(AdapterError, match='no parameter "norms" to train; use') as refusal:
        create("lora", {"also_train": ["norms"]}).attach(tiny)
    assert "use norms" not in str(refusal.value)
    assert "small_norms" not in str(refusal.value)


def test_a_network_carries_one_adapter_at_a_time(tiny):
    first, second = LoraAdapter(), FullAdapter()
    assert attached(tiny) is None
    first.attach(tiny)
    assert attached(tiny) is first
    with pytest.raises(AdapterError, match="carries a lora adapter already"):
        second.attach(tiny)
    first.detach()
    second.attach(tiny)
    assert attached(tiny) is second


def test_switched_off_it_leaves_the_base_and_others_may_be_on_meanwhile(network, answer, disturb):
    base, adapters, adapted = answer(network).detach(), {}, {}
    for adapter in (
        LoraAdapter(LoraConfig(rank=2, also_train=("biases",))),
        FullAdapter(),
        MixtureAdapter(MixtureConfig(rank=2, gate="learned", confidence=0.0)),
        ContextPriorAdapter(ContextPriorConfig(lora_rank=2)),
    ):
        adapter.attach(network)
        disturb(network)
        with torch.no_grad():
            adapted[adapter.method] = answer(network)
        adapters[adapter.method] = adapter
        parameters, flags = adapter.trainable_parameters(), trainable(network)
        adapter.switch_off()
        assert attached(network) is None
        adapter.switch_on()
        assert trainable(network) == flags
        assert [id(each) for each in adapter.trainable_parameters()] == [id(each) for each in parameters]
        adapter.switch_off()
    for method in ("full", "mixture", "lora", "context_prior", "lora", "full"):
        with torch.no_grad():
            with switched(network, adapters[method]):
                assert attached(network) is adapters[method]
                assert torch.equal(answer(network), adapted[method])
                with switched(network, None):
                    assert torch.equal(answer(network), base)
                with adapters["lora"].suspended():
                    assert torch.equal(answer(network), base)
            assert torch.equal(answer(network), base)
    state = adapters["full"].state()
    assert state
    assert attached(network) is None
    adapters["lora"].switch_on()
    with pytest.raises(AdapterError, match="adapter of this network is switched off"):
        adapters["lora"].merge()
    for method in ("full", "mixture", "context_prior"):
        adapters[method].detach()
    assert attached(network) is adapters["lora"]
    adapters["lora"].detach()
    with torch.no_grad():
        assert torch.equal(answer(network), base)
        adapters["full"].attach(network)
        assert torch.equal(answer(network), adapted["full"])
        assert all(torch.equal(value, state[name]) for name, value in adapters["full"].state().items())


def test_a_network_with_its_adapter_leaves_memory_when_nobody_holds_them(tiny):
    network = copy.deepcopy(tiny)
    LoraAdapter(LoraConfig(rank=2)).attach(network)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_an_adapter_sits_on_one_network_at_a_time(tiny, segvol):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    with pytest.raises(AdapterError, match="attached already"):
        adapter.attach(tiny)
    with pytest.raises(AdapterError, match="attached already"):
        adapter.attach(segvol)


def test_what_needs_a_network_says_so_without_one():
    adapter = LoraAdapter()
    with pytest.raises(AdapterError, match="no weights yet"):
        adapter.state()
    for act in (adapter.detach, adapter.merge, adapter.switch_on, adapter.switch_off):
        with pytest.raises(AdapterError, match="not attached"):
            act()
    with pytest.raises(AdapterError, match="not attached"), adapter.suspended():
        pass


def test_a_session_switches_between_adapters_and_back(tiny, answer, disturb):
    with torch.no_grad():
        base = answer(tiny)
        lora, full = LoraAdapter(LoraConfig(rank=2)), FullAdapter()
        adapted = {}
        for adapter in (lora, full):
            adapter.attach(tiny)
            disturb(tiny)
            adapted[adapter.method] = answer(tiny)
            adapter.detach()
        for adapter in (full, lora, full):
            adapter.attach(tiny)
            assert torch.equal(answer(tiny), adapted[adapter.method])
            adapter.detach()
            assert torch.equal(answer(tiny), base)


def test_the_state_is_a_copy_that_training_does_not_move(tiny, disturb):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    before = adapter.state()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    disturb(tiny)
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_an_unknown_method_or_setting_is_named_with_the_nearest():
    with pytest.raises(AdapterError, match=r'"lorra" is not a method .*lora'):
        create("lorra")
    with pytest.raises(AdapterError, match=r'"ranks" .* did you mean "rank"'):
        create("lora", {"ranks": 4})
