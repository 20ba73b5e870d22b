"""What README and docs show is there: commands, options, links, Python, recipes, names. Nothing is run."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

import segevolution
from segevolution.adaptation.recipe import STEPS
from segevolution.adapters.artifact import describe
from segevolution.adapters.shipped import shipped
from segevolution.cli.app import COMMANDS, app
from segevolution.evaluation.results import SCHEMA
from segevolution.metrics import METRICS
from segevolution.models.cards import read_card
from segevolution.models.hub import packaged_root
from segevolution.recipes.dataset import Dataset
from segevolution.studies.reading import load_recipe
from segevolution.studies.recipe import Method, Recipe

_ROOT = Path(__file__).resolve().parents[1]
_DOCS = _ROOT / "docs"
_PAGES = [*(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(_DOCS.rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _name(page: Path) -> str:
    return page.relative_to(_ROOT).as_posix()


def _blocks(*languages: str) -> list[Block]:
    found = []
    for page in _PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[1] in languages:
                found.append(Block(_name(page), text.count("\n", 0, match.start()) + 2, match[1], match[2]))
    return found


def _shell_lines() -> list[tuple[str, str]]:
    """(place, line) of every shell line shown, continued lines joined and comments dropped."""
    lines = []
    for block in _blocks("bash", "console"):
        joined = block.text.replace("\\\n", " ")
        lines += [(str(block), line.removeprefix("$ ").strip()) for line in joined.splitlines() if line.strip()]
    return lines


_COMMANDS = [(place, line) for place, line in _shell_lines() if line.split()[0] == "segevolution"]


def _parse(words: list[str]) -> None:
    """Let typer read a command line down to its last command, bodies not called; raises what a user would see."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    name, rest = "segevolution", words
    while True:
        if not hasattr(command, "resolve_command"):
            command.make_context(name, list(rest), parent=context)
            return
        context = typer.Context(command, info_name=name, parent=context)
        if not rest or rest[0].startswith("-"):
            known = {option for parameter in command.get_params(context) for option in parameter.opts}
            assert rest, f"{name} takes a command, no option or command was given"
            assert rest[0] in known, f"{name} has no option {rest[0]}"
            return
        name, command, rest = command.resolve_command(context, list(rest))


@pytest.mark.parametrize(("place", "line"), _COMMANDS, ids=[f"{place} {line[:50]}" for place, line in _COMMANDS])
def test_every_command_shown_is_one_that_the_command_line_takes(place: str, line: str) -> None:
    _parse(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize(
    "line",
    [
        "segment ct.nii.gz --txt liver",
        "segment",
        "segment ct.nii.gz --windows sometimes",
        "models fetch BAAI/SegVol",
        "data prepare folder only_two",
        "--verbose",
    ],
)
def test_a_command_that_is_wrong_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|is not one of|no option"):
        _parse(line.split())


def test_every_make_target_shown_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {line.split()[1] for _, line in _shell_lines() if line.split()[0] == "make"}
    assert {"demo", "test"} <= shown <= targets


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [target for target in _LINK.findall(prose) if not re.match(r"[a-z]+:", target)]
    broken = [target for target in links if not (page.parent / target.partition("#")[0]).exists()]
    assert not broken


@pytest.mark.parametrize("block", _blocks("python"), ids=str)
def test_python_shown_compiles_and_uses_names_that_are_there(block: Block) -> None:
    compile(block.text, str(block), "exec")
    for name in re.findall(r"\bsev\.(\w+)", block.text):
        assert name in segevolution.__all__
    for method in re.findall(r"\bsession\.(\w+)", block.text):
        assert hasattr(segevolution.Session, method)


@pytest.mark.parametrize("block", _blocks("yaml"), ids=str)
def test_every_recipe_shown_is_one_that_a_study_takes(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load_recipe(str(path)).methods


def _leaves(command: Any, context: Any, name: str) -> list[tuple[str, Any]]:
    if not hasattr(command, "resolve_command"):
        return [(name, command)]
    return [
        leaf for key, inner in command.commands.items() for leaf in _leaves(inner, context, f"{name} {key}".strip())
    ]


def test_the_reference_of_the_command_line_is_complete() -> None:
    page = (_DOCS / "reference" / "command_line.md").read_text(encoding="utf-8")
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="segevolution")
    missing = []
    for command in COMMANDS:
        part = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert part, f"no section {command}"
        for name, leaf in _leaves(root.resolve_command(context, [command])[1], context, command):
            options = [option for each in leaf.params for option in each.opts if option.startswith("--")]
            missing += [name] if f"segevolution {name}" not in part[1] else []
            missing += [f"{name} {option}" for option in options if not re.search(rf"{option}(?![\w-])", part[1])]
    assert not missing


def test_the_steps_that_adapt_takes_by_default_are_told_alike_everywhere() -> None:
    root: Any = typer.main.get_command(app)
    command = root.resolve_command(typer.Context(root, info_name="segevolution"), ["adapt"])[1]
    (steps,) = (each for each in command.params if "--steps" in each.opts)
    assert steps.help == f"Of training; default {STEPS}."
    assert f"| `--steps N` | of training; default {STEPS} |" in (_DOCS / "reference" / "command_line.md").read_text(
        "utf-8"
    )
    assert f"**trains** for {STEPS} steps" in (_DOCS / "how-to" / "adapt_to_your_data.md").read_text("utf-8")


def test_the_reference_of_python_names_all_that_is_public() -> None:
    page = (_DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert [name for name in segevolution.__all__ if f"`{name}" not in page] == []
    methods = [name for name, _ in inspect.getmembers(segevolution.Session) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}" not in page] == []


def test_the_reference_of_results_lists_exactly_the_columns() -> None:
    page = (_DOCS / "reference" / "results_table.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(set(named) - set(METRICS)) == sorted(set(SCHEMA.names) - set(METRICS))
    assert set(named) <= set(SCHEMA.names)  # a metric is told of by the registry


def test_the_guide_to_studies_names_every_key_of_a_recipe() -> None:
    page = (_DOCS / "how-to" / "run_a_study.md").read_text(encoding="utf-8")
    keys = [*Recipe.model_fields, *Dataset.model_fields, *Method.model_fields]
    assert [key for key in keys if not re.search(rf"`[^`]*\b{key}\b", page)] == []


_SITE_PAGES = {page.relative_to(_DOCS).as_posix() for page in (*_DOCS.rglob("*.md"), *_DOCS.glob("tutorials/*.ipynb"))}


def test_the_site_shows_every_page() -> None:
    site = yaml.safe_load((_ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert set(re.findall(r"[\w/-]+\.(?:md|ipynb)", str(site["nav"]))) == _SITE_PAGES


def test_the_first_page_leads_to_every_other() -> None:
    first_page = (_DOCS / "index.md").read_text(encoding="utf-8")
    assert {target.partition("#")[0] for target in _LINK.findall(first_page)} == _SITE_PAGES - {"index.md"}


@pytest.mark.parametrize("page", sorted(_DOCS.rglob("*.md")), ids=_name)
def test_no_link_of_the_site_leaves_it(page: Path) -> None:
    links = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in links if not (page.parent / target).resolve().is_relative_to(_DOCS)] == []


def test_the_cards_that_ship_give_the_numbers_of_the_documents() -> None:
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in readme.splitlines() if line.startswith("| ")]
    told = {
        name: [next(row for row in rows if name in row[0])[column].split()[0] for column in (1, 3, 4, 6)]
        for name in ("segvol-mini-2 (", "segvol-mini-3 (", "its shipped MRI expert")
    }
    for model in ("segvol-mini-2", "segvol-mini-3"):
        on_chaos = read_card(packaged_root() / model).metadata["model-index"][0]["results"][1]
        assert on_chaos["dataset"]["type"] == "chaos"
        assert [f"{each['value']:.2f}" for each in on_chaos["metrics"]] == told[f"{model} ("]
    metrics = describe(shipped()["segvol-mini-mri"])["card"]["metrics"]
    values = re.findall(r"(?:text|point \(5\)|box) (0\.\d+) \[", metrics)
    assert [f"{float(each):.2f}" for each in values] == told["its shipped MRI expert"]


def test_the_package_states_the_licence_of_its_weights_beside_that_of_its_code() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0 AND LicenseRef-segevolution-weights"
    texts = [(_ROOT / path).read_text(encoding="utf-8") for path in project["license-files"]]
    assert [text.split()[0] for text in texts] == ["Apache", "LicenseRef-segevolution-weights"]
    for folder in (*packaged_root().glob("segvol-*"), *shipped().values()):
        assert folder.name in texts[1]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((_ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == segevolution.__version__
    assert f"## [{segevolution.__version__}]" in (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
