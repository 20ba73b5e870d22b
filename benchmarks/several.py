"""Several sessions at once on one network: how many answers differ from those given alone. Goal: none.

Threads ask sessions of three volumes (CT, MRI, and of no known modality) on ONE network that carries two adapters: a
mixture of two experts with a learned gate, and context priors with LoRA. Each thread draws its prompts by its own seed,
each prompt for a session and adapter drawn anew, so that adapters change from call to call; some of the sessions are
used by several threads. Every answer is then given again by a fresh session on a copy of the network, alone, and
compared bit for bit: mask, logits and predicted overlap.

Networks: the tiny test double, and segvol-mini's form (stem, high-resolution features, dense prompts, text) as small as
it goes. Weights are random, those of the adapters too, and large enough to change answers.

Baseline, in the same run: the same prompts one after the other, in the same sessions' order, in one thread. A network
answers one thread at a time, so the ratio shows what waiting and switching cost; torch's own threads do the parallel
work. "switch percent" is one change to another adapter and back, in percent of an answer.
"""

import copy
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from measuring import arguments, begin, show

from segevolution.adapters import (
    ContextPriorAdapter,
    ContextPriorConfig,
    MixtureAdapter,
    MixtureConfig,
    switched,
)
from segevolution.adapters.base import BaseAdapter
from segevolution.imaging.grid import Grid, Triple
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.volume import Volume
from segevolution.inference.segmentation import Segmentation
from segevolution.inference.session import Session
from segevolution.models.backbone import BackboneModule
from segevolution.models.segvol.config import SegVolConfig, StemConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

STRUCTURES = ("liver", "spleen", "aorta")
SHAPES: tuple[Triple, ...] = ((24, 26, 10), (20, 28, 12), (30, 24, 9))
MODALITIES = (Modality.CT, Modality.MRI, None)


@dataclass(frozen=True)
class Row:
    """One network. Seconds of all answers, alone and together; ratio is together over alone."""

    network: str
    threads: int
    answers: int
    differences: int
    distinct: int
    alone_seconds: float
    together_seconds: float
    ratio: float
    switch_percent: float


@dataclass(frozen=True)
class Question:
    """A prompt for one of the sessions: the volume's and the adapter's number."""

    volume: int
    adapter: int
    prompt: Prompt
    structure: str | None


def tiny() -> BackboneModule:
    """The test double."""
    return TinyBackbone(TinyConfig(window=(8, 16, 16), structures=STRUCTURES)).eval()


def small_mini() -> BackboneModule:
    """segvol-mini's parts, as small as they go."""
    words = WordTokenizer.of_vocabulary()
    config = SegVolConfig(
        window=(8, 32, 32),
        patch=(4, 8, 8),
        width=48,
        depth=2,
        heads=4,
        mlp=96,
        decoder_heads=4,
        decoder_mlp=64,
        iou_hidden=16,
        stem=StemConfig((4, 8, 8), 2),
        high_resolution=True,
        dense_prompts=True,
        text=TextConfig(vocabulary=words.size, width=16, layers=1, heads=2, mlp=32),
    )
    return SegVol.fresh(config, seed=0, tokenizer=words).eval()


NETWORKS: dict[str, Callable[[], BackboneModule]] = {"tiny": tiny, "small segvol-mini": small_mini}


def adapters(network: BackboneModule) -> list[BaseAdapter]:
    """The two adapters, attached, off, with weights that change answers; the same at every call."""
    gated = MixtureConfig(rank=4, experts=("MRI", "CT"), gate="learned+modality", top_k=2, confidence=0.0)
    prior = ContextPriorAdapter(ContextPriorConfig(lora_rank=4, modalities=("CT", "MRI")))
    prior.add_structures(STRUCTURES)
    made: list[BaseAdapter] = [MixtureAdapter(gated), prior]
    for number, adapter in enumerate(made):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            adapter.attach(network)
            with torch.no_grad():
                for parameter in adapter.trainable_parameters():
                    parameter.add_(0.2 * torch.randn(parameter.shape))
        adapter.switch_off()
    return made


def volume(number: int) -> Volume:
    """A bright block in noise."""
    shape, rng = SHAPES[number], np.random.default_rng(number)
    signal = rng.normal(0, 0.2, shape).astype(np.float32)
    signal[6:18, 6:18, 3:8] += 1 + number
    return Volume(signal, Grid(shape, np.eye(4)), modality=MODALITIES[number])


def questions(seed: int, count: int, volumes: Sequence[Volume], chosen: int) -> list[Question]:
    """Prompts for `chosen` adapters, drawn by one seed."""
    rng = random.Random(seed)
    drawn = []
    for _ in range(count):
        place, structure = rng.randrange(len(volumes)), rng.choice((*STRUCTURES, None))
        prompt = random_prompt(volumes[place].grid, structure, rng)
        drawn.append(Question(place, rng.randrange(chosen), prompt, structure))
    return drawn


def random_prompt(grid: Grid, structure: str | None, rng: random.Random) -> Prompt:
    """A text, where there is a structure, a point, two of either sign, or a box."""
    spots = [[rng.randrange(side) for side in grid.shape] for _ in range(2)]
    kind = rng.choice(("point", "points", "box", *(["text"] if structure else [])))
    if kind == "text":
        return Prompt.make(grid, text=structure)
    if kind == "box":
        low, high = np.sort(spots, axis=0).tolist()
        return Prompt.make(grid, box=(*low, *high))
    return Prompt.make(grid, points=spots[:1], negative_points=spots[1:] if kind == "points" else ())


Sessions = dict[tuple[int, int], Session]


def open_sessions(network: BackboneModule, volumes: Sequence[Volume], some: Sequence[BaseAdapter]) -> Sessions:
    """One for each volume and adapter."""
    return {
        (v, a): Session(network, one, adapter=adapter)
        for v, one in enumerate(volumes)
        for a, adapter in enumerate(some)
    }


def answer(sessions: Sessions, question: Question) -> Segmentation:
    """Ask the session of a question."""
    session = sessions[question.volume, question.adapter]
    return session.segment([question.prompt], structure=question.structure, keep_logits=True)[0]


def content(found: Segmentation) -> tuple[Any, ...]:
    """All that is compared."""
    assert found.logits is not None
    return found.mask.tobytes(), found.logits.tobytes(), found.iou


def measure(name: str, threads: int, count: int) -> Row:
    """Ask together, then alone, and compare."""
    network = NETWORKS[name]()
    volumes = [volume(number) for number in range(len(SHAPES))]
    alone_network = copy.deepcopy(network)
    some, others = adapters(network), adapters(alone_network)
    asked = [questions(seed, count, volumes, len(some)) for seed in range(threads)]
    shared = open_sessions(network, volumes, some)
    own = [open_sessions(network, volumes, some) for _ in range(threads)]

    def work(number: int) -> list[Segmentation]:
        """Every second question goes to the sessions that all threads share."""
        return [answer(shared if turn % 2 else own[number], entry) for turn, entry in enumerate(asked[number])]

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(work, range(threads)))
    middle = time.perf_counter()
    alone = []
    shared_alone = open_sessions(alone_network, volumes, others)
    for number in range(threads):
        mine = open_sessions(alone_network, volumes, others)
        alone.append([answer(shared_alone if turn % 2 else mine, entry) for turn, entry in enumerate(asked[number])])
    end = time.perf_counter()
    pairs = [
        (content(one), content(other))
        for ones, rest in zip(together, alone, strict=True)
        for one, other in zip(ones, rest, strict=True)
    ]
    return Row(
        name,
        threads,
        len(pairs),
        sum(one != other for one, other in pairs),
        len({other for _, other in pairs}),
        end - middle,
        middle - start,
        (middle - start) / (end - middle),
        100 * switch_seconds(network, some) / ((end - middle) / len(pairs)),
    )


def switch_seconds(network: BackboneModule, some: Sequence[BaseAdapter], rounds: int = 50) -> float:
    """One change to another adapter and back, the mean."""
    with switched(network, some[0]):
        start = time.perf_counter()
        for _ in range(rounds):
            with switched(network, some[1]):
                pass
        return (time.perf_counter() - start) / rounds


def main() -> None:
    """Measure each network and print a table."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--askers", type=int, default=8, help="threads that ask (8)")
    parser.add_argument("--prompts", type=int, default=100, help="prompts of each (100)")
    options = parser.parse_args()
    begin(options.threads)
    askers, count = (3, 4) if options.toy else (options.askers, options.prompts)
    rows = [measure(name, askers, count) for name in NETWORKS]
    show(rows, as_json=options.json, title="several sessions on one network")


if __name__ == "__main__":
    main()
