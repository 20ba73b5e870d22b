import copy
import dataclasses
import pickle
import threading

import pytest
import torch

from segevolution.models.backbone import Features, PromptBatch
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Context, Modality, Wording


def encoded(backbone: TinyBackbone, count: int) -> Features:
    images = torch.rand(count, 1, *backbone.spec.window, generator=torch.Generator().manual_seed(0))
    return backbone.encode(images, [Modality.CT, Modality.MRI, None][:count])


def prompts(count: int) -> PromptBatch:
    return PromptBatch(
        torch.arange(count),
        ("liver", None, "spleen")[:count],
        torch.arange(count * 3.0).view(count, 1, 3),
        torch.ones(count, 1, dtype=torch.int64),
    )


@pytest.fixture
def backbone() -> TinyBackbone:
    return TinyBackbone().eval()


def test_rows_of_features_are_those_images_with_their_routing(backbone: TinyBackbone) -> None:
    routing = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    features = dataclasses.replace(encoded(backbone, 3), routing=routing)
    chosen = features.rows([2, 0])
    assert torch.equal(chosen.tokens, features.tokens[[2, 0]])
    assert torch.equal(chosen.skips[0], features.skips[0][[2, 0]])
    assert chosen.modalities == (None, Modality.CT)
    assert chosen.routing is not None
    assert torch.equal(chosen.routing, routing[[2, 0]])
    joined = Features.stack([features.rows([row]) for row in range(3)])
    assert joined.routing is not None
    assert torch.equal(joined.routing, routing)
    assert torch.equal(joined.tokens, features.tokens)


def test_stacked_features_are_routed_only_if_all_of_them_are(backbone: TinyBackbone) -> None:
    plain = encoded(backbone, 1)
    routed = dataclasses.replace(plain, routing=torch.ones(1, 2))
    assert Features.stack([plain, routed]).routing is None


def test_rows_of_prompts_are_those_prompts(backbone: TinyBackbone) -> None:
    chosen = prompts(3).rows([2, 1])
    assert chosen.image_index.tolist() == [2, 1]
    assert chosen.structures == ("spleen", None)
    assert chosen.points is not None
    assert chosen.points[:, 0].tolist() == [[6.0, 7.0, 8.0], [3.0, 4.0, 5.0]]
    assert chosen.boxes is None
    assert chosen.wordings is None
    worded = dataclasses.replace(prompts(3), wordings=(Wording("hepar"), None, Wording("lien"))).rows([2, 1])
    assert worded.wordings == (Wording("lien"), None)


@torch.no_grad()
def test_hooks_around_stand_in_place_of_the_network_and_get_its_own_work(backbone: TinyBackbone) -> None:
    plain = encoded(backbone, 2)
    contexts = [Context()] * 2
    answer = backbone.decode(plain, prompts(2), contexts, multimask=True)
    backbone.hooks.encode = lambda inner, images, modalities: inner(images.flip(0), modalities)
    backbone.hooks.decode = lambda inner, features, asked, told, multimask: inner(
        features.rows([1, 0]), asked, told, multimask=multimask
    )
    turned = encoded(backbone, 2)
    assert torch.equal(turned.tokens, plain.tokens.flip(0))
    assert torch.equal(backbone.decode(turned, prompts(2), contexts, multimask=True).logits, answer.logits)


def test_what_runs_at_encoding_is_adaptable(backbone: TinyBackbone) -> None:
    assert set(backbone.spec.encoding) < set(backbone.spec.adaptable)


def test_copies_and_pickles_have_a_lock_of_their_own_which_one_thread_may_take_twice(backbone: TinyBackbone) -> None:
    copied, pickled = copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))
    assert len({id(each.lock) for each in (backbone, copied, pickled)}) == 3
    with backbone.lock, backbone.lock:
        assert copied.encode(torch.zeros(1, 1, *copied.spec.window), [None]).tokens.isfinite().all()
        assert torch.equal(pickled.keys.weight, backbone.keys.weight)


def test_the_lock_is_held_during_an_encoding_and_during_a_decoding(backbone: TinyBackbone) -> None:
    taken: list[bool] = []

    def another_thread_takes_it() -> None:
        thread = threading.Thread(target=lambda: taken.append(backbone.lock.acquire(blocking=False)))
        thread.start()
        thread.join()

    backbone.hooks.encode = lambda inner, *given: (another_thread_takes_it(), inner(*given))[1]
    backbone.hooks.fuse = lambda tokens, _: (tokens, another_thread_takes_it())
    features = encoded(backbone, 1)
    backbone.decode(features, prompts(1), [Context()])
    assert taken == [False, False]
    another_thread_takes_it()
    assert taken == [False, False, True]
