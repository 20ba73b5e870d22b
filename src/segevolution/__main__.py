"""`python -m segevolution`: the command line, also where its script is not on the path (torchrun, SLURM)."""

from .cli.app import main

if __name__ == "__main__":
    main()
