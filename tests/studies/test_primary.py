"""The one question that a study names before it is run, and what it must keep."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from segevolution.evaluation.analysis import PrimaryQuestion, RetentionQuestion
from segevolution.files import write_json
from segevolution.studies.primary import NOTE, note_analysis
from segevolution.studies.recipe import Recipe
from segevolution.vocabulary import Modality

VALUES = {
    "name": "toy",
    "data": [{"name": "ct", "path": "ct", "replay": 1}, {"name": "mri", "path": "mri", "train": 5}],
    "methods": [{"name": "base"}, {"name": "lora"}, {"name": "scratch"}],
    "prompts": ["text", "box"],
    "shifts": [{"name": "noise", "strengths": [0.1]}],
    "clicks": 2,
}
PRIMARY = {"method": "lora", "data": "mri", "prompt": "text"}


def recipe(primary=None, **changes):
    return Recipe.model_validate({**VALUES, **({"primary": primary} if primary else {}), **changes})


def question(made):
    return made.primary.question(made.primary.method, made.primary.against or made.reference, made.contexts)


def test_a_question_takes_its_defaults_from_the_recipe():
    assert question(recipe(PRIMARY)) == PrimaryQuestion("lora", "base", "mri", "text")
    more = {**PRIMARY, "against": "scratch", "metric": "nsd", "kept_within": 0.03, "shift": "noise", "strength": 0.1}
    found = question(recipe({**more, "click": 1}))
    assert found.reference == "scratch"
    assert (found.metric, found.margin, found.shift, found.strength, found.click) == ("nsd", 0.03, "noise", 0.1, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "lorra"}, 'primary.method is "lorra", which the recipe does not have; did you mean "lora"'),
        ({"method": "base"}, "compares base with itself"),
        ({"data": "pet"}, 'primary.data is "pet"'),
        ({"prompt": "point"}, 'primary.prompt is "point"'),
        ({"metric": "dize"}, 'did you mean "dice"'),
        ({"shift": "noise"}, "go together"),
        ({"shift": "noise", "strength": 0.2}, "noise is measured at 0.1"),
        ({"click": 3}, "there are 2 clicks"),
        ({"shots": 5}, "the recipe's shots are none, so leave it out"),
        ({"kept_within": 0}, "greater than 0"),
        ({"metod": "lora"}, 'did you mean "method"'),
        ({"context": "withheld"}, 'primary.context is "withheld"'),
    ],
)
def test_a_question_that_the_study_does_not_answer_is_refused(changes, sentence):
    with pytest.raises(ValidationError) as raised:
        recipe({**PRIMARY, **changes})
    assert sentence in str(raised.value)


def test_a_question_of_surfaces_needs_surfaces():
    with pytest.raises(ValidationError, match="not measured with surface: false"):
        recipe({**PRIMARY, "metric": "hd95_mm"}, surface=False)


@pytest.mark.parametrize(("shots", "label"), [(1, "1 shot"), (None, "5 shots")], ids=["said", "the-last"])
def test_with_shots_the_question_is_of_some_runs_of_both_methods(plan_of, shots, label):
    changes = {"shots": [1, 5], "base": "tiny", "clicks": 0, "shifts": []}
    made = recipe({**PRIMARY, "against": "scratch", "shots": shots}, **changes)
    cases = {name: [record(name, number) for number in range(9)] for name in ("ct", "mri")}
    asked = plan_of(made, cases).report.primary
    assert (asked.method, asked.reference) == (f"lora ({label})", f"scratch ({label})")
    with pytest.raises(ValidationError, match="the recipe's shots are 1, 5"):
        recipe({**PRIMARY, "shots": 3}, **changes)


def record(dataset, number):
    case = {"name": f"{dataset}{number}", "patient": f"{dataset}{number}", "person": (dataset, f"{dataset}{number}")}
    return SimpleNamespace(**case, dataset=dataset, modality=Modality.MRI, structures=("liver",), part=None, site=None)


def test_what_is_kept_is_tested():
    assert recipe(retention={"data": ["ct"]}).retention.question() == RetentionQuestion(("ct",), 0.02)
    with pytest.raises(ValidationError, match='holds "pet", which is no dataset'):
        recipe(retention={"data": ["pet"]})
    untested = [{**VALUES["data"][0], "test": 0}, VALUES["data"][1]]
    with pytest.raises(ValidationError, match="no dataset that is tested"):
        recipe(retention={"data": ["ct"]}, data=untested)


def test_refitting_needs_folds():
    with pytest.raises(ValidationError, match="no dataset has folds"):
        recipe(refit=True)


def note(folder, primary, measured, retention=None, reference="base"):
    return note_analysis(folder, reference=reference, primary=primary, retention=retention, measured=measured)


ASKED = PrimaryQuestion("lora", "base", "mri", "text")


def test_a_question_named_after_the_measurements_is_said_to_be(tmp_path):
    assert note(tmp_path, ASKED, 0) == []
    assert note(tmp_path, ASKED, 12) == []  # the same call goes on
    other = replace(ASKED, prompt="box")
    changed = (
        'the primary question was changed; the study began with "Do lora and base differ in Dice on mri with text?".'
    )
    assert note(tmp_path, other, 12) == [changed]
    assert note(tmp_path, replace(ASKED, context="withheld"), 12) == [changed]
    assert "was dropped" in note(tmp_path, None, 12)[0]
    (tmp_path / NOTE).unlink()
    assert note(tmp_path, ASKED, 12) == ["the primary question was named after 12 evaluations had been measured."]
    assert json.loads((tmp_path / NOTE).read_text(encoding="utf-8"))["measured_before"] == 12
    (tmp_path / NOTE).unlink()
    assert note(tmp_path, None, 0) == []
    assert "without one" in note(tmp_path, ASKED, 12)[0]


def test_a_margin_or_a_reference_changed_after_the_measurements_is_said_to_be(tmp_path):
    kept = RetentionQuestion(("ct",), 0.0001)
    assert note(tmp_path, ASKED, 0, kept) == note(tmp_path, ASKED, 12, kept) == []
    assert note(tmp_path, ASKED, 12, RetentionQuestion(("ct",), 0.5), "scratch") == [
        'the question what was kept was changed; the study began with "Is Dice on ct kept within 0.0001?".',
        "the reference was changed; the study began with base.",
    ]


def test_a_note_of_an_earlier_version_is_compared_by_its_words(tmp_path):
    withheld = replace(ASKED, context="withheld")
    write_json(tmp_path / NOTE, {"question": ASKED.words, "measured_before": 0})
    assert note(tmp_path, ASKED, 12) == note(tmp_path, withheld, 12, RetentionQuestion(("ct",))) == []
    assert "was changed" in note(tmp_path, replace(ASKED, prompt="box"), 12)[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"primary": {**PRIMARY, "kept_within": 1}}, "so that every method would be equal; give less"),
        ({"primary": {**PRIMARY, "metric": "hd95_mm", "kept_within": float("inf")}}, "finite number"),
        ({"retention": {"data": ["ct"], "margin": 5}}, "less than 1"),
    ],
)
def test_a_margin_within_which_everything_lies_is_refused(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        recipe(**changes)
