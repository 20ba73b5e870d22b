"""What a model's own estimate of its overlap is worth: a curve a modality and kind of prompt, kept with the weights.

    calibration.json in a model folder, or in an adapter folder for what that adapter answers

The curve is a logistic one over a few signs of an answer, `expected overlap = s(bias + sum of weight x s^-1(sign))`,
fitted on patients whom neither the network nor the adapter was trained on (`evaluation.calibration_fit`). With one
sign it is Platt's scaling (1999) of the predicted overlap. A file names the SHA-256 of the weights that it was measured
on, and is passed over where these have changed since.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict, Field

from ..documents import Document, read_json
from ..errors import CheckpointError
from ..files import sha256, write_json
from ..imaging.prompts import Prompt, PromptKind
from ..vocabulary import Modality
from .signs import Signs

CALIBRATION = "calibration.json"
_EDGE = 0.01  # signs are kept this far from 0 and 1, where their logit would be infinite


class Curve(Document):
    """One logistic curve.

    Attributes:
        bias: of the logit.
        weights: sign -> its weight; every sign that it names must be known.
    """

    bias: float
    weights: dict[str, float]

    def expected(self, signs: Signs) -> float | None:
        """The overlap (IoU) to be expected; None where a sign is not known."""
        total = self.bias
        for name, weight in self.weights.items():
            value = getattr(signs, name)
            if value is None or math.isnan(value):
                return None
            total += weight * logit(value)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))


class Measured(Document):
    """How good the curves of one modality are on patients whom each was not fitted on (leave one patient out).

    Attributes:
        answers, patients: how many there were.
        error_before, error_after: expected calibration error by kind of prompt, of the predicted and of the
            expected overlap.
        poor, poor_flagged: answers below Dice 0.5, and those of them with a warning.
        good, good_flagged: answers of at least Dice 0.8, and those of them with a warning.
        absent, absent_flagged: texts of structures that the scan does not show and that were answered, and those of
            them with a warning.
        data: what they are from.
    """

    answers: int
    patients: int
    error_before: dict[str, float]
    error_after: dict[str, float]
    poor: int
    poor_flagged: int
    good: int
    good_flagged: int
    absent: int
    absent_flagged: int
    data: str


class ModalityCalibration(Document):
    """The curves of one modality.

    Attributes:
        curves: kind of prompt -> curves, the one with most signs first; the first whose signs are known counts.
        doubtful: expected overlap below which an answer is doubted.
        measured: what they are worth.
    """

    curves: dict[str, tuple[Curve, ...]]
    doubtful: float = Field(ge=0, le=1)
    measured: Measured


class _CalibrationFile(Document):
    """calibration.json."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    weights: str
    modalities: dict[Modality, ModalityCalibration]


@dataclass(frozen=True)
class Calibration:
    """What is known of one network's answers.

    Attributes:
        modalities: those it was calibrated on.
    """

    modalities: Mapping[Modality, ModalityCalibration] = field(default_factory=dict)

    def expected_overlap(self, signs: Signs, prompt: Prompt, modality: Modality | None) -> float | None:
        """The overlap (IoU) with the truth to be expected; None where nothing is known of this modality or prompt."""
        return self.expected_of(signs, kind_of(prompt), modality)

    def expected_of(self, signs: Signs, kind: str, modality: Modality | None) -> float | None:
        """The same for a kind of prompt, such as "text+box"."""
        modality_curves = None if modality is None else self.modalities.get(modality)
        if modality_curves is None:
            return None
        for curve in modality_curves.curves.get(kind, ()):
            expected = curve.expected(signs)
            if expected is not None:
                return expected
        return None

    def doubtful_below(self, modality: Modality | None) -> float | None:
        """Expected overlap below which an answer is doubted; None where nothing is known."""
        modality_curves = None if modality is None else self.modalities.get(modality)
        return None if modality_curves is None else modality_curves.doubtful


def kind_of(prompt: Prompt) -> str:
    """The kind of prompt whose curve counts, such as "text+box"; a scribble counts as points, a lasso as a box.

    A place makes the difference, so a box outweighs points, and an earlier mask counts as a box.
    """
    kinds = prompt.kinds
    place = ""
    if kinds & {PromptKind.BOX, PromptKind.LASSO, PromptKind.MASK}:
        place = "box"
    elif kinds & {PromptKind.POINT, PromptKind.SCRIBBLE}:
        place = "point"
    return "+".join(part for part in (PromptKind.TEXT if PromptKind.TEXT in kinds else "", place) if part)


def logit(share: float) -> float:
    """ln(p / (1 - p)), with p kept away from 0 and 1."""
    bounded = min(1 - _EDGE, max(_EDGE, share))
    return math.log(bounded / (1 - bounded))


def read_calibration(folder: Path, weights: Path) -> Calibration:
    """The calibration that lies in a model or adapter folder; an empty one where there is none for these weights.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return Calibration()
    content = read_json(path, _CalibrationFile, error=CheckpointError)
    return Calibration(content.modalities if content.weights == sha256(weights) else {})


def write_calibration(folder: Path, weights: Path, modalities: Mapping[Modality, ModalityCalibration]) -> Path:
    """Write the calibration of these weights; modalities that it held for the same weights and are not given stay."""
    path = folder / CALIBRATION
    modalities_of_model = dict(read_calibration(folder, weights).modalities) | dict(modalities)
    write_json(
        path,
        {
            "version": 1,
            "weights": sha256(weights),
            "modalities": {
                str(name): value.model_dump(mode="json") for name, value in sorted(modalities_of_model.items())
            },
        },
    )
    return path
