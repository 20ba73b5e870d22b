"""A figure as SVG, PDF and PNG: the same bytes for the same figure, with text as text and fonts embedded."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from .style import STYLE

_DPI, _SCREEN_DPI = 200, 150
_WEBP = {"quality": 85, "method": 4}
_NO_DATE = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Drawing:
    """A figure in the forms in which it is kept.

    Attributes:
        screen: WebP of a size for a page; empty where none was asked for.
    """

    svg: bytes
    pdf: bytes
    png: bytes
    screen: bytes = b""


def render(draw: Callable[[], Figure], *, screen: bool = False) -> Drawing:
    """Draw in the style of all reports.

    Args:
        draw: makes the figure; called once, with the style set.
        screen: make the image for a page as well, for figures that hold scans.
    """
    with mpl.rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
        figure = draw()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is found once, and is the same in all forms
        paper = "white" if to_rgba(figure.get_facecolor())[3] == 0 else figure.get_facecolor()
        return Drawing(
            svg=_saved(figure, "svg", metadata=_NO_DATE),
            pdf=_saved(figure, "pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}),
            png=_saved(figure, "png", metadata={"Software": None}, facecolor=paper, dpi=_DPI),
            screen=_saved(figure, "webp", dpi=_SCREEN_DPI, pil_kwargs=_WEBP) if screen else b"",
        )


def _saved(figure: Figure, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    options = {"facecolor": figure.get_facecolor(), **options}
    figure.savefig(stream, format=form, **options)
    return stream.getvalue()
