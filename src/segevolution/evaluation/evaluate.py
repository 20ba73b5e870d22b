"""One run on one case: encode once, then every structure, then every kind of prompt, each a row.

Prompts are simulated from the labels, and called so in every report. Their chance depends on the dataset, case,
structure and prompt seed only, never on the model: every method is asked exactly the same questions, and sees the same
shifted scan. The kinds share their parts: "text+point" has the points of "point", "point+box" the box of "box". Boxes
of another jitter come with the same points.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..appearance import find
from ..appearance import shift as change
from ..errors import PromptError
from ..imaging.case import Case
from ..imaging.prompts import COMBINATIONS, Prompt, PromptKind, kinds_in
from ..imaging.simulated_prompts import SIMULATED_KINDS, Unit, next_click, prompt_from_mask, prompt_generator
from ..imaging.volume import Volume
from ..inference.segmentation import Segmentation
from ..inference.session import Session
from ..metrics import METRICS, Comparison
from ..models.backbone import BackboneModule, Spec, Windows

Mask = npt.NDArray[np.bool_]

NO_SHIFT = "none"


@dataclass(frozen=True)
class Questions:
    """What a case is asked, and how answers are measured.

    Attributes:
        prompts: combinations of the kinds that can be simulated, such as "text+box" or "scribble"; see
            `imaging.simulated_prompts`.
        contexts: "known" tells an adapter modality and structure, "withheld" neither.
        structures: those asked for where a case carries them; empty = all.
        windows: "roi", "lattice", "focus" or "off", see `inference.strategies.zoom`; None takes what the model prefers.
        seed: of the simulated prompts.
        more_seeds: further seeds; each asks all of it once more.
        points: positive points of a point prompt; 1 and 4 more, as SegVol draws them.
        box_jitter: how far each face of a box may move; 0 = tight.
        more_jitters: further amounts; each asks the kinds with a box once more.
        box_jitter_unit: of both.
        clicks: how many times a simulated person then corrects the answer, by one point a time; see
            `imaging.simulated_prompts.next_click`. Only a network that takes points is corrected.
        tolerance_mm: of the normalised surface Dice.
        surface: whether surface distances are measured at all (not where the spacing is a guess).
        drawn: the kind of prompt whose masks are kept for pictures; None keeps none.
    """

    prompts: tuple[str, ...] = COMBINATIONS
    contexts: tuple[Literal["known", "withheld"], ...] = ("known",)
    structures: tuple[str, ...] = ()
    windows: Windows | None = None
    seed: int = 0
    points: int = 5
    box_jitter: float = 0.0
    tolerance_mm: float = 2.0
    surface: bool = True
    drawn: str | None = None
    more_seeds: tuple[int, ...] = ()
    more_jitters: tuple[float, ...] = ()
    box_jitter_unit: Unit = "voxel"
    clicks: int = 0

    def key_values(self) -> dict[str, Any]:
        """Plain values for a job's key; later additions at their defaults are left out, so that keys stay."""
        values, usual = asdict(self), asdict(Questions())
        return {name: value for name, value in values.items() if name not in _LATER or value != usual[name]}

    def variants(self) -> Iterator["Questions"]:
        """One set of questions for each prompt seed and jitter, as it stands first; of other jitters only boxes."""
        boxes = tuple(kind for kind in self.prompts if PromptKind.BOX in kinds_in(kind))
        for seed in (self.seed, *self.more_seeds):
            yield replace(self, seed=seed)
            for jitter in self.more_jitters if boxes else ():
                yield replace(self, seed=seed, box_jitter=jitter, prompts=boxes)


_LATER = ("more_seeds", "more_jitters", "box_jitter_unit", "clicks")


@dataclass(frozen=True)
class Run:
    """The model under test, as the table names it."""

    name: str
    method: str
    seed: int
    base: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Rows for `results.SCHEMA`, and the kept masks, structure -> (X, Y, Z)."""

    rows: list[dict[str, Any]]
    masks: dict[str, Mask]


def evaluate(
    backbone: BackboneModule,
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
        backbone: with its adapter attached, in eval mode.
        case: with labels on its volume's grid.
        labels: where these come from, for the table.
        shift: of appearance, applied to the signal first, drawn from the case's own seed; see `shifted`.
        strength: of the shift, in its unit; 0 changes nothing.

    Raises:
        VolumeError: the shift means nothing on this modality, or cannot have this strength.
    """
    rows: list[dict[str, Any]] = []
    masks: dict[str, Mask] = {}
    volume = shifted(case, shift, strength)
    about: dict[str, Any] = {
        "run": run.name,
        "method": run.method,
        "seed": run.seed,
        "base": run.base,
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
    prompts = {name: list(_asked(case, name, questions)) for name in asked(case, questions)}
    clicks = questions.clicks if PromptKind.POINT in backbone.spec.accepts else 0
    spacing = volume.grid.spacing
    for context in questions.contexts:
        session = Session(backbone, volume, windows=questions.windows, context=context)
        for structure, kinds in prompts.items():
            truth = case.mask(structure)
            for kind, prompt, coordinates in kinds:
                if prompt.text is not None and not _speaks(backbone.spec, structure):
                    continue
                where = {**about, "structure": structure, "prompt": kind, "context": context, **coordinates}
                for click, (answer, measured) in enumerate(
                    _answers(session, prompt, structure, truth, clicks, spacing)
                ):
                    rows.append({**where, "click": click, **measured, **_judge(answer, truth, volume, questions)})
                    plain = (shift, click, coordinates) == (NO_SHIFT, 0, _coordinates(questions, kind))
                    if kind == questions.drawn and context == questions.contexts[0] and plain:
                        masks[structure] = answer
    return Evaluation(rows, masks)


def shifted(case: Case, shift: str, strength: float) -> Volume:
    """The case's volume under a shift, the same for every model: its seed comes from the dataset and the case alone.

    Raises:
        VolumeError: the shift means nothing on this modality, or cannot have this strength.
    """
    if shift == NO_SHIFT:
        return case.volume
    seed = int.from_bytes(hashlib.sha256(f"{case.dataset}|{case.name}".encode()).digest()[:4], "big")
    return change(case.volume, shift, strength, seed).volume


def _asked(case: Case, structure: str, questions: Questions) -> Iterator[tuple[str, Prompt, dict[str, Any]]]:
    """Every kind of prompt about one structure, with its coordinates."""
    points: dict[int, Prompt] = {}
    for variant in questions.variants():
        for kind, prompt in simulated_prompts(case, structure, variant).items():
            if variant.box_jitter != questions.box_jitter and prompt.points:
                first = points[variant.seed]
                prompt = replace(prompt, points=first.points, labels=first.labels)
            elif prompt.points:
                points[variant.seed] = prompt
            yield kind, prompt, _coordinates(variant, kind)


def _coordinates(questions: Questions, kind: str) -> dict[str, Any]:
    """What tells a prompt from others of its kind."""
    jitter = questions.box_jitter if PromptKind.BOX in kinds_in(kind) else 0.0
    unit = questions.box_jitter_unit if jitter else ""
    return {"prompt_seed": questions.seed, "jitter": float(jitter), "jitter_unit": unit}


def _answers(
    session: Session, prompt: Prompt, structure: str, truth: Mask, clicks: int, spacing: Sequence[float]
) -> Iterator[tuple[Mask, dict[str, Any]]]:
    """The first answer, then one after each click; where nothing is wrong any more, the answer stays."""
    first, measured = _timed(session, lambda: session.segment([prompt], structure=structure)[0])
    answer = first.mask
    yield answer, measured
    if clicks:
        session.reset()
        session.take_up(first)
    for _ in range(clicks):
        click = next_click(answer, truth, spacing)
        if click is None:
            measured = {**measured, "seconds": 0.0, "encodings": 0, "decodings": 0}
        else:
            corrected, measured = _timed(session, partial(session.add_point, click.point, positive=click.positive))
            answer = corrected.mask
        yield answer, measured


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
        if not kinds_in(kind) <= SIMULATED_KINDS:
            raise PromptError(f'"{kind}" cannot be simulated from a label; {", ".join(sorted(SIMULATED_KINDS))} can.')
    rng = prompt_generator(questions.seed, case.dataset, case.name, structure)
    full = prompt_from_mask(
        case.mask(structure),
        case.volume.grid,
        ("text", "point", "box"),
        structure,
        rng,
        positive=questions.points,
        jitter=questions.box_jitter,
        unit=questions.box_jitter_unit,
    )
    for kind in sorted(frozenset().union(*map(kinds_in, questions.prompts)) - full.kinds):  # the later kinds
        own = prompt_generator(questions.seed, case.dataset, case.name, structure, kind)
        full = full.joined(prompt_from_mask(case.mask(structure), case.volume.grid, (kind,), structure, own))
    return {kind: full.only(kinds_in(kind)) for kind in questions.prompts}


def _speaks(spec: Spec, structure: str) -> bool:
    return not spec.structures or structure in spec.structures


def _timed(session: Session, ask: Callable[[], Segmentation]) -> tuple[Segmentation, dict[str, Any]]:
    encodings, decodings = session.counts.encodings, session.counts.decodings
    started = time.perf_counter()
    answer = ask()
    return answer, {
        "predicted_iou": float(answer.iou),
        "seconds": time.perf_counter() - started,
        "encodings": session.counts.encodings - encodings,
        "decodings": session.counts.decodings - decodings,
    }


def _judge(answer: Mask, truth: Mask, volume: Volume, questions: Questions) -> dict[str, Any]:
    """Every metric; those in millimetres only where the volume has some and surfaces are measured."""
    pair = Comparison(answer, truth, volume.grid.spacing, questions.tolerance_mm)
    in_mm = questions.surface and volume.measurable
    judged: dict[str, Any] = {
        name: metric.measure(pair) if in_mm or not metric.needs_mm else math.nan for name, metric in METRICS.items()
    }
    return {
        **judged,
        "nsd_tolerance_mm": questions.tolerance_mm if in_mm else math.nan,
        "voxels": int(truth.sum()),
        "predicted_voxels": int(answer.sum()),
    }
