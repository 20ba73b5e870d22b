"""A budget of memory is looked at before anything is allocated (FAULTS X5)."""

import tracemalloc

import numpy as np
import pytest

from segevolution.errors import FormatError, VolumeError
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.resampling import Resampling
from segevolution.imaging.volume import Volume
from segevolution.memory import GIGABYTE, MemoryBudget, free_bytes
from segevolution.vocabulary import Modality


def test_the_default_is_half_of_what_is_free() -> None:
    assert 0 < MemoryBudget.of().limit <= 0.6 * free_bytes()
    assert not MemoryBudget.of().stated


def test_what_needs_more_is_refused_with_both_numbers_and_the_way_out() -> None:
    budget = MemoryBudget.of(2)
    budget.require(2 * GIGABYTE, "scan.nii.gz")
    with pytest.raises(
        FormatError, match=r"scan.nii.gz needs 3.5 GB of memory, but 2.0 GB may be used .*--max-gigabytes"
    ):
        budget.require(int(3.5 * GIGABYTE), "scan.nii.gz")


@pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf")])
def test_an_impossible_budget_is_refused(number: float) -> None:
    with pytest.raises(FormatError, match="memory budget"):
        MemoryBudget.of(number)


def test_a_volume_that_grows_at_the_networks_spacing_is_held_against_the_budget() -> None:
    volume = Volume(np.random.default_rng(0).random((20, 20, 20)), Grid((20, 20, 20), np.eye(4)), Modality.CT, "scan")
    assert frame(volume, "soft_tissue", (0.5, 0.5, 0.5), budget=MemoryBudget.of(0.01)).image.shape == (40, 40, 40)
    with pytest.raises(VolumeError, match=r"scan, which has 2000 x 2000 x 2000 voxels .* needs 160.3 GB of memory"):
        frame(volume, "soft_tissue", (0.01, 0.01, 0.01), budget=MemoryBudget.of(20))


@pytest.mark.parametrize("wanted", [(0.5, 2, 2), (2, 0.4, 0.4), (0.6, 0.6, 0.6), (3, 3, 3)])
def test_what_resampling_announces_is_what_it_takes(wanted: tuple[float, float, float]) -> None:
    array = np.random.default_rng(0).random((64, 96, 96), np.float32)
    resampling = Resampling.to_spacing((64, 96, 96), (1, 1, 1), wanted)
    tracemalloc.start()
    resampling.image(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.4 * resampling.bytes_needed < peak <= resampling.bytes_needed
