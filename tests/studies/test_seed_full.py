"""The full study on miniatures of all ten public layouts, and its plan before any of them is there."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from segevolution.cli.app import main
from segevolution.studies.forecast import forecast
from segevolution.studies.reading import load_recipe
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.vocabulary import Modality

_DATA_TESTS = Path(__file__).parents[1] / "data"
SETS = (
    "chaos",
    "amos",
    "brats",
    "msd_prostate",
    "promise12",
    "saml",
    "t2w_prostate",
    "m3d_0001",
    "m3d_0008",
    "m3d_0020",
)


def writers_of(name: str) -> ModuleType:
    """The module of tests that writes a layout in miniature."""
    known = f"segevolution_miniature_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, _DATA_TESTS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def write_all(root: Path) -> None:
    """Ten sets of a few patients of a few voxels, each in its publishers' layout."""
    miniature = writers_of("conftest").Miniature()
    chaos = writers_of("test_chaos_source").Miniature(root / "CHAOS")
    for person in ("1", "2", "3"):
        chaos.ct(person)
        chaos.spir(person)
    amos_module = writers_of("test_amos_source")
    amos = amos_module.Dataset(root / "amos22", miniature)
    for number in (1, 2, 3, 507, 508, 509):
        amos.case(number, "Va" if number in (3, 509) else "Tr", (6, 1))
    amos.write_header()
    for number in range(3):
        writers_of("test_brats_source").patient(miniature, root / "BraTS2021", number)
    miniature.msd(
        root / "Task05_Prostate",
        ("prostate_00", "prostate_01", "prostate_02"),
        name="PROSTATE",
        modality={"0": "T2", "1": "ADC"},
        labels={"0": "background", "1": "PZ", "2": "TZ"},
    )
    promise = writers_of("test_promise12_source")
    for part, count in (("training_data", 3), ("test_data", 2)):
        for number in range(count):
            promise.case(root / "PROMISE12" / part, number, seed=number)
    saml = writers_of("test_saml_source")
    for site in ("BMC", "I2CVB", "UCL"):
        for number in (0, 1):
            saml.case(miniature, root / "SAML" / "Processed_data_nii" / site, number, seed=number)
    prostates = writers_of("test_t2w_prostate_source")
    for number in (1, 2, 3):
        prostates.patient(root / "T2W" / "prostate_dataset", number)
    (root / "T2W" / "prostate_dataset" / "spacing.csv").write_text(prostates.SPACING)
    m3d = writers_of("test_m3d_seg")
    for code, organ in (("0001", "liver"), ("0008", "pancreas"), ("0020", "liver")):
        items = [m3d.item(root / "M3D_Seg", code, f"case_{n}", [m3d.random_mask(n)]) for n in range(3)]
        m3d.header(root / "M3D_Seg", code, {"0": "background", "1": organ}, train=items[:2], test=items[2:])


SMALL = {
    "fit": {"steps": 2, "warmup": 1, "sample": {"views": 1, "structures": 1}},
    "methods": [{"name": "base"}, {"name": "lora"}],
    "prompts": ["point"],
    "windows": "off",
}


@pytest.fixture
def small_recipe(toy_root: Path) -> Recipe:
    """The shipped recipe with a tiny base, one method, two training sets by modality and one by number."""
    values = load_recipe("seed_full").model_dump(exclude_unset=True, mode="json")
    data = [
        {**one, "validation": 0, "train": "rest" if one.get("split") else 2, "test": "rest" if one.get("split") else 1}
        for one in values["data"]
    ]
    cohorts = [one for one in values["cohorts"] if one["name"] in ("mri_ct", "mri_prostate", "cases_200")]
    cohorts[-1] = {"name": "cases_200", "count": 8}
    base = str(toy_root / "tiny")
    return Recipe.model_validate({**values, "base": base, "data": data, "cohorts": cohorts, **SMALL})


@pytest.mark.long
def test_the_full_study_runs_whole_on_miniatures_of_all_ten_layouts(small_recipe, tmp_path, quick_fit, plain_pictures):
    write_all(tmp_path / "public")
    done = run_study(small_recipe, tmp_path / "out", root=tmp_path / "public", device="cpu", quiet=True, fit=quick_fit)
    assert (done.missing, dict(done.left_out)) == (0, {})
    assert set(done.table["dataset"]) == set(SETS)
    assert set(done.trained) == {"lora-mri_ct-s0", "lora-mri_prostate-s0", "lora-cases_200-s0"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    taught = {run: about["train"] for run, about in manifest["runs"].items() if "train" in about}
    assert len(taught["lora-cases_200-s0"]) == 8
    assert {name.split("/")[0] for name in taught["lora-mri_prostate-s0"]} == {
        *("msd_prostate", "promise12", "saml", "t2w_prostate")
    }
    assert not any("UCL" in name for names in taught.values() for name in names)
    sites = done.table[done.table["dataset"] == "saml"]["case"].str.split("_").str[0]
    assert set(sites) <= {"BMC", "I2CVB"}
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "## Table 1: method and training set" in report
    assert "| MRI, held out | prostate |" in report


@pytest.mark.long
def test_the_plan_names_what_is_missing_and_how_to_get_it_and_counts_the_jobs_of_the_published_sets(toy_root, tmp_path):
    recipe = load_recipe("seed_full", [f"base={toy_root / 'tiny'}"])
    told = forecast(recipe, tmp_path / "out", root=tmp_path, device="cpu")
    assert [one.name for one in told.missing] == list(SETS)
    assert all("See http" in one.how for one in told.missing)
    assert told.trainings == 3 * 8 - 1  # a mixture on CT alone would be the base
    patients = {one.name: one.patients for one in told.datasets}
    assert (patients["brats"], patients["chaos"], patients["amos"]) == (1251, 40, 360)
    tested = 8 + 108 + 250 + 6 + 30 + 10 + 23 + 9 + 17 + 27
    assert told.tested_patients == tested
    assert told.evaluations % (3 * 8) == 0
    assert told.training_hours > 0
    assert told.measuring_hours > 0
    assert not (tmp_path / "out").exists()


def test_a_plan_counts_what_lies_there_and_what_is_prepared(small_recipe, toy_recipe, toy_root, tmp_path):
    write_all(tmp_path / "public")
    told = forecast(small_recipe, tmp_path / "out", root=tmp_path / "public", device="cpu")
    assert {one.state for one in told.datasets} == {"to be prepared"}
    ready = forecast(toy_recipe, tmp_path / "out", root=toy_root, device="cpu")
    assert [(one.name, one.state, one.cases) for one in ready.datasets] == [
        ("ct", "prepared", 4),
        ("mri", "prepared", 4),
    ]
    assert (ready.trainings, ready.evaluations, ready.trained_patients, ready.tested_patients) == (1, 8, 3, 4)


@pytest.mark.long
def test_the_command_prints_the_plan_and_does_nothing(toy_root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["study", "seed_full", f"base={toy_root / 'tiny'}", "--plan", "--data", str(tmp_path), "--device", "cpu"])
    assert caught.value.code == 0
    printed = capsys.readouterr()
    assert "zenodo.org/records/3431873" in printed.out + printed.err
    assert "23 trainings" in printed.out + printed.err
    assert not (tmp_path / "runs").exists()
    with pytest.raises(SystemExit):
        main(["study", "seed_full", f"base={toy_root / 'tiny'}", "--plan", "--json", "--data", str(tmp_path)])
    told = json.loads(capsys.readouterr().out)
    assert (told["trainings"], len(told["runs"]), len(told["datasets"])) == (23, 23, 10)


def test_published_patients_carry_their_modality_and_part():
    recipe = load_recipe("seed_full")
    groups = {one.name: one.published for one in recipe.data}
    assert [(group.patients, group.modality, group.scans) for group in groups["chaos"]] == [
        (20, Modality.CT, 1),
        (20, Modality.MRI, 3),
    ]
    assert [group.part for group in groups["promise12"]] == ["train", "test"]
    assert all(groups.values())
