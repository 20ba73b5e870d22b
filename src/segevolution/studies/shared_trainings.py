"""Take a training over from a study whose folder lies beside this one, instead of doing it again.

Recipes that ask different questions train the same methods on the same patients. A training's key is a digest of
everything that decides its weights (base, data, cases, settings, seed), so an equal key is the same training, whatever
the run is called.
"""

import shutil
from pathlib import Path
from typing import Any

from ..documents import read_json
from ..errors import RecipeError
from ..files import replacing, write_json
from ..training.checkpoint_file import BEST, LAST
from .jobs import TrainJob
from .training_notes import NOTE, is_trained
from .workspace import Workspace


def take_over(job: TrainJob, workspace: Workspace) -> str | None:
    """Copy what a neighbouring study trained, without the checkpoints that only its own continuation needs.

    A run of that name that was begun here goes on here.

    Returns:
        "study/run" that it was taken from; None where no neighbour has finished this very training.
    """
    place = workspace.run_folder(job.run)
    if job.fit is None or place.exists():
        return None
    finished_run = _finished(job.key, workspace.folder.resolve())
    if finished_run is None:
        return None
    source = f"{finished_run.parents[1].name}/{finished_run.name}"
    with replacing(place) as temporary:
        shutil.copytree(finished_run, temporary, ignore=shutil.ignore_patterns(LAST, BEST))
        note = read_json(temporary / NOTE, dict[str, Any], error=RecipeError)
        write_json(temporary / NOTE, {**note, "run": job.run, "taken_from": source})
    return source


def _finished(key: str, folder: Path) -> Path | None:
    """The first run, by name, of a study beside this one that finished the training and holds it whole."""
    for note in sorted(folder.parent.glob(f"*/models/*/{NOTE}")):
        if note.parents[2] != folder and is_trained(note.parent, key):
            return note.parent
    return None
