from dataclasses import dataclass
from math import prod

import pytest

from segevolution.errors import StoreError
from segevolution.training.automatic.planning import (
    coarser,
    median_shape,
    plan_network,
    target_spacing,
    topology,
    topology_within,
)
from segevolution.training.automatic.settings import AutomaticSettings
from segevolution.vocabulary import Modality


@dataclass(frozen=True)
class Record:
    """What planning reads of a case; (x, y, z)."""

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    modality: Modality = Modality.MRI


SLICES = [Record((1.25, 1.25, z), (256, 256, 36)) for z in (5.0, 7.7, 7.7, 7.7, 7.7)]


def test_the_spacing_is_the_median_and_of_one_far_coarser_axis_the_tenth_percentile():
    assert target_spacing([Record((1, 2, z), (100, 100, 100)) for z in (1, 2, 2.5)]) == (2, 2, 1)
    assert target_spacing(SLICES)[0] == pytest.approx(5 + 0.4 * 2.7)
    many_slices = [Record((1.25, 1.25, z), (256, 256, 100)) for z in (5.0, 7.7, 7.7, 7.7, 7.7)]
    assert target_spacing(many_slices)[0] == 7.7


def test_kernels_are_flat_across_thick_slices_until_the_plane_is_as_coarse():
    planned = topology((7.7, 1.25, 1.25), (36, 256, 256))
    assert planned.kernels[0] == planned.kernels[1] == (1, 3, 3)
    assert set(planned.kernels[2:]) == {(3, 3, 3)}
    assert planned.strides[1] == planned.strides[2] == (1, 2, 2)
    assert (2, 2, 2) in planned.strides


def test_equal_voxels_are_halved_alike_down_to_four():
    planned = topology((1, 1, 1), (128, 128, 128))
    assert planned.strides == ((1, 1, 1), *[(2, 2, 2)] * 5)
    assert planned.steps == (32, 32, 32)
    assert len(planned.kernels) == len(planned.strides)


@pytest.mark.parametrize("voxels", [5_000, 30_000, 200_000, 2_000_000])
@pytest.mark.parametrize(("spacing", "shape"), [((7.7, 1.25, 1.25), (36, 256, 256)), ((1, 1, 1), (120, 180, 150))])
def test_a_patch_keeps_to_its_budget_and_is_a_multiple_of_its_strides(spacing, shape, voxels):
    planned = topology_within(spacing, shape, voxels)
    assert prod(planned.patch) <= voxels
    assert all(side % step == 0 for side, step in zip(planned.patch, planned.steps, strict=True))
    assert len(planned.strides) >= 3


def test_where_the_budget_shows_too_little_all_is_made_coarser_the_finest_axes_first():
    assert coarser((7.7, 1.25, 1.25)) == (7.7, 1.03 * 1.25, 1.03 * 1.25)
    assert coarser((2, 1.25, 1.25)) == pytest.approx((2.06, 1.2875, 1.2875))
    records = [Record((1.25, 1.25, 7.7), (256, 256, 36))]
    fine, coarse = (
        plan_network(records, ["liver"], AutomaticSettings(coverage=coverage, patch_voxels=200_000))
        for coverage in (0, 0.25)
    )
    assert fine.spacing == (1.25, 1.25, 7.7)
    assert coarse.spacing[0] > 2
    assert coarse.spacing[2] == 7.7
    assert prod(coarse.window) >= 0.25 * prod(median_shape(records, coarse.spacing[::-1]))


def test_features_double_up_to_a_ceiling_and_ct_keeps_its_scale():
    records = [Record((1, 1, 1), (128, 128, 128), Modality.CT)]
    config = plan_network(records, ["liver"], AutomaticSettings(features=8, most_features=20, coverage=0))
    assert config.features[:3] == (8, 16, 20)
    assert config.intensity == "soft_tissue"
    assert plan_network(SLICES, ["liver"], AutomaticSettings()).intensity == "z_score"


def test_nothing_is_planned_from_nothing():
    with pytest.raises(StoreError, match="no case"):
        plan_network([], ["liver"], AutomaticSettings())
