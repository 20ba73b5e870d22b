"""Metrics of masks: arrays and spacing in, numbers out (overlap.py in voxels, surface.py in millimetres)."""

from .metric import Comparison, Metric
from .overlap import dice, iou, precision, sensitivity, volume_difference, volume_error
from .registry import METRICS
from .surface import SurfaceDistances, assd, hd95, nsd, surface_distances
from .tolerances import tolerance_mm

__all__ = [
    "METRICS",
    "Comparison",
    "Metric",
    "SurfaceDistances",
    "assd",
    "dice",
    "hd95",
    "iou",
    "nsd",
    "precision",
    "sensitivity",
    "surface_distances",
    "tolerance_mm",
    "volume_difference",
    "volume_error",
]
