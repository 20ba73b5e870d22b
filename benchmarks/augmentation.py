"""What changing a view's intensities costs beside the training step that it feeds. Goal: under 15 % of a step.

The views are those of a simulated torso, drawn as segvol-mini-2's recipe draws them; a step is one view with the six
combinations of prompts through segvol-mini, forward and backward, AdamW. Each way changes every view, whatever share of
views its recipe gives to it, and takes its turn with the step.

- plain: gamma, contrast, noise, as every view gets them.
- curves: another contrast, of the whole view and of each structure.
- convolved: the same, and a shallow random network each time.
- artefact: the same as curves, and ghosting, motion or spikes each time.
- as shipped: with the shares of a ContrastSettings as it comes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from measuring import Precision, arguments, autocast, begin, in_turns, median, ratio, show
from measuring import network as make_network

from adaptation import batch_of
from segevolution.data.augment import AugmentSettings, augment_view
from segevolution.data.contrast import ContrastSettings
from segevolution.data.synthesis.patients import simulate_case
from segevolution.data.windows import FramedCase, View, ViewSettings, draw_view
from segevolution.imaging.framing import frame
from segevolution.inference.load import load
from segevolution.models.backbone import BackboneModule
from segevolution.models.hub import DEFAULT
from segevolution.training.objective import ObjectiveSettings, prompt_loss
from segevolution.vocabulary import Modality

_FIRST_SEED = 960_000
_SHARE = {Modality.CT: 1.0}
WAYS = {
    "plain": ContrastSettings(),
    "curves": ContrastSettings(_SHARE, convolution=0, artefact=0),
    "convolved": ContrastSettings(_SHARE, convolution=1, artefact=0),
    "artefact": ContrastSettings(_SHARE, convolution=0, artefact=1),
    "as shipped": ContrastSettings(_SHARE),
}


@dataclass(frozen=True)
class Row:
    """One way; the ratios are to a training step on one view."""

    way: str
    milliseconds_a_view: float
    ratio: float
    cpu_ratio: float


class Step:
    """One optimiser step on one view; calling it takes the step."""

    def __init__(self, model: BackboneModule, precision: Precision) -> None:
        self.model, self.precision = model.train(), precision
        self.batch = batch_of(model, cached=False)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def __call__(self) -> None:
        """Forward, backward, and the optimiser."""
        assert self.batch.images is not None
        with autocast(self.precision):
            features = self.model.encode(self.batch.images, self.batch.modalities)
            masks = self.model.decode(features, self.batch.prompts, self.batch.contexts)
            parts = prompt_loss(masks, self.batch, ObjectiveSettings(resolution="decoder"), 0.0)
        torch.stack(list(parts.values())).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def drawn(model: BackboneModule, count: int) -> tuple[FramedCase, list[View]]:
    """A simulated patient and views of it at the network's window."""
    patient = simulate_case(_FIRST_SEED, spacing=(3.0, 3.0, 4.0))
    case = FramedCase.make(patient, frame(patient.volume, model.spec.intensity))
    rng = np.random.default_rng(0)
    settings = ViewSettings(whole=0.55, native=0.15, focus=0.5, rotation=15, scale=0.1)
    return case, [draw_view(case, model.spec.window, rng, settings) for _ in range(count)]


def measure(model: BackboneModule, *, rounds: int, precision: Precision, views: int = 8) -> list[Row]:
    """Every way in turns with a step; a turn changes each of the views once."""
    case, shown = drawn(model, views)
    rng = np.random.default_rng(0)

    def change(way: str) -> None:
        settings = AugmentSettings(gamma=0.3, contrast=0.2, noise=0.06, chance=0.4, recontrast=WAYS[way])
        for view in shown:
            augment_view(view, case, rng, settings)

    works = {"step": Step(model, precision), **{way: lambda way=way: change(way) for way in WAYS}}
    spent = in_turns(works, rounds)
    return [
        Row(
            way,
            1000 * median(spent[way]) / views,
            ratio(spent[way], spent["step"]) / views,
            ratio(spent[way], spent["step"], "cpu") / views,
        )
        for way in WAYS
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default=DEFAULT, help=f"whose step it is compared with ({DEFAULT})")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    options = parser.parse_args()
    begin(options.threads)
    model = make_network(toy=True) if options.toy else load(options.model, device="cpu")
    rows = measure(model, rounds=options.rounds, precision=options.precision)
    show(rows, as_json=options.json, title=f"intensities of a view, beside a step ({options.precision})")


if __name__ == "__main__":
    main()
