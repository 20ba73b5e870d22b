"""Write a report's blocks into a folder: report.md, report.html, figures/ and tables/.

figures/NAME.svg, .pdf, .png    each plot
tables/NAME.csv, .tex           each table; LaTeX where it is asked for
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..files import replacing, write_text
from .blocks import Block, Heading, Picture, Table, markdown
from .csv_table import csv_text
from .latex import latex_table
from .page.document import page
from .plots import rendering

MARKDOWN, PAGE, FIGURES, TABLES = "report.md", "report.html", "figures", "tables"


def write_blocks(blocks: Sequence[Block], folder: Path, title: str, *, latex: bool = False) -> tuple[Path, ...]:
    """Write all files of a report, each whole or not at all.

    Args:
        title: of the page's window.
        latex: write every table as LaTeX, too.

    Returns:
        The files, the page first.
    """
    drawings = {}
    files = [folder / PAGE, folder / MARKDOWN]
    for block in blocks:
        if isinstance(block, Picture):
            drawing = drawings[block.name] = rendering.render(block.draw, screen=block.is_scan)
            for form, content in (("svg", drawing.svg), ("pdf", drawing.pdf), ("png", drawing.png)):
                files.append(folder / FIGURES / f"{block.name}.{form}")
                with replacing(files[-1]) as temporary:
                    temporary.write_bytes(content)
    for table, heading in named_tables(blocks):
        texts = {"csv": csv_text(table), **({"tex": latex_table(table, heading)} if latex else {})}
        for form, text in texts.items():
            files.append(folder / TABLES / f"{table.name}.{form}")
            write_text(files[-1], text)
    write_text(folder / MARKDOWN, markdown(blocks))
    write_text(folder / PAGE, page(blocks, title, drawings))
    return tuple(files)


def named_tables(blocks: Sequence[Block]) -> list[tuple[Table, str]]:
    """The tables, each with a name that no other has, and the heading above it."""
    tables, names, heading = [], set[str](), ""
    for block in blocks:
        if isinstance(block, Heading):
            heading = block.text
        if isinstance(block, Table):
            stem = file_name(block.name or heading)
            name, number = stem, 2
            while name in names:
                name, number = f"{stem}-{number}", number + 1
            names.add(name)
            tables.append((replace(block, name=name), heading))
    return tables


def has_latex(folder: Path) -> bool:
    """Whether a report's tables are there as LaTeX."""
    return any((folder / TABLES).glob("*.tex"))


def file_name(text: str) -> str:
    """A name for a file, from a heading or the name of a method or a dataset."""
    return re.sub(r"[^A-Za-z0-9.+_]+", "-", text).strip("-.")[:80].lower() or "table"
