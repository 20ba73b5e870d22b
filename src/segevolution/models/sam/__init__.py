"""The 2-D SAM family: SAM, SAM-Med2D, MedSAM and LiteMedSAM, asked slice by slice under one 3-D prompt."""
