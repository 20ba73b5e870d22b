"""No patient is ever in two parts, whatever the cohort, and chance comes from the seed alone."""

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segevolution.data.splits import (
    PARTS,
    Split,
    few_shot,
    folds,
    original_parts,
    part_sizes,
    split_patients,
    torn_patients,
)
from segevolution.errors import StoreError
from segevolution.imaging.case import Part
from segevolution.vocabulary import Modality


@dataclass(frozen=True)
class Member:
    name: str
    dataset: str
    patient: str
    modality: Modality
    part: Part | None = None

    @property
    def person(self) -> tuple[str, str]:
        return self.dataset, self.patient


def cohort(patients: int, dataset: str = "chaos", scans: int = 1, modality: Modality = Modality.MRI) -> list[Member]:
    return [
        Member(f"{dataset}_{patient:03d}_{scan}", dataset, f"p{patient}", modality)
        for patient in range(patients)
        for scan in range(scans)
    ]


keys = st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.sampled_from((Modality.CT, Modality.MRI)))
cohorts = st.lists(keys, min_size=1, max_size=40).map(
    lambda rows: [Member(f"{d}{p}_{i}", d, f"p{p}", modality) for i, (d, p, modality) in enumerate(rows)]
)
shares = st.sampled_from([(0.7, 0.1, 0.2), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0), (1 / 3, 1 / 3, 1 / 3)])


@given(cohorts, shares, st.integers(0, 2**32))
def test_no_patient_is_in_two_parts_and_no_case_is_lost(
    records: list[Member], fractions: tuple[float, float, float], seed: int
) -> None:
    split = split_patients(records, fractions, seed)
    assert torn_patients(records, split) == {}
    assert sorted((*split.train, *split.validation, *split.test)) == sorted(record.name for record in records)
    people = {name: record.person for record in records for name in [record.name]}
    total = len(set(people.values()))
    for part, share in zip((split.train, split.validation, split.test), fractions, strict=True):
        assert abs(len({people[name] for name in part}) - share * total) < 2


@given(cohorts, st.integers(0, 100), st.randoms())
def test_order_of_records_does_not_matter(records: list[Member], seed: int, rng: random.Random) -> None:
    shuffled = list(records)
    rng.shuffle(shuffled)
    assert split_patients(records, seed=seed) == split_patients(shuffled, seed=seed)
    assert few_shot(records, 2, seed) == few_shot(shuffled, 2, seed)


@given(cohorts, st.integers(2, 5), st.integers(0, 100))
def test_folds_test_every_patient_once_and_never_train_on_them(records: list[Member], k: int, seed: int) -> None:
    people = {record.person for record in records}
    if len(people) < k:
        with pytest.raises(StoreError, match="as many patients"):
            folds(records, k, seed)
        return
    made = folds(records, k, seed)
    assert sorted(name for split in made for name in split.test) == sorted(record.name for record in records)
    for split in made:
        assert torn_patients(records, split) == {}
        assert len(split.train) + len(split.test) == len(records)
    assert all(split.test for split in made)


def test_validation_patients_of_folds_come_from_training_and_differ() -> None:
    records = cohort(14, scans=2)
    made = folds(records, 4, seed=3, validation=2)
    assert all(len(split.validation) == 4 for split in made)
    assert all(torn_patients(records, split) == {} for split in made)
    assert len({split.validation for split in made}) == 4
    with pytest.raises(StoreError, match="leave none"):
        folds(records, 7, validation=12)


def test_seeds_differ() -> None:
    assert len({split_patients(cohort(30), seed=seed) for seed in range(5)}) == 5


def test_every_dataset_and_modality_has_its_share() -> None:
    records = [*cohort(50, "a"), *cohort(30, "b", modality=Modality.CT), *cohort(20, "c", scans=3)]
    split = split_patients(records, (0.6, 0.2, 0.2), seed=1)
    for part, expected in ((split.train, (30, 18, 36)), (split.validation, (10, 6, 12)), (split.test, (10, 6, 12))):
        found = Counter(name[0] for name in part)
        for dataset, number in zip("abc", expected, strict=True):
            assert abs(found[dataset] - number) <= 3, (dataset, found)


def test_counts_are_exact_and_the_rest_is_in_no_part() -> None:
    records = [*cohort(9, "a"), *cohort(5, "b")]
    split = split_patients(records, counts=(5, 2, 4), seed=2)
    assert (len(split.train), len(split.validation), len(split.test)) == (5, 2, 4)
    with pytest.raises(StoreError, match="there are 14"):
        split_patients(records, counts=(10, 2, 4))


def test_fractions_must_sum_to_one() -> None:
    with pytest.raises(StoreError, match="must sum to 1"):
        split_patients(cohort(5), (0.5, 0.1, 0.1))


def test_fewer_shots_lie_in_more_and_count_patients_of_each_dataset_and_modality() -> None:
    records = [*cohort(20, "a", scans=2), *cohort(20, "b"), *cohort(3, "c", modality=Modality.CT)]
    one, five = few_shot(records, 1, seed=7), few_shot(records, 5, seed=7)
    assert set(one) < set(five)
    assert Counter(name[0] for name in one) == {"a": 2, "b": 1, "c": 1}
    assert Counter(name[0] for name in five) == {"a": 10, "b": 5, "c": 3}
    with pytest.raises(StoreError, match="1 or more"):
        few_shot(records, 0)


placements = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, 12).map(lambda number: f"p{number}")),
    st.sampled_from((*PARTS, None)),
)


@given(cohorts, placements, st.integers(0, 100), st.randoms())
def test_an_original_split_keeps_every_part_that_the_authors_made(
    records: list[Member], where: dict[tuple[str, str], Part | None], seed: int, rng: random.Random
) -> None:
    records = [replace(record, part=where.get(record.person)) for record in records]
    split = split_patients(records, seed=seed, original=True)
    shuffled = list(records)
    rng.shuffle(shuffled)
    assert split_patients(shuffled, seed=seed, original=True) == split
    assert torn_patients(records, split) == {}
    assert sorted((*split.train, *split.validation, *split.test)) == sorted(record.name for record in records)
    part_of = {name: part for part in PARTS for name in getattr(split, part)}
    for dataset in "ab":
        mine = [record for record in records if record.dataset == dataset]
        given_parts = {record.part for record in mine} - {None}
        for record in mine:
            if record.part in ("validation", "test"):
                assert part_of[record.name] == record.part
            elif given_parts and part_of[record.name] != "train":
                assert part_of[record.name] not in given_parts  # only a part that they left empty is filled


def test_validation_that_the_authors_left_out_comes_from_their_training_never_from_their_test() -> None:
    amos = [replace(record, part="test" if number >= 40 else "train") for number, record in enumerate(cohort(60))]
    split = split_patients([*amos, *cohort(50, "own")], (0.7, 0.1, 0.2), seed=3, original=True)
    mine = {part: {name for name in getattr(split, part) if name.startswith("chaos")} for part in PARTS}
    assert mine["test"] == {record.name for record in amos[40:]}
    assert len(mine["validation"]) == 5  # an eighth of 40
    assert len(split.test) - len(mine["test"]) == 10
    assert len({split_patients(amos, seed=seed, original=True).validation for seed in range(5)}) == 5


def test_a_test_part_that_the_authors_left_out_comes_from_their_training_and_their_validation_stays() -> None:
    parts: list[Part] = ["train"] * 36 + ["validation"] * 9
    records = [replace(record, part=part) for record, part in zip(cohort(45), parts, strict=True)]
    split = split_patients(records, (0.7, 0.1, 0.2), original=True)
    assert set(split.validation) == {record.name for record in records[36:]}
    assert (len(split.train), len(split.test)) == (28, 8)


def test_a_scan_without_a_part_follows_its_patient_and_authors_who_tear_a_patient_are_refused() -> None:
    one, other = cohort(1, scans=2)
    assert split_patients([replace(one, part="test"), other], original=True).test == (one.name, other.name)
    with pytest.raises(StoreError, match="patient p0 into both test and train"):
        original_parts([replace(one, part="test"), replace(other, part="train")])


def test_counts_do_not_go_with_original_parts() -> None:
    with pytest.raises(StoreError, match="leave the counts out"):
        split_patients(cohort(9), counts=(3, 3, 3), original=True)


def test_without_original_the_authors_parts_change_nothing() -> None:
    records = cohort(20)
    assert split_patients([replace(record, part="test") for record in records]) == split_patients(records)


def test_sizes_of_parts_count_patients_and_cases_of_each_dataset_and_modality() -> None:
    records = [*cohort(10, "a", scans=2), *cohort(4, "b", modality=Modality.CT)]
    split = split_patients(records, (0.5, 0.0, 0.5), seed=1)
    sizes = part_sizes(records, split)
    assert [(size.part, size.dataset, size.modality) for size in sizes] == [
        ("train", "a", "MRI"),
        ("train", "b", "CT"),
        ("test", "a", "MRI"),
        ("test", "b", "CT"),
    ]
    assert all(size.cases == size.patients * (2 if size.dataset == "a" else 1) for size in sizes)
    assert sum(size.patients for size in sizes) == 14


def test_a_leak_made_by_hand_is_found() -> None:
    records = cohort(3, scans=2)
    split = Split(train=("chaos_000_0", "chaos_001_0"), test=("chaos_000_1", "chaos_002_0"))
    assert torn_patients(records, split) == {("chaos", "p0"): ("test", "train")}


def test_json_round_trip(tmp_path: Path) -> None:
    split = split_patients(cohort(12), seed=4)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": ["a"], "test": ["a"]}', "a more than once"),
        ('{"train": "a"}', "lists of case names"),
        ('{"train": [], "holdout": []}', "lists of case names"),
        ('["a"]', "must hold a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_bad_split_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        Split.load(tmp_path / "split.json")


def test_missing_parts_of_a_split_file_are_empty(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["b", "a"]}))
    assert Split.load(tmp_path / "split.json") == Split(("a", "b"))
