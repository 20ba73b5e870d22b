"""The shipped recipes that compare every method on real MRI: they load, plan, and fit the network they are for."""

from types import SimpleNamespace

import pytest

from segevolution.adapters import create
from segevolution.data.synthesis.mri import PROTOCOLS
from segevolution.inference.load import load
from segevolution.studies.facts import BaseFacts
from segevolution.studies.jobs import SCRATCH
from segevolution.studies.questions import known_structures
from segevolution.studies.reading import load_recipe
from segevolution.studies.recipe import UNTRAINED
from segevolution.studies.rivals import RIVALS
from segevolution.studies.zero_shot import rivals
from segevolution.vocabulary import Modality

TRAINED = [
    *("scratch", "lora", "mixture-modality", "mixture-task", "mixture-learned"),
    *("prior-additive", "prior-multiplicative", "decoder", "full"),
]
ON_CHAOS = ["scratch", "lora", "lora-small-norms", "lora-no-norms", "lora-mri-only", *TRAINED[2:]]
HELD_OUT = ("btcv_04", "btcv_11", "btcv_12", "btcv_21", "btcv_29")
STRUCTURES = ("liver", "anterior hippocampus", "posterior hippocampus", "hippocampus")
NAMES = ("chaos", "hippocampus", "heart")


def records(dataset, patients, modality, scans=1):
    return [
        SimpleNamespace(
            name=f"{name}_{scan}",
            patient=name,
            person=(dataset, name),
            dataset=dataset,
            modality=modality,
            structures=STRUCTURES,
            part=None,
            site=None,
        )
        for name in patients
        for scan in range(scans)
    ]


@pytest.fixture
def planned(plan_of):
    """The plan of a recipe over so many patients of its MRI dataset and BTCV's."""
    return lambda *given: plan_of(*_inputs(*given))


def _inputs(name, dataset, patients, scans=1, *changes):
    recipe = load_recipe(f"methods_on_{name}", changes)
    ct = [*HELD_OUT, *(f"btcv_x{number}" for number in range(21))]
    mri = [f"p{number:03d}" for number in range(patients)]
    there = {
        "btcv": records("btcv", ct, Modality.CT),
        dataset: records(dataset, mri, Modality.MRI, scans),
    }
    return recipe, there


def measured_on(made, run, dataset):
    return [job.part.case for job in made.evaluations if job.part.run == run and job.part.dataset == dataset]


def test_abdomen_every_method_learns_from_one_five_and_ten_of_fourteen_and_tests_each_once(planned):
    made = planned("chaos", "chaos", 14)
    assert len(made.trainings) == 12 * 3 * 3 * 4  # methods, numbers of patients, seeds, folds
    assert len(made.evaluations) == 2 * (14 + 5) + 12 * 3 * 3 * (14 + 4 * 5)
    assert list(dict.fromkeys(job.method for job in made.trainings)) == ON_CHAOS
    assert {len(job.train) for job in made.trainings} == {1, 5, 10}
    mri = [case for fold in range(4) for case in measured_on(made, f"lora-5shot-s1-f{fold}", "chaos")]
    assert sorted(mri) == sorted(measured_on(made, "base", "chaos"))


def test_hippocampus_forty_patients_are_tested_and_never_learned_from_whatever_the_seed(planned):
    made = planned("hippocampus", "hippocampus", 190)
    assert len(made.trainings) == 9 * 4 * 3
    assert len(made.evaluations) == (40 + 5) * (1 + 9 * 4 * 3)
    assert {len(job.train) for job in made.trainings} == {1, 5, 10, 150}
    held_out = set(measured_on(made, "base", "hippocampus"))
    assert len(held_out) == 40
    for job in made.trainings:
        assert set(measured_on(made, job.run, "hippocampus")) == held_out
        assert not held_out & {name.case for name in (*job.train, *job.replay, *job.validation)}


def test_heart_both_frames_of_a_patient_stay_together(planned):
    made = planned("heart", "acdc", 7, 2)
    assert len(made.trainings) == 9 * 2 * 3 * 4
    assert len(made.evaluations) == (14 + 5) + 9 * 2 * 3 * (14 + 4 * 5)
    for job in made.trainings:
        learned = {name.case.split("_")[0] for name in job.train}
        assert len(learned) * 2 == len(job.train)
        assert not learned & {case.split("_")[0] for case in measured_on(made, job.run, "acdc")}


@pytest.mark.parametrize("name", NAMES)
def test_each_tests_ct_on_the_five_that_the_base_never_saw_and_validates_on_nobody(name, planned):
    dataset, patients = {"chaos": ("chaos", 14), "hippocampus": ("hippocampus", 60), "heart": ("acdc", 7)}[name]
    made = planned(name, dataset, patients, 1, "seeds=[0]", "shots=[5]")
    assert {job.seed for job in made.trainings} == {0}
    for job in made.trainings:
        assert [case.removesuffix("_0") for case in measured_on(made, job.run, "btcv")] == list(HELD_OUT)
        assert not job.validation
        still = job.method in ("scratch", "mixture-modality", "lora-mri-only")
        assert len(job.replay) == (0 if still else 21)


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_every_method_fit_segvol_mini(name):
    recipe = load_recipe(f"methods_on_{name}")
    backbone = load(recipe.base, device="cpu")
    bases = {recipe.base: BaseFacts(recipe.base, "", backbone.spec)}
    asked = known_structures(recipe, bases, set(recipe.structures))
    for method in recipe.methods:
        if method.trained_as in (UNTRAINED, SCRATCH, *RIVALS):
            continue
        adapter = create(method.trained_as, method.settings)
        adapter.attach(backbone)
        adapter.add_structures(recipe.structures)
        assert set(asked) <= set(backbone.spec.structures)
        adapter.detach()
        if method.trained_as == "mixture" and method.settings["gate"] == "task":
            assert set(method.settings["experts"]) <= set(asked)
    assert not (set(recipe.structures) & {"myocardium", "anterior hippocampus"}) & set(backbone.spec.structures)


def test_every_method_is_compared_with_training_from_scratch_on_as_many_patients(planned):
    made = planned("chaos", "chaos", 14, 1, "shots=[1,5]")
    found = rivals(made.trainings, made.evaluations)
    assert list(found) == ["scratch (1 shot)", "scratch (5 shots)"]
    assert found["scratch (5 shots)"] == [f"{name} (5 shots)" for name in ON_CHAOS if name != "scratch"]


def test_without_labelled_mri_only_made_images_of_patients_that_the_base_knew_are_learned_from(plan_of):
    recipe = load_recipe("no_labelled_mri")
    ct = [f"btcv_{number:02d}" for number in range(30) if number not in (9, 16, 23, 28)]
    there = {
        "btcv": records("btcv", ct, Modality.CT),
        "made_spir": records("made_spir", ct, Modality.MRI),
        "made_random": records("made_random", ct, Modality.MRI),
        "chaos": records("chaos", [f"chaos_{number}" for number in range(14)], Modality.MRI),
    }
    made = plan_of(recipe, there)
    assert len(made.trainings) == 4
    for job in made.trainings:
        learned = {(name.dataset, name.case.removesuffix("_0")) for name in (*job.train, *job.replay)}
        assert not {case for _, case in learned} & set(HELD_OUT)
        assert {dataset for dataset, _ in learned} <= {"btcv", "made_spir", "made_random"}
        assert len(job.train) == 42
        assert len(measured_on(made, job.run, "chaos")) == 14


MADE = ("made_spir", "made_random", "made_random_thick", "made_t1")


def test_the_mri_expert_learns_from_patients_of_its_base_alone_and_is_told_that_they_are_mri(plan_of):
    recipe = load_recipe("segvol_mini_mri")
    ct = [f"btcv_{number:02d}" for number in range(30) if number not in (9, 16, 23, 28)]
    there = {
        "btcv": records("btcv", ct, Modality.CT),
        **{name: records(name, ct, Modality.MRI) for name in MADE},
        "chaos": records("chaos", [f"chaos_{number}" for number in range(14)], Modality.MRI),
    }
    made = plan_of(recipe, there)
    (job,) = made.trainings
    learned = {(name.dataset, name.case.removesuffix("_0")) for name in (*job.train, *job.replay)}
    assert {dataset for dataset, _ in learned} == {"btcv", *MADE}
    assert not {case for _, case in learned} & set(HELD_OUT)
    assert len(learned) == 5 * 21
    assert len(measured_on(made, job.run, "chaos")) == 14
    contrast = job.fit.intensity.recontrast
    assert contrast.as_mri
    assert contrast.share[Modality.CT] == 1  # a CT told as CT would teach the expert nothing


@pytest.mark.parametrize("name", ["no_labelled_mri", "segvol_mini_mri"])
def test_every_sequence_that_a_shipped_recipe_makes_can_be_made(name):
    recipe = load_recipe(name)
    wanted = [data.simulate.sequence for data in recipe.data if data.simulate is not None]
    assert {"T2-SPIR", "random"} <= set(wanted)
    assert set(wanted) <= {*PROTOCOLS, "random"}
