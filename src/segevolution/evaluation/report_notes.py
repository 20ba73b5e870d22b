"""What the numbers of a report rest on, in sentences."""

from .findings import Findings
from .intervals import FEWEST


def notes(shown: Findings) -> tuple[str, ...]:
    """What a reader must know before the numbers: prompts, averages, intervals, warnings."""
    few = [tested_data.dataset for tested_data in shown.tested if tested_data.patients < FEWEST]
    sentences = [
        "Prompts are simulated from the labels, not given by people: text is the structure's name, points are drawn "
        "inside the label, boxes are made round it. Every method was asked the same prompts.",
        "A value is a mean over patients, after averaging over a method's runs (seeds, folds), then over the "
        "patient's cases, then over the patient's structures. Levels in one row are over the same questions; what only "
        "some methods answered has a row of its own. Brackets hold a 95 % interval over patients (on each "
        "side the wider of Student's t and the studentised bootstrap), widened where a method's runs differ.",
        "A distance to an empty answer is infinite and is never left out: distances are medians, in which it is the "
        "largest value.",
        "On which cases each run was trained, how, and with which versions: manifest.json beside this report.",
        "Results say how close answers come to these labels on these cases, and no more; this is research, not a "
        "medical device.",
    ]
    if few:
        sentences.insert(
            2,
            f"With fewer than {FEWEST} patients, as in {', '.join(dict.fromkeys(few))}, no interval holds what it "
            "promises: there are dots and differences, and nothing is decided.",
        )
    sentences += [f"Warning: {warning}" for warning in shown.analysis.warnings]
    sentences += [f"Not asked: {sentence}" for sentence in shown.analysis.omitted]
    return tuple(sentences)
