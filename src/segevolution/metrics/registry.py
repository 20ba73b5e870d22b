"""All metrics of an evaluation, by column; a new metric is one file, one line here, one test."""

from collections.abc import Mapping

from .metric import Metric
from .overlap import dice, volume_error

DICE = Metric("dice", "Dice", "higher", False, lambda pair: dice(pair.answer, pair.truth), span=(0.0, 1.0))
NSD = Metric(
    "nsd",
    "normalised surface Dice",
    "higher",
    True,
    lambda pair: pair.distances.nsd(pair.tolerance_mm),
    span=(0.0, 1.0),
)
HD95 = Metric("hd95_mm", "HD95 in millimetres", "lower", True, lambda pair: pair.distances.hausdorff(), distance=True)
VOLUME_ERROR = Metric(
    "volume_error", "relative volume error", "lower", False, lambda pair: volume_error(pair.answer, pair.truth)
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        DICE,
        NSD,
        HD95,
        VOLUME_ERROR,
    )
}
