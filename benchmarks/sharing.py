"""Windows that the prompts of one scan share: encodings and time of the first prompt, and of each further one.

The ways are those of `inference/strategies/zoom.py` that look at windows at full resolution: "roi" (the baseline, as
published), "lattice" and "central". A stand-in answers every prompt by the case's own label, so that windows lie where
a right answer lays them; all else is a session's own work. Structures are asked by name, the largest first.

Seconds are what one encoding and one decoding take, measured here with SegVol at its published size and random weights,
times their numbers. "further percent" is a further prompt in the time of the first, which also encodes the whole scan;
"ratio" is the time of all prompts in that of "roi". How right the answers are is measured by `windows.py`.

Cases come from a store (`--store`) or are simulated; `--finer 2` halves their voxels along each axis.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import arguments, begin, clocked, network, random_image, show
from torch import Tensor, nn
from windows import FIRST_SEED, cases_of

from segevolution.data.synthesis.patients import simulate
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Array, Triple
from segevolution.imaging.prompts import PromptKind
from segevolution.inference.encodings import Encodings
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.strategies.zoom import answers
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch
from segevolution.models.spec import Spec, Windows
from segevolution.vocabulary import Context, Modality

WAYS: tuple[Windows, ...] = ("roi", "lattice", "central")


@dataclass(frozen=True)
class Row:
    """One way on one case."""

    case: str
    windows: str
    prompts: int
    first_encodings: int
    further_encodings: float
    further_decodings: float
    all_encodings: int
    further_percent: float
    seconds: float
    ratio: float


@dataclass(frozen=True)
class Cost:
    """Seconds of one encoding and one decoding."""

    encoding: float
    decoding: float


class LabelNetwork(BackboneModule):
    """Sees a label map as its image and answers with the structure that is asked for."""

    def __init__(self, window: Triple, structures: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.spec = Spec(window, frozenset({PromptKind.TEXT}), "foreground")
        self.structures = structures
        self.place = nn.Parameter(torch.zeros(1))  # on the processor

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        return Features(images.flatten(1)[..., None], self.spec.window, (), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        labels = features.tokens[prompts.image_index].reshape(-1, 1, *self.spec.window)
        masks = torch.empty_like(labels)
        for row, name in enumerate(prompts.structures):
            values = torch.tensor(self.structures[name or ""], dtype=labels.dtype)
            masks[row] = torch.isin(labels[row], values).float() - 0.5
        return Masks(masks, torch.ones(len(masks), 1), self.spec.window)


def measure(case: Case, window: Triple, cost: Cost, finer: int = 1) -> list[Row]:
    """Every way on one case; the baseline is "roi"."""
    labels = np.ascontiguousarray(case.labels.transpose(2, 1, 0))
    for axis in range(3):
        labels = labels.repeat(finer, axis)
    structures = dict(sorted(case.structures.items(), key=lambda pair: -_voxels(labels, pair[1])))
    structures = {name: values for name, values in structures.items() if _voxels(labels, values)}
    rows: list[Row] = []
    for way in WAYS:
        encodings = Encodings(LabelNetwork(window, structures).eval(), torch.from_numpy(labels).float(), None)
        encoded, decoded = [], []
        for name in structures:
            before = encodings.counts.encodings, encodings.counts.decodings
            list(answers(encodings, [FramePrompt(name)], [Context(None, name)], windows=way))
            encoded.append(encodings.counts.encodings - before[0])
            decoded.append(encodings.counts.decodings - before[1])
        seconds = [cost.encoding * many + cost.decoding * few for many, few in zip(encoded, decoded, strict=True)]
        rows.append(
            Row(
                case.name,
                way,
                len(structures),
                encoded[0],
                float(np.mean(encoded[1:])),
                float(np.mean(decoded[1:])),
                sum(encoded),
                100 * float(np.mean(seconds[1:])) / seconds[0],
                sum(seconds),
                sum(seconds) / (rows[0].seconds if rows else sum(seconds)),
            )
        )
    return rows


def measured_cost(*, toy: bool) -> Cost:
    """Of SegVol with random weights: the median of three."""
    model = network(toy=toy)
    image, context = random_image(model.spec.window), [Context(Modality.CT, "liver")]
    prompts = PromptBatch(torch.zeros(1, dtype=torch.int64), ("liver",))
    with torch.inference_mode():
        features = model.encode(image, [Modality.CT])
        encoding = sorted(clocked(lambda: model.encode(image, [Modality.CT])).wall for _ in range(3))[1]
        decoding = sorted(clocked(lambda: model.decode(features, prompts, context).full()).wall for _ in range(3))[1]
    return Cost(encoding, decoding)


def _voxels(labels: Array, values: Iterable[int]) -> int:
    return int(np.isin(labels, tuple(values)).sum())


def main() -> None:
    """Count on the cases that the arguments name."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--store", type=Path, help="take cases from here instead of simulating them")
    parser.add_argument("--cases", nargs="*", default=(), help="of the store; all if none is named")
    parser.add_argument("--patients", type=int, default=2, help="to simulate (2)")
    parser.add_argument(
        "--window", type=int, nargs=3, default=(32, 256, 256), help="of the network, D H W (32 256 256)"
    )
    parser.add_argument("--finer", type=int, default=1, help="voxels along each axis in place of one (1)")
    options = parser.parse_args()
    begin(options.threads)
    cases = (
        cases_of(options.store, options.cases)
        if options.store
        else simulate(options.patients, FIRST_SEED, modality="CT")
    )
    cost = measured_cost(toy=options.toy)
    window = (8, 32, 32) if options.toy else tuple(options.window)
    rows = [row for case in cases for row in measure(case, window, cost, options.finer)]
    title = f"Windows that prompts share (an encoding takes {cost.encoding:.2f} s, a decoding {cost.decoding:.2f} s)"
    show(rows, as_json=options.json, title=title)


if __name__ == "__main__":
    main()
