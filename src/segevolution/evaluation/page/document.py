"""The whole page: verdict and first figure on top, a table of contents, the sections; style and script are in it."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..blocks import Block, Heading, Line, Picture, Table, Text, VerdictBlock
from ..cells import Judgement
from ..plots.rendering import Drawing
from .svg import inline_svg
from .tables import SIGNS, html_table

_FOLDER = Path(__file__).parent
_VERDICT_SIGNS = {**SIGNS, Judgement.KEPT: "✓", Judgement.OPEN: "?"}


@dataclass
class Contents:
    """The headings of a page with the anchors that they got, no two alike."""

    entries: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, heading: Heading) -> str:
        """A heading's anchor."""
        stem = re.sub(r"[^a-z0-9]+", "-", heading.text.lower()).strip("-") or "section"
        used_anchors = {anchor for _, _, anchor in self.entries} | {"top", "contents"}
        anchor, number = stem, 2
        while anchor in used_anchors:
            anchor, number = f"{stem}-{number}", number + 1
        self.entries.append((heading.level, heading.text, anchor))
        return anchor

    def html(self) -> str:
        """The list of links, without the title."""
        items = "".join(
            f'<li class="level-{level}"><a href="#{anchor}">{html.escape(text)}</a></li>'
            for level, text, anchor in self.entries
            if level > 1
        )
        details = f"<details open><summary>Contents</summary><ol>{items}</ol></details>"
        return f'<nav id="contents" aria-label="Contents">{details}</nav>'


def page(blocks: Sequence[Block], title: str, drawings: Mapping[str, Drawing]) -> str:
    """The blocks as one HTML file that needs nothing beside it.

    Args:
        title: of the window.
        drawings: name of each picture among the blocks -> what was drawn.
    """
    contents = Contents()
    parts, is_open = [], False
    for block in blocks:
        if isinstance(block, Heading) and block.level == 2:
            parts.append("</section><section>" if is_open else "<section>")
            is_open = True
        parts.append(_html(block, contents, drawings))
    parts.append("</section>" if is_open else "")
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style></head>\n"
        '<body id="top">\n<button type="button" id="theme" hidden>Dark</button>\n'
        f"{contents.html()}\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _html(block: Block, contents: Contents, drawings: Mapping[str, Drawing]) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="{contents.add(block)}">{html.escape(text)}</h{level}>'
        case Text(lines, listed):
            items = "".join(f"<li>{_line(line)}</li>" for line in lines)
            return f"<p>{_line(lines[0])}</p>" if len(lines) == 1 and not listed else f"<ul>{items}</ul>"
        case VerdictBlock():
            return _verdict(block)
        case Table():
            heading = contents.entries[-1][1] if contents.entries else ""
            return html_table(block, heading)
        case Picture():
            return _figure(block, drawings[block.name])


def _verdict(verdict: VerdictBlock) -> str:
    question = f'<p class="question">{html.escape(verdict.question)}</p>' if verdict.question else ""
    return (
        f'<div class="verdict {verdict.turn}">{question}<p class="answer"><span class="sign" aria-hidden="true">'
        f"{_VERDICT_SIGNS[verdict.turn]}</span> {html.escape(verdict.answer)}</p>"
        f"<p>{html.escape(verdict.sentence)}</p></div>"
    )


def _figure(picture: Picture, drawing: Drawing) -> str:
    caption = html.escape(picture.caption)
    files = html.escape(f"figures/{picture.name}")
    note = f'<span class="files">{files}.svg, .pdf, .png</span>'
    if picture.is_scan:
        data = base64.b64encode(drawing.screen).decode()
        image = f'<img alt="{caption}" src="data:image/webp;base64,{data}">'
    else:
        image = inline_svg(drawing.svg, picture.name, picture.caption)
    kind = "scan" if picture.is_scan else "drawn"
    return f'<figure class="{kind}"><div class="canvas">{image}</div><figcaption>{caption} {note}</figcaption></figure>'


def _line(line: str | Line) -> str:
    if isinstance(line, str):
        return html.escape(line)
    return f"<strong>{html.escape(line.bold)}</strong> {html.escape(line.rest)}".rstrip()
