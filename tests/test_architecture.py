"""The house rules of DESIGN.md, held by reading the imports: floors, circles, names, sizes, the public list."""

import ast
import importlib
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1] / "src" / "segevolution"
_FLOORS = (
    {
        "errors",
        "runtime",
        "files",
        "markup",
        "memory",
        "on_use",
        "processors",
        "progress",
        "ranges",
        "vocabulary",
        "documents",
        "imaging",
    },
    {"metrics", "appearance", "models"},
    {"adapters", "data"},
    {"inference"},
    {"training", "evaluation", "exports"},
    {"recipes"},
    {"studies", "pretraining"},
    {"adaptation"},
    {"server"},
    {"cli"},
)
_FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "core"}
_LONGEST = 350

_MODULES = {
    ".".join(("segevolution", *path.relative_to(_ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(_ROOT.rglob("*.py"))
}
_TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in _MODULES.items()}


def _part(module: str) -> str:
    """The room a module lives in: segevolution.imaging.grid -> imaging; the package itself -> ''."""
    return [*module.split("."), ""][1]


def _floor(part: str) -> int:
    return next(height for height, parts in enumerate(_FLOORS) if part in parts)


def _imports(name: str, tree: ast.AST) -> set[str]:
    """The modules of ours that a tree imports; `from x import y` means x.y where that is a module."""
    package = name if _MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {_nearest(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {_nearest(f"{origin}.{alias.name}") for alias in node.names}
    return found - {"", name}


def _nearest(dotted: str) -> str:
    """The longest beginning of a dotted name that is a module of ours, or ''."""
    while dotted and dotted not in _MODULES:
        dotted = dotted.rpartition(".")[0]
    return dotted


_EDGES = {name: _imports(name, tree) for name, tree in _TREES.items()}


def test_the_reader_of_imports_sees_them() -> None:
    assert "segevolution.imaging.grid" in _EDGES["segevolution.imaging.volume"]
    assert "segevolution.errors" in _EDGES["segevolution.imaging.formats.nifti"]
    assert "segevolution.imaging.formats.nifti" in _EDGES["segevolution.imaging.formats"]


@pytest.mark.parametrize("name", _MODULES)
def test_imports_go_down_only_and_siblings_never_meet(name: str) -> None:
    part = _part(name)
    if part in ("", "__main__"):
        return  # the package's front door names what it shows
    for target in _EDGES[name]:
        other = _part(target)
        if other in ("", part):
            continue  # `from .. import __version__`, or the same room
        ground = _floor(part) == _floor(other) == 0
        assert ground or _floor(other) < _floor(part), f"{name} must not import {target}"


def test_every_room_stands_on_a_floor() -> None:
    rooms = {_part(name) for name in _MODULES} - {"", "__main__", "weights"}
    assert rooms <= set().union(*_FLOORS)


def test_no_module_imports_itself_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(_EDGES[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in _MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", _MODULES)
def test_a_module_is_named_for_what_it_holds_and_short(name: str) -> None:
    assert not _FORBIDDEN & set(name.split("."))
    assert len(_MODULES[name].read_text(encoding="utf-8").splitlines()) <= _LONGEST


@pytest.mark.parametrize("name", [name for name in _MODULES if _part(name) != "cli"])
def test_imports_stand_at_the_top_outside_the_command_line(name: str) -> None:
    for function in ast.walk(_TREES[name]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not inner, f"{name} imports inside a function, line {inner[0].lineno}"


def test_the_public_list_is_short_sorted_and_true() -> None:
    package = importlib.import_module("segevolution")
    names = list(package.__all__)
    assert names == sorted(set(names))
    assert 0 < len(names) < 25
    for name in names:
        assert hasattr(package, name), f"{name} is listed but not there"


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for name, tree in _TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    assert not {name: modules for name, modules in homes.items() if len(modules) > 1}


@pytest.mark.parametrize("name", [name for name in _MODULES if _part(name) != "documents"])
def test_json_and_yaml_are_read_by_documents_alone(name: str) -> None:
    """What the code has written itself a moment ago, `json.loads(json.dumps(...))`, is no document."""
    for node in ast.walk(_TREES[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            call = ast.unparse(node.func)
            own = bool(node.args) and ast.unparse(node.args[0]).startswith("json.dumps(")
            assert own or not re.fullmatch(r"json\.loads?|yaml\.(\w+_)?load\w*", call), f"line {node.lineno}: {call}"


def _words(tree: ast.AST) -> set[str]:
    """Every name and every string that code says, imports of modules left out."""
    said: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            said.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            said |= set(re.findall(r"\w+", node.value))
    return said


_NETWORKS = tuple(
    f"segevolution.models.{path.name}" for path in (_ROOT / "models").iterdir() if (path / "__init__.py").is_file()
)


@pytest.mark.parametrize("name", [name for name in _MODULES if not name.startswith(_NETWORKS)])
def test_only_a_network_names_its_own_parts(name: str) -> None:
    parts = {"image_encoder", "prompt_encoder", "mask_decoder", "text_encoder"}
    assert not parts & _words(_TREES[name]), "speak of parts by spec.layer_groups, spec.parameter_groups or a property"
