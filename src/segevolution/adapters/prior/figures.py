"""Figures of a pool: how alike its tokens are, and maps of them."""

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ...imaging.grid import Array

SIDES = {"left ": "#2176ae", "right ": "#d1495b", "": "#4a4a4a"}
"""Colours of a map: structures of the left, of the right, and of neither side."""


def draw_similarity(names: Sequence[str], matrices: Mapping[str, Array]) -> bytes:
    """PNG: each (S, S) matrix of cosines under its title, side by side, all on the scale from -1 to 1."""
    side = 1.6 + 0.24 * len(names)
    figure = Figure(figsize=(len(matrices) * (side + 1.2) + 0.8, side + 0.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
        heat_map = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_title(title)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(heat_map, ax=list(axes), label="cosine", shrink=0.7)
    return _png(figure)


def draw_maps(names: Sequence[str], maps: Mapping[str, Array]) -> bytes:
    """PNG: each map (S, 2) under its title, side by side, every point with its name."""
    figure = Figure(figsize=(6.4 * len(maps), 5.6), layout="constrained")
    for axis, (title, places) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        for name, (x, y) in zip(names, places, strict=True):
            colour = next(shade for side, shade in SIDES.items() if name.startswith(side))
            axis.plot(x, y, "o", color=colour, markersize=4)
            axis.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7, color=colour)
        axis.set_title(title)
        axis.margins(x=0.22, y=0.08)
        axis.set_xticks([])
        axis.set_yticks([])
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
