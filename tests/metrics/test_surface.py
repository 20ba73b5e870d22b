import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segevolution.errors import VolumeError
from segevolution.metrics import assd, hd95, nsd, surface_distances
from segevolution.metrics.surface_elements import element_areas

masks = arrays(np.bool_, (4, 5, 3))
steps = st.floats(0.3, 5.0)
spacings = st.tuples(steps, steps, steps)


def box(low: int, high: int) -> np.ndarray:
    """A box of 6 x 6 in y and z, from `low` to before `high` in x."""
    mask = np.zeros((20, 10, 10), bool)
    mask[low:high, 2:8, 2:8] = True
    return mask


def slab(thickness: int) -> np.ndarray:
    """A slab so wide that nearly all of its surface looks along x."""
    mask = np.zeros((12, 240, 240), bool)
    mask[3 : 3 + thickness] = True
    return mask


def ellipsoid(shape: tuple[int, ...], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    places = np.indices(shape)
    return sum(((p - c) / r) ** 2 for p, c, r in zip(places, centre, radii, strict=True)) <= 1


def test_identical_masks_have_no_distance():
    mask = box(3, 9)
    assert nsd(mask, mask, (1, 2, 3), 0) == 1
    assert hd95(mask, mask, (1, 2, 3)) == assd(mask, mask, (1, 2, 3)) == 0


def test_a_box_moved_by_two_voxels_is_two_voxels_away():
    here, there = box(3, 9), box(5, 11)
    found = surface_distances(there, here, (1.5, 1.0, 1.0))
    assert found.hausdorff(100) == 3.0
    assert found.hausdorff() == 3.0  # each end is 18 % of the surface
    assert found.nsd(3.0) == 1
    assert 0.5 < found.nsd(1.0) < 0.9  # the four long sides still lie on each other
    assert found.nsd(2.9) < 1


def test_tolerance_decides_whether_a_slab_too_thick_is_right():
    spacing = (2.0, 1.0, 1.0)
    for tolerance, share in ((1.9, 0.5), (2.0, 1.0)):  # one side fits exactly, the other is 2 mm off
        assert nsd(slab(6), slab(5), spacing, tolerance) == pytest.approx(share, abs=0.05)
    assert assd(slab(6), slab(5), spacing) == pytest.approx(1.0, abs=0.1)
    assert hd95(slab(6), slab(5), spacing) == 2.0


def test_a_flat_face_has_the_area_of_its_voxels():
    mask = np.zeros((8, 9, 10), bool)
    mask[:4] = True
    areas = element_areas(mask, (2.0, 3.0, 5.0))[3, 1:-1, 1:-1]
    assert np.allclose(areas, 3.0 * 5.0)


def test_a_single_voxel_is_an_octahedron_through_the_middles_to_its_neighbours():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    assert element_areas(mask, (1.0, 1.0, 1.0)).sum() == pytest.approx(8 * math.sqrt(3) / 8)


def test_a_single_pixel_is_a_rhombus():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    assert element_areas(mask, (3.0, 4.0)).sum() == pytest.approx(4 * 2.5)


def test_area_of_a_ball_is_near_that_of_the_sphere():
    ball = ellipsoid((45, 45, 45), (22, 22, 22), (18, 18, 18))
    assert element_areas(ball, (1.0, 1.0, 1.0)).sum() == pytest.approx(4 * math.pi * 18**2, rel=0.1)


@settings(max_examples=40, deadline=None)
@given(masks)
def test_every_mixed_corner_has_an_area_and_no_other(mask):
    padded = np.pad(mask, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 2, 2)).sum(axis=(3, 4, 5))
    assert np.array_equal(element_areas(padded, (1.0, 1.0, 1.0)) > 0, (windows > 0) & (windows < 8))


def test_numbers_agree_with_the_surface_distance_package():
    # Computed once by DeepMind's surface-distance 0.1 on these masks; where a piece of surface is not flat its
    # triangles are other ones, so areas agree to a per cent, NSD to .001, and distances exactly.
    truth = ellipsoid((40, 36, 24), (18, 17, 11), (12, 9, 6))
    predicted = ellipsoid((40, 36, 24), (20, 17, 11.5), (11, 10, 5))
    found = surface_distances(predicted, truth, (0.8, 1.1, 2.5))
    published = {1: 0.6053972189955091, 2: 0.8562692379592651, 3: 0.9828970122022301}
    assert {mm: found.nsd(mm) for mm in published} == pytest.approx(published, abs=1e-3)
    assert found.hausdorff() == pytest.approx(2.6248809496813377, abs=1e-9)
    assert found.hausdorff(100) == pytest.approx(5.0, abs=1e-9)
    assert found.predicted_areas.sum() == pytest.approx(1633.8006885, rel=0.01)


def test_contours_agree_with_the_surface_distance_package():
    truth, predicted = ellipsoid((30, 34), (14, 16), (9, 12)), ellipsoid((30, 34), (15, 15), (9, 10))
    found = surface_distances(predicted, truth, (1.5, 0.7))
    assert found.nsd(1) == pytest.approx(0.5239237337113466)
    assert found.hausdorff() == pytest.approx(2.1)
    assert found.predicted_areas.sum() == pytest.approx(72.2376579288418)


def test_two_empty_masks_have_no_surface_to_speak_of():
    empty = np.zeros((4, 4, 4))
    assert all(math.isnan(v) for v in (nsd(empty, empty, (1, 1, 1), 2), hd95(empty, empty, (1, 1, 1))))
    assert math.isnan(assd(empty, empty, (1, 1, 1)))


def test_nothing_is_near_a_mask_that_is_empty():
    mask, empty = box(3, 9), np.zeros((20, 10, 10))
    for pair in ((mask, empty), (empty, mask)):
        assert nsd(*pair, (1, 1, 1), 1000) == 0
        assert hd95(*pair, (1, 1, 1)) == assd(*pair, (1, 1, 1)) == math.inf


def test_a_mask_that_fills_its_array_still_has_a_surface():
    full = np.ones((3, 3, 3), bool)
    assert nsd(full, full, (1, 1, 1), 0) == 1
    assert len(surface_distances(full, full, (1, 1, 1)).truth) == 4**3 - 2**3


def test_the_hausdorff_95_forgives_a_stray_voxel_and_the_maximum_does_not():
    mask = box(3, 13)
    strayed = mask.copy()
    strayed[19, 5, 5] = True
    found = surface_distances(strayed, mask, (1, 1, 1))
    assert found.hausdorff(95) == 0
    assert found.hausdorff(100) > 5


@settings(max_examples=40, deadline=None)
@given(masks, masks, spacings)
def test_surface_numbers_are_symmetric_and_in_range(a, b, spacing):
    if not (a.any() and b.any()):
        return
    forth, back = surface_distances(a, b, spacing), surface_distances(b, a, spacing)
    assert forth.nsd(1) == pytest.approx(back.nsd(1))
    assert forth.average() == pytest.approx(back.average())
    assert forth.hausdorff() == back.hausdorff()
    assert 0 <= forth.nsd(1) <= forth.nsd(2) <= 1 + 1e-12
    assert 0 <= forth.average() <= forth.hausdorff(100) + 1e-12
    assert forth.hausdorff() <= forth.hausdorff(100)


@settings(max_examples=40, deadline=None)
@given(masks, masks, spacings, st.floats(0.5, 4.0))
def test_distances_grow_with_the_spacing(a, b, spacing, factor):
    if not (a.any() and b.any()):
        return
    small, large = surface_distances(a, b, spacing), surface_distances(a, b, tuple(s * factor for s in spacing))
    assert large.hausdorff(100) == pytest.approx(factor * small.hausdorff(100))
    assert large.average() == pytest.approx(factor * small.average())


def test_where_the_masks_lie_in_the_array_changes_nothing():
    here, there = box(3, 9), box(4, 11)
    wider = [np.pad(mask, ((0, 7), (3, 2), (5, 0))) for mask in (here, there)]
    assert nsd(here, there, (1, 1, 2), 1) == nsd(*wider, (1, 1, 2), 1)
    assert assd(here, there, (1, 1, 2)) == assd(*wider, (1, 1, 2))


def test_masks_or_spacing_that_do_not_fit_are_refused():
    with pytest.raises(VolumeError, match="shape"):
        hd95(np.ones((2, 2, 2)), np.ones((2, 2, 3)), (1, 1, 1))
    with pytest.raises(VolumeError, match="spacing"):
        nsd(np.ones((2, 2, 2)), np.ones((2, 2, 2)), (1, 1), 1)
