"""Four more prompts on a volume after the first, in time and memory. Goals: under 10 % of the first each, 2.5 GB.

SegVol at its published size, random weights, a volume of 64x320x320 (D, H, W), through `inference.Session`, for each
way of looking for windows ("off", "roi", "lattice", "central", see inference/strategies/zoom.py). Each way runs in a
process of its own, so that its peak memory (ru_maxrss) is its own; the model is warmed up on another image.

- first: the liver, by text and box, on a fresh session.
- more: spleen, both kidneys and the aorta, likewise, on the same session. "roi" lays windows round each structure and
  must encode them anew; "lattice" reuses those that an earlier structure has touched; "central" does so, and touches
  the fewest that hold a structure.
- clicks: four points added to the liver's box, as a person corrects; the windows are those of the liver.

Baseline, in the same run: the reference's way, `inference/published.py`, which encodes everything again for every
prompt. It runs on our network, so the ratio shows only what keeping encodings saves.

Random weights give arbitrary masks, and windows follow masks. So the network here decodes in full and then answers
the inside of the box that it was given: costs are the network's own, and windows lie as they would round such organs.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from measuring import (
    PRECISIONS,
    Precision,
    apart,
    arguments,
    autocast,
    begin,
    network,
    peak_gigabytes,
    random_image,
    show,
)

from segevolution.imaging.grid import Grid, Triple
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.volume import Volume
from segevolution.inference.frame_prompt import resized, to_frame_prompt
from segevolution.inference.published import PublishedPrompt, published
from segevolution.inference.session import Session
from segevolution.models.backbone import Features, Masks, PromptBatch
from segevolution.models.segvol.segvol import SegVol
from segevolution.vocabulary import Context, Modality

REFERENCE = "reference"
WAYS = (REFERENCE, "off", "roi", "lattice", "central")
SHAPE: Triple = (320, 320, 64)  # (X, Y, Z)
TOY_SHAPE: Triple = (40, 40, 16)

# Where the organs of an upper abdomen lie: (x0, y0, z0, x1, y1, z1) as parts of the volume.
ORGANS = {
    "liver": (0.50, 0.30, 0.30, 0.90, 0.75, 0.90),
    "spleen": (0.12, 0.30, 0.50, 0.28, 0.55, 0.85),
    "right kidney": (0.62, 0.25, 0.15, 0.75, 0.40, 0.55),
    "left kidney": (0.25, 0.25, 0.20, 0.38, 0.40, 0.60),
    "aorta": (0.46, 0.36, 0.05, 0.52, 0.42, 0.95),
}
CLICKS = ((0.6, 0.5, 0.5, True), (0.8, 0.6, 0.6, True), (0.52, 0.32, 0.32, False), (0.7, 0.4, 0.8, True))


@dataclass(frozen=True)
class Row:
    """One way; percents are of one further prompt in the time of the first. Ratio: all five to the reference's five."""

    windows: str
    precision: str
    first_seconds: float
    first_encodings: int
    more_percent: float
    more_encodings: int
    clicks_percent: float
    clicks_encodings: int
    five_seconds: float
    ratio: float
    peak_gigabytes: float


class Obedient(SegVol):
    """Decodes in full, then answers the inside of each prompt's box; see above."""

    def decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode."""
        masks = super().decode(features, prompts, contexts, multimask=multimask)
        if prompts.boxes is None:
            return masks
        logits = torch.full_like(masks.logits, -1.0)
        for row, box in enumerate(prompts.boxes.tolist()):
            part = tuple(
                slice(math.floor(low * cells / side), math.ceil((high + 1) * cells / side))
                for low, high, cells, side in zip(box[:3], box[3:], logits.shape[2:], masks.window, strict=True)
            )
            logits[(row, slice(None), *part)] = 1.0
        return replace(masks, logits=logits)


def volume(shape: Triple) -> Volume:
    """Noise in HU."""
    chance = np.random.default_rng(0)
    return Volume(chance.integers(-200, 300, shape, np.int16), Grid(shape, np.eye(4)), Modality.CT)


def organs(grid: Grid) -> list[Prompt]:
    """Text and box of each structure, the first one first."""
    return [Prompt.make(grid, text=name, box=_placed(part, grid)) for name, part in ORGANS.items()]


def measure_session(model: SegVol, image: Volume, windows: str, precision: Precision) -> Row:
    """First, four more, and clicks on one session."""
    session = Session(model, image, windows=windows, precision=precision)
    first, *others = organs(image.grid)
    seconds, encodings = [], []

    def timed(work: Callable[[], object]) -> None:
        before, started = session.counts.encodings, time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
        encodings.append(session.counts.encodings - before)

    for prompt in (first, *others):
        timed(lambda prompt=prompt: session.segment(prompt))
    session.add_box(_placed(ORGANS["liver"], image.grid))
    for *place, positive in CLICKS:
        timed(lambda place=place, on=positive: session.add_point(_placed(place, image.grid), positive=on))
    return _row(windows, precision, seconds, encodings)


def measure_reference(model: SegVol, image: Volume, precision: Precision) -> Row:
    """The published way for the same prompts; it knows no clicks beside a box."""
    frame = Session(model, image).frame
    voxels = torch.from_numpy(frame.image)
    seconds, encodings = [], []
    for organ in organs(image.grid):
        prompt = resized(to_frame_prompt(organ, frame), voxels.shape, model.spec.window)
        box = torch.tensor([*prompt.box.start, *(stop - 1 for stop in prompt.box.stop)], dtype=torch.float32)
        started = time.perf_counter()
        with torch.inference_mode(), autocast(precision):
            answer = published(model, voxels, PublishedPrompt(prompt.structure, box=box), corrected=True)
        seconds.append(time.perf_counter() - started)
        encodings.append(1 + len(answer.starts))
    return _row(REFERENCE, precision, seconds, encodings)


def measure(way: str, precision: Precision, *, toy: bool) -> Row:
    """One way in this process; its ratio is still missing."""
    model = network(toy=toy, kind=Obedient)
    with torch.inference_mode(), autocast(precision):
        model.encode(random_image(model.config.window), [None])
    image = volume(TOY_SHAPE if toy else SHAPE)
    if way == REFERENCE:
        return measure_reference(model, image, precision)
    return measure_session(model, image, way, precision)


def measure_apart(options: argparse.Namespace, precision: Precision) -> list[Row]:
    """Every way in a process of its own; see `measuring.apart`."""
    rows = [Row(**told) for told in apart(__file__, WAYS, precision, options)]
    return [replace(row, ratio=row.five_seconds / rows[0].five_seconds) for row in rows]


def _row(way: str, precision: Precision, seconds: list[float], encodings: list[int]) -> Row:
    more, clicks = seconds[1:5], seconds[5:]
    return Row(
        way,
        precision,
        seconds[0],
        encodings[0],
        100 * sum(more) / len(more) / seconds[0],
        sum(encodings[1:5]),
        100 * sum(clicks) / len(clicks) / seconds[0] if clicks else math.nan,
        sum(encodings[5:]),
        sum(seconds[:5]),
        math.nan,
        peak_gigabytes(),
    )


def _placed(parts: Sequence[float], grid: Grid) -> list[int]:
    return [int(part * side) for part, side in zip(parts, grid.shape * (len(parts) // 3), strict=True)]


def main() -> None:
    """Measure every way in a process of its own."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network (fp32)")
    parser.add_argument("--alone", choices=WAYS, help="one way in this process, as JSON (for the script itself)")
    options = parser.parse_args()
    begin(options.threads)
    if options.alone:
        print(json.dumps(asdict(measure(options.alone, options.precision, toy=options.toy))))
        return
    rows = measure_apart(options, options.precision)
    title = "One prompt and four more (prompts: each under 10 % of the first; under 2.5 GB)"
    show(rows, as_json=options.json, title=title)


if __name__ == "__main__":
    main()
