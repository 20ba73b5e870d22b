"""What prompts cost once a volume is encoded: 1, 4 and 12 of them, and the upscaling alone.

Decoding: SegVol at its published size, random weights, boxes and points from one encoding, as many as said in one
call. The baseline is the same number of prompts decoded one after the other; a ratio under 1 is what a batch saves.

Upscaling: from image tokens to one mask a prompt. Ours keeps the voxels of a token side by side until the mask;
the baseline is the published form of it, nn.ConvTranspose3d, nn.LayerNorm and nn.GELU on (P, C, d, h, w), with the
same weights and the same answer.
"""

from dataclasses import dataclass

import torch
from measuring import (
    PRECISIONS,
    Precision,
    Spent,
    arguments,
    autocast,
    begin,
    in_turns,
    median,
    random_image,
    ratio,
    show,
)
from measuring import network as make_network
from torch import Tensor, nn

from segevolution.models.backbone import Features, PromptBatch
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.upscaling import Upscaling, dot, from_cells
from segevolution.vocabulary import Context

COUNTS = (1, 4, 12)


@dataclass(frozen=True)
class Row:
    """One piece of work, against a baseline in the same run; seconds for all its prompts."""

    work: str
    precision: str
    prompts: int
    seconds: float
    seconds_a_prompt: float
    baseline: str
    ratio: float
    cpu_ratio: float


def prompts(model: SegVol, first: int, stop: int) -> PromptBatch:
    """The prompts `first` to `stop` of an endless row of them: a box and two points each, all on the first image."""
    count = stop - first
    chance = [torch.Generator().manual_seed(number) for number in range(first, stop)]
    sides = torch.tensor(model.config.window, dtype=torch.float32)
    parts = torch.stack([torch.rand(3, 3, generator=one) for one in chance])
    low = parts[:, 0] * sides / 2
    return PromptBatch(
        torch.zeros(count, dtype=torch.int64),
        (None,) * count,
        low[:, None] + parts[:, 1:] * sides / 4,
        torch.ones(count, 2, dtype=torch.int64),
        torch.cat([low, low + sides / 4], dim=1).round(),
    )


def measure(model: SegVol, features: Features, precision: Precision, count: int, *, rounds: int) -> Row:
    """`count` prompts in one call against one by one."""
    together = prompts(model, 0, count)
    alone = [prompts(model, row, row + 1) for row in range(count)]

    def decode(batch: PromptBatch) -> None:
        with torch.inference_mode(), autocast(precision):
            model.decode(features, batch, [Context()] * len(batch))

    spent = in_turns(
        {"together": lambda: decode(together), "one by one": lambda: [decode(one) for one in alone]}, rounds
    )
    return _judged("decode", precision, count, spent, "one by one")


def measure_upscaling(model: SegVol, precision: Precision, count: int, *, rounds: int) -> Row:
    """From image tokens to masks: ours against the published form."""
    upscaling = model.mask_decoder.output_upscaling
    d, h, w = model.config.grid
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randn(count, d * h * w, model.config.width, generator=chance)
    vectors = torch.randn(count, 1, model.config.width // 8, generator=chance)

    def run(plain: bool) -> None:
        with torch.inference_mode(), autocast(precision):
            masks(upscaling, tokens, vectors, plain=plain)

    spent = in_turns({"ours": lambda: run(False), "nn.ConvTranspose3d": lambda: run(True)}, rounds)
    return _judged("upscaling", precision, count, spent, "nn.ConvTranspose3d")


def masks(upscaling: Upscaling, tokens: Tensor, vectors: Tensor, *, plain: bool) -> Tensor:
    """(P, N, C) tokens and (P, 1, C / 8) vectors -> (P, 1, 4d, 4h, 4w), by our way or by the modules as they are."""
    if not plain:
        return from_cells(dot(upscaling(tokens), vectors).float(), upscaling.grid)
    volume = tokens.transpose(1, 2).reshape(len(tokens), -1, *upscaling.grid)
    features = nn.Sequential.forward(upscaling, volume)
    found = vectors.to(features.dtype) @ features.flatten(2)
    return found.view(len(tokens), -1, *features.shape[2:]).float()


def _judged(work: str, precision: Precision, count: int, spent: dict[str, list[Spent]], baseline: str) -> Row:
    ours = spent[next(name for name in spent if name != baseline)]
    seconds = median(ours)
    wall, cpu = (ratio(ours, spent[baseline], clock) for clock in ("wall", "cpu"))
    return Row(work, precision, count, seconds, seconds / count, baseline, wall, cpu)


def main() -> None:
    """Measure decoding and upscaling in both precisions."""
    options = arguments(__doc__).parse_args()
    begin(options.threads)
    model = make_network(toy=options.toy)
    with torch.inference_mode():
        features = model.encode(random_image(model.config.window), [None])
    rows = [
        measure(model, features, precision, count, rounds=options.rounds)
        for precision in PRECISIONS
        for count in COUNTS
    ]
    rows += [
        measure_upscaling(model, precision, count, rounds=options.rounds)
        for precision in PRECISIONS
        for count in (1, 4)
    ]
    show(rows, as_json=options.json, title="Decoding prompts from one encoding")


if __name__ == "__main__":
    main()
