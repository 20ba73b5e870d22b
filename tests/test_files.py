"""Names that become files and folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segevolution.errors import OutputError, RecipeError
from segevolution.files import safe_name


@pytest.mark.parametrize("name", ["a", "sub-01_T1w", "BraTS-GLI-00017-000", "Müller 2", "scan (1)", "a.b+c", "患者1"])
def test_an_ordinary_name_is_taken_as_it_is(name: str) -> None:
    assert safe_name(name, "a case") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../../EVIL", "a/b", "a\\b", "/etc", "C:x", ".hidden", "-rf", "~root", "a\n", "a\x00", "NUL.txt",
     "con", "end.", " a", "a ", "a\u202eb", "<script>", "a|b", "`x`", "$HOME", "a" * 300, "é" * 100],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_cannot_be_written_everywhere_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="name of a recipe") as caught:
        safe_name(name, "a recipe", error=RecipeError)
    assert str(caught.value).isprintable()


@given(st.text(max_size=40))
def test_a_safe_name_is_one_step_into_a_folder(name: str) -> None:
    try:
        safe_name(name, "a case")
    except OutputError:
        return
    path = Path("/out") / name
    assert path.parent == Path("/out")
    assert path.name == name
