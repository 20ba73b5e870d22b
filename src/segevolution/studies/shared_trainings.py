"""Take a training over from a study whose folder lies beside this one, instead of doing it again.

Recipes that ask different questions train the same methods on the same patients. A training's key is a digest of
everything that decides its weights (base, data, cases, settings, seed), so an equal key beside an equal name is the
same training.
"""

import shutil
from pathlib import Path
from typing import Any

from ..documents import read_json
from ..errors import RecipeError
from ..files import replacing, write_json
from ..recipes.keys import noted_key
from ..training.checkpointing import BEST, LAST
from .jobs import TrainJob
from .workspace import Workspace

_NOTE = "trained.json"


def take_over(job: TrainJob, workspace: Workspace) -> str | None:
    """Copy what a neighbouring study trained, without the checkpoints that only its own continuation needs.

    A run of that name that was begun here goes on here.

    Returns:
        The name of the neighbour's folder; None where no neighbour has finished this very training.
    """
    place = workspace.run_folder(job.run)
    if job.fit is None or place.exists():
        return None
    neighbour = _neighbour(job, workspace.folder.resolve())
    if neighbour is None:
        return None
    with replacing(place) as temporary:
        shutil.copytree(
            neighbour / "models" / job.run,
            temporary,
            ignore=shutil.ignore_patterns(LAST, BEST),
        )
        note = read_json(temporary / _NOTE, dict[str, Any], error=RecipeError)
        write_json(temporary / _NOTE, {**note, "taken_from": neighbour.name})
    return neighbour.name


def _neighbour(job: TrainJob, folder: Path) -> Path | None:
    """The first study beside this one, by name, that finished the training."""
    for study in sorted(folder.parent.iterdir()):
        if study != folder and noted_key(study / "models" / job.run / _NOTE) == job.key:
            return study
    return None
