"""The HTML page of a report: blocks in, one file out that asks for nothing beside it."""
