"""Curves from answers with known overlap, and what they are worth on patients whom they were not fitted on.

A curve is logistic in the logits of a few signs and is fitted to the overlap itself, a share between 0 and 1, by its
cross-entropy (fractional logistic regression, Papke and Wooldridge 1996), with a small ridge so that few patients
give no steep curve. One curve a kind of prompt; with fewer answers than that needs, kinds share one.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize

from ..errors import CheckpointError
from ..inference.calibration import Calibration, Curve, Measured, ModalityCalibration, logit
from ..inference.confidence import Confidence, calibrated_doubt
from ..vocabulary import Modality
from .calibration_rows import CalibrationRow

Floats = npt.NDArray[np.float64]

SIGN_SETS: tuple[tuple[str, ...], ...] = (
    ("predicted_iou", "certainty", "agreement"),
    ("predicted_iou", "certainty"),
    ("predicted_iou",),
)
"""The signs of each curve of a kind of prompt, most first: which of them are known decides at an answer."""
DOUBTFUL = 0.4
"""Expected IoU below which an answer is doubted; it is a Dice of 0.57."""
POOR, GOOD = 0.5, 0.8
"""Dice below which an answer is poor, and from which it is good."""
BINS = 10
_RIDGE = 0.3
_LEAST_ANSWERS = 20
_LEAST_PATIENTS = 3


def fitted(rows: Sequence[CalibrationRow], modality: Modality, data: str) -> ModalityCalibration:
    """The calibration of one modality.

    Args:
        rows: of patients whom neither the network nor its adapter was trained on.
        modality: of all of them.
        data: what they are from, for the record.

    Raises:
        CheckpointError: there are too few patients or answers to fit anything.
    """
    present = [row for row in rows if not row.absent]
    patients = sorted({row.patient for row in rows})
    if len(patients) < _LEAST_PATIENTS or len(present) < _LEAST_ANSWERS:
        raise CheckpointError(
            f"a calibration needs {_LEAST_PATIENTS} patients and {_LEAST_ANSWERS} answers; here are {len(patients)} "
            f"and {len(present)}. Give more labelled cases."
        )
    judged: list[tuple[CalibrationRow, Confidence]] = []
    for patient in patients:
        curves = _curves([row for row in present if row.patient != patient])
        held_out = Calibration({modality: ModalityCalibration(curves=curves, doubtful=DOUBTFUL, measured=_nothing())})
        judged += [(row, _judged(row, held_out, modality)) for row in rows if row.patient == patient]
    return ModalityCalibration(curves=_curves(present), doubtful=DOUBTFUL, measured=measured(judged, data))


def require_patients(patients: Collection[str], modality: Modality) -> None:
    """Refuse, with a CheckpointError, to calibrate a modality on too few patients; known before any is asked."""
    if len(set(patients)) < _LEAST_PATIENTS:
        raise CheckpointError(
            f"a calibration of {modality} needs {_LEAST_PATIENTS} patients; the stores give {len(set(patients))}. "
            "Give more labelled cases."
        )


def measured(judged: Sequence[tuple[CalibrationRow, Confidence]], data: str) -> Measured:
    """What expected overlaps and warnings were worth."""
    present = [(row, confidence) for row, confidence in judged if not row.absent]
    poor = [bool(confidence.warnings) for row, confidence in present if row.dice < POOR]
    good = [bool(confidence.warnings) for row, confidence in present if row.dice >= GOOD]
    absent = [bool(confidence.warnings) for row, confidence in judged if row.absent]
    before, after = {}, {}
    for kind in sorted({row.kind for row, _ in present}):
        kind_rows = [(row, confidence) for row, confidence in present if row.kind == kind]
        truth = np.array([row.iou for row, _ in kind_rows])
        predicted = np.array([row.signs.predicted_iou for row, _ in kind_rows])
        if not np.isnan(predicted).any():  # of a network that estimates no overlap there is nothing to compare with
            before[kind] = round(calibration_error(predicted, truth), 4)
        expected = np.array([confidence.expected_overlap for _, confidence in kind_rows], np.float64)
        after[kind] = round(calibration_error(expected, truth), 4)
    return Measured(
        answers=len(present),
        patients=len({row.patient for row, _ in judged}),
        error_before=before,
        error_after=after,
        poor=len(poor),
        poor_flagged=sum(poor),
        good=len(good),
        good_flagged=sum(good),
        absent=len(absent),
        absent_flagged=sum(absent),
        data=data,
    )


def calibration_error(predicted: Floats, true: Floats) -> float:
    """Expected calibration error (Naeini et al. 2015) of shares in [0, 1].

    In each of ten equal bins of the prediction the mean prediction is held against the mean truth; the mean of these
    distances, weighted by the answers in a bin. Answers without a prediction are left out.
    """
    finite = np.isfinite(predicted)
    predicted, true = predicted[finite], true[finite]
    bins = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    return float(
        sum(
            np.mean(bins == number) * abs(predicted[bins == number].mean() - true[bins == number].mean())
            for number in np.unique(bins)
        )
    )


def fit_curve(signs: Floats, overlaps: Floats, names: Sequence[str]) -> Curve:
    """One curve from signs (N, S), in [0, 1], and overlaps (N,)."""
    design = np.column_stack([np.ones(len(signs)), np.vectorize(logit)(signs)])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scores = design @ parameters
        value = float((np.logaddexp(0, scores) - overlaps * scores).sum() + _RIDGE * (parameters[1:] ** 2).sum())
        gradient = design.T @ (1 / (1 + np.exp(-scores)) - overlaps)
        gradient[1:] += 2 * _RIDGE * parameters[1:]
        return value, gradient

    coefficients = optimize.minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
    weights = {name: round(float(weight), 5) for name, weight in zip(names, coefficients[1:], strict=True)}
    return Curve(bias=round(float(coefficients[0]), 5), weights=weights)


def _curves(rows: Sequence[CalibrationRow]) -> dict[str, tuple[Curve, ...]]:
    """Curves by kind of prompt; a kind with too few answers gets those of all kinds together."""
    curves: dict[str, tuple[Curve, ...]] = {}
    for kind in sorted({row.kind for row in rows}):
        kind_rows = [row for row in rows if row.kind == kind]
        curves[kind] = tuple(_curves_of(kind_rows if len(kind_rows) >= _LEAST_ANSWERS else rows))
    return curves


def _curves_of(rows: Sequence[CalibrationRow]) -> Iterable[Curve]:
    """A curve for each set of signs that these answers have."""
    for names in SIGN_SETS:
        complete = [row for row in rows if all(_is_known(getattr(row.signs, name)) for name in names)]
        if len(complete) >= min(_LEAST_ANSWERS, len(rows)):
            signs = np.array([[getattr(row.signs, name) for name in names] for row in complete], np.float64)
            yield fit_curve(signs, np.array([row.iou for row in complete]), names)


def _is_known(sign: float | None) -> bool:
    return sign is not None and not np.isnan(sign)


def _judged(row: CalibrationRow, calibration: Calibration, modality: Modality) -> Confidence:
    """What would have been said of an answer."""
    expected = calibration.expected_of(row.signs, row.kind, modality)
    doubt = calibrated_doubt(expected, calibration, modality)
    return Confidence(expected, (*([doubt] if doubt else []), *row.reasons), row.signs)


def _nothing() -> Measured:
    """The record of curves that are only used to measure others."""
    counts = dict.fromkeys(("answers", "patients", "poor", "good", "absent"), 0)
    flagged = dict.fromkeys(("poor_flagged", "good_flagged", "absent_flagged"), 0)
    return Measured(error_before={}, error_after={}, data="", **counts, **flagged)
