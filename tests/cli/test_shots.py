"""`segevolution study RECIPE --shots 1,5,10` and `--methods base,lora`."""

import pytest

from segevolution.cli.app import main
from segevolution.errors import RecipeError


@pytest.fixture
def asked(monkeypatch):
    """The recipes that a study was asked to run; none is run."""
    recipes = []

    def take(recipe, folder, **rest):
        recipes.append(recipe)
        raise RecipeError("seen.")

    monkeypatch.setattr("segevolution.studies.study.run_study", take)
    return recipes


def run(*arguments) -> None:
    with pytest.raises(SystemExit) as left:
        main(["study", *arguments])
    assert left.value.code == 2


@pytest.mark.parametrize(("written", "shots"), [("1,5,10", [1, 5, 10]), ("3", [3])])
def test_shots_replace_those_of_the_recipe(asked, written, shots):
    run("demo", "shots=[7]", "--shots", written)
    assert asked[0].shots == shots


def test_without_the_option_the_recipe_decides(asked):
    run("demo", "shots=[7]")
    run("demo")
    assert [recipe.shots for recipe in asked] == [[7], []]


@pytest.mark.parametrize(
    ("written", "sentence"), [("1,many", "shots.1"), ("0,1", "greater than 0"), ("5,5", "twice: 5, 5"), ("[1", "YAML")]
)
def test_shots_that_are_no_numbers_are_one_sentence(asked, capsys, written, sentence):
    run("demo", "--shots", written)
    shown = capsys.readouterr().err
    assert sentence in shown
    assert len(shown.strip().splitlines()) == 1
    assert not asked


def test_some_of_the_methods_in_the_order_of_the_recipe(asked):
    run("demo", "--methods", "adapted, base,expert")
    run("demo")
    assert [[method.name for method in recipe.methods] for recipe in asked] == [["base", "expert", "adapted"]] * 2
    run("demo", "primary=null", "--methods", "base,expert")
    assert [method.name for method in asked[2].methods] == ["base", "expert"]


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("base,expert,adaptd", 'demo has no method "adaptd"; did you mean "adapted"?'),
        ("base,adapted", "demo without expert cannot answer its primary question; keep expert"),
        ("expert,adapted", "demo without base cannot answer its reference; keep base"),
        ("", 'demo has no method ""'),
    ],
)
def test_methods_that_are_not_there_or_are_needed_are_one_sentence(asked, capsys, written, sentence):
    run("demo", "--methods", written)
    shown = " ".join(capsys.readouterr().err.split())
    assert sentence in shown
    assert not asked
