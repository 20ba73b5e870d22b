"""What each shift is for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchio

from segevolution.appearance import Scene, draw, shift
from segevolution.appearance.resolution import sampling
from segevolution.appearance.spikes import Spikes
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def _ratio(scan, changed):
    body = scan.array > 100
    return changed.array[body] / scan.array[body]


def test_a_bias_field_has_the_range_that_its_strength_says(oblique):
    flat = np.ones(oblique.shape, np.int16)
    flat[0, 0, 0] = 2
    for seed in range(5):
        gain = shift(Volume(flat, oblique, Modality.MRI), "bias_field", 0.8, seed).volume.array / flat
        assert np.log(gain.max() / gain.min()) == pytest.approx(0.8, rel=0.03)
        assert np.log(gain.max()) == pytest.approx(0.4, rel=0.03)
        assert max(np.abs(np.diff(np.log(gain), axis=axis)).max() for axis in range(3)) < 0.12  # no steps


def test_a_bias_field_lies_in_the_patient_whatever_the_axis_order(scan):
    turned, turn = scan.canonical()
    changed = shift(scan, "bias_field", 0.8, seed=3).volume
    also = shift(turned, "bias_field", 0.8, seed=3).volume
    np.testing.assert_allclose(turn.apply(changed.array), also.array, rtol=1e-4, atol=1e-2)


def test_gamma_keeps_the_order_of_greys(scan):
    for seed in range(4):
        changed = shift(scan, "gamma", 0.8, seed).volume.array
        order = np.argsort(scan.array, axis=None)
        assert (np.diff(changed.ravel()[order]) >= -1e-3).all()
        assert changed.max() == scan.array.max()


def test_noise_lifts_air_in_mri_and_is_centred_in_ct(scan, ct):
    for volume in (scan, ct):
        span, air = Scene.of(volume).span, volume.array == volume.array.min()
        added = shift(volume, "noise", 0.1, seed=0).volume.array[air] - volume.array.min()
        rician = volume is scan
        mean, deviation = (np.sqrt(np.pi / 2), np.sqrt(2 - np.pi / 2)) if rician else (0, 1)
        assert added.mean() == pytest.approx(mean * 0.1 * span, abs=0.003 * span)
        assert added.std() == pytest.approx(deviation * 0.1 * span, rel=0.05)
    assert Scene.of(ct).span == 400


@pytest.mark.parametrize("acquired", [3.0, 4.7, 12.0, 200.0])
def test_sampling_keeps_flat_signal_and_ramps(acquired):
    acquire, back = sampling(60, 3.0, acquired, 0.4)
    np.testing.assert_allclose(acquire.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(back.sum(1), 1, rtol=1e-5)
    if acquired < 20:
        ramp = np.arange(60, dtype=np.float32)
        np.testing.assert_allclose((back @ (acquire @ ramp))[15:45], ramp[15:45], atol=0.1)


def test_sampling_at_the_own_spacing_changes_nothing():
    acquire, back = sampling(20, 3.0, 3.0, 0.7)
    np.testing.assert_allclose(back @ acquire, np.eye(20), atol=1e-6)


def test_thick_slices_blur_across_slices_only(scan):
    changed, parameters = shift(scan, "slice_spacing", 9, seed=0)
    assert parameters.change.axes == (2,)
    same_along_z = replace(scan, array=np.repeat(scan.array[:, :, 8:9], 18, axis=2))
    kept = shift(same_along_z, "slice_spacing", 9, seed=0).volume.array
    np.testing.assert_allclose(kept, same_along_z.array, rtol=1e-4, atol=1e-2)
    assert np.abs(np.diff(changed.array, axis=2)).mean() < 0.7 * np.abs(np.diff(scan.array, axis=2)).mean()


def test_a_volume_that_is_coarse_already_stays_and_the_record_says_so(scan):
    changed, parameters = shift(scan, "slice_spacing", 2.9, seed=0)
    assert parameters.change.axes == ()
    assert np.array_equal(changed.array, scan.array)
    assert shift(scan, "resolution", 2.9, seed=0).parameters.change.axes == (0, 1)


def test_slices_of_an_isotropic_volume_lie_along_the_body():
    sagittal = Grid((20, 20, 20), np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]]))
    assert draw("slice_spacing", 4, sagittal, 0).change.axes == (1,)


@pytest.mark.parametrize("seed", range(4))
def test_inversion_turns_the_order_of_tissues_and_leaves_air_dark(scan, seed):
    changed = shift(scan, "inversion", 1, seed).volume.array
    scene = Scene.of(scan)
    tissue = (scan.array > scene.low + 0.2 * scene.span) & (scan.array < scene.high)
    assert np.corrcoef(scan.array[tissue], changed[tissue])[0, 1] == pytest.approx(-1, abs=1e-3)
    assert not changed[scan.array == 0].any()


def test_contrast_gives_equal_greys_equal_greys_and_leaves_air_dark(scan):
    changed = shift(scan, "contrast", 1, seed=0).volume.array
    greys, where = np.unique(scan.array, return_inverse=True)
    curve = np.zeros(greys.size, np.float32)
    curve[where.ravel()] = changed.ravel()
    assert np.array_equal(curve[where].reshape(changed.shape), changed)
    assert curve[0] == 0
    assert (np.diff(curve) < 0).any()
    assert (np.diff(curve) > 0).any()


@pytest.mark.parametrize("seed", range(4))
def test_ghosts_lie_along_one_axis_in_the_plane(oblique, seed):
    dot = np.zeros(oblique.shape, np.float32)
    dot[18:22, 16:20, 9] = 100
    changed, parameters = shift(Volume(dot, oblique, Modality.MRI), "ghosting", 1, seed)
    axis = parameters.change.axis
    assert axis in (0, 1)
    moved, still = np.moveaxis(changed.array, axis, 0), np.moveaxis(dot, axis, 0)
    beside = ~still.any(axis=0)
    assert np.abs(moved[:, beside]).max() < 1e-3
    line = moved[:, ~beside].mean(axis=1)
    ghosts = (line > 1) & ~still.any(axis=(1, 2))
    assert ghosts.sum() >= 3
    assert line.max() == line[still.any(axis=(1, 2))].max()


def test_brightness_stays_under_ghosting(scan):
    changed = shift(scan, "ghosting", 1, seed=0).volume
    assert changed.array.mean() == pytest.approx(scan.array.mean(), rel=0.05)


def test_motion_does_not_depend_on_where_the_scanner_put_its_origin(scan):
    affine = np.array(scan.grid.affine)
    affine[:3, 3] += (500, -300, 800)
    far = replace(scan, grid=Grid(scan.grid.shape, affine))
    near = shift(scan, "motion", 4, seed=1).volume.array
    np.testing.assert_allclose(shift(far, "motion", 4, seed=1).volume.array, near, atol=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_motion_leaves_the_body_where_its_labels_are(scan, seed):
    changed = shift(scan, "motion", 4, seed).volume.array

    def centre(array):
        return np.array(
            [
                np.average(np.arange(side), weights=array.sum(axis=rest))
                for side, rest in zip(array.shape, ((1, 2), (0, 2), (0, 1)), strict=True)
            ]
        )

    assert np.abs(centre(changed) - centre(scan.array)).max() < 0.5  # voxels
    assert np.corrcoef(changed.ravel(), scan.array.ravel())[0, 1] > 0.9


def test_a_spike_is_what_torchio_makes_of_one_in_k_space(scan):
    place, shape = np.array([24, 15, 11]), np.array(scan.array.shape)
    cycles = place - shape // 2  # over the field of view
    frequency = np.linalg.solve(scan.grid.affine[:3, :3].T, cycles / shape)
    phase = float(2 * np.pi * (cycles / shape) @ ((shape - 1) / 2))
    image = scan.array.astype(np.float32)
    transform = torchio.Spike(spikes_positions=(place / shape)[None] + 1e-6, intensity=0.2)
    expected = transform(torch.from_numpy(image)[None])[0].numpy()
    scene = Scene.of(scan)
    spikes = Spikes(0.2 * float(image.mean()) / scene.span, (tuple(frequency),), (phase,), (1.0,))
    np.testing.assert_allclose(spikes.apply(image, scene), expected, atol=0.05)
