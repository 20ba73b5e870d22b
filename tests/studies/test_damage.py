"""Files that a study reads again, damaged: it does the work anew, or says in one sentence what is wrong."""

import json
from pathlib import Path

import pytest

from segevolution.errors import SegevolutionError
from segevolution.studies.study import run_study

DAMAGES = {
    "cut": b'{"key": "a',
    "null": b"null",
    "a list": b"[1, 2]",
    "other types": b'{"key": 5, "study": 3, "calls": {}, "run": []}',
    "deep": b"[" * 20_000 + b"]" * 20_000,
    "no text": b"\xff\xfe\x00",
    "twice": b'{"key": "a", "key": "b"}',
}


@pytest.fixture(scope="module")
def recipe_of():
    return {
        "methods": [{"name": "base"}, {"name": "moe", "kind": "mixture", "settings": {"rank": 2}}],
        "prompts": ["box"],
    }


NOTES = (
    "manifest.json",
    "models/moe-s0/job.json",
    "models/moe-s0/trained.json",
    "models/moe-s0/gate.json",
    "data/made.json",
)


@pytest.mark.parametrize("name", NOTES)
def test_a_damaged_note_costs_work_at_most(
    name, toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures, changed, recipe_of
):
    made = {"name": "made", "simulate": {"patients": 1, "modality": "MRI", "spacing": [8, 8, 8]}, "test": 1}
    data = [*toy_recipe.model_dump(exclude_unset=True)["data"], made]
    recipe = changed(toy_recipe, data=data, structures=["liver", "spleen"], **recipe_of)

    def study():
        return run_study(recipe, tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=quick_fit)

    first = study()
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    json.loads(whole)
    for damage, content in DAMAGES.items():
        path.write_bytes(content)
        if name == "manifest.json":  # whose study it is, nobody else knows; of the rest, work is done anew
            with pytest.raises(SegevolutionError, match=r"manifest\.json") as refused:
                study()
            assert len(str(refused.value).splitlines()) == 1, damage
            path.write_bytes(whole)
        again = study()
        assert again.table.drop(columns="seconds").equals(first.table.drop(columns="seconds")), damage


@pytest.mark.parametrize(
    "text",
    [
        "name: 2026-13-45\ndata: !!int abc",
        "name: 0x_",
        "name: x\ndata: " + "[" * 3000,
        "name: x\ndata: " + "[" * 60 + "]" * 60,
        "name: [a]\ndata: 5",
        "name: x\nname: y",
        "&a [*a]",
        "name: x\ndata: {a: 1}",
        "name: x\ndata: [1, 2]",
        "name: x\ndata: [{name: d, path: {}}]",
        "name: x\ndata: [{name: d, path: d, folds: .inf}]",
        "name: x\ndata: [{name: d, path: d, train: [1, {}]}]",
        "name: x\ndata: [{name: d, path: d}]\nmethods: {name: lora}",
        "name: x\ndata: [{name: d, path: d}]\nmethods: [{name: lora, settings: 5}]",
        "name: x\ndata: [{name: d, path: d, train: 1}]\nmethods: [{name: base}, {name: lora, settings: {rank: [1]}}]",
        "name: x\ndata: [{name: d, path: d, train: 1}]\nmethods: [{name: base}, {name: lora, fit: {steps: many}}]",
        "name: x\ndata: [{name: d, path: d}]\nprompts: [txt]",
        "name: x\ndata: [{name: d, path: d}]\nprompts: [mask]",
        "name: x\ndata: [{name: d, path: d}]\nshifts: [noise]",
        "name: x\ndata: [{name: d, path: d}]\nshifts: [{name: noise, strengths: 3}]",
        "name: x\ndata: [{name: d, path: d}]\nbox_jitter: {a: 1}",
        "name: 'CON'\ndata: [{name: d, path: d}]",
        "\x00",
        "- a\n- b",
    ],
)
def test_a_recipe_of_any_shape_is_read_or_refused_in_one_sentence(text, tmp_path, capsys):
    from segevolution.cli.app import main

    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["study", str(path), "-o", str(tmp_path / "out"), "--data", str(tmp_path), "--quiet"])
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.err.startswith("segevolution: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: b: c", b""])
def test_a_file_that_is_no_recipe_at_all_is_refused_by_every_command_that_reads_one(content, tmp_path, capsys):
    from segevolution.cli.app import main

    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    for command in ("study", "train"):
        with pytest.raises(SystemExit) as ended:
            main([command, str(path), "--quiet"])
        assert ended.value.code == 2
        assert "odd.yaml" in capsys.readouterr().err


def test_a_name_leads_nowhere_else(tmp_path, monkeypatch, toy_root, toy_values):
    """Whatever a recipe says, all that is written lies below the folder that it is run in."""
    from segevolution.cli.app import main

    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    evil = ["../EVIL", "..", "/EVIL", "a/../../EVIL", "~EVIL", "", " ", "EVIL\x00", "-EVIL"]
    before = sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts)
    for name in evil:
        for values in (
            {**toy_values, "name": name},
            {**toy_values, "methods": [{"name": "base"}, {"name": name, "kind": "lora"}]},
            {**toy_values, "data": [{**toy_values["data"][0], "name": name}]},
        ):
            Path("odd.yaml").write_text(json.dumps(values))
            with pytest.raises(SystemExit) as ended:
                main(["study", "odd.yaml", "--data", str(toy_root), "--quiet", "--device", "cpu"])
            assert ended.value.code == 2, (name, values)
    assert sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts) == before
    assert not Path("runs").exists()
