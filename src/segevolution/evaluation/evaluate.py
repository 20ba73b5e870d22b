"""One run on one case: encode once, then every structure, then every kind of prompt, each a row.

Prompts are simulated from the labels, and called so in every report. Their chance depends on the dataset, case and
structure only, never on the model: every method is asked exactly the same questions. The kinds share their parts:
"text+point" has the points of "point", "point+box" the box of "box".
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from ..imaging.case import Case
from ..imaging.prompts import COMBINATIONS, Combination, Prompt, kinds_in
from ..imaging.simulated_prompts import prompt_from_mask, prompt_generator
from ..imaging.volume import Volume
from ..inference.session import Session
from ..metrics import dice, surface_distances
from ..models.backbone import BackboneModule, Spec, Windows

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Questions:
    """What a case is asked, and how answers are measured.

    Attributes:
        prompts: some of COMBINATIONS.
        contexts: "known" tells an adapter modality and structure, "withheld" neither.
        structures: those asked for where a case carries them; empty = all.
        windows: "roi", "lattice", "focus" or "off", see `inference.strategies.zoom`; None takes what the model prefers.
        seed: of the simulated prompts.
        points: positive points of a point prompt; 1 and 4 more, as SegVol draws them.
        box_jitter: how far, in voxels, each face of a box may move; 0 = tight.
        tolerance_mm: of the normalised surface Dice.
        surface: whether surface distances are measured at all (not where the spacing is a guess).
        drawn: the kind of prompt whose masks are kept for pictures; None keeps none.
    """

    prompts: tuple[Combination, ...] = COMBINATIONS
    contexts: tuple[Literal["known", "withheld"], ...] = ("known",)
    structures: tuple[str, ...] = ()
    windows: Windows | None = None
    seed: int = 0
    points: int = 5
    box_jitter: float = 0.0
    tolerance_mm: float = 2.0
    surface: bool = True
    drawn: Combination | None = None


@dataclass(frozen=True)
class Run:
    """The model under test, as the table names it."""

    name: str
    method: str
    seed: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Rows for `results.SCHEMA`, and the kept masks, structure -> (X, Y, Z)."""

    rows: list[dict[str, Any]]
    masks: dict[str, Mask]


def evaluate(backbone: BackboneModule, case: Case, run: Run, questions: Questions, labels: str) -> Evaluation:
    """Ask one model everything about one case.

    Structures without a voxel are left out, and so are text prompts for one that the model was not trained on.

    Args:
        backbone: with its adapter attached, in eval mode.
        case: with labels on its volume's grid.
        labels: where these come from, for the table.
    """
    rows, masks = [], {}
    prompts = {name: simulated_prompts(case, name, questions) for name in asked(case, questions)}
    told: dict[str, Any] = {
        "run": run.name,
        "method": run.method,
        "seed": run.seed,
        "dataset": case.dataset,
        "case": case.name,
        "patient": case.patient,
        "modality": str(case.volume.modality or "unknown"),
        "sequence": case.sequence or "",
        "labels": labels,
        "shift": "none",
    }
    for context in questions.contexts:
        session = Session(backbone, case.volume, windows=questions.windows, context=context)
        for structure, kinds in prompts.items():
            truth = case.mask(structure)
            for kind, prompt in kinds.items():
                if prompt.text is not None and not _speaks(backbone.spec, structure):
                    continue
                answer, measured = _timed(session, prompt, structure)
                judged = _judge(answer, truth, case.volume, questions)
                rows.append({**told, "structure": structure, "prompt": kind, "context": context, **measured, **judged})
                if kind == questions.drawn and context == questions.contexts[0]:
                    masks[structure] = answer
    return Evaluation(rows, masks)


def asked(case: Case, questions: Questions) -> Iterator[str]:
    """The structures of a case that are asked for, in the questions' order."""
    for name in questions.structures or sorted(case.structures):
        if name in case.structures and np.isin(case.labels, case.structures[name]).any():
            yield name


def simulated_prompts(case: Case, structure: str, questions: Questions) -> dict[str, Prompt]:
    """Kind -> prompt made from the label; the same for every model.

    Raises:
        PromptError: a kind is unknown.
    """
    for kind in questions.prompts:
        if kind not in COMBINATIONS:
            raise PromptError(f'"{kind}" is no kind of prompt; known are {", ".join(COMBINATIONS)}.')
    rng = prompt_generator(questions.seed, case.dataset, case.name, structure)
    full = prompt_from_mask(
        case.mask(structure),
        case.volume.grid,
        ("text", "point", "box"),
        structure,
        rng,
        positive=questions.points,
        jitter=questions.box_jitter,
    )
    return {kind: full.only(kinds_in(kind)) for kind in questions.prompts}


def _speaks(spec: Spec, structure: str) -> bool:
    return not spec.structures or structure in spec.structures


def _timed(session: Session, prompt: Prompt, structure: str) -> tuple[Mask, dict[str, Any]]:
    encodings, decodings = session.counts.encodings, session.counts.decodings
    started = time.perf_counter()
    answer = session.segment([prompt], structure=structure)[0]
    return answer.mask, {
        "predicted_iou": float(answer.iou),
        "seconds": time.perf_counter() - started,
        "encodings": session.counts.encodings - encodings,
        "decodings": session.counts.decodings - decodings,
    }


def _judge(answer: Mask, truth: Mask, volume: Volume, questions: Questions) -> dict[str, Any]:
    """Overlap of a non-empty truth, and surface numbers where the volume has millimetres."""
    judged: dict[str, Any] = {
        "dice": dice(answer, truth),
        "nsd": math.nan,
        "nsd_tolerance_mm": math.nan,
        "hd95_mm": math.nan,
        "voxels": int(truth.sum()),
        "predicted_voxels": int(answer.sum()),
    }
    if questions.surface and volume.measurable:
        distances = surface_distances(answer, truth, volume.grid.spacing)
        judged |= {
            "nsd": distances.nsd(questions.tolerance_mm),
            "nsd_tolerance_mm": questions.tolerance_mm,
            "hd95_mm": distances.hausdorff(95.0),
        }
    return judged
