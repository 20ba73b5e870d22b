"""One run on one case: encode once, then every structure, then every kind of prompt, each a row.

Every method is asked exactly the same questions (`questions.py`), and sees the same shifted scan.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..appearance import find
from ..appearance import shift as change
from ..imaging.case import Case
from ..imaging.prompts import Prompt, kinds_in
from ..imaging.simulated_prompts import next_click
from ..imaging.volume import Volume
from ..inference.segmentation import Segmentation
from ..inference.signs import Surroundings
from ..metrics import METRICS, Comparison, tolerance_mm
from ..models.backbone import BackboneModule, Windows
from .answerers import Answerer, ContextChoice, Dialogue, NetworkAnswerer
from .questions import Questions, Variant, absent_structures, asked_prompts, asked_structures

Mask = npt.NDArray[np.bool_]

NO_SHIFT = "none"


@dataclass(frozen=True)
class Run:
    """The model under test, as the table names it.

    Attributes:
        name: of the run, such as "lora-s0".
        method: with its training set and number of patients, such as "lora (mri, 5 shots)".
        seed: of the training.
        base: the network that was adapted, or is asked as it is; empty for a method without one.
        family: the method alone, such as "lora".
        cohort: name of the training set; empty where a study has only one, and for what is not trained.
        trained_on: how many patients it learned from; 0 for what is not trained.
    """

    name: str
    method: str
    seed: int
    base: str = ""
    family: str = ""
    cohort: str = ""
    trained_on: int = 0

    def columns(self) -> dict[str, Any]:
        """Its columns in the table of results."""
        return {
            "run": self.name,
            "method": self.method,
            "seed": self.seed,
            "base": self.base,
            "family": self.family or self.method,
            "cohort": self.cohort,
            "trained_on": self.trained_on,
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Rows for `results.SCHEMA`, and the kept masks, structure -> (X, Y, Z)."""

    rows: list[dict[str, Any]]
    masks: dict[str, Mask]


def evaluate(
    model: BackboneModule | Answerer,
    case: Case,
    run: Run,
    questions: Questions,
    labels: str,
    shift: str = NO_SHIFT,
    strength: float = 0.0,
) -> Evaluation:
    """Ask one model everything about one case.

    Structures without a voxel are left out, and so are text prompts for one that the model was not trained on.

    Args:
        model: a network with its adapter attached, in eval mode; or another answerer.
        case: with labels on its volume's grid.
        labels: where these come from, for the table.
        shift: of appearance, applied to the signal first, drawn from the case's own seed; see `shifted`.
        strength: of the shift, in its unit; 0 changes nothing.

    Raises:
        VolumeError: the shift means nothing on this modality, or cannot have this strength.
    """
    volume = shifted(case, shift, strength)
    about: dict[str, Any] = {
        **run.columns(),
        "dataset": case.dataset,
        "case": case.name,
        "patient": case.patient,
        "modality": str(volume.modality or "unknown"),
        "sequence": case.sequence or "",
        "labels": labels,
        "shift": shift,
        "strength": float(strength),
        "unit": "" if shift == NO_SHIFT else find(shift).unit,
    }
    answerer = NetworkAnswerer(model) if isinstance(model, BackboneModule) else model
    return _Interview(answerer, case, volume, questions, about).hold()


class _Interview:
    """Holds what every question about one case needs.

    Args:
        volume: the case's, perhaps changed by a shift.
        about: columns that all rows share.
    """

    def __init__(
        self, answerer: Answerer, case: Case, volume: Volume, questions: Questions, about: dict[str, Any]
    ) -> None:
        self.answerer, self.case, self.volume, self.questions, self.about = answerer, case, volume, questions, about
        self.prompts = {name: list(asked_prompts(case, name, questions)) for name in asked_structures(case, questions)}
        self.clicks = questions.clicks if answerer.corrects else 0
        self.rows: list[dict[str, Any]] = []
        self.masks: dict[str, Mask] = {}

    def hold(self) -> Evaluation:
        """Ask in every context, with every kind of windows."""
        for context in self.questions.contexts:
            for windows in self.questions.all_windows:
                self._ask(context, windows)
        return Evaluation(self.rows, self.masks)

    def _ask(self, context: ContextChoice, windows: Windows | None) -> None:
        questions = self.questions
        first: Variant = next(questions.variants())
        dialogue = self.answerer.open(self.volume, windows=windows, context=context)
        where = {"context": context, "windows": windows or ""}
        missing = list(absent_structures(self.case, questions))
        surroundings = Surroundings.of(self.volume) if missing else None
        keeps_mask = context == questions.contexts[0] and windows == questions.windows
        for structure, kind_prompts in self.prompts.items():
            truth = self.case.mask(structure)
            for kind, prompt, coordinates in kind_prompts:
                if not self._answers(kind, prompt, structure):
                    continue
                question = {**where, "structure": structure, "prompt": kind, **coordinates}
                for click, (answer, work) in enumerate(self._rounds(dialogue, prompt, structure, truth)):
                    self.rows.append(
                        {
                            **self.about,
                            **question,
                            "click": click,
                            **work,
                            **self._judged(answer.mask, truth, structure),
                            **self._doubts(answer, None if click else surroundings),
                        }
                    )
                    plain = (self.about["shift"], click, coordinates) == (NO_SHIFT, 0, first.coordinates(kind))
                    if keeps_mask and kind == questions.drawn and plain:
                        self.masks[structure] = answer.mask
        for structure in missing:
            prompt = Prompt(self.case.volume.grid, structure)
            if self._answers("text", prompt, structure):
                question = {**where, "structure": structure, "prompt": "text", **first.coordinates("text"), "click": 0}
                answer, work = _timed(dialogue, partial(_first, dialogue, prompt, structure))
                doubts = self._doubts(answer, surroundings)
                self.rows.append({**self.about, **question, **work, **self._unjudged(answer.mask), **doubts})

    def _doubts(self, answer: Segmentation, surroundings: Surroundings | None) -> dict[str, float]:
        """How many warnings a user would be told; missing in a study that asks for nothing absent."""
        return {"warnings": math.nan if surroundings is None else self.answerer.warnings(answer, surroundings)}

    def _answers(self, kind: str, prompt: Prompt, structure: str) -> bool:
        askable = prompt.text is None or self.answerer.knows(structure)
        return askable and self.answerer.takes(kinds_in(kind))

    def _rounds(
        self, dialogue: Dialogue, prompt: Prompt, structure: str, truth: Mask
    ) -> Iterator[tuple[Segmentation, dict[str, Any]]]:
        """The first answer, then one after each click; where nothing is wrong any more, the answer stays."""
        answer, work = _timed(dialogue, partial(_first, dialogue, prompt, structure))
        yield answer, work
        if self.clicks:
            dialogue.reset()
            dialogue.take_up(answer)
        for _ in range(self.clicks):
            click = next_click(answer.mask, truth, self.volume.grid.spacing)
            if click is None:
                work = {**work, "seconds": 0.0, "encodings": 0, "decodings": 0}
            else:
                answer, work = _timed(dialogue, partial(dialogue.add_point, click.point, positive=click.positive))
            yield answer, work

    def _judged(self, answer: Mask, truth: Mask, structure: str) -> dict[str, Any]:
        """Every metric; those in millimetres only where the volume has some and surfaces are measured."""
        organ_tolerance = self.questions.tolerance_mm
        tolerance = tolerance_mm(structure) if organ_tolerance is None else organ_tolerance
        pair = Comparison(answer, truth, self.volume.grid.spacing, tolerance)
        in_mm = self.questions.surface and self.volume.measurable
        judged: dict[str, Any] = {
            name: metric.measure(pair) if in_mm or not metric.needs_mm else math.nan for name, metric in METRICS.items()
        }
        return {
            **judged,
            "nsd_tolerance_mm": tolerance if in_mm else math.nan,
            "voxels": int(truth.sum()),
            **self._sized(answer),
        }

    def _unjudged(self, answer: Mask) -> dict[str, Any]:
        """No metric compares an answer with a truth that is known to be empty; its size says all."""
        return {**dict.fromkeys(METRICS, math.nan), "nsd_tolerance_mm": math.nan, "voxels": 0, **self._sized(answer)}

    def _sized(self, answer: Mask) -> dict[str, Any]:
        count = int(answer.sum())
        in_ml = count * self.volume.grid.voxel_volume / 1000 if self.volume.measurable else math.nan
        return {"predicted_voxels": count, "predicted_ml": in_ml}


def _first(dialogue: Dialogue, prompt: Prompt, structure: str) -> Segmentation:
    return dialogue.segment([prompt], structure=structure)[0]


def shifted(case: Case, shift: str, strength: float) -> Volume:
    """The case's volume under a shift, the same for every model: its seed comes from the dataset and the case alone.

    Raises:
        VolumeError: the shift means nothing on this modality, or cannot have this strength.
    """
    if shift == NO_SHIFT:
        return case.volume
    seed = int.from_bytes(hashlib.sha256(f"{case.dataset}|{case.name}".encode()).digest()[:4], "big")
    return change(case.volume, shift, strength, seed).volume


def _timed(dialogue: Dialogue, ask: Callable[[], Segmentation]) -> tuple[Segmentation, dict[str, Any]]:
    """An answer, and the work that it took."""
    encodings, decodings = dialogue.counts.encodings, dialogue.counts.decodings
    started = time.perf_counter()
    answer = ask()
    return answer, {
        "predicted_iou": float(answer.iou),
        "seconds": time.perf_counter() - started,
        "encodings": dialogue.counts.encodings - encodings,
        "decodings": dialogue.counts.decodings - decodings,
    }
