"""Findings about stores before anything is trained on them: faults, oddities, duplicates, leaks, overlaps."""

from .check import Audit, check, check_input
from .findings import Finding
from .overlaps import seen_by

__all__ = ["Audit", "Finding", "check", "check_input", "seen_by"]
