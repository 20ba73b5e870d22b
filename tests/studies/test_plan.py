from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from segevolution.errors import RecipeError
from segevolution.studies.plan import ROLES, assign, plan, plan_data
from segevolution.studies.recipe import Dataset, Recipe


def records(count, scans=1, dataset="d"):
    return [
        SimpleNamespace(name=f"p{patient:02d}_scan{scan}", patient=f"p{patient:02d}", dataset=dataset)
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


def jobs(recipe, base="b", prints=None, questions="q"):
    there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri")}
    return plan(recipe, there, prints or {"ct": "c", "mri": "m"}, base, questions)


def keys(made, run):
    return {(job.part.dataset, job.part.case): job.part.key for job in made.evaluations if job.part.run == run}


def test_the_base_is_measured_once_and_each_seed_of_a_method_on_the_same_cases():
    made = jobs(study(seeds=[0, 1]))
    assert [job.run for job in made.trainings] == ["lora-s0", "lora-s1"]
    assert set(keys(made, "base")) == set(keys(made, "lora-s0")) == set(keys(made, "lora-s1"))
    assert len(keys(made, "base")) == 2 + 4


def test_no_training_ever_sees_a_case_that_its_run_is_tested_on():
    data = [{"name": "ct", "path": "ct", "replay": 1}, {"name": "mri", "path": "mri", "train": 2, "folds": 3}]
    made = jobs(study(data=data))
    assert len(made.trainings) == 3
    for job in made.trainings:
        seen = {(name.dataset, name.case) for name in (*job.train, *job.replay, *job.validation)}
        assert seen
        assert not seen & set(keys(made, job.run))
    tested = [case for job in made.trainings for dataset, case in keys(made, job.run) if dataset == "mri"]
    assert sorted(tested) == [record.name for record in records(7)]


def test_datasets_with_different_folds_are_refused():
    data = [{"name": "ct", "path": "ct", "folds": 2}, {"name": "mri", "path": "mri", "train": 2, "folds": 3}]
    with pytest.raises(RecipeError, match="different numbers of folds"):
        jobs(study(data=data))


def test_replay_can_be_switched_off():
    made = jobs(study(fit={"replay": 0}))
    assert made.trainings[0].replay == ()
    assert len(jobs(study()).trainings[0].replay) == 1


def test_keys_are_stable():
    assert jobs(study()) == jobs(study())


def test_other_training_changes_the_keys_of_its_run_only():
    one, two = jobs(study()), jobs(study(fit={"steps": 7}))
    assert keys(one, "base") == keys(two, "base")
    assert not set(keys(one, "lora-s0").values()) & set(keys(two, "lora-s0").values())


def test_other_questions_change_every_evaluation_but_no_training():
    one, two = jobs(study()), jobs(study(), questions="other")
    assert [job.key for job in one.trainings] == [job.key for job in two.trainings]
    assert not {job.part.key for job in one.evaluations} & {job.part.key for job in two.evaluations}


@pytest.mark.parametrize("change", [{"base": "other"}, {"prints": {"ct": "c", "mri": "changed"}}])
def test_another_base_or_other_data_change_the_training(change):
    assert jobs(study()).trainings[0].key != jobs(study(), **change).trainings[0].key


def test_another_tested_dataset_alone_leaves_the_rest_as_it_is():
    one, two = jobs(study(fit={"replay": 0})), jobs(study(fit={"replay": 0}), prints={"ct": "changed", "mri": "m"})
    assert one.trainings[0].key == two.trainings[0].key
    same = {case for case, key in keys(one, "base").items() if keys(two, "base")[case] == key}
    assert {name for name, _ in same} == {"mri"}


def test_roles_do_not_make_data_be_prepared_again():
    other = study(data=[{"name": "ct", "path": "ct", "test": 1}, {"name": "mri", "path": "mri", "train": 1}])
    assert [job.key for job in plan_data(study())] == [job.key for job in plan_data(other)]
    moved = study(data=[{"name": "ct", "path": "elsewhere"}, {"name": "mri", "path": "mri", "train": 1}])
    assert plan_data(moved)[0].key != plan_data(study())[0].key


def test_a_study_that_tests_nobody_is_refused():
    with pytest.raises(RecipeError, match="no patient has the role test"):
        jobs(
            study(data=[{"name": "ct", "path": "ct", "test": 0}, {"name": "mri", "path": "mri", "train": 2, "test": 0}])
        )


def test_a_structure_that_has_to_be_learned_makes_it_another_training():
    there = {"ct": records(5, dataset="ct"), "mri": records(7, dataset="mri")}
    made = [plan(study(), there, {"ct": "c", "mri": "m"}, "b", "q", new) for new in ((), ("meniscus",))]
    assert made[0].trainings[0].key != made[1].trainings[0].key
