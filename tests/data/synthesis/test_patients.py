"""Simulated cases: one seed is one patient for every scanner."""

import numpy as np
import pytest

from segevolution.data.synthesis.patients import simulate, simulate_case
from segevolution.errors import SegevolutionError, VolumeError
from segevolution.vocabulary import Modality

COARSE = (8.0, 8.0, 8.0)


def test_ct_and_mri_of_a_seed_show_the_same_patient() -> None:
    scan = simulate_case(5, modality="CT", spacing=COARSE)
    magnet = simulate_case(5, modality="MRI", sequence="T2-SPIR", spacing=COARSE)
    assert np.array_equal(scan.labels, magnet.labels)
    assert scan.volume.grid.close_to(magnet.volume.grid)
    assert scan.patient == magnet.patient == "sim00005"
    assert scan.structures == magnet.structures
    assert scan.name != magnet.name
    assert magnet.sequence == "T2-SPIR"
    assert magnet.volume.modality is Modality.MRI


def test_a_seed_repeats_exactly_and_sequences_do_not_share_their_noise() -> None:
    first, again = (simulate_case(2, modality="MRI", sequence="T1", spacing=COARSE) for _ in range(2))
    other = simulate_case(2, modality="MRI", sequence="T2", spacing=COARSE)
    assert np.array_equal(first.volume.array, again.volume.array)
    corner = (slice(0, 2), slice(None), slice(None))
    assert not np.array_equal(first.volume.array[corner], other.volume.array[corner])


def test_simulate_yields_as_many_different_patients_as_asked() -> None:
    cases = list(simulate(3, seed=10, spacing=COARSE))
    assert [case.patient for case in cases] == ["sim00010", "sim00011", "sim00012"]
    assert {case.dataset for case in cases} == {"simulated_torso"}
    assert all(case.mask("liver").any() for case in cases)
    assert len({case.mask("liver").sum() for case in cases}) == 3


def test_random_contrast_is_a_sequence_of_its_own() -> None:
    case = simulate_case(1, modality=Modality.MRI, sequence="random", spacing=COARSE)
    assert case.sequence == "random"
    assert case.volume.array[case.labels > 0].std() > 0


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(VolumeError, match="seed"):
        simulate_case(-1)
    with pytest.raises(VolumeError, match="sequence"):
        simulate_case(1, modality="MRI", sequence="T7", spacing=COARSE)
    with pytest.raises(VolumeError, match="PET"):
        simulate_case(1, modality="PET", spacing=COARSE)
    with pytest.raises(VolumeError, match="region"):
        simulate_case(1, region="foot")  # type: ignore[arg-type]
    with pytest.raises(SegevolutionError):
        simulate_case(1, modality="photograph")


def test_every_third_head_carries_a_tumour_inside_the_skull() -> None:
    healthy, ill = (
        simulate_case(seed, region="head", modality="MRI", sequence="FLAIR", spacing=(3, 3, 4)) for seed in (1, 3)
    )
    assert "brain tumour" not in healthy.structures
    tumour = ill.mask("brain tumour")
    assert {"brain tumour necrotic core", "brain tumour enhancing", "brain tumour oedema"} <= set(ill.structures)
    assert 2 < tumour.sum() * ill.volume.grid.voxel_volume / 1000 < 200
    assert ill.mask("brain tumour oedema").sum() > 0


def test_a_head_is_layered_from_skin_to_ventricle() -> None:
    case = simulate_case(4, region="head", modality="MRI", sequence="T1", spacing=(3, 3, 3))
    volumes = {name: case.mask(name).sum() * case.volume.grid.voxel_volume / 1000 for name in case.structures}
    assert 250 < volumes["cerebral cortex"] < 900
    assert 250 < volumes["cerebral white matter"] < 900
    assert 60 < volumes["cerebellum"] < 260
    assert volumes["lateral ventricles"] > 2
    middle = np.argwhere(case.mask("cerebral white matter")).mean(0)
    for structure in ("skull", "skin"):
        low, high = np.argwhere(case.mask(structure)).min(0), np.argwhere(case.mask(structure)).max(0)
        assert (low < middle).all()
        assert (high > middle).all()
    signal = {
        name: np.median(case.volume.array[case.mask(name)])
        for name in ("cerebral white matter", "cerebral cortex", "lateral ventricles")
    }
    assert signal["cerebral white matter"] > signal["cerebral cortex"] > signal["lateral ventricles"]
