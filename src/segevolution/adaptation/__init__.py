"""The one command for a laboratory: from its patients to an adapter, and whether to use it."""
