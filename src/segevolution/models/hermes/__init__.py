"""Hermes: an automatic network for many data sets, whose priors of tasks and modalities read the image and are read."""
