"""Memory of `segment` by the number of structures: masks are folded into the label map as they come.

Each number of structures is segmented in a process of its own, on one image of noise with a bright block; printed are
the most memory that the process held and what each structure beyond the first added. The baseline is one structure.
The network is the tiny one (`--model NAME` takes another), which answers with masks of random shape: what is measured
is what images, labels and logits take, not a network's layers.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from measuring import arguments, show

from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import STRUCTURES

_CHILD = """
import resource, sys
from pathlib import Path
from segevolution.inference.predict import predict
from segevolution.inference.request import SegmentRequest
from segevolution.vocabulary import Modality
image, model, output, *names = sys.argv[1:]
predict(SegmentRequest(Path(image), texts=tuple(names), modality=Modality.MRI, model=model, windows="off",
    output=Path(output), device="cpu", check=False, force=True))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@dataclass(frozen=True)
class Row:
    """Gigabytes at the peak, its ratio to one structure, and megabytes that each further structure added."""

    structures: int
    peak_gb: float
    ratio: float
    each_further_mb: float


def measure(shape: tuple[int, int, int], counts: list[int], model: str | None) -> list[Row]:
    """The peak of a process for each number of structures."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.nii"
        array = np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)
        array[tuple(slice(side // 4, side // 2) for side in shape)] += 400
        nib.save(nib.Nifti1Image(array, np.diag([0.8, 0.8, 1.0, 1.0])), image)
        if model is None:
            model = str(Path(folder) / "tiny")
            save_model(TinyBackbone(TinyConfig(window=(16, 32, 32))), Path(model))
        for count in counts:
            names = STRUCTURES[:count]
            command = [sys.executable, "-c", _CHILD, str(image), model, str(Path(folder) / "answer.nii"), *names]
            peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
            first = rows[0] if rows else None
            ratio = 1.0 if first is None else peak / 1e9 / first.peak_gb
            further = 0.0 if first is None else (peak / 1e6 - 1e3 * first.peak_gb) / (count - first.structures)
            rows.append(Row(count, peak / 1e9, ratio, further))
    return rows


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 800), metavar="N", help="of the image")
    parser.add_argument(
        "--structures",
        type=int,
        nargs="+",
        default=[1, 4, 12, 36],
        metavar="N",
        help="how many; the first is the baseline",
    )
    parser.add_argument("--model", help="a name or folder; default the tiny network")
    options = parser.parse_args()
    shape, counts = ((32, 32, 24), [1, 3]) if options.toy else (tuple(options.shape), options.structures)
    rows = measure(shape, counts, options.model)
    show(rows, as_json=options.json, title=f"segment, {' x '.join(map(str, shape))} voxels, windows off")


if __name__ == "__main__":
    main()
