"""A budget of memory is looked at before anything is allocated (FAULTS X5)."""

import pytest

from segevolution.errors import FormatError
from segevolution.memory import GIGABYTE, MemoryBudget, free_bytes


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
