"""`segevolution data example`: a folder to try everything on."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Force, Quiet, note


def example_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("example"),
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a simulated CT and MRI of one patient with labels, and five MRI patients to adapt to.

    Nothing is downloaded; it takes about ten seconds. The documentation's commands run in this folder.
    """
    from ..data.example import write_example

    note("simulating six patients, about ten seconds ...", quiet=quiet)
    for path in write_example(folder, force=force):
        typer.echo(path)
    note(f"try: cd {folder}; segevolution segment ct.nii.gz --modality CT --text liver --preview look.png", quiet=quiet)
