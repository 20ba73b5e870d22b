"""Networks behind one seam (see backbone.py), their checkpoints and where to find them."""
