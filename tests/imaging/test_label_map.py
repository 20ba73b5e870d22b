"""Masks that overlap become one label map, and every one of them is got back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segevolution.errors import VolumeError
from segevolution.imaging.case import label_map, label_map_at

SHAPE = (3, 4, 2)


@given(st.lists(hnp.arrays(bool, SHAPE), min_size=1, max_size=5))
def test_every_mask_is_the_set_of_its_values(masks: list[np.ndarray]) -> None:
    named = {f"m{number}": mask for number, mask in enumerate(masks)}
    labels, values = label_map(named)
    for name, mask in named.items():
        np.testing.assert_array_equal(np.isin(labels, values.get(name, ())), mask)
        assert (name in values) == mask.any()
    again, same = label_map_at({name: np.flatnonzero(mask) for name, mask in named.items()}, SHAPE)
    np.testing.assert_array_equal(labels, again)
    assert values == same


def test_masks_apart_are_numbered_in_order() -> None:
    masks = np.zeros((3, *SHAPE), bool)
    masks[0, 0], masks[2, 2] = True, True
    labels, values = label_map({"liver": masks[0], "spleen": masks[1], "aorta": masks[2]})
    assert values == {"liver": (1,), "aorta": (2,)}
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.3])
def test_what_is_neither_inside_nor_outside_is_refused(value: float) -> None:
    with pytest.raises(VolumeError, match="mask of liver holds"):
        label_map({"liver": np.full(SHAPE, value)})


def test_masks_of_other_shapes_and_voxels_outside_are_refused() -> None:
    with pytest.raises(VolumeError, match="must share one shape"):
        label_map({"liver": np.ones(SHAPE), "spleen": np.ones((2, 2, 2))})
    with pytest.raises(VolumeError, match="must share one shape"):
        label_map({})
    with pytest.raises(VolumeError, match="voxels outside"):
        label_map_at({"liver": np.array([24])}, SHAPE)
