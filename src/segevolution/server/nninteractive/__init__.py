"""nnInteractive's protocol, version 2 (`nninteractive-client` 2.x), so that 3D Slicer and napari connect unmodified.

Nothing on this wire says which way an image lies, how it was acquired or what a structure is called: the server's
settings say the first two, and text cannot be asked for.
"""
