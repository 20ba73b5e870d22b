"""What a call of `predict` did: for a person, for the table of a batch, and for the JSON key beside the masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..adapters.shipped import ShippedExpert
from ..imaging.grid import Array
from ..imaging.intensity import LOWEST_SIGNAL_OF_MR
from ..imaging.usable_signal import usable_signal
from ..imaging.volume import Volume
from .confidence import Confidence
from .outputs import Outputs
from .question_digest import asked_values
from .request import SegmentRequest
from .segmentation import Segmentation

PURPOSE = "for research, not a medical device"
# Fields of a request that a key holds outside "asked" already: as they were taken for the answer.
_SAID_OF_THE_ANSWER = frozenset(
    {"image", "address", "series", "points", "negative_points", "box", "mm", "markups", "colours", "texts"}
)


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
        expected_overlap: the same calibrated on patients with labels; None where nothing is known of the model.
        warnings: reasons to doubt it, a clause each; empty = none.
    """

    name: str
    label: int
    file: Path
    voxels: int
    volume_ml: float
    mean_intensity: float | None
    predicted_iou: float
    expected_overlap: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentReport:
    """What a call of `predict` did.

    Attributes:
        structures: in the order asked; for candidates best first.
        files: everything written.
        notes: what a person should know about this answer, a sentence each, warnings first: the modality that was
            assumed, how a prompt was understood, structures that were not found, what the answer is for.
        encodings, decodings: work of the network.
        warnings: those of the notes that give reasons to doubt the image or an answer.
        reused: whether an earlier call had done it and this one did nothing.
    """

    structures: tuple[StructureResult, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    encodings: int
    decodings: int
    warnings: tuple[str, ...] = ()
    reused: bool = False


def measure(
    names: Sequence[str],
    values: Sequence[int],
    outputs: Outputs,
    volume: Volume,
    masks: Sequence[Array],
    answers: Sequence[Segmentation],
    judged: Sequence[Confidence],
) -> tuple[StructureResult, ...]:
    """One result a mask, as it is in its file."""
    paths = outputs.masks * len(masks) if len(outputs.masks) == 1 else outputs.masks
    results = []
    for name, value, path, mask, answer, confidence in zip(names, values, paths, masks, answers, judged, strict=True):
        voxels = int(mask.sum())
        mean = float(np.mean(volume.array[mask], dtype=np.float64)) if voxels else None
        volume_ml = voxels * volume.grid.voxel_volume / 1000
        results.append(
            StructureResult(
                name,
                value,
                path,
                voxels,
                volume_ml,
                mean,
                answer.iou,
                confidence.expected_overlap,
                confidence.warnings,
            )
        )
    return tuple(results)


def notes_of(
    request: SegmentRequest, volume: Volume, results: Sequence[StructureResult], answers: Sequence[Segmentation]
) -> tuple[str, ...]:
    """What a person should know beside the warnings."""
    if volume.modality is not None:
        modality = f"modality: {volume.modality}, as {'you said' if request.modality else 'the DICOM header says'}"
    elif (lowest := float(usable_signal(volume.array).measured.min())) < LOWEST_SIGNAL_OF_MR:
        modality = f"modality: not said; with values down to {lowest:.0f} it looks like CT; name it with --modality"
    else:
        modality = "modality: not said, and its values are not those of CT; name it, for instance with --modality MRI"
    lacking = [f"{result.name}: not found; its mask is empty" for result in results if result.voxels == 0]
    understood = _notes_of_answers(answers, numbered=request.candidates)
    adapted = [f"each answer after {steps} steps of test-time adaptation"] if (steps := request.test_time_steps) else []
    return (modality, *adapted, *understood, *lacking, PURPOSE)


def _notes_of_answers(answers: Sequence[Segmentation], *, numbered: bool) -> Sequence[str]:
    """Each note once; `numbered` names the alternative that it is of, unless it is of all."""
    notes = tuple(dict.fromkeys(note for answer in answers for note in answer.notes))
    if not numbered:
        return notes
    shared_notes = [note for note in notes if all(note in answer.notes for answer in answers)]
    own_notes = [
        f"alternative {number}: {note}"
        for number, answer in enumerate(answers, start=1)
        for note in answer.notes
        if note not in shared_notes
    ]
    return (*shared_notes, *own_notes)


def key_of(
    request: SegmentRequest,
    outputs: Outputs,
    volume: Volume,
    results: Sequence[StructureResult],
    notes: Sequence[str],
    answerer: ShippedExpert,
    question: str,
) -> dict[str, Any]:
    """What the JSON beside the masks says; `question` is the digest of the request as it was made."""
    return {
        "labels": {str(result.label): result.name for result in results},
        "structures": [as_plain(result) for result in results],
        "image": request.address or str(request.image),
        "series": request.series,
        "modality": volume.modality,
        "orientation": volume.grid.orientation,
        "orientation_stated": volume.orientation_stated,
        "model": answerer.model,
        "adapter": answerer.adapter,
        "points": [list(map(float, point)) for point in request.points],
        "negative_points": [list(map(float, point)) for point in request.negative_points],
        "box": None if request.box is None else list(map(float, request.box)),
        "unit": "mm" if request.mm else "voxel",
        "markups": None if request.markups is None else str(request.markups),
        "probabilities": [path.name for path in outputs.probabilities],
        "colours": None if outputs.colours is None else outputs.colours.name,
        "asked": {name: value for name, value in asked_values(request).items() if name not in _SAID_OF_THE_ANSWER},
        "question": question,
        "notes": list(notes),
        "made_by": f"segevolution {__version__}",
    }


def as_plain(result: StructureResult) -> dict[str, Any]:
    """A result for JSON."""
    return {
        "name": result.name,
        "label": result.label,
        "file": result.file.name,
        "voxels": result.voxels,
        "volume_ml": round(result.volume_ml, 3),
        "mean_intensity": None if result.mean_intensity is None else round(result.mean_intensity, 3),
        "predicted_iou": None if math.isnan(result.predicted_iou) else round(result.predicted_iou, 4),
        "expected_overlap": None if result.expected_overlap is None else round(result.expected_overlap, 4),
        "warnings": list(result.warnings),
    }
