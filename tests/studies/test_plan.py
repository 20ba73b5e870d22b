import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from segevolution.appearance import find
from segevolution.errors import RecipeError
from segevolution.imaging.prompts import PromptKind
from segevolution.models.tiny import TinyBackbone
from segevolution.recipes.dataset import Dataset
from segevolution.recipes.roles import ROLES, assign
from segevolution.recipes.stores import StoreRef, prepare_job
from segevolution.studies.facts import BaseFacts, DatasetFacts
from segevolution.studies.plan import plan, plan_data
from segevolution.studies.recipe import Recipe
from segevolution.vocabulary import Modality


def records(count, scans=1, dataset="d", parts=()):
    """Patients p00, p01 ...; `parts` says where the authors put the first of them."""
    return [
        SimpleNamespace(
            name=f"p{patient:02d}_scan{scan}",
            patient=f"p{patient:02d}",
            person=(dataset, f"p{patient:02d}"),
            dataset=dataset,
            modality=None,
            structures=(),
            site=None,
            part=parts[patient] if patient < len(parts) else None,
        )
        for patient in range(count)
        for scan in range(scans)
    ]


def dataset(**values):
    return Dataset.model_validate({"name": "d", "path": "d", **values})


@given(
    count=some.integers(12, 30),
    train=some.integers(0, 2),
    replay=some.integers(0, 2),
    validation=some.integers(0, 1),
    folds=some.integers(1, 4),
    seed=some.integers(0, 50),
)
def test_no_patient_ever_has_two_roles(count, train, replay, validation, folds, seed):
    chosen = dataset(train=train, replay=replay, validation=validation, folds=folds, seed=seed)
    for split in assign(chosen, records(count, scans=2)):
        patients = [name for role in ROLES for name in split.patients[role]]
        assert len(patients) == len(set(patients))
        cases = [name for role in ROLES for name in split.of(role, records(count, scans=2))]
        assert len(cases) == 2 * len(patients)
        assert len(split.patients["train"]) == train


@given(count=some.integers(5, 20), folds=some.integers(2, 5))
def test_folds_test_every_patient_exactly_once(count, folds):
    splits = assign(dataset(folds=folds, train=1), records(count))
    tested = [name for split in splits for name in split.patients["test"]]
    assert sorted(tested) == sorted(record.patient for record in records(count))


def test_a_fold_may_train_on_all_patients_outside_it():
    for split in assign(dataset(folds=3, train="rest", validation=1, replay=["p00"]), records(10)):
        held_out = split.patients["test"] | split.patients["validation"] | {"p00"}
        assert split.patients["train"] == {record.patient for record in records(10)} - held_out
        assert len(split.patients["train"]) in (5, 6)
    with pytest.raises(ValidationError, match="only one role can take the rest, these do: train, replay"):
        dataset(folds=3, train="rest", replay="rest")


def test_more_training_patients_change_nobody_who_is_tested_and_keep_the_first():
    few, more = (assign(dataset(train=n, test=3), records(12))[0].patients for n in (2, 6))
    assert few["test"] == more["test"]
    assert few["train"] < more["train"]


def test_the_order_of_the_records_does_not_matter_but_the_seed_does():
    there = records(12)
    chosen = dataset(train=3, test=3)
    assert assign(chosen, there) == assign(chosen, there[::-1])
    assert assign(dataset(train=3, test=3, seed=1), there) != assign(chosen, there)


def test_named_patients_are_taken_as_named_and_the_rest_is_the_rest():
    split = assign(dataset(train=["p01", "p02"], replay=1), records(6))[0].patients
    assert split["train"] == {"p01", "p02"}
    assert len(split["replay"]) == 1
    assert len(split["test"]) == 3


def test_a_list_of_patients_narrows_the_dataset():
    split = assign(dataset(patients=["p01", "p03"]), records(6))[0].patients
    assert split["test"] == {"p01", "p03"}
    assert not split["train"]


def test_a_fraction_is_of_all_patients():
    split = assign(dataset(train=0.5, test=0.25), records(8))[0].patients
    assert (len(split["train"]), len(split["test"])) == (4, 2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"train": ["p1"]}, 'no patient "p1"; did you mean "p01"'),
        ({"train": ["p01"], "test": ["p01"]}, "p01 is in both train and test"),
        ({"train": 9, "test": 3}, "train wants 9 patients, but only 5 are left"),
        ({"folds": 9}, "8 patients, too few for 9 folds"),
    ],
)
def test_roles_that_do_not_fit_are_one_sentence(values, sentence):
    with pytest.raises(RecipeError, match=sentence):
        assign(dataset(**values), records(8))


def study(**values):
    return Recipe.model_validate(
        {
            "name": "s",
            "data": [{"name": "ct", "path": "ct", "replay": 1, "test": 2}, {"name": "mri", "path": "mri", "train": 3}],
            "methods": [{"name": "base"}, {"name": "lora"}],
            **values,
        }
    )


@pytest.fixture
def jobs(plan_of):
    def jobs(recipe, base="b", prints=None, spec=None):
        there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri")}
        return plan_of(recipe, there, prints or {"ct": "c", "mri": "m"}, base, spec)

    return jobs


def keys(made, run):
    return {(job.part.dataset, job.part.case): job.part.key for job in made.evaluations if job.part.run == run}


def test_the_base_is_measured_once_and_each_seed_of_a_method_on_the_same_cases(jobs):
    made = jobs(study(seeds=[0, 1]))
    assert [job.run for job in made.trainings] == ["lora-s0", "lora-s1"]
    assert set(keys(made, "base")) == set(keys(made, "lora-s0")) == set(keys(made, "lora-s1"))
    assert len(keys(made, "base")) == 2 + 4


def test_no_training_ever_sees_a_case_that_its_run_is_tested_on(jobs):
    data = [{"name": "ct", "path": "ct", "replay": 1}, {"name": "mri", "path": "mri", "train": 2, "folds": 3}]
    made = jobs(study(data=data))
    assert len(made.trainings) == 3
    for job in made.trainings:
        seen = {(name.dataset, name.case) for name in (*job.train, *job.replay, *job.validation)}
        assert seen
        assert not seen & set(keys(made, job.run))
    tested = [case for job in made.trainings for dataset, case in keys(made, job.run) if dataset == "mri"]
    assert sorted(tested) == [record.name for record in records(7)]


def test_datasets_with_different_folds_are_refused(jobs):
    data = [{"name": "ct", "path": "ct", "folds": 2}, {"name": "mri", "path": "mri", "train": 2, "folds": 3}]
    with pytest.raises(RecipeError, match="different numbers of folds"):
        jobs(study(data=data))


def test_replay_can_be_switched_off(jobs):
    made = jobs(study(fit={"replay": 0}))
    assert made.trainings[0].replay == ()
    assert len(jobs(study()).trainings[0].replay) == 1


def test_keys_are_stable(jobs):
    assert jobs(study()) == jobs(study())


def test_other_training_changes_the_keys_of_its_run_only(jobs):
    one, two = jobs(study()), jobs(study(fit={"steps": 7}))
    assert keys(one, "base") == keys(two, "base")
    assert not set(keys(one, "lora-s0").values()) & set(keys(two, "lora-s0").values())


def test_other_questions_change_every_evaluation_but_no_training(jobs):
    one, two = jobs(study()), jobs(study(points=7))
    assert [job.key for job in one.trainings] == [job.key for job in two.trainings]
    assert not {job.part.key for job in one.evaluations} & {job.part.key for job in two.evaluations}


@pytest.mark.parametrize("change", [{"base": "other"}, {"prints": {"ct": "c", "mri": "changed"}}])
def test_another_base_or_other_data_change_the_training(change, jobs):
    assert jobs(study()).trainings[0].key != jobs(study(), **change).trainings[0].key


def test_another_tested_dataset_alone_leaves_the_rest_as_it_is(jobs):
    one, two = jobs(study(fit={"replay": 0})), jobs(study(fit={"replay": 0}), prints={"ct": "changed", "mri": "m"})
    assert one.trainings[0].key == two.trainings[0].key
    same = {case for case, key in keys(one, "base").items() if keys(two, "base")[case] == key}
    assert {name for name, _ in same} == {"mri"}


def test_roles_do_not_make_data_be_prepared_again():
    other = study(data=[{"name": "ct", "path": "ct", "test": 1}, {"name": "mri", "path": "mri", "train": 1}])
    assert [job.key for job in plan_data(study())] == [job.key for job in plan_data(other)]
    moved = study(data=[{"name": "ct", "path": "elsewhere"}, {"name": "mri", "path": "mri", "train": 1}])
    assert plan_data(moved)[0].key != plan_data(study())[0].key


def test_a_study_that_tests_nobody_is_refused(jobs):
    with pytest.raises(RecipeError, match="no patient has the role test"):
        jobs(
            study(data=[{"name": "ct", "path": "ct", "test": 0}, {"name": "mri", "path": "mri", "train": 2, "test": 0}])
        )


def test_a_structure_that_has_to_be_learned_makes_it_another_training(plan_of):
    specs = [replace(TinyBackbone().spec, structures=names) for names in (("liver", "meniscus"), ("liver",))]
    there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri")}
    for case in there["mri"]:
        case.structures = ("meniscus",)
    made = [
        plan_of(study(structures=["liver", "meniscus"]), there, {"ct": "c", "mri": "m"}, "b", spec) for spec in specs
    ]
    assert made[0].trainings[0].key != made[1].trainings[0].key


AUTHORS = ["train"] * 6 + ["test"] * 3


def test_with_the_original_split_each_role_takes_from_its_own_part():
    chosen = dataset(split="original", train="rest", validation="rest", test="rest")
    split = assign(chosen, records(9, scans=2, parts=AUTHORS))[0].patients
    assert split["test"] == {"p06", "p07", "p08"}
    assert len(split["validation"]) == 1
    assert len(split["train"]) == 5
    few = assign(dataset(split="original", train=2, replay="rest", test=1), records(9, parts=AUTHORS))[0].patients
    assert few["test"] < split["test"]
    assert (len(few["train"]), len(few["replay"])) == (2, 3)
    assert few["train"] < split["train"]
    assert not few["train"] & few["replay"]


def test_a_split_file_says_who_may_have_which_role(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["p00_scan0", "p00_scan1", "p03_scan0"], "test": ["p01_scan0", "other_case"]}))
    split = assign(dataset(split=str(path), train="rest"), records(5, scans=2))[0].patients
    assert split["train"] == {"p00", "p03"}
    assert split["test"] == {"p01"}
    path.write_text(json.dumps({"train": ["p00_scan0"], "test": ["p00_scan1"]}))
    with pytest.raises(RecipeError, match="has patient p00 in test and train"):
        assign(dataset(split=str(path), train="rest"), records(5, scans=2))
    path.write_text(json.dumps({"train": ["elsewhere"]}))
    with pytest.raises(RecipeError, match="another store's"):
        assign(dataset(split=str(path), train="rest"), records(5))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"split": "original", "test": ["p00"]}, 'd\'s test part has no patient "p00"'),
        ({"split": "original", "train": 7}, "train wants 7 patients, but only 5 are left"),
        ({"split": "gone.json"}, "gone.json cannot be read"),
    ],
)
def test_roles_that_a_split_cannot_give_are_one_sentence(values, sentence):
    with pytest.raises(RecipeError, match=sentence):
        assign(dataset(**values), records(9, parts=AUTHORS))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"split": "orignal"}, "give lot, original, or a .json file"),
        ({"split": "original", "folds": 3}, "leave split out"),
        ({"split": "original", "train": "rest", "replay": "rest"}, "only one role can take the rest"),
        ({"train": "rest", "test": "rest"}, "only one role can take the rest"),
        ({"cap": {"test": 2}, "folds": 3}, "test out of cap"),
        ({"cap": {"tests": 2}}, "'train', 'replay', 'validation' or 'test'"),
        ({"cap": {"test": -2}}, "greater than or equal to 0"),
    ],
)
def test_a_dataset_that_contradicts_itself_is_refused(values, sentence):
    with pytest.raises(ValidationError, match=sentence):
        dataset(**values)


@given(cap=some.integers(0, 12), seed=some.integers(0, 20))
def test_a_cap_keeps_the_first_of_a_role_and_moves_nobody(cap, seed):
    whole, part = (
        assign(dataset(train=5, cap=caps, seed=seed), records(12))[0].patients for caps in ({}, {"train": cap})
    )
    assert part["test"] == whole["test"]
    assert part["train"] <= whole["train"]
    assert len(part["train"]) == min(cap, 5)
    more = assign(dataset(train=5, cap={"train": cap + 1}, seed=seed), records(12))[0].patients
    assert part["train"] <= more["train"]


def test_shots_train_each_method_once_on_so_many_patients_and_fewer_lie_in_more(jobs):
    made = jobs(study(shots=[1, 3], seeds=[0, 1]))
    assert [job.run for job in made.trainings] == ["lora-1shot-s0", "lora-1shot-s1", "lora-3shot-s0", "lora-3shot-s1"]
    assert [len(job.train) for job in made.trainings] == [1, 1, 3, 3]
    assert set(made.trainings[0].train) < set(made.trainings[2].train)
    assert {job.method for job in made.evaluations} == {"base", "lora (1 shot)", "lora (3 shots)"}
    assert len({job.key for job in made.trainings}) == 4
    assert all(set(keys(made, job.run)) == set(keys(made, "base")) for job in made.trainings)
    assert all(job.replay == made.trainings[0].replay for job in made.trainings)
    pool = jobs(study(seeds=[0])).trainings[0].train
    assert all(set(job.train) <= set(pool) for job in made.trainings)


def test_another_number_of_shots_leaves_the_others_as_they_are(jobs):
    one, two = jobs(study(shots=[1, 2])), jobs(study(shots=[1, 2, 3]))
    assert {job.key for job in one.trainings} < {job.key for job in two.trainings}


def test_seeds_learn_from_other_patients_of_the_same_pool(jobs):
    data = [{"name": "ct", "path": "ct"}, {"name": "mri", "path": "mri", "train": 5}]
    made = jobs(study(data=data, shots=[1], seeds=list(range(8))))
    assert len({job.train for job in made.trainings}) > 1


def test_round_robin_takes_training_cases_from_each_dataset_in_turn(jobs):
    data = [{"name": "ct", "path": "ct", "train": 1}, {"name": "mri", "path": "mri", "train": 5}]
    made = jobs(study(data=data, sampler="round_robin", count=4))
    assert sorted(name.dataset for name in made.trainings[0].train) == ["ct", "mri", "mri", "mri"]
    fewer = jobs(study(data=data, sampler="round_robin", count=2))
    assert set(fewer.trainings[0].train) < set(made.trainings[0].train)
    assert {name.dataset for name in fewer.trainings[0].train} == {"ct", "mri"}
    assert fewer.evaluations[0] == made.evaluations[0]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"shots": [1, 5]}, "shots holds 5, but mri has only 3 patients to train on"),
        ({"sampler": "round_robin", "count": 4}, "4 cases were asked for, but there are 3"),
    ],
)
def test_more_training_cases_than_there_are_is_one_sentence(values, sentence, jobs):
    with pytest.raises(RecipeError, match=sentence):
        jobs(study(**values))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"shots": [0]}, "greater than 0"),
        ({"shots": [5, 5]}, "shots holds a value twice: 5, 5"),
        ({"shots": [1], "reference": "lora"}, "there are several lora"),
        ({"shots": [1], "sampler": "round_robin", "count": 2}, "give either"),
        ({"sampler": "round_robin"}, "go together"),
        ({"count": 200}, "go together"),
        ({"sampler": "last_entries", "count": 200}, "'all' or 'round_robin'"),
    ],
)
def test_a_choice_of_training_cases_that_contradicts_itself_is_refused(values, sentence):
    with pytest.raises(ValidationError, match=sentence):
        study(**values)


def test_balance_makes_it_another_training_and_no_balance_the_one_it_was(jobs):
    plain, none, even = (
        jobs(study(fit=fit)).trainings[0].key
        for fit in ({}, {"sample": {"balance": []}}, {"sample": {"balance": ["structure"]}})
    )
    assert plain == none
    assert plain != even


def test_keys_are_those_of_the_first_version(jobs):
    """As commit 446d6ab made them: results and trainings of that time are found again, at one tolerance for all."""
    asked = {"prompts": ["text", "box"], "structures": ["liver"], "windows": "off", "pictures": "box"}
    asked["surface_tolerance_mm"] = 2.0
    spec = replace(TinyBackbone().spec, structures=("liver",))
    made = jobs(study(seeds=[0, 1], shots=[1, "all"], **asked), spec=spec)
    assert {job.run: job.key for job in made.trainings} == {
        "lora-1shot-s0": "04adc081570ff728",
        "lora-1shot-s1": "26b1474fda1c344d",
        "lora-all-s0": "8c251865f6eac644",
        "lora-all-s1": "2e8ade0b0a2344a4",
    }
    assert [job.part.key for job in made.evaluations[:3]] == [
        "e99763a6c2f1f6f6",
        "aa7451a0e2fce042",
        "1136a71c0bb51733",
    ]
    assert made.evaluations[-1].part.key == "50f62d9153b32620"
    assert [job.key for job in plan_data(study())] == ["e628ae1f01ecb8a9", "8f50e30a6a45b12d"]
    simulated = dataset(name="s", path=None, simulate={"patients": 3, "modality": "MRI", "sequence": "t2"})
    assert prepare_job(simulated).key == "cd1d75ab3f36330c"


def shifted(**values):
    return study(shifts=[{"name": "noise", "strengths": [0.05, 0.1]}], **values)


def test_each_strength_of_a_shift_is_a_job_beside_the_unchanged_scan(jobs):
    plain, made = jobs(study()), jobs(shifted())
    assert made.trainings == plain.trainings
    assert [job for job in made.evaluations if job.plain] == list(plain.evaluations)
    assert len(made.evaluations) == 3 * len(plain.evaluations)
    where = {
        (job.part.run, job.part.dataset, job.part.case, job.part.shift, job.part.strength) for job in made.evaluations
    }
    assert len(where) == len({job.part.key for job in made.evaluations}) == len(made.evaluations)
    assert {(shift, strength) for *_, shift, strength in where} == {("none", 0.0), ("noise", 0.05), ("noise", 0.1)}
    more = jobs(study(shifts=[{"name": "noise", "strengths": [0.1, 0.2]}]))
    same = {job.part.key for job in made.evaluations} & {job.part.key for job in more.evaluations}
    assert len(same) == 2 * len(plain.evaluations)


def test_a_shift_takes_its_own_ladder_and_is_left_out_where_it_means_nothing(plan_of):
    there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri"), "any": records(2, dataset="any")}
    for name, modality in (("ct", Modality.CT), ("mri", Modality.MRI)):
        for record in there[name]:
            record.modality = modality
    data = [*study().model_dump(exclude_unset=True)["data"], {"name": "any", "path": "any"}]
    made = plan_of(study(data=data, shifts=[{"name": "bias_field"}, {"name": "noise", "strengths": [0.1]}]), there)
    strengths = {}
    for job in made.evaluations:
        strengths.setdefault(job.part.dataset, set()).add((job.part.shift, job.part.strength))
    ladder = {("bias_field", strength) for strength in find("bias_field").ladder}
    assert strengths == {
        "ct": {("none", 0.0), ("noise", 0.1)},
        "mri": {("none", 0.0), ("noise", 0.1)} | ladder,
        "any": {("none", 0.0), ("noise", 0.1)},
    }
    assert [sentence for sentence in made.report.omitted if "bias_field" in sentence] == [
        "bias_field is not applied to 5 of 5 cases of ct: it means nothing on CT.",
        "bias_field is not applied to 2 of 2 cases of any: it means nothing on an unknown modality.",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"shifts": [{"name": "nois"}]}, '"nois" is not a shift of appearance; did you mean "noise"'),
        ({"shifts": [{"name": "noise", "strengths": [1e9]}]}, "noise cannot have strength 1e.09"),
        ({"shifts": [{"name": "noise", "strengths": [-1]}]}, "noise cannot have strength -1"),
        ({"shifts": [{"name": "noise", "strengths": []}]}, "at least 1 item"),
        ({"shifts": [{"name": "noise", "strengths": [0.1, 0.1]}]}, "strengths holds a value twice"),
        ({"shifts": [{"name": "noise"}, {"name": "noise"}]}, "shifts holds a value twice: noise"),
        ({"box_jitter": [0, 0.0]}, "box_jitter holds a value twice"),
        ({"box_jitter": -1}, "greater than or equal to 0"),
        ({"prompt_seeds": [1, 1]}, "prompt_seeds holds a value twice"),
        ({"seeds": [True]}, "true is no number"),
        ({"box_jitter": 1e300}, "less than or equal to 10000"),
        ({"box_errors": [{"unit": "share", "amounts": [1e308]}]}, "less than or equal to 10000"),
        ({"clicks": 10**9}, "less than or equal to 1000"),
        ({"points": True}, "true is no number"),
        ({"data": [{"name": "ct", "path": "ct", "train": True}]}, "true is no number"),
        ({"data": [{"name": "ct", "path": "ct", "train": float("nan")}]}, "train is nan"),
        ({"fit": {"replay": 1e300}}, "give a weight of 0 or more"),
        ({"fit": {"steps": True}}, "steps: true is no number"),
        ({"fit": {"learning_rate": -1}}, "learning_rate: Input should be greater than or equal to 0"),
        ({"seeds": [0, 0]}, "seeds holds a value twice: 0, 0"),
        ({"contexts": ["known", "known"]}, "contexts holds a value twice"),
        ({"prompts": ["text", "text"]}, "prompts holds a value twice"),
        ({"prompts": ["text+box", "box+text"]}, r"prompts holds a value twice: text\+box, box\+text"),
        ({"structures": ["Liver", "liver"]}, "structures holds a value twice: Liver, liver"),
        ({"data": [{"name": "ct", "path": "ct", "train": ["a", "a"]}]}, "train holds a value twice"),
        ({"data": [{"name": "claims", "path": "ct"}]}, "claims would be kept where the folder of claims is"),
        ({"data": [{"name": n, "path": "ct"} for n in ("a", "a.json")]}, "a.json would be kept where a is"),
        ({"data": [{"name": n, "path": "ct"} for n in ("a.json", "a")]}, "a would be kept where a.json is"),
        ({"data": [{"name": n, "path": "ct"} for n in ("ct", "CT")]}, "CT would be kept where ct is"),
        ({"prompt_seeds": [1], "prompt_seed": 2}, "give either"),
        ({"clicks": -1}, "greater than or equal to 0"),
        ({"name": "../../EVIL"}, "cannot be the name"),
        ({"name": ".."}, "cannot be the name"),
        ({"data": [{"name": "a/b", "path": "ct"}]}, "cannot be the name"),
        ({"methods": [{"name": "base"}, {"name": "../lora", "kind": "lora"}]}, "cannot be the name"),
    ],
)
def test_questions_and_names_that_cannot_be_are_refused(values, sentence):
    with pytest.raises(ValidationError, match=sentence):
        study(**values)


def two_bases(prompts=("text", "point", "box"), **values):
    """The study's own base knows all of these kinds; the other takes points and boxes, and knows no names."""
    own = TinyBackbone().spec
    other = replace(own, accepts=frozenset({PromptKind.POINT}), structures=())
    methods = [
        {"name": "base"},
        {"name": "sam", "base": "other"},
        {"name": "lora"},
        {"name": "sam-lora", "kind": "lora", "base": "other"},
    ]
    recipe = study(methods=methods, prompts=list(prompts), **values)
    data = {
        name: DatasetFacts(records(count, dataset=name), name, StoreRef(name, name))
        for name, count in (("ct", 5), ("mri", 7))
    }
    bases = {"segvol-mini": BaseFacts("segvol-mini", "b", own), "other": BaseFacts("other", "o", other)}
    return plan(recipe, data, bases)


def test_each_method_has_its_own_base_and_is_asked_what_that_takes():
    made = two_bases()
    bases = {job.part.run: (job.method, job.base, job.questions.prompts) for job in made.evaluations}
    assert bases == {
        "base": ("base", "segvol-mini", ("text", "point", "box")),
        "sam": ("sam", "other", ("point",)),
        "lora-s0": ("lora", "segvol-mini", ("text", "point", "box")),
        "sam-lora-s0": ("sam-lora", "other", ("point",)),
    }
    assert {job.run: (job.base, job.kind) for job in made.trainings} == {
        "lora-s0": ("segvol-mini", "lora"),
        "sam-lora-s0": ("other", "lora"),
    }
    assert len({job.key for job in made.trainings}) == 2
    assert made.report.omitted == (
        "sam is not asked by text, box: other takes point.",
        "sam-lora is not asked by text, box: other takes point.",
    )
    assert {run: facts["base"] for run, facts in made.report.manifest["runs"].items()} == {
        run: base for run, (_, base, _) in bases.items()
    }
    assert made.report.manifest["bases"] == {"segvol-mini": "b", "other": "o"}
    assert made.report.drawn == "point"  # the last that every base takes


def test_a_second_base_changes_no_key_of_the_first(jobs):
    asked = ["text", "point", "box"]
    alone = jobs(study(prompts=asked, pictures="point"), prints={"ct": "ct", "mri": "mri"})
    both = two_bases(pictures="point")
    assert {job.run: job.key for job in alone.trainings}.items() <= {job.run: job.key for job in both.trainings}.items()
    assert {job.part for job in alone.evaluations} <= {job.part for job in both.evaluations}


def test_a_base_that_takes_none_of_the_prompts_is_refused():
    with pytest.raises(RecipeError, match="prompts hold box, which other does not take, and none that it takes"):
        two_bases(prompts=("box",))


def test_an_untrained_method_is_not_asked_by_text_for_what_its_base_does_not_know(plan_of):
    there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri")}
    for case in there["mri"]:
        case.structures = ("meniscus",)
    made = plan_of(
        study(structures=["liver", "meniscus"]), there, spec=replace(TinyBackbone().spec, structures=("liver",))
    )
    assert made.report.omitted == ("base is not asked by text for meniscus: segvol-mini does not know them.",)


@pytest.mark.parametrize(
    "values",
    [
        {"methods": [{"name": "base"}, {"name": "lora"}, {"name": "lora-s0", "kind": "base"}]},
        {"methods": [{"name": "base"}, {"name": "BASE", "kind": "base"}]},
        {
            "methods": [{"name": "base"}, {"name": "x", "kind": "lora"}, {"name": "x-a", "kind": "lora"}],
            "cohorts": [{"name": "a-b", "data": ["mri"]}, {"name": "b", "data": ["mri"]}],
        },
    ],
)
def test_methods_whose_runs_would_share_a_folder_are_refused(values, jobs):
    with pytest.raises(RecipeError, match="would be one run; give a method or a cohort another name"):
        jobs(study(**values))


def two_clinics(count=4):
    """A store of two datasets that use the same names for different people."""
    return [
        SimpleNamespace(**{**vars(record), "name": f"{clinic}_{record.name}", "dataset": clinic, "person": person})
        for clinic in ("clinicA", "clinicB")
        for record in records(count)
        for person in [(clinic, record.patient)]
    ]


def test_people_of_two_datasets_with_equal_names_are_different_people(tmp_path):
    there = two_clinics()
    split = assign(dataset(train=1, test=2), there)[0]
    assert [len(split.of(role, there)) for role in ("train", "test")] == [1, 2]
    named = assign(dataset(train=["clinicA/p00"], test=["clinicB/p00"]), there)[0]
    assert named.of("train", there) == ["clinicA_p00_scan0"]
    assert named.of("test", there) == ["clinicB_p00_scan0"]
    with pytest.raises(RecipeError, match='no patient "p00"; say clinicA/p00 or clinicB/p00'):
        assign(dataset(train=["p00"]), there)
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["clinicA_p00_scan0"], "validation": [], "test": ["clinicB_p00_scan0"]}))
    by_file = assign(dataset(split=str(path), train="rest"), there)[0]
    assert by_file.of("test", there) == ["clinicB_p00_scan0"]


def test_a_table_tells_people_with_equal_names_apart(plan_of):
    recipe = study(data=[{"name": "both", "path": "both"}], methods=[{"name": "base"}])
    made = plan_of(recipe, {"both": two_clinics()})
    assert len({job.patient for job in made.evaluations}) == 8
    assert {job.patient for job in plan_of(recipe, {"both": records(3, dataset="both")}).evaluations} == {
        "p00",
        "p01",
        "p02",
    }


def test_a_role_holds_cases_of_the_chosen_sites_alone():
    there = records(4, scans=2)
    for record in there:
        record.site = "AB"[int(record.name[-1])]
    split = assign(dataset(sites=["A"], train=2), there)[0]
    cases = [name for role in ROLES for name in split.of(role, there)]
    assert sorted(cases) == [f"p{patient:02d}_scan0" for patient in range(4)]


def test_what_is_planned_or_refused_before_a_training_waits_for_no_trainer():
    script = (
        "import sys\nimport segevolution.adaptation.adapt, segevolution.studies.run\n"
        "print(*(name for name in ('lightning', 'torchmetrics', 'transformers', 'peft') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
