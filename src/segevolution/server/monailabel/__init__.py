"""The part of MONAI Label's protocol that its 3D Slicer module needs to segment: no datastore, no training.

The image comes as a file with its place, so that points are voxels of it and labels have names.
"""
