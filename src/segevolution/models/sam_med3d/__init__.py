"""SAM-Med3D: a promptable network of 128^3 voxels at 1.5 mm, led by clicks in turn."""
