"""Names that become files and folders, and places that something lies at already."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segevolution.errors import OutputError, RecipeError
from segevolution.exports.new_folder import check_new
from segevolution.files import check_writable, one_line, replacing_together, safe_name


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


def test_a_link_to_nothing_lies_there_and_is_replaced_only_by_force(tmp_path: Path) -> None:
    link = tmp_path / "mask.nii.gz"
    link.symlink_to(".git/annex/objects/not-fetched")
    with pytest.raises(OutputError, match="exists already"):
        check_writable(link, force=False)
    with pytest.raises(OutputError, match="exists already"):
        check_new(link)
    with pytest.raises(OutputError, match="is not a folder"):
        check_writable(link / "mask.nii.gz")
    with pytest.raises(OutputError, match="exists already"), replacing_together([link], force=False):
        pass
    with replacing_together([link]) as (temporary,):
        temporary.write_text("new")
    assert link.read_text() == "new"
    assert not link.is_symlink()


def test_a_link_to_nothing_goes_with_the_answer_before_and_comes_back_on_failure(tmp_path: Path) -> None:
    link, key = tmp_path / "liver.nii.gz", tmp_path / "key.json"
    link.symlink_to("nowhere")
    with replacing_together([key], removed=[link]) as (temporary,):
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == [key]


@pytest.mark.parametrize("folder", ["", "new"])
def test_a_name_that_is_too_long_is_refused_before_any_work(tmp_path: Path, folder: str) -> None:
    check_writable(tmp_path / folder / ("x" * 200))
    with pytest.raises(OutputError, match="its name is too long"):
        check_writable(tmp_path / folder / ("x" * 300))


def test_here_and_the_root_are_places_to_write_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(), Path("new/mask.nii.gz"), Path("../mask.nii.gz")):
        check_writable(path)


def test_a_name_for_the_terminal_takes_one_line() -> None:
    assert one_line("new\nline\x1b[2J\u2028 患者\u30001 a\\b") == "new\\nline\\x1b[2J\\u2028 患者\u30001 a\\b"
