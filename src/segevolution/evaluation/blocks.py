"""A report as blocks (headings, text, tables, pictures), written as Markdown or as one page of HTML.

Names of a user stand in both as text.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..markup import markdown_text


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Line:
    """A line that begins in bold."""

    bold: str
    rest: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph, or a list with one item a line; of one line a list only where it is `listed`."""

    lines: tuple[str | Line, ...]
    listed: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text; the first column is left-aligned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A PNG with the name of its file and what it shows."""

    name: str
    caption: str
    png: bytes


Block = Heading | Text | Table | Picture


def markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown, in which every name stands as text; pictures are linked from figures/."""
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {markdown_text(text)}")
            case Text(lines, listed):
                written_lines = [_markdown_line(line) for line in lines]
                is_paragraph = len(lines) == 1 and not listed
                parts.append(written_lines[0] if is_paragraph else "\n".join(f"- {line}" for line in written_lines))
            case Picture(name, caption, _):
                parts.append(
                    f"![{markdown_text(name)}](figures/{quote(name, safe='')}.png)\n\n{markdown_text(caption)}"
                )
            case Table(columns, rows):
                cells = [[markdown_text(cell) for cell in row] for row in (columns, *rows)]
                cells.insert(1, ["---" for _ in columns])
                parts.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    return "\n\n".join(parts) + "\n"


def _markdown_line(line: str | Line) -> str:
    if isinstance(line, str):
        return markdown_text(line)
    return f"**{markdown_text(line.bold)}** {markdown_text(line.rest)}".rstrip()


def _html_line(line: str | Line) -> str:
    if isinstance(line, str):
        return html.escape(line)
    return f"<strong>{html.escape(line.bold)}</strong> {html.escape(line.rest)}".rstrip()


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
table { display: block; overflow-x: auto; }
th, td { padding: 0.25em 0.9em 0.25em 0; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
figure { margin: 1.5em 0; } img { max-width: 100%; } figcaption, li { color: #555; font-size: 14px; }
"""


def page(blocks: Sequence[Block], title: str) -> str:
    """The blocks as one HTML file that needs nothing beside it."""
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"<h{level}>{html.escape(text)}</h{level}>")
            case Text(lines, listed):
                items = "".join(f"<li>{_html_line(line)}</li>" for line in lines)
                parts.append(
                    f"<p>{_html_line(lines[0])}</p>" if len(lines) == 1 and not listed else f"<ul>{items}</ul>"
                )
            case Picture(_, caption, png):
                data = base64.b64encode(png).decode()
                escaped_caption = html.escape(caption)
                parts.append(
                    f'<figure><img alt="{escaped_caption}" src="data:image/png;base64,{data}">'
                    f"<figcaption>{escaped_caption}</figcaption></figure>"
                )
            case Table(columns, rows):
                head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
                body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
                parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Study {html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
