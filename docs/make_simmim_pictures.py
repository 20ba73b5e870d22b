"""Draw images/simmim_curve.png and images/simmim_reconstruction.png from the folder of a run of simmim_mini."""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_PLACE = Path(__file__).parent / "images"
_WINDOW = 10  # logged steps in a running mean


def main(run: Path) -> None:
    """The curve of every call, and the run's own picture in greys."""
    calls = sorted((run / "fit" / "curves").iterdir(), key=lambda path: int(path.name))
    rows = [row for call in calls for row in csv.DictReader((call / "metrics.csv").open())]
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()

    def curve(name: str) -> tuple[list[int], list[float]]:
        told = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        return [step for step, _ in told], [value for _, value in told]

    steps, losses = curve("train/l1")
    smooth = np.convolve(losses, np.ones(_WINDOW) / _WINDOW, "valid")
    axes.plot(steps, losses, color="#c9d6e3", linewidth=1, label="training, a batch")
    axes.plot(steps[_WINDOW - 1 :], smooth, color="#2176ae", label=f"training, mean of {_WINDOW}")
    axes.plot(*curve("validation/l1"), "o-", color="#d1495b", markersize=3, label="other patients")
    axes.plot(*curve("validation/guess"), "--", color="#7a7a7a", label="guess: the median of what is seen")
    axes.set(xlabel="step", ylabel="L1 on hidden voxels", ylim=(0, 0.35))
    axes.legend(fontsize=8)
    figure.set_dpi(90)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P").save(_PLACE / "simmim_curve.png", optimize=True)
    picture = Image.open(run / "reconstruction.png").convert("L")
    picture.save(_PLACE / "simmim_reconstruction.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
