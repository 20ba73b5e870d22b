"""The page's files are whole: nothing comes from outside, every name in them is there, and the wheel holds them."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

import segevolution

PAGE = Path(segevolution.__file__).parent / "server" / "page"
SCRIPTS = sorted((PAGE / "js").glob("*.js"))
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
STYLE = (PAGE / "style.css").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", [PAGE / "index.html", PAGE / "style.css", PAGE / "icon.svg", *SCRIPTS], ids=lambda path: path.name
)
def test_no_file_names_another_host(path: Path) -> None:
    addresses = re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8"))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_everything_that_the_page_loads_is_there() -> None:
    wanted = [PAGE / name for name in re.findall(r'(?:src|href)="([^"#]+)"', HTML)]
    for script in SCRIPTS:
        wanted += [script.parent / name for name in re.findall(r'from "([^"]+)"', script.read_text(encoding="utf-8"))]
    assert len(wanted) > 20
    assert [path for path in wanted if not path.is_file()] == []


def test_every_name_that_a_script_imports_is_exported() -> None:
    for script in SCRIPTS:
        for names, source in re.findall(r'import \{([^}]+)\} from "([^"]+)"', script.read_text(encoding="utf-8")):
            text = (script.parent / source).read_text(encoding="utf-8")
            exported = set(re.findall(r"export (?:async )?(?:function|class|const) (\w+)", text))
            assert {name.strip() for name in names.split(",") if name.strip()} <= exported, (script.name, source)


def test_every_element_that_a_script_asks_for_is_on_the_page() -> None:
    known = set(re.findall(r'id="([\w-]+)"', HTML))
    for script in SCRIPTS:
        asked = set(re.findall(r'(?:element|getElementById)\("([\w-]+)"\)', script.read_text(encoding="utf-8")))
        assert asked <= known, script.name


def test_the_bundled_viewer_is_the_one_that_its_note_names_and_has_its_licence() -> None:
    folder = PAGE / "vendor" / "niivue"
    digest = hashlib.sha256((folder / "niivue.umd.js").read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text(encoding="utf-8")
    assert "BSD 2-Clause" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "gl-matrix" in (folder / "THIRD_PARTY.txt").read_text(encoding="utf-8")


def test_the_wheel_holds_the_page() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert "server/page/**/*" in project["tool"]["setuptools"]["package-data"]["segevolution"]


@pytest.mark.parametrize("ground", ["ground", "surface", "raised"])
@pytest.mark.parametrize("text", ["text", "quiet", "accent", "add", "take", "warn"])
def test_text_can_be_read_on_its_ground(text: str, ground: str) -> None:
    lighter, darker = sorted((_luminance(_colour(name)) for name in (text, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, level AA


def _colour(name: str) -> list[int]:
    found = re.search(rf"--{name}: #([0-9a-f]{{6}});", STYLE)
    assert found is not None
    return [int(found[1][place : place + 2], 16) for place in (0, 2, 4)]


def _luminance(colour: list[int]) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [value / 255 for value in colour]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
