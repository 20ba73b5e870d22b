"""Findings: joined where many cases share one, worst first; what records and voxels tell of damage and oddities."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import pytest

from segevolution.data.audit import Finding, check
from segevolution.data.audit.findings import gathered
from segevolution.data.store import Store
from segevolution.errors import StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SHAPE = (20, 18, 12)


def made(name: str, seed: int = 0, **changes: object) -> Case:
    """A patient of noise with a liver of 6 x 6 x 4 voxels."""
    rng = np.random.default_rng([seed, *name.encode()])
    signal = rng.integers(1, 900, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:10, 4:10, 3:7] = 1
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    affine[:3, 3] = 7
    volume = Volume(signal, Grid(SHAPE, affine), Modality.MRI, name)
    case = Case(name, name, "toy", volume, labels, {"liver": (1,)})
    return replace(case, **changes)  # type: ignore[arg-type]


def signal_of(case: Case, signal: np.ndarray, modality: Modality = Modality.MRI) -> Case:
    return replace(case, volume=replace(case.volume, array=signal, modality=modality))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "toys")


@pytest.fixture
def told(store: Store) -> Callable[..., list[str]]:
    """What is found in the store once cases are added, as sentences, without those on overlaps."""

    def tell(*cases: Case) -> list[str]:
        for case in cases:
            store.add(case)
        return [finding.message for finding in check([store]).findings]

    return tell


def test_healthy_cases_are_passed_in_silence(store: Store) -> None:
    for number in range(3):
        store.add(made(f"p{number}"))
    audit = check([store])
    assert (audit.findings, audit.cases, audit.duplicates, audit.passed) == ((), 3, (), True)


def test_many_alike_are_one_finding_and_errors_come_first() -> None:
    found = [Finding("a", "note", (f"s/{number}",), f"s/{number} is odd.", "Look.") for number in range(5)]
    found += [Finding("b", "error", ("s/9",), "s/9 is broken.", "Mend."), Finding("a", "warning", (), "all.", "x")]
    sorted_ = gathered(found, {f"s/{number}": "toy" for number in range(10)})
    assert [finding.severity for finding in sorted_] == ["error", "warning", "note"]
    assert sorted_[2].message == "5 of 10 cases of toy, for example s/0 is odd."
    assert sorted_[2].cases == tuple(f"s/{number}" for number in range(5))
    few = gathered(found[:3], {f"s/{number}": "toy" for number in range(10)})
    assert [finding.message for finding in few] == ["s/0 is odd.", "s/1 is odd.", "s/2 is odd."]


def test_a_changed_voxel_is_damage(store: Store) -> None:
    store.add(made("p0"))
    stored = blosc2.open(str(store.path / "cases/p0/signal.b2nd"), mode="a")
    stored[3, 3, 3] = 1234
    audit = check([Store.open(store.path)])
    assert [(finding.severity, finding.check) for finding in audit.findings] == [("error", "integrity")]
    assert audit.findings[0].message.startswith("toys/p0 is damaged")
    assert not audit.passed


def test_files_that_cannot_be_read_are_findings_and_the_rest_is_looked_at(store: Store) -> None:
    for name in ("p0", "p1", "p2"):
        store.add(made(name))
    (store.path / "cases/p0/labels.b2nd").write_bytes(b"nothing")
    (store.path / "cases/p1/case.json").write_text("{")
    audit = check([Store.open(store.path)])
    assert [finding.cases for finding in audit.findings if finding.severity == "error"] == [("toys/p0",), ("toys/p1",)]
    assert audit.cases == 2


def test_a_record_that_lies_about_its_structures_is_found(store: Store) -> None:
    store.add(made("p0"))
    path = store.path / "cases/p0/case.json"
    record = json.loads(path.read_text("utf-8"))
    record["voxels"]["liver"] += 1
    path.write_text(json.dumps(record))
    (finding,) = check([Store.open(store.path)]).findings
    assert finding.message == "toys/p0 has 144 voxels of liver, its record says 145."


def test_label_values_without_a_name_are_told(told: Callable[..., list[str]]) -> None:
    case = made("p0")
    case.labels[15:17, 2, 2] = 7
    assert told(case) == ["toys/p0 has label values that no structure names: 7 (2 voxels)."]


@pytest.mark.parametrize(
    ("affine", "sentence"),
    [
        (np.diag([0.05, 1.5, 3, 1]), "spacing of 0.05 x 1.5 x 3 mm"),
        (np.array([[1.5, 0, 0.3, 2], [0, 1.5, 0, 1], [0, 0, 3, 0], [0, 0, 0, 1]]), "not at right angles"),
        (np.eye(4), "identity as affine"),
    ],
)
def test_implausible_geometry_is_told(told: Callable[..., list[str]], affine: np.ndarray, sentence: str) -> None:
    case = made("p0")
    (message,) = told(replace(case, volume=replace(case.volume, grid=Grid(SHAPE, affine))))
    assert sentence in message


def test_spacing_unlike_the_dataset_is_told(told: Callable[..., list[str]]) -> None:
    odd = made("odd")
    odd = replace(odd, volume=replace(odd.volume, grid=Grid(SHAPE, np.diag([1.5, 1.5, 18, 1]))))
    (message,) = told(made("p0"), made("p1"), odd)
    assert message == "toys/odd has a spacing of 18 mm along z, where 3 mm is usual in toy."


def test_empty_cases_and_missing_structures_are_told(told: Callable[..., list[str]]) -> None:
    empty = made("p9", labels=np.zeros(SHAPE, np.uint8))
    assert told(*(made(f"p{number}") for number in range(8)), empty) == [
        "toys/p9 has no structure with a voxel.",
        "liver is missing in 1 of 9 cases of toy.",
    ]


def test_a_dataset_without_labels_is_a_note(store: Store) -> None:
    for name in ("p0", "p1"):
        store.add(made(name, labels=np.zeros(SHAPE, np.uint8)))
    (finding,) = check([store]).findings
    assert (finding.severity, finding.message) == ("note", "none of the 2 cases of toy has a structure.")


def test_a_structure_of_another_size_is_told(told: Callable[..., list[str]]) -> None:
    odd = made("odd")
    odd.labels[2:18, 2:16, 1:11] = 1
    (message,) = told(*(made(f"p{number}") for number in range(8)), odd)
    assert message == "toys/odd has 15.1 ml of liver, where 0.972 ml is usual in toy."


def test_odd_intensities_are_told(told: Callable[..., list[str]]) -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(40, 20, SHAPE)
    hu[:6] = -1000
    found = told(
        signal_of(made("hounsfield"), hu.astype(np.int16), Modality.CT),
        signal_of(made("offset"), rng.integers(0, 3000, SHAPE).astype(np.int16), Modality.CT),
        signal_of(made("windowed"), np.clip(hu + rng.normal(0, 40, SHAPE), -125, 400).astype(np.int16), Modality.CT),
        signal_of(made("unit"), rng.uniform(0, 1, SHAPE)),
        signal_of(made("standard"), rng.normal(0, 1, SHAPE)),
        signal_of(made("cut"), np.minimum(made("cut").volume.array, 800)),
        signal_of(made("flat"), np.where(np.arange(np.prod(SHAPE)) == 5, 3, 4).reshape(SHAPE).astype(np.int16)),
    )
    expected = {
        "offset": "these are no Hounsfield units",
        "windowed": "a window of the Hounsfield scale",
        "unit": "seems normalised already: it lies within 0 and 1",
        "standard": "seems normalised already: its mean is",
        "cut": "is cut off at 800",
        "flat": "is 4 almost everywhere",
    }
    for name, sentence in expected.items():
        assert any(message.startswith(f"toys/{name}") and sentence in message for message in found), (name, found)
    assert not any(message.startswith("toys/hounsfield") for message in found)


def test_a_signal_on_another_scale_is_told(told: Callable[..., list[str]]) -> None:
    wild = made("wild")
    found = told(made("p0"), made("p1"), signal_of(wild, wild.volume.array.astype(np.int32) * 1000))
    assert any(message.startswith("toys/wild: its signal reaches 8.") for message in found)


def test_what_could_not_be_prepared_is_told(store: Store) -> None:
    store.add(made("p0"))
    store.note_skipped("toy", {"p1": "p1 has no label."})
    assert [finding.message for finding in check([store]).findings] == ["toys/p1 of toy was left out: p1 has no label."]


def test_workers_find_the_same(store: Store) -> None:
    for name in ("p0", "p1"):
        case = made(name)
        case.labels[0, 0, 0] = 9
        store.add(case)
    assert check([store], workers=2).findings == check([store]).findings


def test_stores_of_one_name_are_told_apart_and_one_twice_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        case = made("p0", seed=ord(folder))
        case.labels[0, 0, 0] = 9
        Store.create(tmp_path / folder / "toys").add(replace(case, patient=folder))
    stores = [Store.open(tmp_path / folder / "toys") for folder in ("a", "b")]
    assert [finding.cases for finding in check(stores).findings] == [
        (f"{tmp_path}/a/toys/p0",),
        (f"{tmp_path}/b/toys/p0",),
    ]
    with pytest.raises(StoreError, match="given twice"):
        check([stores[0], stores[0]])
