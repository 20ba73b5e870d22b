"""The test double must answer as its docstring says, or tests built on it mean nothing."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from segevolution.errors import CheckpointError, PromptError, VocabularyError
from segevolution.models.backbone import Backbone, Features, PromptBatch
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Context

NOWHERE = float("nan")


def image() -> Tensor:
    """Two bright blocks on a dark ground: one low, one high along every axis."""
    volume = torch.full((1, 1, 8, 32, 32), 0.1)
    volume[..., 1:4, 4:14, 4:14] = 0.9
    volume[..., 5:8, 18:28, 18:28] = 0.9
    return volume


FIRST, SECOND = (2, 9, 9), (6, 23, 23)


def prompts(**said: object) -> PromptBatch:
    structures = said.pop("structures", (None,))
    assert isinstance(structures, tuple)
    index = torch.zeros(len(structures), dtype=torch.int64)
    return PromptBatch(index, structures, **said)  # type: ignore[arg-type]


def answer(model: TinyBackbone, **said: object) -> Tensor:
    batch = prompts(**said)
    with torch.no_grad():
        masks = model.decode(model.encode(image(), [None]), batch, [Context()] * len(batch))
    return masks.full()[:, 0]


def points(*spots: tuple[tuple[int, int, int], int]) -> dict[str, Tensor]:
    return {
        "points": torch.tensor([[spot for spot, _ in spots]], dtype=torch.float32),
        "labels": torch.tensor([[label for _, label in spots]]),
    }


def test_it_is_a_backbone_of_a_few_thousand_parameters() -> None:
    model = TinyBackbone()
    assert isinstance(model, Backbone)
    assert 1000 < sum(parameter.numel() for parameter in model.parameters()) < 10_000


def test_the_same_seed_makes_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = TinyBackbone(), TinyBackbone(), TinyBackbone(TinyConfig(seed=1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.patches.weight, other.patches.weight)


def test_a_box_keeps_the_bright_voxels_inside_it() -> None:
    box = torch.tensor([[1.0, 4, 4, 3, 13, 13]])
    logits = answer(TinyBackbone(), boxes=box)[0]
    assert logits[FIRST] > 0
    assert logits[SECOND] < 0
    inside_but_dark = answer(TinyBackbone(), boxes=torch.tensor([[0.0, 0, 0, 7, 31, 31]]))[0]
    assert inside_but_dark[1, 28, 2] < 0


def test_a_positive_point_attracts_and_a_negative_one_repels() -> None:
    model = TinyBackbone()
    one = answer(model, **points((FIRST, 1)))[0]
    assert one[FIRST] > 0
    assert one[SECOND] < one[FIRST]
    both = answer(model, **points((FIRST, 1), (SECOND, 0)))[0]
    assert both[SECOND] < one[SECOND]
    assert both[FIRST] > 0


def test_fillers_of_the_point_table_change_nothing() -> None:
    model = TinyBackbone()
    alone = answer(model, **points((FIRST, 1)))
    assert torch.equal(answer(model, **points((FIRST, 1), (SECOND, -2))), alone)


def test_each_structure_gives_an_answer_of_its_own() -> None:
    logits = answer(TinyBackbone(), structures=("liver", "spleen", None))
    assert (logits[0] - logits[1]).abs().max() > 0.1
    assert (logits[0] - logits[2]).abs().max() > 0.1


def test_a_row_without_a_box_is_answered_as_if_no_box_column_were_there() -> None:
    model = TinyBackbone()
    boxes = torch.tensor([[1.0, 4, 4, 3, 13, 13], [NOWHERE] * 6])
    mixed = answer(model, structures=(None, "liver"), boxes=boxes)
    assert torch.allclose(mixed[1:], answer(model, structures=("liver",)), atol=1e-6)


def test_prompts_read_the_image_they_name_and_stacked_encodings_answer_alike() -> None:
    model = TinyBackbone()
    images = [image(), image().flip(2)]
    features = [model.encode(one, [None]) for one in images]
    box = torch.tensor([[1.0, 4, 4, 3, 13, 13]])
    alone = model.decode(features[1], prompts(boxes=box), [Context()]).logits
    batch = PromptBatch(torch.tensor([1]), (None,), boxes=box)
    assert torch.allclose(model.decode(Features.stack(features), batch, [Context()]).logits, alone, atol=1e-6)


def test_three_alternatives_differ() -> None:
    model = TinyBackbone()
    masks = model.decode(model.encode(image(), [None]), prompts(structures=("liver",)), [Context()], multimask=True)
    assert masks.logits.shape == (1, 3, 8, 16, 16)
    assert masks.iou.shape == (1, 3)
    assert not torch.allclose(masks.logits[:, 0], masks.logits[:, 1])


def test_hooks_reach_the_answer() -> None:
    model = TinyBackbone()
    plain = answer(model, structures=("liver",))
    seen: list[Context] = []
    states: list[str | None] = []

    def fuse(tokens: Tensor, contexts: Sequence[Context]) -> tuple[Tensor, str]:
        seen.extend(contexts)
        return tokens + 1, "a state"

    def double(queries: Tensor, contexts: Sequence[Context], state: str | None) -> Tensor:
        states.append(state)
        return queries * 2

    model.hooks.fuse = fuse
    fused = answer(model, structures=("liver",))
    assert seen == [Context()]
    assert not torch.allclose(fused, plain)
    model.hooks.mask_tokens = model.hooks.mask_vectors = double
    answer(model, structures=("liver",))
    model.hooks.fuse = None
    assert not torch.allclose(answer(model, structures=("liver",)), plain)
    assert states == ["a state", "a state", None, None]
    model.hooks.mask_tokens = model.hooks.mask_vectors = None
    assert torch.equal(answer(model, structures=("liver",)), plain)


def test_it_learns_in_a_few_steps_and_every_parameter_gets_a_gradient() -> None:
    model = TinyBackbone()
    truth = torch.zeros(1, 1, 8, 32, 32)
    truth[..., 5:8, 18:28, 18:28] = 1
    batch = prompts(structures=("liver",), boxes=torch.tensor([[1.0, 1, 1, 7, 30, 30]]), **points((SECOND, 1)))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(30):
        masks = model.decode(model.encode(image(), [None]), batch, [Context()])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(masks.full(), truth) + masks.iou.square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_adaptable_names_linear_layers_that_the_answer_depends_on() -> None:
    model = TinyBackbone()
    plain = answer(model, structures=("liver",))
    for name in model.spec.adaptable:
        layer = model.get_submodule(name)
        assert isinstance(layer, torch.nn.Linear)
        kept = layer.weight.detach().clone()
        with torch.no_grad():
            layer.weight.add_(0.1)
        assert not torch.allclose(answer(model, structures=("liver",)), plain), name
        with torch.no_grad():
            layer.weight.copy_(kept)


def test_what_it_does_not_accept_is_refused() -> None:
    model = TinyBackbone()
    with pytest.raises(PromptError, match="mask prompt"):
        answer(model, masks=torch.zeros(1, 1, 8, 16, 16))
    with pytest.raises(VocabularyError, match="did you mean"):
        answer(model, structures=("livre",))
    with pytest.raises(CheckpointError, match="multiples"):
        TinyConfig(window=(7, 32, 32))


def test_the_configuration_survives_a_dictionary() -> None:
    config = TinyConfig(window=(4, 16, 16), structures=("liver",), seed=3)
    assert TinyConfig.from_dict({**config.to_dict(), "window": [4, 16, 16], "structures": ["liver"]}) == config
    with pytest.raises(CheckpointError, match="colour"):
        TinyConfig.from_dict({"colour": 1})
