import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity_matching import IntensityProfile, body_percentiles
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def scan(modality, low, high, air, seed=0):
    """A body of rising signal in air."""
    rng = np.random.default_rng(seed)
    array = np.abs(rng.normal(0, 4, (40, 40, 16))) + air
    array[8:32, 8:32, :] = rng.uniform(low, high, (24, 24, 16))
    return Volume(array.astype(np.float32), Grid(array.shape, np.diag([4.0, 4, 4, 1])), modality, "scan")


CT = scan(Modality.CT, -50, 150, -1000)
MRI = scan(Modality.MRI, 200, 900, 0, seed=1)


def test_a_matched_scan_has_the_profile_of_the_others_and_says_their_modality():
    profile = IntensityProfile.of([CT])
    matched = profile.match(MRI)
    assert matched.modality is Modality.CT
    assert matched.grid == MRI.grid
    inside = np.s_[8:32, 8:32]
    for share in (5, 50, 95):
        assert np.percentile(matched.array[inside], share) == pytest.approx(
            np.percentile(CT.array[inside], share), abs=12
        )


def test_what_is_brighter_stays_brighter():
    matched = IntensityProfile.of([CT]).match(MRI)
    order = np.argsort(MRI.array, axis=None)
    assert (np.diff(matched.array.ravel()[order]) >= 0).all()


def test_the_scale_of_the_signal_and_the_air_round_the_body_have_no_say():
    profile = IntensityProfile.of([CT])
    tenfold = Volume(MRI.array * 10, MRI.grid, Modality.MRI, "scan")
    assert np.allclose(profile.match(MRI).array, profile.match(tenfold).array, atol=1e-2)
    assert body_percentiles(MRI).min() > 0


def test_a_profile_is_of_scans_of_one_modality():
    with pytest.raises(VolumeError, match="one modality"):
        IntensityProfile.of([CT, MRI])
    with pytest.raises(VolumeError, match="one or more"):
        IntensityProfile.of([])
