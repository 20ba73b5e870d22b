"""Controlled changes of how a scan looks, never of where things are: for evaluation under shift, and for training.

A new shift is one file here that states a Shift, one line in registry.py, and one test.
"""

from .base import Change, Scene, Shift
from .registry import SHIFTS, find
from .replay import Parameters, Shifted, apply, draw, shift

__all__ = ["SHIFTS", "Change", "Parameters", "Scene", "Shift", "Shifted", "apply", "draw", "find", "shift"]
