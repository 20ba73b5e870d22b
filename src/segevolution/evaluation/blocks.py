"""A report as blocks: headings, text, tables and pictures, of which Markdown, a page and files are made.

Names of a user stand in all of them as text.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from matplotlib.figure import Figure

from ..markup import markdown_text
from .cells import Judgement, value_of


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
class VerdictBlock:
    """The answer that stands on top.

    Attributes:
        question: what was asked; empty where the answer says it.
        answer: in a few words, or a sentence.
        sentence: with the numbers.
        turn: of what kind the answer is.
    """

    question: str
    answer: str
    sentence: str
    turn: Judgement


@dataclass(frozen=True)
class Table:
    """A table; the first column is left-aligned.

    Attributes:
        rows: text, or `Cell`, which is text with a number behind it.
        name: of its files; without one it is named by the heading above it.
        caption: what it shows, for paper and screen; without one the heading above it.
        note: how its intervals are made, for a paper, where they are not those of means over patients.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = ""
    caption: str = ""
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Of each column, whether it holds numbers, dashes apart."""
        places = range(len(self.columns))
        return tuple(any(not math.isnan(value_of(row[place])) for row in self.rows) for place in places)


@dataclass(frozen=True)
class Picture:
    """A plot, or a picture of a case.

    Attributes:
        name: of its files.
        caption: what it shows.
        draw: makes it; called when the report's files are written.
        is_scan: a scan on black: a page shows it as an image, the same on a light and a dark ground.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]
    is_scan: bool = False


Block = Heading | Text | VerdictBlock | Table | Picture


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
            case VerdictBlock(question, answer, sentence) if question:
                parts.append(markdown_text(f"{question} Answer: {answer}. {sentence}"))
            case VerdictBlock(_, answer, sentence):
                parts.append(_markdown_line(Line(answer, sentence)))
            case Picture(name, caption):
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
