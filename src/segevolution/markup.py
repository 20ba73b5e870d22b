"""Names and sentences of a user, put into Markdown so that they stand there as they are.

A structure may be called `<script>` and a dataset `a | b` or `[here](javascript:...)`: in a report they are text. What
begins a construct of GitHub-flavoured Markdown (https://github.github.com/gfm) gets a backslash or an entity before it.
"""

import re

_MARKS = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)")  # an underscore within a word means nothing
_BLOCK_STARTS = re.compile(r"^(\s*)(#|[-+](?=\s|$|-)|=|(\d+)(?=[.)]\s))")
_LINKS = re.compile(r"\b(https?|ftp|mailto|javascript|data):|\b(www)\.", re.IGNORECASE)


def markdown_text(text: str) -> str:
    """One line of Markdown that shows exactly this text, white space apart; good within a cell of a table, too."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _MARKS.sub(lambda match: f"\\{match.group()}", line)
    line = _LINKS.sub(lambda match: f"{match[1]}&#58;" if match[1] else f"{match[2]}&#46;", line)
    start = _BLOCK_STARTS.match(line)
    if start is None:
        return line
    number = start[3]
    if number is not None:
        return f"{number}\\{line[start.end() :]}"
    return f"\\{line}"
