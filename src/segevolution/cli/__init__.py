"""The command line: one file a command; bodies import torch late, so that --help answers at once."""
