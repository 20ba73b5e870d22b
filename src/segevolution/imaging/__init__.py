"""Volumes, grids and prompts: everything before any network."""
