"""Measuring a model: rows for one run on one case, their table, their statistics, and the report made from it."""
