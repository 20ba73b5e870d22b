"""From a folder in nnU-Net's layout to an adapter and its page, with a tiny base and a few steps."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adaptation.adapt import adapt
from segevolution.adaptation.data import PatientCounts, PreparedDataset, Shares, sizes
from segevolution.adaptation.recipe import CONTRASTS, RETAIN, START_SHARE, AdaptRequest, chosen_layers, make_recipe
from segevolution.adaptation.start import Beginning
from segevolution.adapters import create, describe, save_adapter, trainable
from segevolution.data.sources import Overrides
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.data.synthesis import patients
from segevolution.errors import AdapterError, OutputError, RecipeError, StoreError
from segevolution.inference.load import load
from segevolution.markup import markdown_text
from segevolution.studies.reading import load_recipe
from segevolution.training.fit import fit
from segevolution.vocabulary import Modality

pytestmark = pytest.mark.usefixtures("plain_pictures")

HELD_OUT = Shares(Split((), (), ()), 1, "", {})


def write_nnunet(folder: Path, patients: int) -> Path:
    """A dataset as nnU-Net lays it out, each patient with two bright structures."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for number in range(patients):
        rng = np.random.default_rng(number)
        signal = rng.normal(300, 5, (16, 16, 8)).astype(np.float32)
        mask = np.zeros(signal.shape, np.uint8)
        x, y = rng.integers(1, 3, 2)
        mask[x : x + 6, y : y + 6, 1:6], mask[10:14, 10:14, 2:6] = 1, 2
        signal[mask > 0] += 60
        for place, array in ((f"imagesTr/p{number:02d}_0000.nii.gz", signal), (f"labelsTr/p{number:02d}.nii.gz", mask)):
            nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 4.0, 1.0])), folder / place)
    header = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "liver": 1, "spleen": 2},
        "numTraining": patients,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(header))
    return folder


@pytest.fixture
def request_of(tmp_path, toy_root):
    """A request for twelve patients, with forgetting measured on the toy CT and nothing simulated."""

    def make(patients: int = 12, **changes) -> AdaptRequest:
        folder = tmp_path / "Dataset501_Toy"
        if not folder.exists():
            write_nnunet(folder, patients)
        values = {
            "dataset": folder,
            "output": tmp_path / "out" / "toy",
            "base": str(toy_root / "tiny"),
            "steps": 2,
            "simulated": 0,
            "replay": "none",
            "ct": toy_root / "ct",
            "wishes": PatientCounts(folds=1),
        }
        return AdaptRequest(**{**values, **changes})

    return make


def run(request: AdaptRequest, **rest):
    return adapt(request, device="cpu", quiet=True, **rest)


def test_a_folder_becomes_an_adapter_with_its_page_and_nothing_half(request_of):
    said = []
    request = request_of()
    done = run(request, say=said.append)
    assert sorted(path.name for path in request.output.iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "figures"),
        *("report.html", "report.json", "report.md", "tables"),
    ]
    assert sorted(path.name for path in request.output.parent.iterdir()) == ["toy", "toy.work"]
    assert done.fresh
    assert said == [
        "patients: 12 files, 12 patients: grouped by their whole names",
        "dataset501_toy: 6 patients to learn from, 0 to choose the weights by, 6 held out (by lot, seed 0)",
    ]

    report = json.loads((request.output / "report.json").read_text("utf-8"))
    own = [row for row in report["measured"] if not row["retention"]]
    assert [row["prompt"] for row in own] == ["text", "point", "box", "text+point", "text+box", "point+box"]
    assert all(row["difference"]["patients"] == 6 and row["p"] is not None for row in own)
    assert all(0 <= row["before"]["low"] <= row["before"]["mean"] <= row["before"]["high"] <= 1 for row in own)
    assert [loss["dataset"] for loss in report["ct"]] == ["ct"]
    cases = report["split"]["cases"]
    assert len(set(cases["train"]) | set(cases["test"])) == 12

    page = (request.output / "report.md").read_text("utf-8")
    assert markdown_text(report["headline"]) in page
    assert "## When not to adapt" in page
    assert "| patches, LoRA | 2 |" in page
    assert "![dice](figures/dice.png)" in page
    for name in re.findall(r"\(figures/([^)]+)\.png\)", page):
        assert all((request.output / "figures" / f"{unquote(name)}.{form}").is_file() for form in ("svg", "pdf", "png"))
    html = (request.output / "report.html").read_text("utf-8")
    assert html.index('class="verdict') < html.index("<figure") < html.index("<table>")
    assert 'id="when-not-to-adapt-and-when-not-to-use-this-adapter"' in html
    assert {path.suffix for path in (request.output / "tables").iterdir()} == {".csv"}
    again = run(request, latex=True)
    assert again.report == report
    assert (request.output / "tables" / "dice.tex").is_file()
    assert not run(request, latex=True).fresh
    card = (request.output / "README.md").read_text("utf-8")
    assert all(f"- dataset501_toy/{name}" in card for name in cases["train"])
    assert not any(f"dataset501_toy/{name}" in card for name in cases["test"])
    assert "n = 6" in card
    assert "## Must not be used for" in card


@pytest.mark.long
def test_the_report_lists_exactly_what_trains(request_of, toy_root):
    request = request_of(patients=2)
    training = run(request).report["training"]
    backbone = load(toy_root / "tiny", adapter=request.output, device="cpu")
    assert training["parameters"] == trainable(backbone)
    assert training["values"] == sum(trainable(backbone).values()) == describe(request.output)["trained"]
    assert training["bytes"] == (request.output / "adapter_model.safetensors").stat().st_size
    assert training["steps"] == training["measured_steps"] == 2
    assert training["peak_bytes"] > 0
    assert training["seconds_a_step"] == pytest.approx(training["seconds"] / 2)


class Stopping:
    """Trains, and is stopped by the user after its last step the first time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *given, **named):
        self.calls += 1
        result = fit(*given, **named)
        if self.calls == 1:
            raise KeyboardInterrupt
        return result


def test_a_run_that_was_stopped_goes_on_and_repeats_nothing(request_of):
    request, stopping = request_of(patients=3), Stopping()
    with pytest.raises(KeyboardInterrupt):
        run(request, fit=stopping)
    assert not request.output.exists()
    kept = {
        path: path.stat().st_mtime_ns for path in request.work.rglob("*") if path.name in ("case.json", "last.ckpt")
    }
    kept |= {path: path.stat().st_mtime_ns for path in request.work.rglob("*.parquet")}
    assert any(path.suffix == ".parquet" for path in kept)
    done = run(request, fit=stopping)
    assert done.fresh
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())

    again = run(request, fit=stopping)
    assert not again.fresh
    assert again.report == done.report
    assert stopping.calls == 2


@pytest.mark.long
def test_new_patients_are_not_put_into_an_old_adapter_unasked(request_of, quick_fit):
    request = request_of(patients=3)
    run(request, fit=quick_fit)
    for place in ("imagesTr/p0{}_0000.nii.gz", "labelsTr/p0{}.nii.gz"):
        (request.dataset / place.format(7)).write_bytes((request.dataset / place.format(1)).read_bytes())
    with pytest.raises(RecipeError, match=r"made from other patients than .* use --force"):
        run(request, fit=quick_fit)
    assert run(request, fit=quick_fit, force=True).fresh


@pytest.mark.long
def test_another_request_for_the_same_place_is_refused_before_any_work(request_of, quick_fit):
    request = request_of(patients=2)
    run(request, fit=quick_fit)
    other = replace(request, method="bias")
    with pytest.raises(OutputError, match="exists already; use --force"):
        run(other, fit=quick_fit)
    assert len(quick_fit.calls) == 1
    assert run(other, fit=quick_fit, force=True).report["request"]["method"] == "bias"
    assert describe(request.output)["method"] == "bias"


@pytest.mark.long
def test_shots_teach_so_many_and_leave_the_held_out_patients_as_they_are(request_of, quick_fit):
    request = request_of(patients=12, wishes=PatientCounts(test=3))
    everyone = run(request, fit=quick_fit).report["split"]
    few = run(replace(request, wishes=PatientCounts(test=3, shots=2)), fit=quick_fit, force=True).report["split"]
    assert few["patients"] == {"train": 2, "validation": 0, "test": 3}
    assert few["cases"]["test"] == everyone["cases"]["test"]
    assert set(few["cases"]["train"]) < set(everyone["cases"]["train"])
    assert [len(call["groups"][0][1]) for call in quick_fit.calls] == [9, 2]
    with pytest.raises(RecipeError, match="--shots asks for 10 patients, but there are 9 to learn from"):
        run(replace(request, wishes=PatientCounts(test=3, shots=10)), fit=quick_fit, force=True)


@pytest.mark.long
def test_below_twelve_patients_all_are_tested_by_trainings_that_did_not_learn_from_them(request_of, quick_fit):
    said = []
    request = request_of(patients=7, wishes=PatientCounts())
    report = run(request, fit=quick_fit, say=said.append).report
    assert any(line.startswith("dataset501_toy: 7 patients, cross-validated in 3 folds, seed 0") for line in said)
    taught = [{name for _, names in call["groups"] for name in names} for call in quick_fit.calls]
    everyone = {f"p{number:02d}" for number in range(7)}
    assert [len(names) for names in taught] == [4, 4, 4, 7]
    assert taught[-1] == everyone
    assert report["split"]["patients"] == {"train": 7, "validation": 0, "test": 7}
    own = [row for row in report["measured"] if not row["retention"]]
    assert all(row["difference"]["patients"] == 7 for row in own)
    assert report["gain"]["patients"] == 7
    manifest = json.loads((request.work / "study" / "manifest.json").read_text("utf-8"))["runs"]
    tested = [set(manifest[f"lora-s0-f{fold}"]["test"]) for fold in range(3)]
    assert sorted(name for names in tested for name in names) == sorted(f"dataset501_toy/{name}" for name in everyone)
    assert all(not names & set(manifest[f"lora-s0-f{fold}"]["train"]) for fold, names in enumerate(tested))
    assert all(name.startswith("ct/") for name in manifest["lora-s0"]["test"])
    assert not any(name.startswith("ct/") for names in tested for name in names)
    page = (request.output / "report.md").read_text("utf-8")
    assert "7 patients, each tested once by one of 3 trainings that did not learn from it" in page


def test_an_adapter_that_learned_from_all_is_made_where_nothing_else_is_tested(request_of, quick_fit):
    request = request_of(patients=2, wishes=PatientCounts(), ct=None)
    report = run(request, fit=quick_fit).report
    assert [len(call["groups"][0][1]) for call in quick_fit.calls] == [1, 1, 2]
    assert report["verdict"] == "not known"
    assert (request.output / "adapter_model.safetensors").is_file()
    assert not run(request, fit=quick_fit).fresh


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        (PatientCounts(folds=3, test=1), "cross-validation tests every patient"),
        (PatientCounts(folds=4), "too few for 4 folds"),
    ],
    ids=["with-test", "too-many"],
)
def test_folds_that_cannot_be_are_one_sentence(request_of, wishes, sentence):
    with pytest.raises(RecipeError, match=sentence):
        run(request_of(patients=3, wishes=wishes))


@pytest.mark.long
def test_attempts_on_the_same_patients_are_counted_and_said(request_of, quick_fit, tmp_path):
    first = request_of(patients=2)
    assert run(first, fit=quick_fit).report["attempts"] == 1
    second = replace(first, output=tmp_path / "out" / "again", method="bias")
    report = run(second, fit=quick_fit).report
    assert report["attempts"] == 2
    assert any("This is attempt 2 on these patients" in sentence for sentence in report["reasons"])
    shutil.rmtree(first.work)  # its report still tells of it
    assert run(replace(second, steps=3), fit=quick_fit, force=True).report["attempts"] == 3
    assert "3 adapters were measured on these patients" in (second.output / "report.md").read_text("utf-8")
    elsewhere = replace(first, output=tmp_path / "other" / "toy")
    assert run(elsewhere, fit=quick_fit).report["attempts"] == 1


@pytest.mark.long
def test_the_report_has_surfaces_volumes_and_the_predicted_overlap(request_of, quick_fit):
    request = request_of(patients=2)
    run(request, fit=quick_fit)
    page = (request.output / "report.md").read_text("utf-8")
    for heading in ("Mean normalised surface Dice at 3, 5 mm", "Median HD95", "Mean relative volume error"):
        assert f"### {heading}" in page
    assert "### Predicted overlap" in page


def test_one_patient_is_learned_from_and_no_gain_is_claimed(request_of, quick_fit):
    done = run(request_of(patients=1), fit=quick_fit)
    assert done.report["verdict"] == "not known"
    assert "Nobody could be held out" in done.report["headline"]
    assert done.report["split"]["patients"] == {"train": 1, "validation": 0, "test": 0}


def test_a_few_patients_get_a_measurement_and_no_claim(request_of, quick_fit):
    done = run(request_of(patients=4), fit=quick_fit)
    assert done.report["split"]["patients"] == {"train": 3, "validation": 0, "test": 1}
    assert "1 patient tested is too few to know" in done.report["headline"]


@pytest.mark.parametrize(
    ("patients", "given", "found"),
    [
        (1, (None, None), (1, 0, 0)),
        (2, (None, None), (1, 0, 1)),
        (11, (None, None), (8, 0, 3)),
        (12, (None, None), (6, 0, 6)),
        (20, (None, None), (12, 2, 6)),
        (50, (None, None), (35, 5, 10)),
        (10, (1, 6), (3, 1, 6)),
        (10, (0.1, 0.5), (4, 1, 5)),
        (10, (0, 0), (10, 0, 0)),
    ],
)
def test_sizes(patients, given, found):
    assert sizes(patients, *given) == found


def test_too_few_patients_is_one_sentence_on_what_is_needed(request_of):
    with pytest.raises(RecipeError, match=r"5 patients are too few to test 5 .* at least 6 are needed"):
        run(request_of(patients=5, wishes=PatientCounts(test=5)))


def test_validation_patients_choose_the_weights(request_of):
    done = run(request_of(patients=3, wishes=PatientCounts(validation=1, test=1)))
    assert done.report["split"]["patients"] == {"train": 1, "validation": 1, "test": 1}
    assert done.report["training"]["best_step"] in (1, 2)


def test_a_mixture_leaves_ct_as_it_is_to_the_last_bit(request_of, quick_fit):
    request = request_of(patients=3, method="mixture", replay=None)
    report = run(request, fit=quick_fit).report
    card = describe(request.output)["card"]
    assert card["gate"]["confusion"]["CT"] == {"identity": 4, "MRI": 0}
    assert card["gate"]["confusion"]["MRI"]["identity"] == 0
    assert card["ct_retention"]["unchanged"]
    assert card["ct_retention"]["difference"]["patients"] == 4
    assert [loss["unchanged"] for loss in report["ct"]] == [True]
    assert any("to the last bit" in sentence for sentence in report["reasons"])
    own = [row for row in report["measured"] if not row["retention"]]
    assert any(row["difference"]["mean"] != 0 for row in own)
    assert "identity expert" in report["replay"]


@pytest.mark.parametrize(("method", "kind"), [("prior", "context_prior"), ("full", "full"), ("decoder", "decoder")])
def test_the_other_methods_leave_their_own_kind_of_adapter(request_of, quick_fit, method, kind):
    request = request_of(patients=2, method=method)
    run(request, fit=quick_fit)
    assert describe(request.output)["method"] == kind


def test_replayed_and_tested_patients_of_one_ct_store_are_different_ones(request_of, toy_root, quick_fit):
    request = request_of(patients=2, replay=str(toy_root / "ct"))
    report = run(request, fit=quick_fit).report
    (_, replayed) = quick_fit.calls[0]["groups"]
    assert len(replayed[1]) == 2
    assert replayed[0] == 0.5
    assert quick_fit.calls[0]["settings"].objective.retain == {Modality.CT: RETAIN}
    assert report["ct"][0]["difference"]["patients"] == 2
    assert "CT of ct was replayed" in report["replay"]


@pytest.mark.long
def test_what_the_base_says_of_ct_is_not_kept_where_ct_is_learned_or_none_is_replayed(
    request_of, toy_root, tmp_path, quick_fit
):
    run(request_of(patients=2), fit=quick_fit)
    own = {"overrides": Overrides(modality=Modality.CT), "output": tmp_path / "out" / "ct"}
    run(request_of(patients=2, replay=str(toy_root / "ct"), **own), fit=quick_fit)
    assert [call["settings"].objective.retain for call in quick_fit.calls] == [{}, {}]


@pytest.mark.long
def test_simulated_ct_is_replayed_unless_told_otherwise(request_of, quick_fit, monkeypatch):
    monkeypatch.setattr("segevolution.adaptation.recipe.REPLAYED", 1)
    monkeypatch.setitem(patients._SPACING, "torso", (14.0, 14.0, 16.0))  # a torso of some thousand voxels
    report = run(request_of(patients=2, replay=None, ct=None, simulated=1), fit=quick_fit).report
    names = [name for _, cases in quick_fit.calls[0]["groups"] for name in cases]
    assert any(name.startswith("simulated_ct_9000") for name in names)
    assert report["ct"][0]["dataset"] == "simulated_ct"
    assert "simulated CT patients were replayed" in report["replay"]


def test_a_name_that_the_base_does_not_know_is_learned_and_has_no_before_by_text(request_of, quick_fit, monkeypatch):
    def knows_livers(*given, **named):
        backbone = load(*given, **named)
        if named.get("adapter") is None:
            backbone.spec = replace(backbone.spec, structures=("liver",))
        return backbone

    for place in ("adaptation.adapt", "studies.facts", "studies.methods", "studies.workspace"):
        monkeypatch.setattr(f"segevolution.{place}.load", knows_livers)
    request = request_of(patients=2, structures=("spleen",))
    report = run(request, fit=quick_fit).report
    text = next(row for row in report["measured"] if row["prompt"] == "text" and not row["retention"])
    assert text["verdict"] == "no before"
    assert text["after"]["patients"] == 1
    assert "spleen" in describe(request.output)["structures"]
    assert any("does not know these names" in sentence for sentence in report["reasons"])


@pytest.mark.parametrize(
    ("names", "rate", "words"), [(("liver",), 0.001, False), (("liver", "myocardium"), 0.003, True)]
)
def test_names_new_to_the_base_are_learned_faster_and_by_the_text_tower_too(request_of, toy_root, names, rate, words):
    model = load("segvol-mini", device="cpu")
    brought = PreparedDataset(Store.open(toy_root / "ct"), "ours")
    recipe, _ = make_recipe(
        *(request_of(base="segvol-mini"), brought, names, brought.store.cases, model.spec),
        *(chosen_layers(model), HELD_OUT, Beginning("segvol-mini")),
    )
    assert recipe.fit["learning_rate"] == rate
    assert ("text" in recipe.methods[1].settings["targets"]) is words
    decoder, _ = make_recipe(
        *(request_of(base="segvol-mini", method="decoder"), brought, names, brought.store.cases, model.spec),
        *(chosen_layers(model), HELD_OUT, Beginning("segvol-mini")),
    )
    assert ("text" in decoder.methods[1].settings.get("parts", ())) is words
    assert recipe.fit["view"]["focus"] > 0  # as segvol-mini looks at a case


def test_other_contrasts_and_a_share_of_the_start_keep_what_few_patients_lose(request_of, toy_root):
    model = load("segvol-mini-2", device="cpu")

    def made(store, begun: Beginning, names=("liver",), **changes) -> dict[str, Any]:
        brought = PreparedDataset(Store.open(toy_root / store), "ours")
        recipe, _ = make_recipe(
            *(request_of(base="segvol-mini-2", **changes), brought, names, brought.store.cases, model.spec),
            *(chosen_layers(model), HELD_OUT, begun),
        )
        return recipe.fit

    bare = Beginning("segvol-mini-2")
    expert = Beginning("segvol-mini-2", "segvol-mini-mri", "mixture", "segvol-mini-mri", goes_on=True)
    assert made("mri", expert)["intensity"] == {"recontrast": {"share": {"MRI": CONTRASTS}}}
    assert made("mri", bare, ("liver", "myocardium"))["intensity"] == {"recontrast": {"share": {}}}  # a new name
    assert made("ct", bare)["intensity"] == {"recontrast": {"share": {}}}
    assert made("mri", expert)["start_share"] == START_SHARE
    assert made("mri", bare)["start_share"] == 0  # there is nothing to keep
    itself = Beginning("segvol-mini-3", goes_on=True)
    assert made("mri", itself)["start_share"] == START_SHARE
    assert made("mri", expert, start_share=0.5)["start_share"] == 0.5
    assert made("mri", expert, start_share=0.0)["start_share"] == 0
    assert "start_share" not in request_of().told()  # a request of before is known again
    assert request_of(start_share=0.5).told()["start_share"] == 0.5
    methods = {method.name: method for method in load_recipe("rivals").methods}
    for name in ("steps", "start_share", "intensity"):  # the tables are of this recipe, and speak of what `adapt` does
        assert methods["contrasts"].fit[name] == made("mri", expert, steps=None)[name]
    for name in ("steps", "start_share", "intensity"):
        assert methods["adapt"].fit[name] == made("mri", itself, steps=None, method="mixture")[name]


@pytest.mark.long
def test_only_the_structures_asked_for_are_told_of(request_of, quick_fit):
    both = run(request_of(patients=2), fit=quick_fit).report["measured"][0]["after"]["rows"]
    one = run(request_of(structures=("spleen",)), fit=quick_fit, force=True).report["measured"][0]["after"]["rows"]
    assert (both, one) == (2, 1)
    with pytest.raises(RecipeError, match='does not label "spleeen"; did you mean "spleen"'):
        run(request_of(structures=("spleeen",)), force=True)


@pytest.mark.long
def test_a_store_is_used_where_it_lies(request_of, toy_root, quick_fit):
    request = request_of(dataset=toy_root / "mri")
    report = run(request, fit=quick_fit).report
    assert report["split"]["patients"] == {"train": 3, "validation": 0, "test": 1}
    assert not (request.work / "dataset").exists()
    with pytest.raises(RecipeError, match="is a store, which says itself"):
        run(replace(request, overrides=Overrides(modality=Modality.MRI)), force=True)


@pytest.mark.long
def test_a_split_file_decides(request_of, quick_fit, tmp_path):
    Split(("p00", "p02"), (), ("p01",)).save(tmp_path / "mine.json")
    request = request_of(patients=3, wishes=PatientCounts(split=tmp_path / "mine.json"))
    assert run(request, fit=quick_fit).report["split"]["cases"]["test"] == ["p01"]
    Split(("p00", "p09"), (), ("p01",)).save(tmp_path / "other.json")
    with pytest.raises(RecipeError, match='names the case "p09"'):
        run(replace(request, wishes=PatientCounts(split=tmp_path / "other.json")), force=True)


@pytest.mark.long
def test_the_parts_that_a_datasets_authors_made_are_kept(request_of, toy_root, quick_fit):
    ours = Store.create(toy_root / "parted")
    for number, part in enumerate(("test", "train", "test", "train", "train")):
        case = Store.open(toy_root / "mri").read(f"mri{min(number, 3)}")
        ours.add(replace(case, name=f"case{number}", patient=f"case{number}", dataset="parted", part=part))
    split = run(request_of(dataset=toy_root / "parted"), fit=quick_fit).report["split"]
    assert split["cases"]["test"] == ["case0", "case2"]
    assert split["cases"]["train"] == ["case1", "case3", "case4"]
    assert split["how"] == "as the dataset's authors split it"


def test_what_cannot_be_read_is_left_out_and_reported(request_of, quick_fit):
    request = request_of(patients=3)
    (request.dataset / "labelsTr" / "p01.nii.gz").write_bytes(b"cut short")
    said = []
    report = run(request, fit=quick_fit, say=said.append).report
    assert list(report["left_out"]) == ["p01"]
    assert said[1].startswith("left out p01: ")
    assert "1 cases were left out" in (request.output / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"method": "lorra"}, RecipeError, 'did you mean "lora"'),
        ({"dataset": Path("nowhere")}, RecipeError, "nowhere is not a folder"),
        ({"steps": 0}, RecipeError, "raise --steps"),
        ({"ct": Path("nowhere")}, StoreError, "nowhere is not a store"),
        ({"method": "mixture", "overrides": Overrides(modality=Modality.CT)}, AdapterError, "a mixture leaves CT"),
    ],
)
def test_what_cannot_be_is_one_sentence(request_of, changes, error, sentence):
    request = request_of(patients=2, **changes)
    with pytest.raises(error, match=sentence) as raised:
        run(request)
    assert "\n" not in str(raised.value)
    assert not request.output.exists()


@pytest.mark.long
def test_a_damaged_report_is_no_report_of_ours(request_of, quick_fit):
    request = request_of(patients=2)
    whole = run(request, fit=quick_fit).report
    path = request.output / "report.json"
    other_types = {"key": whole["key"], "request": {}, "headline": 3, "use": [], "measured": 7}
    for content in ("null", "[]", '{"key": "', json.dumps(other_types)):
        path.write_text(content)
        with pytest.raises(OutputError, match="use --force"):
            run(request, fit=quick_fit)
    again = run(request, fit=quick_fit, force=True)
    assert again.fresh
    assert again.report == whole


def test_a_folder_of_something_else_is_not_worked_in(request_of):
    request = request_of(patients=2)
    request.work.mkdir(parents=True)
    (request.work / "letters.txt").write_text("dear")
    with pytest.raises(RecipeError, match="holds something else"):
        run(request)


@pytest.mark.long
def test_time_ends_a_training_that_has_no_number_of_steps(request_of):
    report = run(request_of(patients=2, steps=None, minutes=0.01)).report
    assert report["training"]["finished"] is False
    assert report["training"]["steps"] >= 1
    assert Store.open(request_of().work / "dataset").names == ("p00", "p01")


@pytest.mark.long
def test_a_mixture_goes_on_from_an_adapter_and_is_compared_with_it(request_of, toy_root, tmp_path):
    backbone = load(toy_root / "tiny", device="cpu")
    mixture = create("mixture", {"experts": ["MRI"], "rank": 2})
    mixture.attach(backbone)
    state = mixture.state()
    generator = torch.Generator().manual_seed(0)
    mixture.load_state({key: torch.randn(value.shape, generator=generator) for key, value in state.items()})
    save_adapter(mixture, backbone, tmp_path / "expert", {"base": str(toy_root / "tiny"), "data": ["other/o1"]})
    done = run(request_of(method="mixture", start=str(tmp_path / "expert")))
    assert describe(done.folder)["settings"]["rank"] == 2
    assert describe(done.folder)["card"]["started_from"] == str(tmp_path / "expert")
    assert done.report["beginning"] == f"Begun with {tmp_path / 'expert'}."
    bare = run(request_of(method="mixture", start="none", output=tmp_path / "out" / "bare"))
    mri = [row for row in done.report["measured"] if row["modality"] == "MRI"]
    bare_mri = [row for row in bare.report["measured"] if row["modality"] == "MRI"]
    assert [row["before"]["mean"] for row in mri] != [row["before"]["mean"] for row in bare_mri]
    ct, bare_ct = ([row for row in each.report["measured"] if row["modality"] == "CT"] for each in (done, bare))
    assert [row["before"]["mean"] for row in ct] == [row["before"]["mean"] for row in bare_ct]  # identity answers CT
    assert all(row["difference"]["mean"] == 0 for row in ct)
    pages = [(each.folder / "report.md").read_text("utf-8") for each in (done, bare)]
    assert ["From before to mixture:" in page for page in pages] == [True, False]  # an expert is not called the base
    assert ["From base to mixture:" in page for page in pages] == [False, True]
