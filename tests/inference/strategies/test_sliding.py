"""Windows over the whole image: a weighted mean, one pass for all structures, bounded memory."""

import itertools

import numpy as np
import pytest
import torch

from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.strategies import strategy_of
from segevolution.inference.strategies.base import OpenImage, StrategyOptions
from segevolution.inference.strategies.sliding import gaussian
from segevolution.models.backbone import PromptBatch
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Context

NAMES = ("liver", "spleen", "aorta", "pancreas")


@pytest.fixture(scope="module")
def network() -> TinyBackbone:
    return TinyBackbone(TinyConfig((8, 32, 32), NAMES, framing="sliding")).eval()


def picture(shape: tuple[int, int, int] = (19, 50, 41)) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def opened(network: TinyBackbone, values: torch.Tensor, memory: int = 1 << 30) -> OpenImage:
    return strategy_of(network.spec).open(network, values, 0.0, None, StrategyOptions(memory=memory))


def ask(before: OpenImage, *names: str) -> list[torch.Tensor]:
    prompts = [FramePrompt(name) for name in names]
    return [answer.logits for answer in before.answers(prompts, [Context()] * len(names))]


@pytest.mark.parametrize("shape", [(19, 50, 41), (8, 32, 32), (8, 33, 70)])
def test_each_voxel_is_the_mean_of_its_windows_weighted_by_how_central_it_is(
    network: TinyBackbone, shape: tuple[int, int, int]
) -> None:
    """Written out by MONAI's rule: steps of half a window, the last moved back, a Gaussian of an eighth of a side."""
    values, window = picture(shape), network.spec.window
    steps = [
        sorted({min(start, side - wide) for start in range(0, side - wide + wide // 2, wide // 2)})
        for side, wide in zip(shape, window, strict=True)
    ]
    total, weight = np.zeros(shape), np.zeros(shape)
    axes = [np.exp(-0.5 * ((np.arange(wide) - (wide - 1) / 2) / (wide / 8)) ** 2) for wide in window]
    weights = np.einsum("d,h,w->dhw", *(axis / axis.max() for axis in axes)).clip(1e-3)
    for start in itertools.product(*steps):
        place = tuple(slice(low, low + wide) for low, wide in zip(start, window, strict=True))
        with torch.no_grad():
            features = network.encode(values[place][None, None], [None])
            batch = PromptBatch(torch.tensor([0]), ("spleen",))
            logits = network.decode(features, batch, [Context()]).full()[0, 0]
        total[place] += logits.numpy() * weights
        weight[place] += weights
    (ours,) = ask(opened(network, values), "spleen")
    np.testing.assert_allclose(ours, total / weight, atol=1e-2)  # ours are kept in half precision


def test_an_image_smaller_than_the_window_is_padded(network: TinyBackbone) -> None:
    (answer,) = ask(opened(network, picture((3, 20, 40))), "liver")
    assert answer.shape == (3, 20, 40)
    assert answer.isfinite().all()


def test_weights_are_one_in_the_middle_and_never_nothing() -> None:
    weights = gaussian((8, 32, 32))
    assert weights.max() == 1
    assert weights.min() == pytest.approx(1e-3)
    assert torch.equal(weights, weights.flip(0, 1, 2))
    assert weights[4, 16, 24] == pytest.approx(np.exp(-0.5 * (8.5 / 4) ** 2) / np.exp(-0.5 * (0.5 / 4) ** 2), rel=1e-5)


def test_one_pass_serves_all_structures(network: TinyBackbone) -> None:
    before = opened(network, picture())
    ask(before, "spleen")
    done = (before.counts.encodings, before.counts.decodings)
    ask(before, "liver", "aorta", "spleen")
    assert (before.counts.encodings, before.counts.decodings) == done


def test_little_memory_takes_more_passes_and_gives_the_same_answers(network: TinyBackbone) -> None:
    values = picture()
    much, little = opened(network, values), opened(network, values, memory=9 * values.numel())
    for name in (*NAMES, "liver"):
        assert torch.equal(ask(much, name)[0], ask(little, name)[0])
    assert little.counts.encodings > much.counts.encodings


def test_what_an_adapter_is_told_of_the_structure_is_asked_apart(network: TinyBackbone) -> None:
    told: list[Context] = []
    network.hooks.fuse = lambda tokens, contexts: (told.extend(contexts), (tokens, None))[1]
    try:
        before = opened(network, picture())
        list(before.answers([FramePrompt("liver")], [Context(None, "liver")]))
        assert {context.structure for context in told} == set(NAMES)
        told.clear()
        list(before.answers([FramePrompt("liver")], [Context()]))
        assert {context.structure for context in told} == {None}
    finally:
        network.hooks.fuse = None
