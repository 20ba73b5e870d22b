from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from segevolution.data.augment import AugmentSettings, augment, augment_view
from segevolution.data.contrast import ContrastSettings, along, random_curve, recontrast
from segevolution.data.texture import random_artefact, random_convolution
from segevolution.data.windows import FramedCase, View
from segevolution.training.settings import FitSettings, decisive
from segevolution.vocabulary import Modality

STRUCTURES = {"liver": (1,), "left kidney": (2,), "right kidney": (3,)}
CT = {Modality.CT: 1.0}
SEEDS = range(12)


@pytest.fixture
def labels():
    labels = np.zeros((16, 40, 40), np.uint8)
    labels[4:12, 6:22, 6:20] = 1
    labels[5:11, 26:34, 6:14] = 2
    labels[5:11, 26:34, 26:34] = 3
    return labels


@pytest.fixture
def image(labels):
    """Organs of .55 and .6 in tissue of .4, a smooth grain, and padding on two sides."""
    rough = np.random.default_rng(0).standard_normal(labels.shape)
    image = (0.4 + 0.4 * ndimage.gaussian_filter(rough, 1.0)).astype(np.float32)
    image[labels == 1] += 0.15
    image[labels > 1] += 0.2
    image = np.clip(image, 0.01, 1)
    image[:2], image[:, :, 37:] = 0, 0
    return image


@pytest.fixture
def case(image, labels):
    return FramedCase("case", Modality.CT, image.astype(np.float16), labels, STRUCTURES)


def _drawn(image, labels, seed, **settings):
    settings = {"convolution": 0.0, "artefact": 0.0, **settings}
    return recontrast(image, labels, STRUCTURES, np.random.default_rng(seed), ContrastSettings(share=CT, **settings))


def test_a_view_without_a_share_is_changed_as_before_and_draws_no_number_more(case, image, labels):
    for settings in (AugmentSettings(), AugmentSettings(recontrast=ContrastSettings(share={Modality.MRI: 1.0}))):
        rng, twin = np.random.default_rng(3), np.random.default_rng(3)
        changed, shown_as = augment_view(View(image, labels), case, rng, settings)
        assert np.array_equal(changed, augment(image, twin, AugmentSettings()))
        assert shown_as is case
        assert rng.random() == twin.random()


def test_everything_on_keeps_range_padding_dtype_labels_and_its_input(image, labels):
    before, drawn = image.copy(), labels.copy()
    for seed in SEEDS:
        changed = _drawn(image, labels, seed, convolution=1.0, artefact=1.0)
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert np.array_equal(changed == 0, image == 0)
    assert np.array_equal(image, before)
    assert np.array_equal(labels, drawn)


def test_the_same_generator_gives_the_same_contrast(image, labels):
    for on in ({}, {"convolution": 1.0}, {"artefact": 1.0}):
        assert np.array_equal(_drawn(image, labels, 5, **on), _drawn(image, labels, 5, **on))
        assert not np.array_equal(_drawn(image, labels, 5, **on), _drawn(image, labels, 6, **on))


def test_a_speckle_of_zero_within_tissue_is_tissue(image, labels):
    image[8, 20, 30] = 0
    assert _drawn(image, labels, 0, border=0)[8, 20, 30] > 0


def test_structures_change_apart_from_what_surrounds_them(image, labels):
    """With one curve a view's contrast of liver and tissue follows the curve; with structures it is free."""
    around = (labels == 0) & (image > 0)

    def contrast(seed, structures):
        changed = _drawn(image, labels, seed, structures=structures)
        return changed[labels == 1].mean() - changed[around].mean()

    pairs = [(contrast(seed, 0.0), contrast(seed, 1.0)) for seed in range(40)]
    assert np.mean([abs(apart - alike) > 0.1 for alike, apart in pairs]) > 0.4
    apart = [pair[1] for pair in pairs]
    assert min(apart) < -0.2
    assert max(apart) > 0.2


def test_the_sides_of_a_pair_change_alike_and_other_structures_do_not(image, labels):
    kidneys, liver = [], []
    for seed in range(30):
        changed = _drawn(image, labels, seed, structures=1.0, border=0)
        left, right, other = (changed[labels == value].mean() for value in (2, 3, 1))
        kidneys.append(abs(left - right))
        liver.append(abs(left - other))
    assert np.mean(kidneys) < 0.1
    assert np.mean(liver) > 0.2


def test_the_grain_within_a_structure_may_turn_over(image, labels):
    inside = labels == 1
    slopes = [np.corrcoef(image[inside], _drawn(image, labels, seed, border=0)[inside])[0, 1] for seed in range(40)]
    assert np.mean(np.array(slopes) < 0) > 0.15
    assert np.mean(np.array(slopes) > 0) > 0.15


def test_a_border_is_soft(image, labels):
    flat = np.where(image > 0, np.float32(0.5), np.float32(0))
    steps = []
    for border in (0.0, 1.5):
        changed = [_drawn(flat, labels, seed, structures=1.0, border=border, monotone=1.0) for seed in SEEDS]
        jumps = [np.abs(np.diff(one[8, 14], axis=0))[:20].max() for one in changed]
        heights = [np.ptp(one[8, 14, :20]) for one in changed]
        steps.append(np.sum(jumps) / np.sum(heights))
    assert steps[0] == pytest.approx(1, abs=0.01)
    assert steps[1] < 0.8


def test_curves_rise_fall_or_turn():
    def turns(curve):
        moves = np.sign(np.diff(curve))
        return np.count_nonzero(np.diff(moves[moves != 0]))

    rng = np.random.default_rng(0)
    monotone = [random_curve(rng, 1.0) for _ in range(50)]
    assert not any(turns(curve) for curve in monotone)
    rising = [curve[-1] > curve[0] for curve in monotone]
    assert 10 < sum(rising) < 40
    assert any(turns(random_curve(rng, 0.0)) for _ in range(20))
    curves = np.array([random_curve(rng, 0.5) for _ in range(100)])
    assert curves.min() >= 0
    assert curves.max() <= 1


def test_signal_goes_along_a_curve():
    table = np.linspace(1, 0, 1024).astype(np.float32)
    image = np.array([[-0.5, 0.0, 0.25, 1.0, 2.0]], np.float32)
    np.testing.assert_allclose(along(image, table), [[1, 1, 0.75, 0, 0]], atol=1e-3)


def test_a_convolution_keeps_mean_and_deviation_of_the_tissue_and_leaves_the_rest(image):
    tissue = image > 0
    for seed in SEEDS:
        changed = random_convolution(image, tissue, np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert changed[tissue].mean() == pytest.approx(image[tissue].mean(), abs=1e-3)
        assert changed[tissue].std() < 1.01 * image[tissue].std()  # less where answer and input blend
        assert not changed[~tissue].any()
    assert np.array_equal(random_convolution(image, np.zeros_like(tissue), np.random.default_rng(0)), image)


def test_artefacts_of_k_space_change_the_view_and_keep_its_brightness(image):
    for seed in SEEDS:
        changed = random_artefact(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert not np.array_equal(changed, image)
        assert changed.mean() == pytest.approx(image.mean(), rel=0.05)


def test_a_view_without_labels_or_without_tissue_is_no_fault(image, labels):
    nothing = np.zeros_like(labels)
    assert _drawn(image, nothing, 0, convolution=1.0).max() > 0
    assert not _drawn(np.zeros_like(image), nothing, 0, convolution=1.0, artefact=1.0).any()


def test_a_network_is_told_mri_where_the_settings_say_so(case, image, labels):
    for as_mri, modality in ((False, Modality.CT), (True, Modality.MRI)):
        settings = AugmentSettings(recontrast=ContrastSettings(share=CT, as_mri=as_mri))
        changed, shown_as = augment_view(View(image, labels), case, np.random.default_rng(0), settings)
        assert shown_as.modality is modality
        assert shown_as.structures == case.structures
        assert not np.array_equal(changed, image)


def test_a_network_with_other_bounds_and_padding_keeps_both(case, image, labels):
    wide = replace(case, pad=-9.0, bounds=(-2.0, 2.0))
    shown = np.where(image == 0, np.float32(-9), 4 * image - 2)
    settings = AugmentSettings(recontrast=ContrastSettings(share=CT))
    for seed in SEEDS:
        changed, _ = augment_view(View(shown, labels), wide, np.random.default_rng(seed), settings)
        assert np.array_equal(changed == -9, image == 0)
        assert changed[image > 0].min() >= -2
        assert changed.max() <= 2
        assert changed.dtype == np.float32


def test_a_share_is_a_share(case, image, labels):
    settings = AugmentSettings(recontrast=ContrastSettings(share={Modality.CT: 0.3}, as_mri=True))
    rng = np.random.default_rng(0)
    shown = [augment_view(View(image, labels), case, rng, settings)[1].modality for _ in range(100)]
    assert 0.15 < np.mean([modality is Modality.MRI for modality in shown]) < 0.45


def test_image_and_labels_must_be_of_one_view(image, labels):
    with pytest.raises(ValueError, match="one view"):
        recontrast(image, labels[1:], STRUCTURES, np.random.default_rng(0), ContrastSettings(share=CT))


def test_recipes_state_it_and_faults_are_refused():
    settings = FitSettings(intensity={"recontrast": {"share": {"CT": 0.5, "MRI": 0.25}, "as_mri": True}})
    assert settings.intensity.recontrast.share == {Modality.CT: 0.5, Modality.MRI: 0.25}
    for wrong in ({"share": {"CT": 1.5}}, {"share": {"X-ray": 0.5}}, {"share": {}, "sahre": 1}, {"monotone": -1}):
        with pytest.raises(ValidationError):
            FitSettings(intensity={"recontrast": wrong})


def test_keys_of_earlier_trainings_stay():
    assert "recontrast" not in decisive(FitSettings())["intensity"]
    assert "recontrast" not in AugmentSettings().key()
    on = FitSettings(intensity={"recontrast": {"share": {"CT": 0.5}}})
    assert decisive(on)["intensity"]["recontrast"]["share"] == {"CT": 0.5}
    assert on.intensity.key()["recontrast"]["share"] == {"CT": 0.5}


@pytest.mark.parametrize("seed", SEEDS)
def test_matched_views_keep_the_percentiles_of_their_tissue_and_nothing_else(image, labels, seed):
    changed = _drawn(image, labels, seed, matched=True)
    tissue = image > 0
    shares = (2, 10, 50, 90, 98)
    np.testing.assert_allclose(np.percentile(changed[tissue], shares), np.percentile(image[tissue], shares), atol=0.03)
    assert np.abs(changed - image)[tissue].mean() > 0.005
    assert np.array_equal(changed == 0, ~tissue)
    assert changed.dtype == np.float32


def test_an_empty_view_has_no_percentiles_to_keep(labels):
    nothing = np.zeros(labels.shape, np.float32)
    assert not _drawn(nothing, labels, 0, matched=True).any()


def test_matching_is_part_of_a_key_only_where_it_is_on():
    plain = AugmentSettings(recontrast=ContrastSettings(share=CT))
    assert "matched" not in plain.key()["recontrast"]
    assert "matched" not in decisive(FitSettings(intensity=plain))["intensity"]["recontrast"]
    matched = AugmentSettings(recontrast=ContrastSettings(share=CT, matched=True))
    assert matched.key()["recontrast"]["matched"] is True
    assert decisive(FitSettings(intensity=matched))["intensity"]["recontrast"]["matched"] is True
