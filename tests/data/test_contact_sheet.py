"""Contact sheets show the right slice the right way round, in colours that stay."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from segevolution.data.contact_sheet import (
    _draw,
    _seen,
    _spread,
    best_slice,
    contact_sheet,
    display_range,
    structure_colour,
)
from segevolution.data.store import Store
from segevolution.errors import OutputError, StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def make_case(
    name: str = "a",
    spacing: tuple[float, float, float] = (1, 1, 3),
    modality: Modality | None = Modality.CT,
    **facts: Any,
) -> Case:
    signal = np.random.default_rng(0).integers(0, 300, (12, 14, 8), np.int16)
    labels = np.zeros(signal.shape, np.uint8)
    labels[2:9, 3:11, 2] = 1
    labels[3:5, 3:5, 5], labels[6:8, 6:8, 5] = 1, 2
    volume = Volume(signal, Grid(signal.shape, np.diag([*spacing, 1.0])), modality, name)
    structures = {"kidney": (1, 2), "right kidney": (1,), "left kidney": (2,)}
    return Case(name, name, facts.pop("dataset", "d"), volume, labels, structures, **facts)


def test_slice_shows_most_structures_then_most_voxels() -> None:
    case = make_case()
    assert best_slice(case) == (2, 5)
    case.labels[7, 7, 4], case.labels[3:9, 3:9, 4] = 2, 1
    case.labels[3, 3, 4] = 2
    assert best_slice(case) == (2, 4)
    case.labels[:] = 0
    assert best_slice(case) == (2, 4)


@pytest.mark.parametrize(("spacing", "axis"), [((4, 1, 1), 0), ((1, 4, 1), 1), ((1, 1, 4), 2), ((1.2, 1, 1), 2)])
def test_cases_are_cut_as_they_were_acquired(spacing: tuple[float, float, float], axis: int) -> None:
    assert best_slice(make_case(spacing=spacing))[0] == axis


@pytest.mark.parametrize("cut", [1, 2])
def test_the_right_of_the_patient_is_on_the_left(cut: int) -> None:
    right = np.zeros((6, 6, 6))
    right[5] = 1  # canonical X runs to the patient's right
    picture = _seen(right, cut, 3)
    assert picture[:, 0].all()
    assert not picture[:, 1:].any()


def test_head_is_up_and_the_front_is_on_the_left_of_a_sagittal_slice() -> None:
    front, head = np.zeros((6, 6, 6)), np.zeros((6, 6, 6))
    front[:, 5], head[:, :, 5] = 1, 1
    assert _seen(front, 0, 3)[:, 0].all()
    assert _seen(head, 0, 3)[-1].all()  # rows run upwards


def test_grey_values_fit_the_modality() -> None:
    ct, mri = make_case(), make_case(modality=Modality.MRI)
    picture = np.r_[np.zeros(900), np.arange(100, 200)]
    assert display_range(ct, picture, ["liver"]) == (-160, 240)
    assert display_range(ct, picture, ["cerebral cortex"]) == (-20, 90)
    low, high = display_range(mri, picture, ["liver"])
    assert 100 <= low < 105
    assert 195 < high < 200
    low, high = display_range(mri, np.zeros(9), [])
    assert low < high


def test_colours_stay_and_neighbours_differ() -> None:
    organs = ("liver", "spleen", "right kidney", "left kidney", "gallbladder", "stomach", "aorta", "pancreas")
    colours = {name: np.array(structure_colour(name)) for name in organs}
    for one, other in combinations(colours, 2):
        assert np.abs(colours[one] - colours[other]).max() > 0.15, (one, other)
    assert structure_colour("something of one's own") == structure_colour("something of one's own")
    assert structure_colour("something else") != structure_colour("something of one's own")


def test_every_group_has_its_turn_and_members_are_spread(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    for number in range(9):
        store.add(make_case(f"many_{number}"))
    store.add(make_case("single", sequence="T1", modality=Modality.MRI))
    cases = [(store, record) for record in store.cases]
    assert [record.name for _, record in _spread(cases, 2)] == ["many_0", "single"]
    assert [record.name for _, record in _spread(cases, 4)] == ["many_0", "many_4", "many_8", "single"]
    assert len(_spread(cases, 100)) == 10


def test_sheet_of_several_stores_is_a_picture(tmp_path: Path) -> None:
    stores = [Store.create(tmp_path / name) for name in ("one", "two")]
    for number, store in enumerate(stores):
        store.add(make_case(f"case_{number}"))
        store.add(make_case(f"case_{number}_mri", modality=None, dataset="other"))
    path = tmp_path / "sheet.png"
    assert contact_sheet(stores, path, most=3) == (3, 4)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="exists already"):
        contact_sheet(stores, path)
    with pytest.raises(OutputError, match="is no picture"):
        contact_sheet(stores, tmp_path / "sheet.xyz")
    with pytest.raises(StoreError, match="holds no case"):
        contact_sheet([Store.create(tmp_path / "empty")], tmp_path / "empty.png")


def test_a_union_is_shown_by_its_parts() -> None:
    labels = np.zeros((8, 9, 7), np.uint8)
    labels[1:4, 2:6, 3], labels[4:6, 2:6, 3] = 1, 2
    volume = Volume(np.random.default_rng(0).normal(size=labels.shape), Grid(labels.shape, np.eye(4)), Modality.MRI)
    structures = {"anterior hippocampus": (1,), "posterior hippocampus": (2,), "hippocampus": (1, 2)}
    case = Case("case", "patient", "set", volume, labels, structures)
    assert _draw(case, Figure().subplots()) == {"anterior hippocampus", "posterior hippocampus"}
