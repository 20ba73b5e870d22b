"""Automatic networks trained from scratch: planned, trained and kept as nnU-Net does, without any setting by hand."""
