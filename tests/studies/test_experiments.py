"""Each experiment's recipe as it ships, on toy patients: from its name to its section of the report, in seconds."""

import json

import pytest

from segevolution.errors import RecipeError
from segevolution.studies.reading import load_recipe
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study

ORGANS = ["liver", "spleen"]
SMALL = {"steps": 2, "warmup": 1, "sample": {"views": 1, "structures": 1}}


@pytest.fixture(autouse=True)
def no_drawing(plain_pictures):
    """Drawing takes most of a toy study's time."""


@pytest.fixture
def experiment(toy_root, tmp_path, quick_fit):
    """Run a shipped recipe with toy datasets of the same names and modalities in place of its own."""

    def experiment(name, **changes):
        values = load_recipe(name).model_dump(exclude_unset=True, mode="json")
        data = []
        for dataset in values["data"]:
            ct = "ct" in dataset["name"].replace("btcv", "ct").split("_")
            roles = {"train": 2, "test": 1} if dataset.get("train") else {"replay": 1, "test": 1}
            keep = {key: dataset[key] for key in ("name", "labels", "absent") if key in dataset}
            data.append({**keep, "path": "ct" if ct else "mri", **roles})
        shifts = [{**wish, "strengths": wish["strengths"][:2]} for wish in values.get("shifts", [])][:3]
        names = [one["name"] for one in values["methods"] if one["name"] in ("base", "ellipsoid", "lora")]
        methods = [{"name": one} for one in names]
        small = {"data": data, "methods": methods, "fit": SMALL, "structures": ORGANS, "seeds": [0], "shifts": shifts}
        recipe = Recipe.model_validate({**values, "base": str(toy_root / "tiny"), **small, **changes})
        done = run_study(recipe, tmp_path / name, root=toy_root, device="cpu", quiet=True, fit=quick_fit)
        return done, (tmp_path / name / "report.md").read_text(encoding="utf-8")

    return experiment


def section(report, title):
    """The lines of a section of a report."""
    body = report.split(f"## {title}\n", 1)[1]
    return body.split("\n## ", 1)[0]


def test_boxes_are_asked_with_errors_in_three_units_with_and_without_zoom_in_beside_the_ellipsoid(experiment):
    errors = [
        {"unit": "voxel", "amounts": [5]},
        {"unit": "mm", "amounts": [5]},
        {"unit": "share", "amounts": [-0.5, 0.5]},
    ]
    two = [{"name": "base"}, {"name": "ellipsoid"}]
    done, report = experiment("boxes", box_errors=errors, prompts=["box"], methods=two)
    table = done.table
    assert set(table["family"]) == {"base", "ellipsoid"}
    asked = table[["jitter", "jitter_unit", "windows"]].drop_duplicates()
    assert len(asked) == 5 * 2
    assert table.groupby(["run", "case", "structure"]).size().nunique() == 1
    assert set(table[table["family"] == "ellipsoid"]["base"]) == {""}
    assert "| share of the sides | ellipsoid" in section(report, "Errors of boxes")
    assert "against exact boxes" in section(report, "Windows against off")


def test_the_shipped_boxes_are_those_of_the_issue():
    recipe = load_recipe("boxes")
    amounts = {wish.unit: wish.amounts for wish in recipe.box_errors}
    assert amounts["voxel"] == [1, 2, 5, 10, 20, 50]
    assert (min(amounts["mm"]), max(amounts["mm"])) == (1, 30)
    assert (min(amounts["share"]) < 0 < max(amounts["share"]), recipe.box_jitter) == (True, 0.0)
    assert recipe.windows == ["focus", "off"]


def test_shifts_climb_five_strengths_of_ten_shifts_and_leave_ct_those_that_happen_to_it(experiment):
    recipe = load_recipe("shifts")
    assert [len(wish.all_strengths) for wish in recipe.shifts] == [5] * 10
    noise = [{"name": "noise", "strengths": [0.05, 0.4]}, {"name": "bias_field", "strengths": [0.4, 1.6]}]
    done, report = experiment("shifts", shifts=noise, prompts=["text"])
    measured = done.table.groupby("modality")["shift"].unique()
    assert {name: sorted(values) for name, values in measured.items()} == {
        "CT": ["noise", "none"],
        "MRI": ["bias_field", "noise", "none"],
    }
    lines = section(report, "Shifts of appearance")
    assert "area against" in lines
    assert "0.05, 0.4 standard deviation over the signal range" in lines


def test_prompts_of_every_kind_with_four_numbers_of_points_and_five_seeds(experiment):
    recipe = load_recipe("prompts")
    assert (recipe.points, recipe.prompt_seeds) == ([1, 3, 5, 10], [0, 1, 2, 3, 4])
    two = [{"name": "base"}, {"name": "ellipsoid"}]
    done, report = experiment("prompts", prompt_seeds=[0, 1], points=[1, 5], methods=two)
    asked = done.table[done.table["method"] == "base"].groupby("prompt")[["points", "prompt_seed"]].nunique()
    assert set(asked["prompt_seed"]) == {2}
    several = {kind for kind, number in asked["points"].items() if number == 2}
    assert several == {kind for kind in asked.index if "point" in kind}
    assert "spread of seeds" in section(report, "Numbers of points")


def test_clicks_correct_ten_times(experiment):
    assert load_recipe("clicks").clicks == 10
    done, report = experiment("clicks", clicks=2, prompts=["point"])
    assert set(done.table["click"]) == {0, 1, 2}
    assert "clicks to 0.90" in section(report, "Clicks")


def test_absent_structures_are_asked_for_and_judged_by_size_and_warnings(experiment):
    done, report = experiment("absent", structures=["liver"])
    asked = done.table[done.table["voxels"] == 0]
    assert not asked.empty
    assert "liver" not in set(asked["structure"])
    assert asked["warnings"].notna().all()
    lines = section(report, "Structures that are not there")
    assert "alarms, not warned" in lines
    assert "doubted, Dice 0.5 or better" in lines


def test_retention_measures_real_and_simulated_ct_of_nobody_that_was_replayed(experiment):
    recipe = load_recipe("retention")
    assert {dataset.name for dataset in recipe.data} == {"btcv", "chaos", "ct_slab", "simulated_ct"}
    assert all(not dataset.replay for dataset in recipe.data if dataset.name != "btcv")
    assert recipe.retention is not None
    assert recipe.retention.data == ["btcv", "ct_slab", "simulated_ct"]
    done, report = experiment("retention", prompts=["text"])
    assert "What was to be kept" in report
    assert set(done.table[done.table["modality"] == "CT"]["dataset"]) >= {"btcv", "simulated_ct"}


def test_the_learning_curve_trains_on_each_number_and_draws_it(experiment):
    recipe = load_recipe("learning_curve")
    assert (recipe.shots, recipe.seeds) == ([1, 2, 5, 10, "all"], [0, 1, 2])
    done, report = experiment("learning_curve", shots=[1, "all"], prompts=["text"])
    trained = done.table[done.table["family"] == "lora"]
    assert set(trained["trained_on"]) == {1, 2}
    assert set(done.table[done.table["family"] == "base"]["trained_on"]) == {0}
    assert "| lora | 2 |" in section(report, "Patients to learn from")


def test_seed_tables_trains_each_method_on_each_training_set_and_sets_external_data_apart(experiment):
    recipe = load_recipe("seed_tables")
    assert [cohort.name for cohort in recipe.cohorts] == ["mri_ct", "ct", "mri", "mri_prostate", "mri_brain"]
    cohorts = [{"name": "ct", "modality": "CT"}, {"name": "mri", "modality": "MRI"}, {"name": "mri_ct"}]
    data = [
        {"name": "btcv", "path": "ct", "train": 2, "test": 2},
        {"name": "chaos", "path": "mri", "train": 2, "test": 2},
        {"name": "outside", "path": "others"},
    ]
    done, report = experiment("seed_tables", data=data, cohorts=cohorts, prompts=["text"])
    assert set(done.trained) == {"lora-ct-s0", "lora-mri-s0", "lora-mri_ct-s0"}
    assert {name: set(rows["trained_on"]) for name, rows in done.table.groupby("cohort")} == {
        "": {0},
        "ct": {2},
        "mri": {2},
        "mri_ct": {4},
    }
    lines = section(report, "Table 1: method and training set")
    assert "| MRI, external | lora | mri_ct |" in lines
    assert "lora (mri_ct)" in section(report, "Table 2: structure and method")
    manifest = json.loads((done.report.parent / "manifest.json").read_text(encoding="utf-8"))
    taught = {
        run: {name.split("/")[0] for name in about["train"]}
        for run, about in manifest["runs"].items()
        if "train" in about
    }
    assert taught == {"lora-ct-s0": {"btcv"}, "lora-mri-s0": {"chaos"}, "lora-mri_ct-s0": {"btcv", "chaos"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["cohorts=[{name: a}, {name: a}]"], "cohorts holds a twice"),
        (["cohorts=[{name: a, data: [chaoss]}]"], 'holds "chaoss", which is no dataset here; did you mean "chaos"?'),
        (["cohorts=[{name: a, modality: X-ray}]"], "cohorts"),
        (["cohorts=[{name: a, count: 3}]", "shots=[1]"], "both choose the training cases"),
        (["cohorts=[{name: mri}]", "methods=[{name: base}, {name: lora, cohorts: [mrii]}]"], 'did you mean "mri"?'),
        (["cohorts=[{name: a}]", "reference=lora"], "with cohorts there are several lora"),
        (["box_errors=[{unit: mm, amounts: [0]}]"], "exact boxes are asked by box_jitter: 0"),
        (["box_errors=[{unit: share, amounts: [-1]}]"], "leaves nothing"),
        (["box_errors=[{unit: mm, amounts: [3, 3]}]"], "amounts holds a value twice"),
        (["points=[1, 1]"], "points holds a value twice"),
        (["methods=[{name: base}, {name: ellipsoid, settings: {size: 2}}]"], "it takes no settings"),
        (["methods=[{name: base}, {name: ellipsoid, base: segvol-mini}]"], "adapts no network"),
        (["methods=[{name: base}, {name: elipsoid}]"], 'did you mean "ellipsoid"?'),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_recipe_that_cannot_be_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(RecipeError) as caught:
        load_recipe("boxes", changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
