"""A plot's SVG as a part of a page: colours follow the page's theme, and no id meets another's."""

import html
import re

from ..plots.style import COLOUR_NAMES

_ID = re.compile(r' id="([^"]+)"')
_FONT = re.compile(r"font: ((?:[a-z]+ |\d00 )*)([\d.]+px) [^;\"]+")
_ROOT = re.compile(r"<svg[^>]*>")


def inline_svg(svg: bytes, name: str, title: str) -> str:
    """The element as HTML holds it.

    Args:
        svg: as `plots.rendering` makes it.
        name: of the figure; stands before each id.
        title: what it shows, for those who do not see it.
    """
    text = svg.decode("utf-8")
    root = _ROOT.search(text)
    if root is None:
        return ""
    body = text[root.end() : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'(<style type="text/css">.*?</style>)', "", body, flags=re.DOTALL)
    body = _FONT.sub(_font, body)
    for colour, variable in COLOUR_NAMES.items():
        body = body.replace(colour, f"var(--plot-{variable})")
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
    prefix = re.sub(r"[^A-Za-z0-9-]", "-", name)
    body = _ID.sub(lambda match: f' id="{prefix}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
    box = re.search(r'viewBox="([^"]+)"', root.group())
    size = re.search(r'width="([\d.]+)pt"', root.group())
    view = f' viewBox="{box[1]}"' if box else ""
    width = f' style="--width: {float(size[1]):.0f}pt"' if size else ""
    return f'<svg class="plot" role="img" aria-label="{html.escape(title)}"{view}{width}>{body}</svg>'


def _font(match: re.Match[str]) -> str:
    """Size and weight stay; the family is the page's."""
    weight = "; font-weight: bold" if "bold" in match[1] or "700" in match[1] else ""
    return f"font-size: {match[2]}{weight}"
