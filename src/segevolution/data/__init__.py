"""Datasets to one store of cases, and the splits and samples drawn from it; sees no network."""
