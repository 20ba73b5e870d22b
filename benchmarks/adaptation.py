"""One training step of each way to adapt the published network, against full fine-tuning. Goal: half of each.

SegVol at its published size with random weights, or the model that --model names; one image, the six combinations of
a text, two points and a box, BCE plus Dice at the window's resolution, clipping, AdamW. Every way runs in a process of
its own, so that its peak memory (ru_maxrss, with python and torch in it, which "idle gigabytes" is without the
network) is its own. The first step makes the optimizer's state and is not timed.

- full: everything learns.
- decoder: the mask decoder learns; the encoder runs without gradients.
- decoder, cached: the same, features read from an earlier encoding, as `cache_features` does.
- lora: the study's set, rank 8 on encoder and decoder, 1,136,640 parameters.
- lora, recomputed: the same with `checkpointing`: activations computed twice instead of kept.
- lora decoder: rank 8 on the decoder's part of that set only.
- lora decoder, cached: the same from cached features.
- prior: context priors as in the study, with that LoRA.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from measuring import (
    PRECISIONS,
    Precision,
    apart,
    arguments,
    autocast,
    begin,
    clocked,
    median,
    peak_gigabytes,
    random_image,
    show,
)
from measuring import network as make_network

from segevolution.adapters import create, trainable
from segevolution.imaging.prompts import COMBINATIONS
from segevolution.inference.load import load
from segevolution.models.backbone import ABSENT, BackboneModule, PromptBatch
from segevolution.models.segvol.layer_groups import ENCODER, LAYER_GROUPS
from segevolution.training.batch_builder import TrainingBatch
from segevolution.training.memory import recomputing
from segevolution.training.objective import ObjectiveSettings, prompt_loss
from segevolution.vocabulary import Context, Modality

_DECODER = [name for name in LAYER_GROUPS["study"] if not name.startswith(ENCODER)]
WAYS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "full": ("full", {}),
    "decoder": ("decoder", {}),
    "decoder, cached": ("decoder", {}),
    "lora": ("lora", {"preset": "study"}),
    "lora, recomputed": ("lora", {"preset": "study"}),
    "lora decoder": ("lora", {"preset": "study", "targets": _DECODER}),
    "lora decoder, cached": ("lora", {"preset": "study", "targets": _DECODER}),
    "prior": ("context_prior", {"preset": "study"}),
}


@dataclass(frozen=True)
class Row:
    """One way in one precision; the ratios are to full fine-tuning, that of memory without the idle process."""

    way: str
    precision: str
    trained: int
    seconds_a_step: float
    cpu_seconds: float
    peak_gigabytes: float
    idle_gigabytes: float
    time_ratio: float = 1.0
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0


def batch_of(model: BackboneModule, *, cached: bool) -> TrainingBatch:
    """One image, or its features, and the six combinations of prompts for a block in its middle."""
    window = model.spec.window
    sides = torch.tensor(window, dtype=torch.float32)
    low, high = (sides / 4).floor(), (3 * sides / 4).floor()
    target = torch.zeros(window, dtype=torch.bool)
    target[tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))] = True
    points = torch.stack([low + 1, high - 2])
    asked = [set(kind.split("+")) for kind in COMBINATIONS]
    prompts = PromptBatch(
        torch.zeros(len(COMBINATIONS), dtype=torch.int64),
        tuple("liver" if "text" in parts else None for parts in asked),
        torch.stack([points] * len(COMBINATIONS)),
        torch.tensor([[1, 1] if "point" in parts else [ABSENT, ABSENT] for parts in asked]),
        torch.stack([torch.cat([low, high]) if "box" in parts else torch.full((6,), torch.nan) for parts in asked]),
    )
    image = random_image(window)
    features = None
    if cached:
        with torch.no_grad():
            features = model.encode(image, [Modality.CT])
    return TrainingBatch(
        images=None if cached else image,
        modalities=(Modality.CT,),
        prompts=prompts,
        contexts=(Context(Modality.CT, "liver"),) * len(COMBINATIONS),
        targets=target.expand(len(COMBINATIONS), *window),
        semantic=None,
        labelled=None,
        multimask=False,
        features=features,
    )


def measure(way: str, precision: Precision, *, rounds: int, toy: bool = False, name: str | None = None) -> Row:
    """`rounds` steps after the first, in this process; of a model by its name, or of random weights."""
    idle = peak_gigabytes()
    model = make_network(toy=toy) if name is None else load(name, device="cpu")
    method, settings = WAYS[way]
    batch = batch_of(model, cached=way.endswith("cached"))
    adapter = create(method, settings)
    adapter.attach(model)
    model.train()
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
    features = batch.features

    def step() -> None:
        with recomputing(model, on=way.endswith("recomputed")), autocast(precision):
            seen = model.encode(batch.images, batch.modalities) if features is None else features
            masks = model.decode(seen, batch.prompts, batch.contexts)
            loss = torch.stack(list(prompt_loss(masks, batch, ObjectiveSettings(), 0.0).values())).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()
    spent = [clocked(step) for _ in range(rounds)]
    return Row(
        way, precision, sum(trainable(model).values()), median(spent), median(spent, "cpu"), peak_gigabytes(), idle
    )


def measure_apart(options: argparse.Namespace, precision: Precision) -> list[Row]:
    """Every way in a process of its own; see `measuring.apart`."""
    extra = ["--rounds", str(options.rounds), *([] if options.model is None else ["--model", options.model])]
    rows = [Row(**told) for told in apart(__file__, WAYS, precision, options, extra)]
    return [compared(row, rows[0]) for row in rows]


def compared(row: Row, full: Row) -> Row:
    """With its ratios to full fine-tuning."""
    used, baseline = (one.peak_gigabytes - one.idle_gigabytes for one in (row, full))
    return replace(
        row,
        time_ratio=row.seconds_a_step / full.seconds_a_step,
        cpu_ratio=row.cpu_seconds / full.cpu_seconds,
        memory_ratio=used / baseline,
    )


def main() -> None:
    """Measure all ways apart, or one of them here."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network (fp32)")
    parser.add_argument("--model", help="a model of SegVol's kind, such as segvol-mini, in place of the published size")
    parser.add_argument("--alone", choices=WAYS, help="measure this way only, in this process, and print it as JSON")
    options = parser.parse_args()
    begin(options.threads)
    if options.alone:
        row = measure(options.alone, options.precision, rounds=options.rounds, toy=options.toy, name=options.model)
        print(json.dumps(asdict(row)))
        return
    rows = measure_apart(options, options.precision)
    show(rows, as_json=options.json, title="One training step (goal for LoRA: at most half the time and memory)")


if __name__ == "__main__":
    main()
