"""The layer of LoRA against peft's, to the last bit."""

import copy

import peft
import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from segevolution.adapters.low_rank import LowRankLayer, Update

LAYERS = {
    "linear": (lambda: nn.Linear(12, 7), (3, 12)),
    "without bias": (lambda: nn.Linear(12, 7, bias=False), (2, 5, 12)),
    "1-D": (lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)),
    "2-D, strided": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 8)),
    "3-D": (lambda: nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)), (2, 4, 3, 6, 5)),
    "3-D, stride its kernel": (lambda: nn.Conv3d(4, 6, 2, stride=2), (1, 4, 4, 6, 2)),
}
NAMES = ("default", "other")
pytestmark = pytest.mark.filterwarnings("ignore:Already found a")


def of_peft(layer: nn.Module, update: Update, seed: int) -> nn.Module:
    """peft's layer of two updates on a copy of the bare layer."""
    holder = nn.Sequential(copy.deepcopy(layer))
    torch.manual_seed(seed)
    for name in NAMES:
        config = peft.LoraConfig(
            r=update.rank,
            lora_alpha=update.alpha,  # type: ignore[arg-type]
            use_rslora=update.rank_stabilised,
            lora_dropout=update.dropout,
            target_modules="0",
        )
        peft.inject_adapter_in_model(config, holder, adapter_name=name)
    assert isinstance(holder[0], LoraLayer)
    return holder[0]


def of_ours(layer: nn.Module, update: Update, seed: int) -> LowRankLayer:
    ours = LowRankLayer(copy.deepcopy(layer))
    torch.manual_seed(seed)
    for name in NAMES:
        ours.add(name, update)
    return ours


def disturbed(layers: list[nn.Module]) -> None:
    """The same values in every B, which begin at zero."""
    for layer in layers:
        torch.manual_seed(3)
        with torch.no_grad():
            for name in NAMES:
                layer.lora_B[name].weight.normal_()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("update", [Update(3, 5.0, True, 0.0), Update(2, 7.0, False, 0.0)], ids=["rs", "plain"])
def test_it_starts_answers_and_is_named_as_pefts(kind: str, update: Update) -> None:
    make, shape = LAYERS[kind]
    torch.manual_seed(1)
    bare = make()
    theirs, ours = of_peft(bare, update, seed=2), of_ours(bare, update, seed=2)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    values = torch.randn(shape)
    assert torch.equal(ours(values), bare(values))  # B is zero
    disturbed([theirs, ours])
    for active in (["default"], ["default", "other"], ["other"], []):
        theirs._active_adapter = ours._active_adapter = active
        for name in active:
            theirs.set_scale(name, 0.5)
            ours.set_scale(name, 0.5)
        assert torch.equal(ours(values), theirs(values))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(ours(values), theirs(values))
    assert torch.equal(ours(values), bare(values))


@pytest.mark.parametrize("kind", LAYERS)
def test_its_gradients_and_its_dropout_are_pefts(kind: str) -> None:
    make, shape = LAYERS[kind]
    torch.manual_seed(1)
    bare, update = make(), Update(3, 5.0, True, 0.4)
    theirs, ours = of_peft(bare, update, seed=2), of_ours(bare, update, seed=2)
    disturbed([theirs, ours])
    for layer in (theirs, ours):
        layer._active_adapter = ["default"]
    values = torch.randn(shape)

    def gradients(layer: nn.Module) -> list[Tensor]:
        torch.manual_seed(4)
        answer = layer(values)
        answer.square().sum().backward()
        return [answer, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad]

    for mine, other in zip(gradients(ours), gradients(theirs), strict=True):
        assert torch.equal(mine, other)
    ours.eval()
    assert torch.equal(ours(values), ours(values))


def test_an_update_leaves_as_if_it_had_never_been() -> None:
    torch.manual_seed(1)
    bare, update = nn.Linear(4, 3), Update(2, 2.0, True, 0.0)
    ours = of_ours(bare, update, seed=2)
    ours.delete_adapter("default")
    assert set(ours.state_dict()) == {
        *("base_layer.weight", "base_layer.bias"),
        *("lora_A.other.weight", "lora_B.other.weight"),
    }
    assert ours.active_adapters == ["other"]
    assert ours.weight is ours.get_base_layer().weight
    assert ours.bias is ours.get_base_layer().bias


def test_half_precision_layers_keep_their_updates_in_single() -> None:
    ours = LowRankLayer(nn.Linear(4, 3).to(torch.bfloat16))
    ours.add("default", Update(2, 2.0, True, 0.0))
    assert ours.lora_A["default"].weight.dtype == torch.float32
    assert ours(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def on_large_maps(layer: nn.Module) -> tuple[LowRankLayer, Tensor]:
    """A layer of two active updates that change its answer, and maps on which they are folded into its weight."""
    ours = of_ours(layer, Update(4, 5.0, True, 0.0), seed=1).eval()
    disturbed([ours])
    ours._active_adapter = list(NAMES)
    torch.manual_seed(5)
    return ours, torch.randn(1, 4, 40, 30, 30)


@pytest.mark.parametrize("sides", [{"padding": 1}, {"stride": (1, 2, 2), "bias": False}, {"groups": 2}], ids=str)
def test_folded_updates_answer_as_updates_do(sides):
    ours, maps = on_large_maps(nn.Conv3d(4, 6, 3, **sides))
    beside = ours(maps)
    with torch.no_grad():
        folded = ours(maps)
    assert beside.requires_grad
    torch.testing.assert_close(folded, beside.detach(), rtol=1e-4, atol=1e-4)


def test_updates_are_folded_only_where_nothing_learns():
    ours, maps = on_large_maps(nn.Conv3d(4, 6, 3, padding=1))
    calls: list[Tensor] = []
    for name in NAMES:
        ours.lora_A[name].register_forward_pre_hook(lambda layer, given: calls.append(given[0]))
    with torch.no_grad():
        ours(maps)
        assert not calls
        ours(maps[..., :5])
        assert len(calls) == 2  # small maps, as peft
        ours.double()(maps.double())
        assert len(calls) == 4
        ours.float().train()(maps)
        assert len(calls) == 6
    ours.eval()(maps)
    assert len(calls) == 8
    with torch.no_grad():
        assert ours.to("meta")(maps.to("meta")).shape == (1, 6, 40, 30, 30)  # of which torch knows no autocast


def test_a_scale_that_changes_between_two_answers_counts():
    ours, maps = on_large_maps(nn.Conv3d(4, 6, 3, padding=1))
    with torch.no_grad():
        before = ours(maps)
        for name in NAMES:
            ours.set_scale(name, torch.tensor(0.0))
        torch.testing.assert_close(ours(maps), ours.base_layer(maps))
    assert not torch.allclose(before, ours.base_layer(maps), atol=1e-2)
