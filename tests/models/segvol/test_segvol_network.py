"""SegVol as a Backbone: batches, gradients, hooks, and what an adapter may wrap."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from segevolution.errors import PromptError, VolumeError
from segevolution.imaging.prompts import PromptKind
from segevolution.models.backbone import Backbone, Context, PromptBatch
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.prompt_encoder import FourierCode
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.vocabulary import Modality

from .conftest import with_pixels_that_matter

MODALITIES = (Modality.CT, Modality.MRI)


def contexts_of(prompts: PromptBatch) -> list[Context]:
    return [
        Context(MODALITIES[image], structure)
        for image, structure in zip(prompts.image_index.tolist(), prompts.structures, strict=True)
    ]


def all_parts() -> list[dict[str, bool]]:
    """Every way to switch the optional parts that is allowed."""
    names = ("stem", "high_resolution", "dense_prompts", "pixel_decoder")
    ways = [dict(zip(names, on, strict=True)) for on in product([False, True], repeat=len(names))]
    return [
        way
        for way in ways
        if (way["stem"] or not way["high_resolution"]) and (way["high_resolution"] or not way["pixel_decoder"])
    ]


def build(config: SegVolConfig, parts: dict[str, bool]) -> SegVol:
    changed = replace(
        config,
        stem=config.stem if parts["stem"] else None,
        high_resolution=bool(parts["high_resolution"]),
        dense_prompts=bool(parts["dense_prompts"]),
        pixel_decoder=config.pixel_decoder if parts.get("pixel_decoder") else None,
    )
    return with_pixels_that_matter(SegVol.fresh(changed, seed=4, tokenizer=WordTokenizer.of_vocabulary())).eval()


def test_segvol_is_a_backbone_and_says_what_it_asks_for(mini: SegVol) -> None:
    assert isinstance(mini, Backbone)
    assert mini.spec.window == (8, 32, 32)
    assert mini.spec.accepts == {PromptKind.TEXT, PromptKind.POINT, PromptKind.BOX}
    assert mini.spec.structures == ("liver", "spleen", "left kidney")


@torch.no_grad()
@pytest.mark.parametrize("parts", all_parts())
def test_a_prompt_gets_the_same_answer_alone_as_in_any_company(
    parts: dict[str, bool],
    mini_config: SegVolConfig,
    images: Tensor,
    every_combination: PromptBatch,
    one_prompt: Callable[[PromptBatch, int], PromptBatch],
) -> None:
    network = build(mini_config, parts)
    features = network.encode(images, MODALITIES)
    contexts = contexts_of(every_combination)
    together = network.decode(features, every_combination, contexts)
    assert together.logits.shape == (8, 1, 8, 16, 16)
    assert together.full().shape == (8, 1, 8, 32, 32)
    for row in range(8):
        alone = network.decode(features, one_prompt(every_combination, row), contexts[row : row + 1])
        torch.testing.assert_close(together.logits[row], alone.logits[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.iou[row], alone.iou[0], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_prompts_of_one_image_do_not_depend_on_another(
    mini: SegVol, images: Tensor, every_combination: PromptBatch
) -> None:
    contexts = contexts_of(every_combination)
    first = mini.decode(mini.encode(images, MODALITIES), every_combination, contexts)
    other = torch.cat([images[:1], 1 - images[1:]])
    second = mini.decode(mini.encode(other, MODALITIES), every_combination, contexts)
    own = every_combination.image_index == 0
    torch.testing.assert_close(first.logits[own], second.logits[own], rtol=1e-5, atol=1e-5)
    assert ((first.logits - second.logits)[~own].abs().amax(dim=(1, 2, 3, 4)) > 1e-3).all()


@torch.no_grad()
def test_one_encoding_serves_every_image_of_a_batch_alike(mini: SegVol, images: Tensor) -> None:
    together = mini.encode(images, MODALITIES)
    stacked = type(together).stack([mini.encode(images[i : i + 1], MODALITIES[i : i + 1]) for i in (0, 1)])
    torch.testing.assert_close(together.tokens, stacked.tokens, rtol=1e-5, atol=1e-5)
    assert stacked.modalities == MODALITIES
    assert [tuple(skip.shape) for skip in together.skips] == [(2, 8, 4, 8, 8), (2, 4, 8, 16, 16)]
    for found, expected in zip(together.skips, stacked.skips, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["text", "point", "box"])
def test_every_kind_of_prompt_changes_the_answer(kind: str, mini: SegVol, images: Tensor) -> None:
    index = torch.zeros(2, dtype=torch.int64)
    prompts = {
        "text": PromptBatch(index, ("liver", "spleen")),
        "point": PromptBatch(
            index, (None, None), torch.tensor([[[1.0, 4.0, 4.0]], [[6.0, 25.0, 25.0]]]), torch.ones(2, 1).long()
        ),
        "box": PromptBatch(index, (None, None), boxes=torch.tensor([[0.0, 0, 0, 3, 9, 9], [4.0, 20, 20, 7, 31, 31]])),
    }[kind]
    logits = mini.decode(mini.encode(images[:1], [None]), prompts, [Context()] * 2).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_gradients_reach_every_trainable_parameter(
    mini: SegVol, images: Tensor, every_combination: PromptBatch
) -> None:
    mini.train()
    features = mini.encode(images, MODALITIES)
    for multimask in (False, True):
        masks = mini.decode(features, every_combination, contexts_of(every_combination), multimask=multimask)
        (masks.logits.square().mean() + masks.iou.square().mean()).backward(retain_graph=not multimask)
    for name, parameter in mini.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_gradients_of_fillers_are_finite_where_their_coordinates_are_not(mini: SegVol, images: Tensor) -> None:
    prompts = PromptBatch(
        torch.tensor([0, 0]),
        (None, None),
        torch.tensor([[[1.0, 2.0, 3.0]], [[float("nan")] * 3]]),
        torch.tensor([[1], [-2]]),
        torch.tensor([[float("nan")] * 6, [0.0, 0.0, 0.0, 5.0, 5.0, 5.0]]),
    )
    mini.decode(mini.encode(images, MODALITIES), prompts, [Context()] * 2).logits.sum().backward()
    gradients = [parameter.grad for parameter in mini.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_multimask_gives_three_alternatives_to_the_one_mask(
    mini: SegVol, images: Tensor, every_combination: PromptBatch
) -> None:
    features = mini.encode(images, MODALITIES)
    contexts = contexts_of(every_combination)
    masks = mini.decode(features, every_combination, contexts, multimask=True)
    assert masks.logits.shape == (8, 3, 8, 16, 16)
    assert masks.iou.shape == (8, 3)
    single = mini.decode(features, every_combination, contexts)
    assert ((masks.logits - single.logits).abs().amax(dim=(2, 3, 4)) > 1e-4).all()


@torch.no_grad()
def test_autocast_changes_answers_only_a_little(mini: SegVol, images: Tensor, every_combination: PromptBatch) -> None:
    contexts = contexts_of(every_combination)
    exact = mini.decode(mini.encode(images, MODALITIES), every_combination, contexts).logits
    with torch.autocast("cpu", torch.bfloat16):
        rough = mini.decode(mini.encode(images, MODALITIES), every_combination, contexts).logits
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().mean() < 0.05 * exact.std()


@torch.no_grad()
@pytest.mark.parametrize("dense", [False, True])
def test_hooks_see_each_prompt_with_its_context_and_identity_hooks_change_nothing(
    dense: bool, mini_config: SegVolConfig, images: Tensor, every_combination: PromptBatch
) -> None:
    network = build(mini_config, {"stem": True, "high_resolution": True, "dense_prompts": dense})
    features = network.encode(images, MODALITIES)
    contexts = contexts_of(every_combination)
    plain = network.decode(features, every_combination, contexts).logits
    seen: dict[str, tuple[tuple[int, ...], Sequence[Context]]] = {}

    def fuse(tokens: Tensor, given: Sequence[Context]) -> tuple[Tensor, str]:
        seen["fuse"] = (tuple(tokens.shape), given)
        return tokens, "a state"

    def watch(tokens: Tensor, given: Sequence[Context], state: str) -> Tensor:
        seen[state] = (tuple(tokens.shape), given)
        return tokens

    network.hooks.fuse, network.hooks.mask_tokens = fuse, watch
    watched = network.decode(features, every_combination, contexts).logits
    torch.testing.assert_close(watched, plain, rtol=1e-5, atol=1e-5)
    assert seen == {"fuse": ((8, 32, 32), contexts), "a state": ((8, 4, 32), contexts)}
    network.hooks.fuse = lambda tokens, _: (tokens + torch.randn_like(tokens), None)
    assert not torch.allclose(network.decode(features, every_combination, contexts).logits, plain)
    network.hooks.fuse, network.hooks.mask_tokens = None, lambda tokens, *_: tokens + 1
    assert not torch.allclose(network.decode(features, every_combination, contexts).logits, plain)
    network.hooks.mask_tokens = None
    assert torch.equal(network.decode(features, every_combination, contexts).logits, plain)


@torch.no_grad()
def test_every_adaptable_layer_is_called_as_a_layer(
    mini: SegVol, images: Tensor, every_combination: PromptBatch
) -> None:
    called = set()
    layers = dict(mini.named_modules())
    everything = [name for names in mini.adaptable_groups.values() for name in names]
    for name in everything:
        assert isinstance(layers[name], (nn.Linear, nn.Conv3d))
        layers[name].register_forward_hook(lambda *_, name=name: called.add(name))
    features = mini.encode(images, MODALITIES)
    for multimask in (False, True):
        mini.decode(features, every_combination, contexts_of(every_combination), multimask=multimask)
    assert called == set(everything)
    assert set(mini.spec.adaptable) < called


def test_adaptable_layers_cover_encoder_decoder_and_the_optional_parts(mini: SegVol) -> None:
    groups = mini.adaptable_groups
    counts = {group: len(names) for group, names in groups.items()}
    # Encoder: 4 a block; decoder: 3 attentions of 4 and 2 of the MLP a block, and a last attention.
    assert counts == {
        **{"encoder": 8, "decoder": 32, "stem": 7, "pixels": 8, "dense": 4, "upscaling": 2},
        **{"heads": 16, "text": 7},
    }
    assert set(groups["pixels"]) <= set(mini.spec.encoding)
    assert not any(name.startswith(("text_encoder", "mask_decoder.output_hyper")) for name in mini.spec.adaptable)


def test_fresh_networks_repeat_by_seed_and_leave_the_callers_random_stream_alone(mini_config: SegVolConfig) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first, second = SegVol.fresh(mini_config, seed=5), SegVol.fresh(mini_config, seed=5)
    assert torch.equal(torch.rand(3), expected)
    for (name, one), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    third = SegVol.fresh(mini_config, seed=6).state_dict()
    assert not torch.equal(third["mask_decoder.mask_tokens.weight"], first.mask_decoder.mask_tokens.weight)


def test_start_settings_shape_the_first_weights(mini_config: SegVolConfig) -> None:
    network = SegVol.fresh(mini_config, seed=5)
    positions = network.image_encoder.patch_embedding.position_embeddings[0]
    torch.testing.assert_close(positions.detach(), 1.5 * network.prompt_encoder.grid_code())
    matrix = FourierCode(1024, (0.09, 0.9)).positional_encoding_gaussian_matrix
    assert matrix[:, :100].std() < 0.2
    assert 0.5 < matrix[:, -100:].std() < 1.2


def test_images_of_another_size_and_mask_prompts_are_refused(mini: SegVol, images: Tensor) -> None:
    with pytest.raises(VolumeError, match="8, 32, 32"):
        mini.encode(images[..., :16], MODALITIES)
    with pytest.raises(VolumeError, match="1 modalities"):
        mini.encode(images, [None])
    prompts = PromptBatch(torch.tensor([0]), ("liver",), masks=torch.zeros(1, 1, 8, 16, 16))
    with pytest.raises(PromptError, match="no mask"):
        mini.decode(mini.encode(images, MODALITIES), prompts, [Context()])


@torch.no_grad()
def test_a_new_pixel_decoder_changes_nothing_and_a_trained_one_the_maps_alone(
    mini_config: SegVolConfig, images: Tensor, every_combination: PromptBatch
) -> None:
    words, contexts = WordTokenizer.of_vocabulary(), contexts_of(every_combination)
    plain_network = SegVol.fresh(replace(mini_config, pixel_decoder=None), 1, words).eval()
    network = SegVol.fresh(mini_config, 7, words).eval()
    network.load_state_dict(network.state_dict() | plain_network.state_dict())
    plain, same = plain_network.encode(images, MODALITIES), network.encode(images, MODALITIES)
    for skip, expected in zip(same.skips, plain.skips, strict=True):
        assert torch.equal(skip, expected)
    changed = with_pixels_that_matter(network).encode(images, MODALITIES)
    assert torch.equal(changed.tokens, plain.tokens)
    for skip, expected in zip(changed.skips, plain.skips, strict=True):
        assert skip.shape == expected.shape
        assert not torch.allclose(skip, expected, atol=1e-2)
    answers = network.decode(changed, every_combination, contexts).logits
    assert not torch.allclose(answers, plain_network.decode(plain, every_combination, contexts).logits, atol=1e-2)


def test_a_pixel_decoder_reads_the_tokens_of_its_own_image(mini: SegVol, images: Tensor) -> None:
    tokens, skips = mini.image_encoder.patch_embedding(images)
    tokens = tokens.detach().requires_grad_()
    decoder = mini.pixel_decoder
    assert decoder is not None
    coarse, fine = decoder(tokens, mini.config.grid, [skip.detach() for skip in skips])
    (fine[0, :, 0, 0, 0].sum() + coarse[0, :, 0, 0, 0].sum()).backward()
    assert tokens.grad is not None
    assert tokens.grad[0].abs().sum() > 0
    assert tokens.grad[1].abs().sum() == 0
