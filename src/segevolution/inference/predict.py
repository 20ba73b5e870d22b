"""Files in, files out: read an image, segment what is asked, write masks, a key and a preview."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import write_json
from ..imaging.formats import read, write_mask
from ..imaging.grid import Array
from ..imaging.volume import Volume
from .labelmap import label_map
from .load import load
from .preview import write_preview
from .request import Request
from .segmentation import Segmentation
from .session import Session

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """One structure as it was written.

    Attributes:
        name: of the structure; alternatives of one structure share it.
        label: its value in the file.
        file: the file that holds it.
        voxels, volume_ml: of the written mask.
        mean_intensity: of the signal inside it, as measured (HU for CT); None if it is empty.
        predicted_iou: the network's own estimate of the overlap with the truth.
    """

    name: str
    label: int
    file: Path
    voxels: int
    volume_ml: float
    mean_intensity: float | None
    predicted_iou: float


@dataclass(frozen=True)
class Report:
    """What a call of `predict` did.

    Attributes:
        found: in the order asked; for candidates best first.
        files: everything written.
        encodings, decodings: work of the network.
    """

    found: tuple[Found, ...]
    files: tuple[Path, ...]
    encodings: int
    decodings: int


def predict(request: Request, progress: Progress | None = None) -> Report:
    """Carry out a request; nothing is written unless everything was segmented.

    Args:
        request: what to segment and where to write it.
        progress: told (what is being done, structures done, structures in all).

    Raises:
        SegevolutionError: the sentence says what is wrong with the image, the prompt, the model or the output.
    """
    tell = progress or (lambda what, done, total: None)
    request.check_outputs()
    names = request.names
    tell("reading the image", 0, len(names))
    volume = read(request.image, modality=request.modality, series=request.series)
    prompts = request.prompts(volume.grid)
    tell("loading the model", 0, len(names))
    backbone = load(request.model, adapter=request.adapter, device=request.device)
    session = Session(backbone, volume, windows=request.windows)
    session.check(prompts)
    answers: list[Segmentation] = []
    joined = len(prompts) > 1 and not request.split
    for done, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        tell(name, done, len(names))
        if request.candidates:
            answers.extend(session.candidates(prompt))
        else:
            answers.append(session.segment(prompt, keep_logits=joined))
    tell("writing", len(names), len(names))
    found = _write(request, session, answers)
    files = [*dict.fromkeys(entry.file for entry in found), request.sidecar]
    write_json(request.sidecar, _key(request, volume, found))
    if request.preview is not None:
        masks = [(answer.structure or name, answer.mask) for answer, name in zip(answers, _names(request), strict=True)]
        write_preview(request.preview, volume, masks, title=f"{volume.name}, {request.model}")
        files.append(request.preview)
    return Report(tuple(found), tuple(files), session.counts.encodings, session.counts.decodings)


def _names(request: Request) -> tuple[str, ...]:
    return request.names * len(request.masks) if request.candidates else request.names


def _write(request: Request, session: Session, answers: list[Segmentation]) -> list[Found]:
    volume, paths = session.volume, request.masks
    if len(paths) == 1:
        labels = label_map(answers, session.frame)
        write_mask(labels, volume, paths[0], force=request.force)
        parts = [labels == number + 1 for number in range(len(answers))]
        paths = paths * len(answers)
    else:
        parts = [answer.mask for answer in answers]
        for path, mask in zip(paths, parts, strict=True):
            write_mask(mask, volume, path, force=request.force)
    alone = len(set(paths)) == len(answers)
    return [
        _measure(volume, name, 1 if alone else place + 1, path, part, answer.iou)
        for place, (name, path, part, answer) in enumerate(zip(_names(request), paths, parts, answers, strict=True))
    ]


def _measure(volume: Volume, name: str, label: int, file: Path, mask: Array, iou: float) -> Found:
    voxels = int(mask.sum())
    mean = float(np.mean(volume.array[mask], dtype=np.float64)) if voxels else None
    return Found(name, label, file, voxels, voxels * volume.grid.voxel_volume / 1000, mean, iou)


def _key(request: Request, volume: Volume, found: list[Found]) -> dict[str, Any]:
    """What the JSON sidecar says."""
    labels = {str(entry.label): entry.name for entry in found} if len(request.masks) == 1 else {"1": "the structure"}
    return {
        "labels": labels,
        "structures": [as_plain(entry) for entry in found],
        "image": str(request.image),
        "modality": volume.modality,
        "model": str(request.model),
        "adapter": None if request.adapter is None else str(request.adapter),
        "points": [list(map(float, point)) for point in request.points],
        "negative_points": [list(map(float, point)) for point in request.negative_points],
        "box": None if request.box is None else list(map(float, request.box)),
        "unit": "mm" if request.mm else "voxel",
        "made_by": f"segevolution {__version__}; for research, not a medical device",
    }


def as_plain(entry: Found) -> dict[str, Any]:
    """A row for JSON."""
    return {
        "name": entry.name,
        "label": entry.label,
        "file": entry.file.name,
        "voxels": entry.voxels,
        "volume_ml": round(entry.volume_ml, 3),
        "mean_intensity": None if entry.mean_intensity is None else round(entry.mean_intensity, 3),
        "predicted_iou": round(entry.predicted_iou, 4),
    }
