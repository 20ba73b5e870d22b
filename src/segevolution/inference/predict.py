"""Files in, files out: read an image, segment what is asked, write masks, a key and a preview."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..adapters.shipped import NONE, ShippedExpert, expert_for
from ..files import replacing_together, write_json
from ..imaging.formats import write_mask
from ..imaging.grid import Array
from ..imaging.intensity import LOWEST_SIGNAL_OF_MR
from ..imaging.signal_checks import signal_warnings
from ..imaging.usable_signal import usable_signal
from ..imaging.volume import Volume
from .labelmap import label_map
from .load import load
from .request import SegmentRequest
from .segmentation import Segmentation
from .session import Session

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class StructureResult:
    """One structure as it was written.

    Attributes:
        name: of the structure; alternatives of one structure share it.
        label: its value in the file.
        file: the file that holds it.
        voxels, volume_ml: of the written mask.
        mean_intensity: of the signal inside it, as measured (HU for CT); None if it is empty.
        predicted_iou: the network's own estimate of the overlap with the truth; NaN where it makes none.
    """

    name: str
    label: int
    file: Path
    voxels: int
    volume_ml: float
    mean_intensity: float | None
    predicted_iou: float


@dataclass(frozen=True)
class SegmentReport:
    """What a call of `predict` did.

    Attributes:
        found: in the order asked; for candidates best first.
        files: everything written.
        notes: what a person should know about this answer, a sentence each: the modality that was assumed,
            how a prompt was understood, structures that were not found, what the answer is for.
        encodings, decodings: work of the network.
        warnings: those of the notes that speak of the image: what was guessed of its place, changed in it, or does
            not go with its modality.
    """

    found: tuple[StructureResult, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    encodings: int
    decodings: int
    warnings: tuple[str, ...] = ()


def predict(request: SegmentRequest, progress: Progress | None = None) -> SegmentReport:
    """Carry out a request; nothing is written unless everything was segmented.

    Args:
        request: what to segment and where to write it.
        progress: told (what is being done, structures done, structures in all).

    Raises:
        SegevolutionError: the sentence says what is wrong with the image, the prompt, the model or the output.
    """
    tell = progress or (lambda what, done, total: None)
    names = request.names
    tell("reading the image", 0, len(names))
    volume = request.read_image()
    prompts = request.prompts(volume.grid)
    request.check_outputs()
    warnings = (*volume.unstated, *volume.remarks, *signal_warnings(volume))
    tell("loading the model", 0, len(names))
    expert = expert_for(request.model, volume.modality) if request.adapter is None else None
    asked = ShippedExpert(request.model, None if request.adapter in (None, NONE) else str(request.adapter))
    used = expert or asked
    backbone = load(used.model, adapter=used.adapter, device=request.device)
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
    files = [*request.masks, request.sidecar, *([request.preview] if request.preview else [])]
    with replacing_together([path.absolute() for path in files], force=request.force) as temporary:
        mask_files = temporary[: len(request.masks)]
        masks = _write(mask_files, session, answers)
        results = _measure(request, volume, masks, answers)
        notes = (*warnings, *_routed(volume, expert), *_notes(request, volume, results, answers))
        write_json(temporary[len(mask_files)], _key(request, volume, results, notes, used))
        if request.preview is not None:
            drawn = list(zip(_titles(request), masks, strict=True))
            # Imported when it is asked for: matplotlib takes a quarter of the time of a first answer.
            preview = import_module(".preview", __package__)
            preview.write_preview(temporary[-1], volume, drawn, title=_headline(request, volume))
    counts = session.counts
    return SegmentReport(tuple(results), tuple(files), notes, counts.encodings, counts.decodings, warnings)


def _names(request: SegmentRequest) -> tuple[str, ...]:
    return request.names * len(request.masks) if request.candidates else request.names


def _titles(request: SegmentRequest) -> tuple[str, ...]:
    """What each mask is called in the preview."""
    names = _names(request)
    if not request.candidates:
        return names
    return tuple(f"{name}, alternative {number}" for number, name in enumerate(names, start=1))


def _headline(request: SegmentRequest, volume: Volume) -> str:
    """What the preview says above the picture."""
    modality = volume.modality or "modality not said"
    return f"{volume.name} ({modality}), {Path(request.model).name}; for research, not a medical device"


def _write(paths: Sequence[Path], session: Session, answers: list[Segmentation]) -> list[Array]:
    """Write the masks; each as it is in its file, one an answer."""
    volume = session.volume
    if len(paths) == 1:
        labels = label_map(answers, session.frame)
        write_mask(labels, volume, paths[0])
        return [labels == number + 1 for number in range(len(answers))]
    for path, answer in zip(paths, answers, strict=True):
        write_mask(answer.mask, volume, path)
    return [answer.mask for answer in answers]


def _measure(
    request: SegmentRequest, volume: Volume, masks: list[Array], answers: list[Segmentation]
) -> list[StructureResult]:
    joined = len(request.masks) == 1
    paths = request.masks * len(answers) if joined else request.masks
    results = []
    for place, (name, path, mask, answer) in enumerate(zip(_names(request), paths, masks, answers, strict=True)):
        voxels = int(mask.sum())
        mean = float(np.mean(volume.array[mask], dtype=np.float64)) if voxels else None
        volume_ml = voxels * volume.grid.voxel_volume / 1000
        results.append(StructureResult(name, place + 1 if joined else 1, path, voxels, volume_ml, mean, answer.iou))
    return results


def _routed(volume: Volume, expert: ShippedExpert | None) -> list[str]:
    return [f"{volume.modality} is answered by the expert, {expert}; --adapter none leaves it out"] if expert else []


def _notes(
    request: SegmentRequest, volume: Volume, found: list[StructureResult], answers: list[Segmentation]
) -> tuple[str, ...]:
    lowest = float(usable_signal(volume.array, volume.modality).measured.min())
    if volume.modality is not None:
        modality = f"modality: {volume.modality}, as {'you said' if request.modality else 'the DICOM header says'}"
    elif lowest < LOWEST_SIGNAL_OF_MR:
        modality = f"modality: not said; with values down to {lowest:.0f} it looks like CT; name it with --modality"
    else:
        modality = "modality: not said, and its values are not those of CT; name it, for instance with --modality MRI"
    lacking = [f"{entry.name}: not found; its mask is empty" for entry in found if entry.voxels == 0]
    understood = dict.fromkeys(note for answer in answers for note in answer.notes)
    return (modality, *understood, *lacking, "for research, not a medical device")


def _key(
    request: SegmentRequest, volume: Volume, found: list[StructureResult], notes: tuple[str, ...], used: ShippedExpert
) -> dict[str, Any]:
    """What the JSON sidecar says."""
    labels = {str(entry.label): entry.name for entry in found} if len(request.masks) == 1 else {"1": "the structure"}
    return {
        "labels": labels,
        "structures": [as_plain(entry) for entry in found],
        "image": str(request.image),
        "modality": volume.modality,
        "orientation": volume.grid.orientation,
        "orientation_stated": volume.orientation_stated,
        "model": used.model,
        "adapter": used.adapter,
        "points": [list(map(float, point)) for point in request.points],
        "negative_points": [list(map(float, point)) for point in request.negative_points],
        "box": None if request.box is None else list(map(float, request.box)),
        "unit": "mm" if request.mm else "voxel",
        "notes": list(notes),
        "made_by": f"segevolution {__version__}",
    }


def as_plain(entry: StructureResult) -> dict[str, Any]:
    """A row for JSON."""
    return {
        "name": entry.name,
        "label": entry.label,
        "file": entry.file.name,
        "voxels": entry.voxels,
        "volume_ml": round(entry.volume_ml, 3),
        "mean_intensity": None if entry.mean_intensity is None else round(entry.mean_intensity, 3),
        "predicted_iou": None if math.isnan(entry.predicted_iou) else round(entry.predicted_iou, 4),
    }
