"""Check that the signal is as it was measured: on the scale of its peers, CT in HU, neither clipped nor normalised."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ...imaging.grid import Array
from ...vocabulary import Modality
from ..record import CaseRecord
from .findings import Finding, Severity

_CHECK = "intensity"

# A signal this many times stronger or weaker than its dataset's median is on another scale.
_OUTLYING = 20.0
# Share of voxels at the greatest value from which a signal was cut off there.
_CLIPPED = 0.005
_AIR = -500.0  # HU; a CT that never gets as low was cut off or has no units

_AS_MEASURED = "Prepare it again from the signal as measured, if there is one; it is normalised once, by the network."


def check_signal(name: str, record: CaseRecord, signal: Array) -> list[Finding]:
    """What is odd about one signal.

    Args:
        name: "store/case".
        signal: (X, Y, Z), as stored.
    """
    low, lower, _, upper, high = record.signal
    findings: list[Finding] = []

    def say(severity: Severity, message: str, remedy: str) -> None:
        findings.append(Finding(_CHECK, severity, (name,), f"{name} {message}", remedy))

    if lower == upper:
        say("warning", f"is {lower:g} almost everywhere.", "Look whether it is the image at all.")
        return findings
    normalised = _normalised(signal)
    if normalised:
        say("note", f"seems normalised already: {normalised}.", _AS_MEASURED)
    elif record.modality is Modality.CT and low > _AIR:
        if low >= 0 and high > 1000:
            remedy = "Find the rescale intercept (1024 or 1000 as a rule), and prepare it again."
            say("warning", f"is a CT from {low:g} to {high:g}: these are no Hounsfield units.", remedy)
        else:
            remedy = "Nothing, if the window holds all that matters; values outside it are lost."
            say("note", f"is a CT from {low:g} to {high:g}: a window of the Hounsfield scale.", remedy)
            return findings
    share = float(np.count_nonzero(signal == signal.max()) / signal.size)
    if share > _CLIPPED and not normalised:
        say("note", f"is cut off at {high:g}, where {share:.1%} of its voxels lie.", _AS_MEASURED)
    return findings


def check_scales(records: Mapping[str, CaseRecord]) -> list[Finding]:
    """A finding for each case that `outlying` notes; names are "store/case"."""
    remedy = "Compare with the original: scaling may have been lost there; it is normalised before use, or drop it."
    return [
        Finding(_CHECK, "warning", (name,), f"{name}: {oddity}", remedy) for name, oddity in outlying(records).items()
    ]


def outlying(records: Mapping[str, CaseRecord]) -> dict[str, str]:
    """Cases whose 99.5th percentile is far from their peers' median, each with a sentence.

    Peers share dataset, modality and sequence. CT is left out: it has units.
    """
    groups: dict[tuple[object, ...], dict[str, float]] = defaultdict(dict)
    for name, record in records.items():
        if record.modality is not Modality.CT:
            groups[record.dataset, record.modality, record.sequence][name] = record.signal[3]
    notes = {}
    for group in groups.values():
        middle = float(np.median(list(group.values())))
        for name, high in group.items():
            if middle > 0 and not middle / _OUTLYING <= high <= middle * _OUTLYING:
                notes[name] = (
                    f"its signal reaches {high:.4g}, where {middle:.4g} is usual in its dataset; kept as measured."
                )
    return dict(sorted(notes.items()))


def _normalised(signal: Array) -> str:
    """How a signal was normalised, in words; empty where it was not."""
    if signal.dtype.kind != "f":
        return ""
    low, high = float(signal.min()), float(signal.max())
    if low >= 0 and high <= 1:
        return "it lies within 0 and 1"
    for owner, part in (("its", signal), ("its foreground's", signal[signal > signal.mean()])):
        mean, deviation = float(part.mean(dtype=np.float64)), float(part.std(dtype=np.float64))
        if abs(mean) < 0.05 and abs(deviation - 1) < 0.05:
            return f"{owner} mean is {mean:.2f} and its standard deviation {deviation:.2f}"
    return ""
