"""Text of a user stays text in Markdown; checked by the marks that would begin something."""

import re

import pytest

from segevolution.markup import markdown_text

EVIL = [
    "<script>alert(1)</script>",
    "a | b",
    "[here](javascript:alert(1))",
    "![x](http://tracker)",
    "https://evil.example",
    "www.evil.example",
    "`code` *bold* _soft_ ~~gone~~ $x$",
    "# heading",
    "1. item",
    "- item",
    "+ item",
    "--- ",
    "a\n\n# next",
    "&lt;b&gt;",
    "back\\slash",
]


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_markdown_would_act_on_is_left(text):
    line = markdown_text(text)
    assert "\n" not in line
    bare = re.sub(r"\\.", "", line)
    assert not re.search(r"[<>`*\[\]|~$]|(?<!\w)_|_(?!\w)|https?:|www\.", bare)
    assert not re.match(r"\s*(#|[-+=]|\d+[.)] )", line)


@pytest.mark.parametrize("text", EVIL)
def test_the_text_itself_is_what_is_shown(text):
    markdown_it = pytest.importorskip("markdown_it")
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(markdown_text(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == " ".join(text.split())


def test_plain_words_stay_as_they_are():
    for text in (
        "left kidney",
        "ct_torso",
        "0.812 [0.760, 0.851]".replace("[", "(").replace("]", ")"),
        "MRI (chaos)",
        "–",
    ):
        assert markdown_text(text) == text
