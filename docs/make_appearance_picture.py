"""Draw images/appearance.png: a simulated T2 under every shift, mild above severe. It takes no arguments."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from segevolution.appearance import SHIFTS, shift
from segevolution.data.synthesis.patients import simulate_case
from segevolution.imaging.volume import Volume

_PATIENT, _SEED, _COLUMNS = 3, 1, 5
_PLACE = Path(__file__).parent / "images" / "appearance.png"


def main() -> None:
    """The first column shows the scan as it is."""
    volume, _ = simulate_case(_PATIENT, modality="MRI", sequence="T2").volume.canonical()
    names = list(SHIFTS)
    bands = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    figure = Figure(figsize=(11.4, 7.4), facecolor="black")
    axes = figure.subplots(2 * len(bands), _COLUMNS + 1)
    low, high = np.percentile(volume.array, (0.5, 99.5))

    def show(place: Axes, shown: Volume, title: str) -> None:
        # Axial, as radiologists look: the patient's right on the left, anterior on top.
        plane = shown.array[::-1, ::-1, 2 * shown.array.shape[2] // 5].T
        x, y, _ = shown.grid.spacing
        place.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=y / x)
        place.set_title(title, fontsize=8, color="white")

    for place in axes.flat:
        place.axis("off")
    show(axes[0, 0], volume, "as it is")
    for band, shown in enumerate(bands):
        for column, name in enumerate(shown, start=1):
            ladder = SHIFTS[name].ladder
            for row, strength in enumerate((ladder[len(ladder) // 2 - 1], ladder[-1])):
                changed = shift(volume, name, strength, _SEED).volume
                show(axes[2 * band + row, column], changed, f"{name} {strength:g}")
    figure.tight_layout(pad=0.3)
    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L").save(_PLACE, optimize=True)  # a third of the size


if __name__ == "__main__":
    main()
