"""Studies: a recipe becomes jobs, and what is missing of them is done."""
