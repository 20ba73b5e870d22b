"""What a prompt costs each kind of network at its published size, random weights, in processor time and memory.

The first prompt encodes and decodes; the next one on the same place decodes only, but for nnInteractive, which reads
prompts with the image. One window of each is asked: of LiteMedSAM one slice, of which a volume has dozens. The
baseline, in the same run, is SegVol. Every network has a process of its own; ratios are of processor time, which other
jobs on a busy machine disturb less.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measuring import apart, arguments, begin, clocked, peak_gigabytes, show
from measuring import network as segvol

from segevolution.imaging.prompts import PromptKind
from segevolution.models.backbone import BackboneModule, PromptBatch
from segevolution.models.nninteractive.config import NnInteractiveConfig
from segevolution.models.nninteractive.nninteractive import NnInteractive
from segevolution.models.sam.config import LITE_MEDSAM
from segevolution.models.sam.sam import Sam
from segevolution.models.sam_med3d.config import SamMed3dConfig
from segevolution.models.sam_med3d.sam_med3d import SamMed3d
from segevolution.vocabulary import Context

BASELINE = "segvol"
NETWORKS: dict[str, Callable[[], BackboneModule]] = {
    BASELINE: segvol,
    "sam_med3d": SamMed3d,
    "nninteractive": NnInteractive,
    "lite_medsam (a slice)": lambda: Sam(LITE_MEDSAM),
}
TOYS: dict[str, Callable[[], BackboneModule]] = {
    BASELINE: lambda: segvol(toy=True),
    "sam_med3d": lambda: SamMed3d(
        SamMed3dConfig(32, 8, width=24, depth=1, heads=2, mlp=48, window=3, global_blocks=(), out=48)
    ),
    "nninteractive": lambda: NnInteractive(NnInteractiveConfig((56, 56, 56), (4, 6), (1, 1))),
    "lite_medsam (a slice)": lambda: Sam(LITE_MEDSAM),
}


@dataclass(frozen=True)
class NetworkRow:
    """One network: processor seconds of the first and of a next prompt, the same in SegVol's, and gigabytes."""

    network: str
    parameters_m: float
    window: str
    first_cpu: float
    next_cpu: float
    first_ratio: float
    next_ratio: float
    peak_gb: float


def measure(name: str, *, toy: bool = False) -> dict[str, Any]:
    """One network in this process."""
    model = (TOYS if toy else NETWORKS)[name]().eval()
    window, prompt = model.spec.window, one_prompt(model)
    image = torch.rand(1, 1, *window, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = []
        encoding = clocked(lambda: features.append(model.encode(image, [None])))
        decoding = [clocked(lambda: model.decode(features[0], prompt, [Context()])) for _ in range(2)]
    return {
        "network": name,
        "parameters_m": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "window": "x".join(map(str, window)),
        "first_cpu": encoding.cpu + decoding[0].cpu,
        "next_cpu": decoding[1].cpu,
        "peak_gb": peak_gigabytes(),
    }


def one_prompt(model: BackboneModule) -> PromptBatch:
    """A point in the middle of the window, or a box round it for a network that reads boxes only."""
    d, h, w = (side // 2 for side in model.spec.window)
    if PromptKind.POINT in model.spec.accepts:
        return PromptBatch(torch.tensor([0]), (None,), torch.tensor([[[d, h, w]]]).float(), torch.tensor([[1]]))
    box = torch.tensor([[0, h // 2, w // 2, 0, h + h // 2, w + w // 2]]).float()
    return PromptBatch(torch.tensor([0]), (None,), boxes=box)


def rows_of(measured: list[dict[str, Any]]) -> list[NetworkRow]:
    """With ratios to the baseline among them."""
    base = next(row for row in measured if row["network"] == BASELINE)
    return [
        NetworkRow(
            **row,
            first_ratio=row["first_cpu"] / base["first_cpu"],
            next_ratio=row["next_cpu"] / base["next_cpu"],
        )
        for row in measured
    ]


def main() -> None:
    """Measure every network, or those named."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--alone", choices=list(NETWORKS), help="one of them in this process, as JSON")
    parser.add_argument("--precision", choices=("fp32",), default="fp32")
    options = parser.parse_args()
    begin(options.threads)
    if options.alone:
        print(json.dumps(measure(options.alone, toy=options.toy)))
        return
    ways = list(dict.fromkeys([BASELINE, *options.networks]))
    rows = rows_of(apart(__file__, ways, "fp32", options))
    show(rows, as_json=options.json, title="A prompt at published sizes, random weights, against SegVol")


if __name__ == "__main__":
    main()
