"""`python -m segevolution`: the command line, also where its script is not on the path (torchrun, SLURM)."""

import sys

from .cli.app import main

if __name__ == "__main__":
    sys.exit(main())
