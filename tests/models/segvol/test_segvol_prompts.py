"""Prompt tokens and prompt volumes."""

from dataclasses import replace

import pytest
import torch

from segevolution.models.backbone import PromptBatch
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.dense_prompts import prompt_volumes
from segevolution.models.segvol.prompt_encoder import PromptEncoder
from segevolution.models.segvol.segvol import SegVol

NAN = float("nan")
CPU = torch.device("cpu")


def prompts(
    *,
    points: list[list[list[float]]] | None = None,
    labels: list[list[int]] | None = None,
    boxes: list[list[float]] | None = None,
) -> PromptBatch:
    count = len(points or boxes or [])
    return PromptBatch(
        torch.zeros(count, dtype=torch.int64),
        (None,) * count,
        None if points is None else torch.tensor(points),
        None if labels is None else torch.tensor(labels),
        None if boxes is None else torch.tensor(boxes),
    )


def centre_of_token(config: SegVolConfig, token: tuple[int, int, int]) -> list[float]:
    return [(index + 0.5) * side - 0.5 for index, side in zip(token, config.patch, strict=True)]


@torch.no_grad()
def test_matching_coordinates_give_a_point_the_code_of_the_token_it_lies_in(mini_config: SegVolConfig) -> None:
    encoder = PromptEncoder(mini_config)
    for embedding in (encoder.not_a_point_embed, *encoder.point_embeddings):
        embedding.weight.zero_()
    grid = encoder.grid_code().view(*mini_config.grid, -1)
    token = (1, 0, 3)
    tokens, _ = encoder(prompts(points=[[centre_of_token(mini_config, token)]], labels=[[1]]), None)
    torch.testing.assert_close(tokens[0, 0], grid[token])


@torch.no_grad()
def test_published_coordinates_keep_the_mix_up_of_axes(mini_config: SegVolConfig) -> None:
    encoder = PromptEncoder(replace(mini_config, coordinates="published"))
    for embedding in (encoder.not_a_point_embed, *encoder.point_embeddings):
        embedding.weight.zero_()
    tokens, _ = encoder(prompts(points=[[[3.0, 10.0, 20.0]]], labels=[[0]]), None)
    # (d, h, w) divided by (H, D, W) = (32, 8, 32), in that order.
    expected = encoder.pe_layer(torch.tensor([3.5 / 32, 10.5 / 8, 20.5 / 32]))
    torch.testing.assert_close(tokens[0, 0], expected)


@torch.no_grad()
def test_a_padding_token_follows_points_only_where_there_is_no_box(mini_config: SegVolConfig) -> None:
    encoder = PromptEncoder(mini_config)
    point, box = [[1.0, 2.0, 3.0]], [0.0, 0.0, 0.0, 4.0, 4.0, 4.0]
    batch = prompts(points=[point, point, point], labels=[[1], [1], [-2]], boxes=[[NAN] * 6, box, box])
    tokens, present = encoder(batch, None)
    assert present.tolist() == [
        [True, True, False, False],
        [True, False, True, True],
        [False, False, True, True],
    ]
    torch.testing.assert_close(tokens[0, 1], encoder.not_a_point_embed.weight[0])
    assert not tokens.isnan().any()


@torch.no_grad()
def test_labels_choose_the_embedding(mini_config: SegVolConfig) -> None:
    encoder = PromptEncoder(mini_config)
    point = [1.0, 2.0, 3.0]
    tokens, _ = encoder(prompts(points=[[point, point, point]], labels=[[1, 0, -1]]), None)
    positive, negative = (encoder.point_embeddings[kind].weight[0] for kind in (1, 0))
    torch.testing.assert_close(tokens[0, 0] - positive, tokens[0, 1] - negative)
    torch.testing.assert_close(tokens[0, 2], encoder.not_a_point_embed.weight[0])


@torch.no_grad()
def test_position_codes_keep_float32_under_autocast(mini: SegVol) -> None:
    expected = mini.prompt_encoder.grid_code()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mini.prompt_encoder.grid_code(), expected)


@pytest.mark.parametrize(
    ("box", "filled"),
    [
        ([0.0, 0.0, 0.0, 7.0, 31.0, 31.0], (0, 0, 0, 8, 16, 16)),
        ([2.0, 4.0, 8.0, 3.0, 7.0, 9.0], (2, 2, 4, 4, 4, 5)),
    ],
)
def test_box_volume_is_one_inside_and_zero_outside(box: list[float], filled: tuple[int, ...]) -> None:
    volume = prompt_volumes(prompts(boxes=[box]), (8, 32, 32), (8, 16, 16), CPU)[0]
    expected = torch.zeros(8, 16, 16)
    d0, h0, w0, d1, h1, w1 = filled
    expected[d0:d1, h0:h1, w0:w1] = 1
    assert torch.equal(volume[0], expected)
    assert not volume[1:].any()


def test_box_that_covers_half_a_mask_voxel_gives_it_one_half() -> None:
    volume = prompt_volumes(prompts(boxes=[[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]), (8, 32, 32), (8, 16, 16), CPU)[0, 0]
    assert volume[0, 0, 0] == 0.5
    assert volume.sum() == 0.5


def test_an_absent_or_empty_box_gives_zeros() -> None:
    volumes = prompt_volumes(prompts(boxes=[[NAN] * 6, [-1.0] * 6]), (8, 32, 32), (8, 16, 16), CPU)
    assert not volumes.any()


def test_points_become_small_gaussians_of_their_own_sign_and_fillers_nothing() -> None:
    batch = prompts(points=[[[4.0, 8.5, 20.5], [1.0, 20.5, 4.5], [NAN] * 3, [2.0, 2.0, 2.0]]], labels=[[1, 0, -2, -1]])
    positive, negative = prompt_volumes(batch, (8, 32, 32), (8, 16, 16), CPU)[0, 1:]
    assert torch.equal(positive.flatten().argmax(), torch.tensor((4 * 16 + 4) * 16 + 10))
    assert torch.equal(negative.flatten().argmax(), torch.tensor((1 * 16 + 10) * 16 + 2))
    torch.testing.assert_close(positive.max(), torch.tensor(1.0))
    assert positive[4, 4, 15] < 0.01
    assert positive[0, 0, 0] < 0.01
