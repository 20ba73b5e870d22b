import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity import NORMALISERS, soft_tissue
from segevolution.imaging.intensity_matching import CT_ABDOMEN, PERCENTILES, IntensityProfile, body_percentiles
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


MATCHED = NORMALISERS["matched_soft_tissue"]


def test_a_network_of_matched_intensities_sees_an_mri_as_bright_as_ct_and_a_ct_as_before():
    inside = np.s_[1:15, 9:31, 9:31]  # (D, H, W), a voxel within the body
    framed = frame(MRI, "matched_soft_tissue")
    shown = np.zeros((16, 40, 40), np.float32)
    place = tuple(slice(low, low + side) for low, side in zip(framed.start, framed.image.shape, strict=True))
    shown[place] = framed.image
    expected = np.interp((10, 50, 90), PERCENTILES, soft_tissue(CT_ABDOMEN.values, Modality.CT))
    np.testing.assert_allclose(np.percentile(shown[inside], (10, 50, 90)), expected, atol=0.02)
    assert shown[:, :6].max() == 0  # air
    np.testing.assert_array_equal(frame(CT, "matched_soft_tissue").image, frame(CT, "soft_tissue").image)


def test_without_a_modality_only_a_signal_that_goes_far_below_zero_is_ct():
    unsaid = Volume(MRI.array, MRI.grid, None, "scan")
    np.testing.assert_array_equal(MATCHED.matched(unsaid).array, MATCHED.matched(MRI).array)
    unsaid = Volume(CT.array, CT.grid, None, "scan")
    assert MATCHED.matched(unsaid) is unsaid
    assert NORMALISERS["soft_tissue"].matched(MRI) is MRI


def test_spikes_and_fill_set_no_scale_when_intensities_are_matched():
    damaged = MRI.array.copy()
    damaged[20, 20, 8] = 1e6
    damaged[:2] = -30_000
    matched = MATCHED.matched(Volume(damaged, MRI.grid, Modality.MRI, "scan"))
    clean = MATCHED.matched(MRI).array
    inside = np.s_[9:31, 9:31, 1:15]
    assert np.abs(matched.array - clean)[inside].max() < 400  # HU; the spike itself
    assert np.abs(matched.array - clean)[inside].mean() < 2
    assert matched.array[:2].max() == CT_ABDOMEN.values[0]


def test_a_scan_without_air_is_matched_as_a_whole():
    heart = Volume(MRI.array[10:30, 10:30], Grid((20, 20, 16), np.eye(4)), Modality.MRI, "heart")
    matched = MATCHED.matched(heart)
    np.testing.assert_allclose(
        np.percentile(matched.array, (10, 50, 90)), np.interp((10, 50, 90), PERCENTILES, CT_ABDOMEN.values), atol=8
    )
