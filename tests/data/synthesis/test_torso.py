"""Simulated torsos: exact, reproducible, and laid out like people."""

import numpy as np
import pytest
from scipy import ndimage

from segevolution.data.synthesis.anatomy import Anatomy
from segevolution.data.synthesis.tissues import TISSUES
from segevolution.data.synthesis.torso import torso
from segevolution.vocabulary import STRUCTURES

COARSE = (5.0, 5.0, 5.0)
SEEDS = range(10)

# Millilitres an adult may have; the thin structures have wide bounds at 5 mm voxels.
VOLUMES = {
    "liver": (800, 2800),
    "spleen": (60, 600),
    "right kidney": (70, 330),
    "left kidney": (70, 330),
    "pancreas": (20, 180),
    "stomach": (60, 1300),
    "aorta": (35, 220),
    "inferior vena cava": (40, 220),
    "portal and splenic vein": (8, 70),
    "right adrenal gland": (0.5, 22),
    "left adrenal gland": (0.5, 22),
    "esophagus": (3, 60),
    "duodenum": (25, 160),
    "small bowel": (50, 1500),
    "colon": (100, 1500),
    "right lung": (100, 3500),
    "left lung": (100, 3500),
    "heart": (20, 900),
    "vertebrae": (120, 900),
    "ribs": (40, 500),
    "muscle": (1200, 9000),
    "body fat": (1500, 20000),
}


@pytest.fixture(scope="module")
def patients() -> list[Anatomy]:
    return [torso(np.random.default_rng(seed), COARSE, pelvis=False) for seed in SEEDS]


@pytest.fixture(scope="module")
def man() -> Anatomy:
    """The first male of a row of seeds, with his pelvis in the field of view."""
    for seed in range(20):
        anatomy = torso(np.random.default_rng(seed), COARSE, pelvis=True)
        if "prostate" in anatomy.structures():
            return anatomy
    raise AssertionError("no male among twenty seeds")


def centre(anatomy: Anatomy, structure: str) -> np.ndarray:
    """Patient millimetres (RAS+) of a structure's middle."""
    return anatomy.grid.to_mm(np.argwhere(anatomy.mask(structure)).mean(0))[0]


def test_same_seed_gives_the_same_patient_and_another_seed_another(patients: list[Anatomy]) -> None:
    again = torso(np.random.default_rng(3), COARSE, pelvis=False)
    assert np.array_equal(again.labels, patients[3].labels)
    assert np.array_equal(again.grid.affine, patients[3].grid.affine)
    assert again.names == patients[3].names
    assert again.tissues == patients[3].tissues
    assert patients[3].labels.shape != patients[4].labels.shape or (patients[3].labels != patients[4].labels).any()


@pytest.mark.parametrize("structure", sorted(VOLUMES))
def test_every_patient_has_every_organ_in_a_plausible_size(patients: list[Anatomy], structure: str) -> None:
    low, high = VOLUMES[structure]
    for anatomy in patients:
        millilitres = anatomy.mask(structure).sum() * anatomy.grid.voxel_volume / 1000
        assert low <= millilitres <= high


def test_most_patients_have_a_gallbladder_and_its_size_varies(patients: list[Anatomy]) -> None:
    sizes = [int(a.mask("gallbladder").sum()) for a in patients if "gallbladder" in a.structures()]
    assert len(sizes) >= 7
    assert max(sizes) > 1.3 * min(sizes)


def test_right_and_left_are_the_patients_own(patients: list[Anatomy]) -> None:
    for anatomy in patients:
        assert anatomy.grid.orientation == "RAS"
        for right, left in (
            ("liver", "spleen"),
            ("liver", "stomach"),
            ("right kidney", "left kidney"),
            ("right lung", "left lung"),
            ("right adrenal gland", "left adrenal gland"),
            ("inferior vena cava", "aorta"),
        ):
            assert centre(anatomy, right)[0] > centre(anatomy, left)[0]


def test_front_and_back_and_above_and_below_hold_under_deformation(patients: list[Anatomy]) -> None:
    for anatomy in patients:
        for front, back in (
            ("stomach", "left kidney"),
            ("pancreas", "vertebrae"),
            ("liver", "right kidney"),
            ("colon", "aorta"),
        ):
            assert centre(anatomy, front)[1] > centre(anatomy, back)[1]
        for upper, lower in (
            ("right lung", "liver"),
            ("right adrenal gland", "right kidney"),
            ("heart", "stomach"),
            ("liver", "colon"),
        ):
            assert centre(anatomy, upper)[2] > centre(anatomy, lower)[2]


def test_a_kidney_is_one_piece_in_most_of_its_volume(patients: list[Anatomy]) -> None:
    for anatomy in patients:
        for structure in ("right kidney", "left kidney", "liver", "spleen"):
            parts, count = ndimage.label(anatomy.mask(structure), np.ones((3, 3, 3)))
            sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))
            assert sizes.max() > 0.9 * sizes.sum()


def test_names_and_tissues_are_words_of_the_vocabulary(patients: list[Anatomy], man: Anatomy) -> None:
    for anatomy in (*patients, man):
        assert set(anatomy.structures()) <= set(STRUCTURES)
        assert set(anatomy.tissues.values()) <= set(TISSUES)
        assert set(anatomy.tissues) == set(np.unique(anatomy.labels)) - {0}


def test_the_body_is_closed_and_surrounded_by_air(patients: list[Anatomy]) -> None:
    for anatomy in patients:
        body = anatomy.labels > 0
        assert not body[[0, -1]].any()
        assert not body[:, [0, -1]].any()
        assert body[:, :, [0, -1]].any(axis=(0, 1)).all()


def test_unions_are_the_sum_of_their_parts(patients: list[Anatomy]) -> None:
    anatomy = patients[0]
    both = anatomy.mask("right kidney") | anatomy.mask("left kidney")
    assert np.array_equal(anatomy.mask("kidney"), both)
    assert (anatomy.mask("hepatic vessels") <= anatomy.mask("liver")).all()


def test_a_pelvis_holds_bones_bladder_and_a_prostate_in_two_zones(man: Anatomy) -> None:
    assert {"sacrum", "right hip", "left hip", "right femur", "left femur", "bladder"} <= set(man.structures())
    assert centre(man, "right hip")[0] > centre(man, "sacrum")[0] > centre(man, "left hip")[0]
    assert centre(man, "bladder")[2] > centre(man, "prostate")[2]
    transition, peripheral = centre(man, "prostate transition zone"), centre(man, "prostate peripheral zone")
    assert transition[1] > peripheral[1]
    assert 10 < man.mask("prostate").sum() * man.grid.voxel_volume / 1000 < 120
