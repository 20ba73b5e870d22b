"""Trainers that nnU-Net itself loads, in its own process; nothing of this package imports them."""
