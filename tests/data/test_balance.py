"""Chance comes from seeds and names alone; counts are exact; what is smaller lies in what is larger."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segevolution.data.balance import LEVELS, Sample, capped, draw, round_robin, samples, weights
from segevolution.data.splits import PARTS, split_patients, torn_patients
from segevolution.errors import StoreError
from segevolution.vocabulary import Modality


@dataclass(frozen=True)
class Member:
    name: str
    dataset: str
    patient: str
    modality: Modality | None
    structures: dict[str, tuple[int, ...]] = field(default_factory=dict)
    part: str | None = None

    @property
    def person(self) -> tuple[str, str]:
        return self.dataset, self.patient

    @property
    def group(self) -> tuple[str, str]:
        return self.dataset, str(self.modality)


keys = st.tuples(
    st.sampled_from("abc"),
    st.integers(0, 12),
    st.sampled_from((Modality.CT, Modality.MRI, None)),
    st.sets(st.sampled_from(("liver", "spleen", "aorta"))),
)
cohorts = st.lists(keys, min_size=1, max_size=40).map(
    lambda rows: [
        Member(f"{d}{p}_{i}", d, f"p{p}", modality, dict.fromkeys(sorted(structures), (1,)))
        for i, (d, p, modality, structures) in enumerate(rows)
    ]
)


def cohort(dataset: str, patients: int, modality: Modality = Modality.MRI, scans: int = 1, **facts) -> list[Member]:
    return [
        Member(f"{dataset}_{patient:03d}_{scan}", dataset, f"p{patient}", modality, **facts)
        for patient in range(patients)
        for scan in range(scans)
    ]


@given(cohorts, st.integers(0, 2**32), st.randoms(), st.data())
def test_round_robin_gives_exactly_the_count_in_turns_whatever_the_order(records, seed, rng, data) -> None:
    count = data.draw(st.integers(1, len(records)))
    names = round_robin(records, count, seed)
    assert len(names) == len(set(names)) == count
    shuffled = list(records)
    rng.shuffle(shuffled)
    assert round_robin(shuffled, count, seed) == names
    group = {record.name: record.group for record in records}
    taken, there = Counter(group[name] for name in names), Counter(group.values())
    rounds = max(taken.values())
    for each, number in there.items():
        assert taken[each] in (min(number, rounds - 1), min(number, rounds))


@given(cohorts, st.integers(0, 2**32), st.data())
def test_a_larger_count_begins_with_the_cases_of_a_smaller_one(records, seed, data) -> None:
    fewer, more = sorted(data.draw(st.tuples(*[st.integers(1, len(records))] * 2)))
    assert round_robin(records, more, seed)[:fewer] == round_robin(records, fewer, seed)


def test_round_robin_mixes_within_a_dataset_that_lists_ct_first() -> None:
    records = [*cohort("amos", 30, Modality.CT), *cohort("mr", 30), *cohort("small", 3)]
    drawn = Counter(tuple(sorted(round_robin(records, 9, seed))) for seed in range(20))
    assert len(drawn) == 20
    assert Counter(name.split("_")[0] for name in round_robin(records, 9)) == {"amos": 3, "mr": 3, "small": 3}
    assert Counter(name.split("_")[0] for name in round_robin(records, 21)) == {"amos": 9, "mr": 9, "small": 3}


def test_round_robin_draws_every_case_about_equally_often() -> None:
    records = [*cohort("a", 5), *cohort("b", 5)]
    found = Counter(name for seed in range(500) for name in round_robin(records, 2, seed))
    assert len(found) == 10
    assert all(60 < times < 140 for times in found.values())


@pytest.mark.parametrize("count", [0, 6])
def test_a_count_that_cannot_be_is_refused(count) -> None:
    with pytest.raises(StoreError, match="ask for 1 to 5"):
        round_robin(cohort("a", 5), count)


@given(cohorts, st.integers(0, 100), st.integers(0, 5), st.integers(0, 5), st.sampled_from(("patients", "cases")))
def test_caps_hold_in_every_dataset_and_part_and_nest(records, seed, one, other, unit) -> None:
    split = split_patients(records, (0.5, 0.25, 0.25), seed)
    low, high = (capped(records, split, dict.fromkeys(PARTS, most), seed, unit=unit) for most in sorted((one, other)))
    assert capped(records[::-1], split, dict.fromkeys(PARTS, max(one, other)), seed, unit=unit) == high
    assert torn_patients(records, high) == {}
    of = {record.name: record for record in records}
    for part in PARTS:
        assert set(getattr(low, part)) <= set(getattr(high, part)) <= set(getattr(split, part))
        units = {of[name].person if unit == "patients" else name for name in getattr(high, part)}
        everyone = {of[name].person if unit == "patients" else name for name in getattr(split, part)}
        dataset = {key: of[key].dataset if unit == "cases" else key[0] for key in everyone}
        for name, number in Counter(dataset.values()).items():
            assert sum(dataset[key] == name for key in units) == min(number, max(one, other))


def test_a_cap_keeps_all_cases_of_a_patient_and_leaves_other_parts_alone() -> None:
    records = cohort("a", 10, scans=3)
    split = split_patients(records, (0.5, 0.0, 0.5))
    found = capped(records, split, {"train": 2})
    assert len(found.train) == 6
    assert found.test == split.test


def test_bad_caps_and_foreign_splits_are_refused() -> None:
    records = cohort("a", 4)
    split = split_patients(records)
    with pytest.raises(StoreError, match="holdout: 3 is no cap"):
        capped(records, split, {"holdout": 3})  # type: ignore[dict-item]
    with pytest.raises(StoreError, match="train: -1 is no cap"):
        capped(records, split, {"train": -1})
    with pytest.raises(StoreError, match="another store's"):
        capped(records[:1], split, dict.fromkeys(PARTS, 1))


@given(cohorts, st.randoms())
def test_samples_are_the_pairs_that_are_there_whatever_the_order(records, rng) -> None:
    shuffled = list(records)
    rng.shuffle(shuffled)
    found = samples(shuffled)
    assert found == samples(records)
    assert {(sample.case, sample.structure) for sample in found} == {
        (record.name, structure) for record in records for structure in record.structures
    }


def test_a_structure_without_a_label_value_is_no_sample() -> None:
    record = Member("a_0", "a", "p0", Modality.CT, {"liver": (1, 2), "spleen": ()})
    assert samples([record]) == (Sample("a_0", "liver", "a", Modality.CT),)


def share(drawn, chances, **facts) -> float:
    """The chance of all samples with these values."""
    return sum(
        chance
        for sample, chance in zip(drawn, chances, strict=True)
        if all(getattr(sample, name) == value for name, value in facts.items())
    )


@given(cohorts, st.permutations(LEVELS), st.integers(1, 3))
def test_full_power_makes_the_groups_of_each_level_even_within_the_level_before(records, order, depth) -> None:
    drawn = samples(records)
    if not drawn:
        with pytest.raises(StoreError, match="no sample"):
            weights(drawn)
        return
    by = order[:depth]
    chances = weights(drawn, by)
    assert chances.sum() == pytest.approx(1)
    for level in range(depth):
        parents = {tuple(getattr(sample, name) for name in by[:level]) for sample in drawn}
        for parent in parents:
            inside = dict(zip(by[:level], parent, strict=True))
            values = {
                getattr(sample, by[level])
                for sample in drawn
                if all(getattr(sample, name) == value for name, value in inside.items())
            }
            shares = [share(drawn, chances, **inside, **{by[level]: value}) for value in values]
            assert shares == pytest.approx([shares[0]] * len(shares))


@given(cohorts, st.permutations(LEVELS), st.integers(0, 3))
def test_power_zero_leaves_samples_alike(records, order, depth) -> None:
    drawn = samples(records)
    if drawn:
        assert weights(drawn, order[:depth], 0) == pytest.approx(np.full(len(drawn), 1 / len(drawn)))


def test_a_power_between_is_a_compromise_and_masses_decide_within_groups() -> None:
    drawn = [Sample(f"{i}", "liver", "a", None) for i in range(16)] + [Sample("x", "liver", "b", None)]
    assert share(drawn, weights(drawn, ("dataset",), 0.5), dataset="a") == pytest.approx(4 / 5)
    masses = [3.0, *[1.0] * 15, 9.0]
    chances = weights(drawn, ("dataset",), 1, masses)
    assert chances[:2] == pytest.approx([3 / 36, 1 / 36])
    assert chances[-1] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("by", "power"), [(("scanner",), 1.0), (("dataset", "dataset"), 1.0), (("dataset",), 1.5), (("dataset",), -0.1)]
)
def test_weights_that_make_no_sense_are_refused(by, power) -> None:
    with pytest.raises(StoreError, match="cannot be weighed"):
        weights([Sample("a", "liver", "a", None)], by, power)


def test_a_draw_depends_on_seed_stream_and_step_only() -> None:
    chances = np.full(1000, 1 / 1000)
    later = draw(chances, 7, 3, size=4)
    assert [draw(chances, step, 3, size=4) for step in range(9)][7] == later
    others = [draw(chances, 8, 3, size=4), draw(chances, 7, 4, size=4), draw(chances, 7, 3, stream=1, size=4)]
    assert all(other != later for other in others)


def test_draws_follow_the_chances() -> None:
    found = Counter(place for step in range(1000) for place in draw(np.array([0.5, 0.0, 0.4, 0.1]), step, size=2))
    assert [round(found[place] / 2000, 1) for place in range(4)] == [0.5, 0.0, 0.4, 0.1]
