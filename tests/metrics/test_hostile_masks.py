"""S14: NaN and fractions are neither inside nor outside a mask, a surface has two or three axes, no number is odd."""

import numpy as np
import pytest
import torch

from segevolution.errors import VolumeError
from segevolution.metrics import assd, dice, hd95
from segevolution.metrics.surface import nsd, surface_distances


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mask_with_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(VolumeError, match="predicted mask holds NaN or infinity"):
        dice([[0, bad]], [[0, 1]])
    with pytest.raises(VolumeError, match="true mask holds NaN or infinity"):
        dice([[0, 1]], [[0, bad]])
    with pytest.raises(VolumeError, match="a mask holds numbers"):
        dice([["a", "b"]], [[0, 1]])


def test_a_mask_of_fractions_or_of_no_numbers_is_refused() -> None:
    with pytest.raises(VolumeError, match="predicted mask holds fractions"):
        dice([[0, 0.3]], [[0, 1]])
    with pytest.raises(VolumeError, match="predicted mask is no array"):
        dice([[0], [0, 1]], [[0, 1]])  # type: ignore[list-item]
    with pytest.raises(VolumeError, match="true mask is no array"):
        dice([[0, 1]], torch.ones(1, 2, requires_grad=True))
    assert dice([[0, 1.0000153]], [[0, 1]]) == 1, "noise of rounding, as a slope in a header makes it"


@pytest.mark.parametrize("axes", [1, 4])
def test_a_surface_of_other_than_two_or_three_axes_is_refused(axes: int) -> None:
    mask = np.zeros((6,) * axes, bool)
    mask[2:4] = True
    for measure in (hd95, assd, lambda *pair: nsd(*pair, 1)):
        with pytest.raises(VolumeError, match=f"two or three axes; these have {axes}"):
            measure(mask, mask, (1,) * axes)


@pytest.mark.parametrize("spacing", [None, 2.0, ("a", "b", "c")])
def test_a_spacing_that_is_no_numbers_is_refused(spacing: object) -> None:
    with pytest.raises(VolumeError, match="one positive number an axis"):
        hd95(np.ones((3, 3, 3)), np.ones((3, 3, 3)), spacing)  # type: ignore[arg-type]


def test_masks_without_a_voxel_are_empty() -> None:
    assert np.isnan(hd95(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), (1, 1, 1)))


@pytest.mark.parametrize("percentile", [150, -1, np.nan, "95"])
def test_an_impossible_percentile_is_refused(percentile: object) -> None:
    with pytest.raises(VolumeError, match="there is no percentile"):
        surface_distances([[1, 0]], [[0, 1]], (1, 1)).hausdorff(percentile)  # type: ignore[arg-type]


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf, "1"])
def test_an_impossible_tolerance_is_refused(tolerance: float) -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[1:4, 1:4, 1:4] = True
    with pytest.raises(VolumeError, match="tolerance"):
        nsd(mask, mask, (1, 1, 1), tolerance)
