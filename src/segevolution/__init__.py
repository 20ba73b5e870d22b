"""SegEVOLution: adapt promptable 3-D segmentation models to new modalities, and prove whether that helped."""

__version__ = "0.1.0"
