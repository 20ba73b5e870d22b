"""Several sessions at once on one network: each answers, bit for bit, as it does alone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import numpy as np
import pytest
import torch

from segevolution.adapters import (
    ContextPriorAdapter,
    ContextPriorConfig,
    LoraAdapter,
    LoraConfig,
    MixtureAdapter,
    MixtureConfig,
    attached,
)
from segevolution.adapters.base import BaseAdapter
from segevolution.errors import AdapterError
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.segmentation import Segmentation
from segevolution.inference.session import Session
from segevolution.models.backbone import BackboneModule
from segevolution.models.segvol.config import SegVolConfig, StemConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

STRUCTURES = ("liver", "spleen", "aorta")
Ask = Callable[[Session], Segmentation]

ASKS: tuple[Ask, ...] = (
    lambda session: session.segment(points=[(12, 14, 5)], structure="liver", keep_logits=True),
    lambda session: session.segment(box=(4, 4, 2, 18, 18, 8), structure="spleen", keep_logits=True),
    lambda session: session.segment(
        points=[(16, 9, 7)], negative_points=[(3, 3, 3)], structure="aorta", keep_logits=True
    ),
    lambda session: session.segment(points=[(8, 22, 4)], keep_logits=True),
)


def tiny() -> BackboneModule:
    return TinyBackbone(TinyConfig(window=(8, 16, 16), structures=STRUCTURES)).eval()


def segvol() -> BackboneModule:
    stem = StemConfig((4, 8, 8), 2)
    sizes = {"window": (8, 32, 32), "patch": (4, 8, 8), "width": 48, "depth": 2, "heads": 4, "mlp": 64}
    config = SegVolConfig(**sizes, decoder_mlp=64, iou_hidden=32, stem=stem, high_resolution=True, dense_prompts=True)
    return SegVol.fresh(config, seed=0).eval()


def volume(number: int) -> Volume:
    shape = ((24, 24, 10), (20, 26, 12), (28, 24, 9))[number]
    rng = np.random.default_rng(number)
    signal = rng.normal(0, 0.2, shape).astype(np.float32)
    signal[6:18, 6:18, 3:8] += 1 + number
    return Volume(signal, Grid(shape, np.eye(4)), modality=(Modality.CT, Modality.MRI, None)[number])


def moved(adapter: BaseAdapter, network: BackboneModule, seed: int) -> BaseAdapter:
    """Attached with weights that matter, then switched off."""
    adapter.attach(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    adapter.switch_off()
    return adapter


def adapters(network: BackboneModule) -> list[BaseAdapter | None]:
    prior = ContextPriorAdapter(ContextPriorConfig(lora_rank=2, modalities=("CT", "MRI")))
    prior.add_structures(STRUCTURES)
    gated = MixtureConfig(rank=2, experts=("MRI", "CT"), gate="learned+modality", top_k=2, confidence=0.0)
    return [
        moved(MixtureAdapter(gated), network, 1),
        moved(prior, network, 2),
        moved(LoraAdapter(LoraConfig(rank=2, also_train=("biases",))), network, 3),
        None,
    ]


def sessions(network: BackboneModule, some: Sequence[BaseAdapter | None]) -> list[Session]:
    return [Session(network, volume(number), adapter=adapter) for adapter in some for number in range(3)]


def same(first: Segmentation, second: Segmentation) -> bool:
    logits = (first.logits, second.logits)
    alike = logits[0] is logits[1] is None or np.array_equal(*logits)
    return bool(alike and np.array_equal(first.mask, second.mask)) and first.iou == second.iou


@pytest.mark.parametrize(("make", "asks"), [(tiny, ASKS), (segvol, ASKS[:2])])
def test_sessions_with_other_adapters_answer_from_threads_as_they_do_alone(
    make: Callable[[], BackboneModule], asks: tuple[Ask, ...]
) -> None:
    network = make()
    some = adapters(network)
    alone = [[ask(session) for ask in asks] for session in sessions(network, some)]
    assert len({answers[0].logits.tobytes() for answers in alone}) == len(alone)  # each has an answer of its own
    together = sessions(network, some)
    start = threading.Barrier(len(together))

    def work(session: Session) -> list[Segmentation]:
        start.wait(10)
        return [ask(session) for ask in asks]

    with ThreadPoolExecutor(len(together)) as pool:
        found = list(pool.map(work, together))
    assert all(same(a, b) for ones, others in zip(alone, found, strict=True) for a, b in zip(ones, others, strict=True))
    assert attached(network) is None


def test_sessions_answer_in_one_another_s_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    some = adapters(network)
    alone = [[ask(session) for ask in ASKS] for session in sessions(network, some)]
    outer, inner = sessions(network, some), sessions(network, some[::-1])
    calls = zip_longest(*[iter([(session, ask) for ask in ASKS]) for session in inner])
    gaps = [call for round_ in calls for call in round_]
    plain, busy = network._decode, []

    def between(*args: object, **options: object) -> object:
        """In the middle of a decoding, with its adapter on, another session is asked."""
        if not busy and gaps:
            busy.append(True)
            session, ask = gaps.pop()
            answers.setdefault(id(session), []).append((ask, ask(session)))
            busy.pop()
        return plain(*args, **options)

    answers: dict[int, list[tuple[Ask, Segmentation]]] = {}
    monkeypatch.setattr(network, "_decode", between)
    for session, wanted in zip(outer, alone, strict=True):
        assert all(same(ask(session), answer) for ask, answer in zip(ASKS, wanted, strict=True))
    assert answers
    by_adapter = [alone[3 * place : 3 * place + 3] for place in range(len(some))][::-1]
    flat = [answer for group in by_adapter for answer in group]
    for session, wanted in zip(inner, flat, strict=True):
        for ask, answer in answers.get(id(session), []):
            assert same(answer, wanted[ASKS.index(ask)])


def test_one_session_used_from_threads_answers_as_if_in_turn() -> None:
    network = tiny()
    session, other = Session(network, volume(0)), Session(network, volume(0))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ask: ask(session), [*ASKS] * 4))
        list(pool.map(lambda place: session.add_point((place + 4, 12, 5)), range(8)))
    wanted = [ask(other) for ask in ASKS]
    assert all(same(answer, wanted[place % len(ASKS)]) for place, answer in enumerate(found))
    assert session.current is not None
    points = session.current.prompt.points
    assert sorted(point[0] for point in points) == list(range(4, 12))  # no click is lost
    for point in points:
        last = other.add_point(point)
    assert same(session.current, last)


def test_a_session_keeps_the_adapter_that_was_on_when_it_began() -> None:
    network = tiny()
    mixture, prior, *_ = adapters(network)
    assert mixture is not None
    assert prior is not None
    mixture.switch_on()
    session = Session(network, volume(1))
    first = ASKS[0](session)
    mixture.switch_off()
    prior.switch_on()
    assert same(ASKS[0](session), first)
    assert not same(ASKS[0](Session(network, volume(1))), first)
    assert attached(network) is prior
    mixture.detach()
    with pytest.raises(AdapterError, match="mixture adapter is not attached to a network"):
        ASKS[0](session)


def test_features_go_when_the_weights_that_made_them_do() -> None:
    network = tiny()
    lora = adapters(network)[2]
    session = Session(network, volume(1), adapter=lora)
    first = ASKS[0](session)
    assert lora is not None
    with torch.no_grad():
        for parameter in lora.trainable_parameters():
            parameter.mul_(-2)
    again = ASKS[0](session)
    assert not same(again, first)
    assert same(again, ASKS[0](Session(network, volume(1), adapter=lora)))
    before = session.counts.encodings
    ASKS[0](session)
    assert session.counts.encodings == before


def test_a_session_knows_the_structures_of_its_own_adapter_only() -> None:
    network = tiny()
    lora = adapters(network)[2]
    assert lora is not None
    lora.add_structures(["left ventricle"])
    assert Session(network, volume(0), adapter=lora).network.spec.structures == (*STRUCTURES, "left ventricle")
    lora.switch_on()
    assert Session(network, volume(0), adapter=None).network.spec.structures == STRUCTURES
