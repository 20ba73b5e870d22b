import itertools
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segevolution.adapters import LoraAdapter, LoraConfig, save_adapter, trainable
from segevolution.adapters import targets as choose
from segevolution.adapters.lora import is_wrapped
from segevolution.adapters.targets import trained_groups
from segevolution.errors import AdapterError
from segevolution.inference.load import load
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

VARIANTS = {
    "plain": LoraConfig(rank=4),
    "rank 2, not stabilised": LoraConfig(rank=2, alpha=16, rank_stabilised=False),
    "dora": LoraConfig(rank=4, dora=True),
    "with biases": LoraConfig(rank=4, also_train=("biases",)),
}


def published() -> SegVol:
    """Full size, without memory."""
    with torch.device("meta"):
        return SegVol(SegVolConfig.published())


def wrapped(backbone) -> list[str]:
    return [name for name, layer in backbone.named_modules() if is_wrapped(layer)]


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_before_the_first_step_the_adapted_network_is_the_base_bit_for_bit(network, config, answer):
    with torch.no_grad():
        base = answer(network)
        LoraAdapter(config).attach(network)
        assert wrapped(network)
        assert torch.equal(answer(network), base)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_detached_the_base_is_back_bit_for_bit_and_attached_again_the_adapter_is(network, config, answer, disturb):
    names = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    attributes = set(vars(network))
    adapter = LoraAdapter(config)
    with torch.no_grad():
        base = answer(network)
        adapter.attach(network)
        disturb(network)
        adapted = answer(network)
        adapter.detach()
        assert not torch.allclose(adapted, base)
        assert torch.equal(answer(network), base)
        assert list(network.state_dict()) == list(names)
        assert all(torch.equal(tensor, names[name]) for name, tensor in network.state_dict().items())
        assert set(vars(network)) == attributes
        adapter.attach(network)
        assert torch.equal(answer(network), adapted)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_merged_and_unmerged_agree(network, config, answer, disturb):
    names = list(network.state_dict())
    adapter = LoraAdapter(config)
    with torch.no_grad():
        adapter.attach(network)
        disturb(network)
        adapted = answer(network)
        adapter.merge()
        merged = answer(network)
    assert wrapped(network) == []
    assert list(network.state_dict()) == names
    scale = adapted.abs().max().clamp(min=1)
    assert ((merged - adapted).abs().max() / scale).item() < 1e-5


def test_the_study_preset_trains_what_the_study_trained():
    backbone = published()
    adapter = LoraAdapter(LoraConfig.preset("study"))
    adapter.attach(backbone)
    layers = wrapped(backbone)
    assert sum(name.startswith("image_encoder.") for name in layers) == 36
    assert sum(name.startswith("mask_decoder.") for name in layers) == 10
    assert not any("out_proj" in name or "k_proj" in name or "patch" in name for name in layers)
    counted = trainable(backbone)
    assert sum(counted.values()) == 1_136_640
    assert sum(n for name, n in counted.items() if name.startswith("image_encoder.")) == 1_032_192
    assert all("lora_A" in name or "lora_B" in name for name in counted)
    assert next(layer for layer in backbone.modules() if is_wrapped(layer)).scaling["default"] == 8 / 8**0.5


def test_a_file_of_the_study_preset_has_4_56_megabytes(tmp_path: Path):
    adapter = LoraAdapter(LoraConfig.preset("study"))
    adapter.attach(published())
    file = tmp_path / "adapter_model.safetensors"
    save_file({name: torch.zeros(tensor.shape) for name, tensor in adapter.state().items()}, file)
    assert file.stat().st_size / 1e6 == pytest.approx(4.56, abs=0.005)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_peft_alone_loads_the_folder_and_answers_the_same(config, tmp_path, segvol, answer, disturb):
    bare = SegVol(segvol.config).eval()
    bare.load_state_dict(segvol.state_dict())
    adapter = LoraAdapter(config)
    with torch.no_grad():
        base = answer(segvol)
        adapter.attach(segvol)
        disturb(segvol)
        save_adapter(adapter, segvol, tmp_path / "lora")
        ours = answer(segvol)
        theirs = answer(peft.PeftModel.from_pretrained(bare, tmp_path / "lora").base_model.model)
    assert not torch.allclose(ours, base)
    assert torch.allclose(theirs, ours, atol=1e-6)


def test_names_in_the_state_are_those_that_peft_writes(tmp_path, tiny):
    for dora in (False, True):
        adapter = LoraAdapter(LoraConfig(dora=dora))
        adapter.attach(tiny)
        save_adapter(adapter, tiny, tmp_path / str(dora))
        ours = set(adapter.state())
        adapter.detach()
        model = peft.PeftModel.from_pretrained(tiny, tmp_path / str(dora))
        assert set(peft.get_peft_model_state_dict(model)) == ours
        model.unload()


def test_only_the_adapter_gets_gradients_and_nothing_trains_by_accident(segvol, answer):
    adapter = LoraAdapter(LoraConfig(targets=("encoder.qkv",), also_train=("mask_tokens",)))
    adapter.attach(segvol)
    answer(segvol).sum().backward()
    with_gradient = {name for name, p in segvol.named_parameters() if p.grad is not None}
    assert with_gradient == set(trainable(segvol))
    expected = {f"image_encoder.blocks.{i}.attn.qkv.lora_{m}.default.weight" for i in range(2) for m in "AB"}
    assert with_gradient == expected | {"mask_decoder.mask_tokens.weight", "mask_decoder.iou_token.weight"}
    assert sum(p.numel() for p in adapter.trainable_parameters()) == sum(trainable(segvol).values())


def test_detaching_gives_back_who_asked_for_gradients(tiny):
    tiny.text.requires_grad_(False)
    before = {name: p.requires_grad for name, p in tiny.named_parameters()}
    adapter = LoraAdapter()
    adapter.attach(tiny)
    adapter.detach()
    assert {name: p.requires_grad for name, p in tiny.named_parameters()} == before


GROUP_COUNTS = {
    "encoder.qkv": 2,
    "encoder.out": 2,
    "encoder.mlp": 4,
    "encoder": 8,
    "decoder.self_attention": 8,
    "decoder.cross_attention": 20,
    "decoder.mlp": 4,
    "decoder": 32,
    "image_encoder.blocks.*.attn.qkv": 2,
    "image_encoder.blocks.1.attn.qkv": 1,
    "mask_decoder.transformer.**": 32,
}


@pytest.mark.parametrize(("target", "count"), GROUP_COUNTS.items())
def test_each_group_wraps_its_own_layers(segvol, target, count):
    LoraAdapter(LoraConfig(targets=(target,))).attach(segvol)
    assert len(wrapped(segvol)) == count


def test_groups_do_not_overlap(segvol):
    parts = ("encoder.qkv", "encoder.out", "encoder.mlp", "decoder.self_attention", "decoder.cross_attention")
    found = []
    for part in parts:
        adapter = LoraAdapter(LoraConfig(targets=(part,)))
        adapter.attach(segvol)
        found.append(set(wrapped(segvol)))
        adapter.detach()
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(found, 2))


def test_convolutions_of_the_optional_parts_are_wrapped_and_merge(full_segvol, answer, disturb):
    adapter = LoraAdapter(LoraConfig(rank=2, targets=("convolutions",)))
    with torch.no_grad():
        base = answer(full_segvol)
        adapter.attach(full_segvol)
        kinds = {type(layer.get_base_layer()) for layer in full_segvol.modules() if is_wrapped(layer)}
        assert nn.Conv3d in kinds
        assert any(name.startswith("dense_prompts.") for name in wrapped(full_segvol))
        assert torch.equal(answer(full_segvol), base)
        disturb(full_segvol)
        adapted = answer(full_segvol)
        adapter.merge()
        assert not torch.allclose(adapted, base)
        assert torch.allclose(answer(full_segvol), adapted, atol=1e-5, rtol=1e-5)


def test_a_target_that_the_network_lacks_is_named_and_leaves_the_base_alone(segvol, answer):
    with torch.no_grad():
        base = answer(segvol)
        with pytest.raises(AdapterError, match='no adaptable layer "stem"'):
            LoraAdapter(LoraConfig(targets=("encoder", "stem"))).attach(segvol)
        assert torch.equal(answer(segvol), base)
    with pytest.raises(AdapterError, match='"qkv"'):  # part of a name is not a name
        LoraAdapter(LoraConfig(targets=("qkv",))).attach(segvol)
    with pytest.raises(AdapterError, match='no parameter "dim_align"'):  # no text tower here
        LoraAdapter(LoraConfig(also_train=("dim_align",))).attach(segvol)
    assert wrapped(segvol) == []
    LoraAdapter().attach(segvol)


def test_norms_train_in_the_adapted_parts_only(segvol):
    LoraAdapter(LoraConfig(also_train=("norms",))).attach(segvol)
    norms = [name for name in trainable(segvol) if "lora_" not in name]
    assert "image_encoder.norm.weight" in norms
    assert all("norm" in name or "output_upscaling" in name for name in norms)
    assert not any(name.startswith("prompt_encoder.") for name in norms)


def test_small_norms_leave_out_those_with_a_value_a_voxel(segvol):
    adapter = LoraAdapter(LoraConfig(also_train=("norms",)))
    adapter.attach(segvol)
    counts = trained_groups(segvol)
    shapes = {name: p.shape for name, p in segvol.named_parameters() if p.requires_grad and "lora_" not in name}
    large = {name for name, shape in shapes.items() if len(shape) > 1}
    assert counts["large_norms"] == sum(shapes[name].numel() for name in large) > 0
    assert sum(counts.values()) == sum(trainable(segvol).values())
    adapter.detach()
    LoraAdapter(LoraConfig(also_train=("small_norms",))).attach(segvol)
    assert {name for name in trainable(segvol) if "lora_" not in name} == shapes.keys() - large
    assert trained_groups(segvol) == {name: count for name, count in counts.items() if name != "large_norms"}


def test_where_lora_on_segvol_mini_enters_by_default_and_how_much_of_it_are_norms():
    network = load("segvol-mini", device="cpu")
    adaptation = network.spec.adaptation
    LoraAdapter(LoraConfig(targets=adaptation.targets, also_train=adaptation.also_train)).attach(network)
    assert trained_groups(network) == {"LoRA": 230_424, "small_norms": 7_248, "large_norms": 884_736}


def test_dropout_acts_in_training_only(tiny, answer, disturb):
    LoraAdapter(LoraConfig(dropout=0.5)).attach(tiny)
    disturb(tiny)
    with torch.no_grad():
        assert torch.equal(answer(tiny), answer(tiny))  # attached in eval mode, it is in eval mode
        tiny.train()
        assert not torch.equal(answer(tiny), answer(tiny))


def test_suspended_the_network_is_the_base_and_afterwards_the_same_parameters_are_there(network, answer, disturb):
    with torch.no_grad():
        base = answer(network)
        adapter = LoraAdapter(LoraConfig(also_train=("biases",)))
        adapter.attach(network)
        disturb(network)
        adapted, parameters = answer(network), [id(p) for p in adapter.trainable_parameters()]
        with adapter.suspended() as bare:
            assert torch.equal(answer(bare), base)
        assert torch.equal(answer(network), adapted)
        assert [id(p) for p in adapter.trainable_parameters()] == parameters


def test_state_goes_to_another_network_of_the_same_weights(network, answer, disturb):
    first, second = LoraAdapter(LoraConfig(rank=2)), LoraAdapter(LoraConfig(rank=2))
    with torch.no_grad():
        first.attach(network)
        disturb(network)
        adapted = answer(network)
        second.load_state(first.state())
        first.detach()
        second.attach(network)
        assert torch.equal(answer(network), adapted)


def test_state_of_another_rank_is_refused_by_name(tiny, answer):
    small, large = LoraAdapter(LoraConfig(rank=2)), LoraAdapter(LoraConfig(rank=4))
    small.attach(tiny)
    state = small.state()
    small.detach()
    base = answer(tiny)
    large.load_state(state)
    with pytest.raises(AdapterError, match=r"of another shape: .*lora_A"):
        large.attach(tiny)
    assert wrapped(tiny) == []
    assert torch.equal(answer(tiny), base)
    small.attach(tiny)  # the failed one left the network free
    with pytest.raises(AdapterError, match="missing: base_model"):
        small.load_state(dict(list(state.items())[1:]))
    with pytest.raises(AdapterError, match="unexpected: more"):
        small.load_state({**state, "more": torch.zeros(1)})


def test_layers_wrapped_by_someone_else_are_not_wrapped_again(tiny):
    peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["keys"]), tiny)
    with pytest.raises(AdapterError):
        LoraAdapter().attach(tiny)


def test_weights_that_are_not_finite_are_not_merged(tiny):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    with torch.no_grad():
        adapter.trainable_parameters()[1].fill_(torch.inf)
    with pytest.raises(AdapterError, match="cannot be merged"):
        adapter.merge()
    assert torch.isfinite(tiny.patches.get_base_layer().weight).all()


@pytest.mark.parametrize(
    "settings",
    [{"rank": 0}, {"rank": 2.5}, {"alpha": 0}, {"dropout": 1.0}, {"targets": "linear"}, {"also_train": "norms"}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(AdapterError):
        LoraConfig.from_dict(settings)


def test_a_preset_is_a_start_that_other_settings_change():
    config = LoraConfig.from_dict({"preset": "study", "rank": 16})
    assert config.rank == 16
    assert config.targets == LoraConfig.preset("study").targets
    assert LoraConfig.from_dict(config.to_dict()) == config
    with pytest.raises(AdapterError, match="default, study"):
        LoraConfig.from_dict({"preset": "studies"})


def test_linear_leaves_the_text_tower_out_and_text_is_all_of_it():
    model = load("segvol-mini", device="cpu")
    everywhere, words = choose.layers(model, ["linear"]), choose.layers(model, ["text"])
    assert not any(name.startswith("text_encoder.") for name in everywhere)
    assert words == model.spec.words
    assert "text_encoder.dim_align" in words
    assert choose.layers(model, ["linear", "text"]) == (*everywhere, *words)
