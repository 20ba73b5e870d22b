"""Each recipe gives numbers of the range that it states."""

import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.imaging.intensity import NORMALISERS, clipped_z_score, eight_bits, normalise, z_score
from segevolution.vocabulary import Modality

# Their networks were trained with 0 outside the image: of CT that is water, of a z-score the mean.
PUBLISHED_PADDING = {"scaled_signal", "nonzero_box_z_score", "clipped_z_score"}


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MRI, None])
@pytest.mark.parametrize("name", NORMALISERS)
def test_a_recipe_stays_in_its_range_and_its_padding_is_no_brighter_than_air(name: str, modality: Modality) -> None:
    rng = np.random.default_rng(0)
    signal = rng.gamma(2, 300, (12, 10, 8)) - (1000 if modality is Modality.CT else 0)
    signal[:3] = -1000 if modality is Modality.CT else 0
    recipe, image = NORMALISERS[name], normalise(signal, name, modality)
    assert recipe.low is None or image.min() >= recipe.low
    assert recipe.high is None or image.max() <= recipe.high
    assert image.dtype == np.float32
    if name == "eight_bits":  # every byte may be image, so that what is none is told by a number of its own
        assert recipe.pad_of(image) < image.min()
        return
    if name in PUBLISHED_PADDING:
        assert recipe.pad_of(image) == 0
        return
    np.testing.assert_allclose(image[0], recipe.pad_of(image), atol=1e-6)


@pytest.mark.parametrize("name", NORMALISERS)
def test_the_unit_of_a_signal_does_not_matter(name: str) -> None:
    signal = np.random.default_rng(0).gamma(2, 300, (12, 10, 8))
    small = normalise(signal * 2.0**-40, name, Modality.MRI)  # about 1e-9, as diffusion in square metres a second
    np.testing.assert_allclose(small, normalise(signal, name, Modality.MRI), rtol=1e-5)


@pytest.mark.parametrize("name", NORMALISERS)
def test_a_signal_that_single_precision_cannot_tell_is_refused(name: str) -> None:
    signal = np.random.default_rng(0).gamma(2, 300, (12, 10, 8))
    for odd in (signal * 1e300, signal * 1e13, signal * 1e-18, signal * 1e-35, signal / 1000 + 1e9):
        with pytest.raises(VolumeError, match="in single precision; scale it"):
            normalise(odd, name, Modality.MRI)


def test_fill_beyond_single_precision_is_no_signal() -> None:
    signal = np.random.default_rng(0).gamma(2, 300, (12, 10, 8))
    filled = signal.copy()
    filled[:3] = -1e100
    np.testing.assert_allclose(
        normalise(filled, "z_score", Modality.MRI)[3:], z_score(signal[3:]), rtol=1e-4, atol=1e-4
    )


def test_only_where_the_smallest_number_is_nothing_a_margin_may_be_cut_away() -> None:
    crop = {name for name, recipe in NORMALISERS.items() if recipe.crops}
    assert crop == {"foreground", "soft_tissue", "matched_soft_tissue"}


def test_eight_bits_are_medsams() -> None:
    hu = np.array([-1000.0, -160, 40, 239, 240, 3000])
    np.testing.assert_array_equal(eight_bits(hu, Modality.CT), [0, 0, 127, 254, 255, 255])
    signal = np.concatenate([np.zeros(5), np.arange(1.0, 1001)])  # percentiles of what is above 0: 5.995 and 995.005
    bits = eight_bits(signal, Modality.MRI)
    assert (bits[:5] == 0).all()
    assert bits[5 + 499] == np.floor(255 * (500 - 5.995) / (995.005 - 5.995))
    assert bits[-1] == 255


def test_hermes_clips_ct_at_fixed_hu_and_anything_else_at_its_percentiles() -> None:
    hu = np.array([-2000.0, -991, 0, 500, 3000])
    clipped = np.array([-991.0, -991, 0, 500, 500])
    np.testing.assert_allclose(clipped_z_score(hu, Modality.CT), (clipped - clipped.mean()) / clipped.std(), rtol=1e-5)
    np.testing.assert_allclose(clipped_z_score(hu), clipped_z_score(hu, Modality.CT))
    signal = np.arange(101.0)
    clipped = np.clip(signal, 2, 98)
    np.testing.assert_allclose(
        clipped_z_score(signal, Modality.MRI), (clipped - clipped.mean()) / clipped.std(), rtol=1e-5
    )
    part = clipped_z_score(signal, Modality.MRI, measured=signal[:51])  # clipped to 1 to 49
    assert part[-1] == part[49] == part.max()
