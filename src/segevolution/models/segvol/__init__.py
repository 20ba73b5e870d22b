"""SegVol (Du et al., NeurIPS 2024, arXiv:2311.13385), every size from a config."""
