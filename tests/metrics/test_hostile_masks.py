"""S14: NaN is neither inside nor outside a mask, and no tolerance is below zero."""

import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.metrics import dice
from segevolution.metrics.surface import nsd


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mask_with_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(VolumeError, match="predicted mask holds NaN or infinity"):
        dice([[0, bad]], [[0, 1]])
    with pytest.raises(VolumeError, match="true mask holds NaN or infinity"):
        dice([[0, 1]], [[0, bad]])
    with pytest.raises(VolumeError, match="a mask holds numbers"):
        dice([["a", "b"]], [[0, 1]])


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
def test_an_impossible_tolerance_is_refused(tolerance: float) -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[1:4, 1:4, 1:4] = True
    with pytest.raises(VolumeError, match="tolerance"):
        nsd(mask, mask, (1, 1, 1), tolerance)
