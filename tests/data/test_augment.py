import numpy as np
import pytest
from scipy import ndimage

from segevolution.data.augment import AugmentSettings, augment
from segevolution.training.settings import FitSettings

OFF = {"gamma": 0, "contrast": 0, "brightness": 0, "noise": 0, "blur": 0}
NEW = {"bias_field": 0.8, "resolution": 4.0, "inversion": 0.5}


@pytest.fixture
def view():
    """(D, H, W) in [0, 1], smooth, padded with zeros on two sides."""
    rough = np.random.default_rng(0).random((12, 24, 20))
    image = ndimage.gaussian_filter(rough, 1.5).astype(np.float32)
    image = 0.05 + 0.95 * (image - image.min()) / np.ptp(image)
    image[:3], image[:, :, 17:] = 0, 0
    return image.astype(np.float32)


def _augmented(view, seed, **settings):
    return augment(view, np.random.default_rng(seed), AugmentSettings(**settings))


@pytest.mark.parametrize("only", [*NEW, "all"])
def test_each_change_keeps_range_padding_dtype_and_its_input(view, only):
    settings = NEW if only == "all" else {**OFF, only: NEW[only]}
    before = view.copy()
    results = [_augmented(view, seed, chance=1, **settings) for seed in range(12)]
    for changed in results:
        assert changed.dtype == np.float32
        assert changed.shape == view.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert not changed[view == 0].any()
    assert np.array_equal(view, before)
    assert sum(not np.allclose(changed, view) for changed in results) >= 4


def test_the_same_generator_gives_the_same_view(view):
    assert np.array_equal(_augmented(view, 3, **NEW), _augmented(view, 3, **NEW))
    assert not np.array_equal(_augmented(view, 3, chance=1, **NEW), _augmented(view, 4, chance=1, **NEW))


def test_nothing_happens_with_all_off(view):
    np.testing.assert_allclose(_augmented(view, 0, chance=1, **OFF), view, atol=1e-6)
    assert np.array_equal(_augmented(view, 0, chance=0, bias_field=1, resolution=4), view)


def test_what_is_off_draws_nothing(view):
    """A training that was begun before the later changes were added goes on with the same views."""
    for seed in range(8):
        rng, twin = np.random.default_rng(seed), np.random.default_rng(seed)
        augment(view, rng, AugmentSettings(chance=1, noise=0))
        twin.random(5), twin.normal(0, 1, 3), twin.random(2)
        assert rng.random() == twin.random()


def test_the_first_changes_are_what_they_were(view):
    """Gamma, contrast and noise written out, from the numbers that they have always drawn."""
    settings = AugmentSettings(chance=1, brightness=0, blur=0)
    rng = np.random.default_rng(5)
    rng.random(5)
    gamma, contrast, _ = rng.normal(0, 1, 3) * (settings.gamma, settings.contrast, 0)
    noise, _ = rng.random(2) * (settings.noise, 0)
    expected = view ** np.float32(np.exp(gamma))
    expected = (expected - expected.mean()) * np.float32(np.exp(contrast)) + expected.mean()
    expected = np.clip(expected + rng.standard_normal(view.shape, np.float32) * np.float32(noise), 0, 1)
    expected[view == 0] = 0
    np.testing.assert_allclose(augment(view, np.random.default_rng(5), settings), expected, atol=1e-6)


def test_inversion_comes_as_often_as_it_should(view):
    inside = view > 0.2
    turned = [
        np.corrcoef(view[inside], _augmented(view, seed, **{**OFF, "inversion": 0.3})[inside])[0, 1] < 0
        for seed in range(100)
    ]
    assert 0.15 < np.mean(turned) < 0.45


def test_a_bias_field_is_smooth_and_does_not_saturate(view):
    for seed in range(6):
        changed = _augmented(view, seed, chance=1, **{**OFF, "bias_field": 1.0})
        gain = changed[4:, :, :16] / view[4:, :, :16]
        assert max(np.abs(np.diff(np.log(gain), axis=axis)).max() for axis in range(3)) < 0.4
        assert changed.max() == pytest.approx(view.max(), rel=1e-5)


def test_resolution_up_to_one_voxel_is_off(view):
    plain = _augmented(view, 0, chance=1)
    assert np.array_equal(_augmented(view, 0, chance=1, resolution=1.0), plain)
    assert not np.array_equal(_augmented(view, 0, chance=1, resolution=1.5), plain)


def test_recipes_may_state_the_later_changes():
    settings = FitSettings(intensity={"bias_field": 0.5, "resolution": 3, "inversion": 0.1})
    assert settings.intensity == AugmentSettings(bias_field=0.5, resolution=3, inversion=0.1)
    assert AugmentSettings() == AugmentSettings(0.25, 0.15, 0.05, 0.05, 0.7, 0.35, 0, 0, 0)
