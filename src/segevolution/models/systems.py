"""Published systems by the name that `models convert --as` takes; another one is one line here.

SegVol's own files are told by what they hold and need no name, see segvol/published.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from .nninteractive import published as nninteractive
from .sam import published as sam
from .sam_med3d import published as sam_med3d


@dataclass(frozen=True)
class PublishedSystem:
    """How one system's files become a model folder.

    Attributes:
        convert: (file or folder, model folder to write, whether it may replace one there).
        repository: where the Hugging Face hub has it; None where it has not.
        files: patterns of what is needed from there.
    """

    convert: Callable[[Path, Path, bool], None]
    repository: str | None = None
    files: tuple[str, ...] = ()


def _family(system: str) -> PublishedSystem:
    return PublishedSystem(lambda source, folder, force: sam.convert_sam(source, system, folder, force=force))


SYSTEMS: dict[str, PublishedSystem] = {
    **{name: _family(name) for name in sam.SYSTEMS},
    "sam-med3d": PublishedSystem(
        lambda source, folder, force: sam_med3d.convert_sam_med3d(source, folder, force=force),
        sam_med3d.REPOSITORY,
        (sam_med3d.FILE,),
    ),
    "nninteractive": PublishedSystem(
        lambda source, folder, force: nninteractive.convert_nninteractive(source, folder, force=force),
        nninteractive.REPOSITORY,
        nninteractive.FILES,
    ),
}


def system_named(name: str) -> PublishedSystem:
    """The system that `--as` names; raises CheckpointError for another."""
    if name not in SYSTEMS:
        raise CheckpointError(f'"{name}" is no published system; known are {", ".join(SYSTEMS)}.')
    return SYSTEMS[name]


def system_of(repository: str) -> str | None:
    """The name of the system that a repository of the hub holds; None for SegVol's form and others."""
    return next((name for name, system in SYSTEMS.items() if system.repository == repository), None)
