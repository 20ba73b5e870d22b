"""The scanners: plausible CT numbers, the right order of MR signals, and labels that no scan changes."""

import numpy as np
import pytest

from segevolution.data.synthesis import ct, mri
from segevolution.data.synthesis.anatomy import Anatomy
from segevolution.data.synthesis.tissues import TISSUES
from segevolution.data.synthesis.torso import torso
from segevolution.errors import VolumeError
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SPACING = (4.0, 4.0, 5.0)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return torso(np.random.default_rng(1), SPACING, pelvis=False)


def median(volume: Volume, anatomy: Anatomy, structure: str) -> float:
    return float(np.median(volume.array[anatomy.mask(structure)]))


@pytest.fixture(scope="module", params=range(3))
def portal(request: pytest.FixtureRequest, anatomy: Anatomy) -> Volume:
    return ct.render(anatomy, np.random.default_rng(request.param), phase="portal")


@pytest.mark.parametrize(
    ("structure", "low", "high"),
    [
        ("liver", 40, 170),
        ("spleen", 80, 190),
        ("right kidney", 90, 260),
        ("aorta", 90, 240),
        ("muscle", 20, 100),
        ("body fat", -130, -70),
        ("right lung", -950, -650),
        ("vertebrae", 80, 700),
        ("gallbladder", -20, 60),
    ],
)
def test_ct_numbers_lie_where_a_radiologist_expects_them(
    portal: Volume, anatomy: Anatomy, structure: str, low: float, high: float
) -> None:
    assert low < median(portal, anatomy, structure) < high


def test_ct_is_integer_hounsfield_on_the_anatomys_grid(portal: Volume, anatomy: Anatomy) -> None:
    assert portal.array.dtype == np.int16
    assert portal.modality is Modality.CT
    assert portal.grid.close_to(anatomy.grid)
    corner = portal.array[:3, -3:, :]
    assert corner.mean() == pytest.approx(-1000, abs=30)


def test_contrast_phases_differ_as_they_should(anatomy: Anatomy) -> None:
    aorta, liver = {}, {}
    for phase in ct.PHASES:
        volume = ct.render(anatomy, np.random.default_rng(7), phase=phase)
        aorta[phase], liver[phase] = median(volume, anatomy, "aorta"), median(volume, anatomy, "liver")
    assert aorta["arterial"] > aorta["portal"] > aorta["late"] > aorta["native"]
    assert liver["portal"] > liver["arterial"] > liver["native"]


def test_patients_enhance_differently_and_a_seed_repeats_exactly(anatomy: Anatomy) -> None:
    first, again, other = (ct.render(anatomy, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.array, again.array)
    assert abs(median(first, anatomy, "liver") - median(other, anatomy, "liver")) > 0.5


def test_no_scan_touches_the_labels(anatomy: Anatomy) -> None:
    before = anatomy.labels.copy()
    ct.render(anatomy, np.random.default_rng(0), phase="arterial")
    mri.render(anatomy, np.random.default_rng(0), sequence="T2-SPIR")
    mri.random_contrast(anatomy, np.random.default_rng(0))
    assert np.array_equal(before, anatomy.labels)


def seen(anatomy: Anatomy, sequence: mri.Sequence, field: float = 1.5) -> dict[str, float]:
    """Median signal of structures, over three scans."""
    volumes = [mri.render(anatomy, np.random.default_rng(seed), sequence=sequence, field=field) for seed in range(3)]
    names = (
        "liver",
        "spleen",
        "body fat",
        "muscle",
        "gallbladder",
        "right kidney",
        "spinal canal",
        "aorta",
        "right lung",
    )
    return {name: float(np.mean([median(v, anatomy, name) / v.array.max() for v in volumes])) for name in names}


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_t1_shows_fat_above_liver_above_spleen_above_fluid(anatomy: Anatomy, field: float) -> None:
    signal = seen(anatomy, "T1", field)
    assert signal["body fat"] > signal["liver"] > signal["spleen"] > signal["gallbladder"]
    assert signal["right lung"] < 0.5 * signal["muscle"]


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_t2_shows_fluid_above_spleen_above_liver_and_muscle(anatomy: Anatomy, field: float) -> None:
    signal = seen(anatomy, "T2", field)
    assert signal["gallbladder"] > signal["spleen"] > signal["liver"]
    assert signal["spleen"] > 1.5 * signal["muscle"]


def test_spir_darkens_fat_and_leaves_the_rest_of_t2(anatomy: Anatomy) -> None:
    plain, spir = seen(anatomy, "T2"), seen(anatomy, "T2-SPIR")
    assert plain["body fat"] > plain["liver"]
    assert spir["body fat"] < spir["liver"] < spir["spleen"]
    assert spir["gallbladder"] > spir["liver"]


def test_opposed_phase_outlines_organs_where_water_meets_fat(anatomy: Anatomy) -> None:
    organ = anatomy.mask("right kidney")
    fat = anatomy.mask("body fat")
    rim = organ & (np.roll(fat, 1, 0) | np.roll(fat, -1, 0) | np.roll(fat, 1, 1) | np.roll(fat, -1, 1))
    deep = organ & ~rim
    share = {}
    for sequence in ("T1-IN", "T1-OUT"):
        image = mri.render(anatomy, np.random.default_rng(0), sequence=sequence).array
        share[sequence] = float(np.median(image[rim]) / np.median(image[deep]))
    assert share["T1-OUT"] < 0.8 * share["T1-IN"]


def test_gadolinium_brightens_vessels_and_organs_over_muscle(anatomy: Anatomy) -> None:
    signal = seen(anatomy, "T1-CE")
    assert signal["aorta"] > signal["liver"] > signal["muscle"]
    assert signal["body fat"] < signal["liver"]


def test_flair_nulls_free_fluid_but_not_brain() -> None:
    protocol = mri.PROTOCOLS["FLAIR"]
    fluid, brain = (sum(mri.signal(TISSUES[name], protocol, 1.5)) for name in ("csf", "grey matter"))
    assert fluid < 0.5 * brain


def test_spin_echo_follows_its_equation() -> None:
    protocol = mri.Protocol("spin", tr=2000, te=80)
    tissue = TISSUES["spleen"]
    expected = tissue.density * (1 - np.exp(-2000 / 1057)) * np.exp(-80 / 79)
    assert mri.signal(tissue, protocol, 1.5)[0] == pytest.approx(expected)


def test_gradient_echo_at_ninety_degrees_is_saturation_recovery() -> None:
    protocol = mri.Protocol("gradient", tr=500, te=0.0, flip=90)
    tissue = TISSUES["kidney cortex"]
    expected = tissue.density * (1 - np.exp(-500 / 1142))
    assert mri.signal(tissue, protocol, 3.0)[0] == pytest.approx(expected)


def test_random_contrast_is_no_sequence_and_differs_every_time(anatomy: Anatomy) -> None:
    ratios = []
    for seed in range(6):
        volume = mri.random_contrast(anatomy, np.random.default_rng(seed))
        ratios.append(median(volume, anatomy, "liver") / max(median(volume, anatomy, "spleen"), 1.0))
    assert min(ratios) < 1 < max(ratios)


def test_noise_in_air_is_rician_and_background_is_never_negative(anatomy: Anatomy) -> None:
    image = mri.render(anatomy, np.random.default_rng(0), sequence="T1").array
    air = image[:2, :, :].astype(float)
    assert image.dtype == np.uint16
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.15)  # of a Rayleigh distribution


def test_unknown_settings_are_refused_in_a_sentence(anatomy: Anatomy) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(VolumeError, match="sequence"):
        mri.render(anatomy, rng, sequence="T9")  # type: ignore[arg-type]
    with pytest.raises(VolumeError, match="tesla"):
        mri.render(anatomy, rng, field=7.0)
    with pytest.raises(VolumeError, match="phase"):
        ct.render(anatomy, rng, phase="never")  # type: ignore[arg-type]
