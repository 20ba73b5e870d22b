"""The experiments' own sections of a report, each made from the table of results alone.

A section looks for the coordinate that it is about, and is empty where the table has only one value of it. A new one is
one file here and one line in SECTIONS.
"""

from collections.abc import Callable

from ..blocks import Block
from .absent import absent_section
from .boxes import boxes_section
from .clicks import clicks_section
from .cohorts import cohorts_section
from .learning import learning_section
from .points import points_section
from .published import published_section
from .results import StudyResults
from .shifts import shifts_section
from .windows import windows_section

Section = Callable[[StudyResults], list[Block]]
"""Results -> blocks, the first of them a heading; or none."""

SECTIONS: tuple[Section, ...] = (
    cohorts_section,
    learning_section,
    shifts_section,
    boxes_section,
    windows_section,
    points_section,
    clicks_section,
    absent_section,
    published_section,
)


def sections(results: StudyResults) -> list[Block]:
    """All sections that have something to say about a study."""
    return [block for section in SECTIONS for block in section(results)]
