"""What a case is asked: kinds of prompt, each drawn from the labels, and what is varied of them.

Prompts are simulated from the labels, and called so in every report. Their chance depends on the dataset, case,
structure and prompt seed only, never on the model: every method is asked exactly the same questions. The kinds share
their parts: "text+point" has the points of "point", "point+box" the box of "box". Boxes with another error come with
the same points, and another number of points comes with the same box.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from ..imaging.boxes import Point, point
from ..imaging.case import Case
from ..imaging.prompts import COMBINATIONS, Prompt, PromptKind, kinds_in
from ..imaging.simulated_prompts import SIMULATED_KINDS, Unit, prompt_from_mask, prompt_generator
from ..models.backbone import Windows

BoxUnit = Literal["voxel", "mm", "share"]


@dataclass(frozen=True)
class BoxError:
    """How a box differs from the tight one.

    Attributes:
        amount: in voxels or mm, how far each face may move, drawn uniformly; as a share, by how much of itself every
            side is longer (shorter where negative), and nothing is drawn.
        unit: "voxel", "mm" or "share".
    """

    amount: float
    unit: BoxUnit


@dataclass(frozen=True)
class Questions:
    """What a case is asked, and how answers are measured.

    Attributes:
        prompts: combinations of the kinds that can be simulated, such as "text+box" or "scribble"; see
            `imaging.simulated_prompts`.
        contexts: "known" tells an adapter modality and structure, "withheld" neither.
        structures: those asked for where a case carries them; empty = all.
        windows: "roi", "lattice", "central", "focus" or "off", see `inference.strategies.zoom`, or "propagate", see
            `inference.strategies.slices`; None takes what the model prefers.
        seed: of the simulated prompts.
        more_seeds: further seeds; each asks all of it once more.
        points: positive points of a point prompt; 1 and 4 more, as SegVol draws them.
        more_points: further numbers; each asks the kinds with points once more, with the first kind of box.
        box_jitter: how far each face of a box may move; 0 = tight.
        more_jitters: further amounts; each asks the kinds with a box once more.
        box_jitter_unit: of both.
        more_boxes: further errors of boxes with units of their own; each asks the kinds with a box once more.
        more_windows: further ways to look closer; each asks all of it once more.
        clicks: how many times a simulated person then corrects the answer, by one point a time; see
            `imaging.simulated_prompts.next_click`. Only a network that takes points is corrected.
        tolerance_mm: of the normalised surface Dice; None takes each organ's own, see `metrics.tolerances`.
        surface: whether surface distances are measured at all (not where the spacing is a guess).
        drawn: the kind of prompt whose masks are kept for pictures; None keeps none.
        absent: structures that are known to lie outside the field of view; each is asked for by text, and the right
            answer is nothing.
        centre: where a network that looks at one place looks: "prompt", or "truth", the middle of the structure's own
            box, which is a leak, as in SAM-Med3D's published evaluation; to measure what it is worth.
    """

    prompts: tuple[str, ...] = COMBINATIONS
    contexts: tuple[Literal["known", "withheld"], ...] = ("known",)
    structures: tuple[str, ...] = ()
    windows: Windows | None = None
    seed: int = 0
    points: int = 5
    box_jitter: float = 0.0
    tolerance_mm: float | None = None
    surface: bool = True
    drawn: str | None = None
    more_seeds: tuple[int, ...] = ()
    more_jitters: tuple[float, ...] = ()
    box_jitter_unit: Unit = "voxel"
    clicks: int = 0
    more_points: tuple[int, ...] = ()
    more_boxes: tuple[BoxError, ...] = ()
    more_windows: tuple[Windows, ...] = ()
    absent: tuple[str, ...] = ()
    centre: Literal["prompt", "truth"] = "prompt"

    def key_values(self) -> dict[str, Any]:
        """Plain values for a job's key; later additions at their defaults are left out, so that keys stay."""
        values, usual = asdict(self), asdict(Questions())
        return {name: value for name, value in values.items() if name not in _LATER or value != usual[name]}

    @property
    def all_windows(self) -> tuple[Windows | None, ...]:
        """Every way to look closer, the first one first."""
        return (self.windows, *self.more_windows)

    def variants(self) -> Iterator["Variant"]:
        """One for each prompt seed, error of boxes and number of points; of the latter two only the kinds concerned."""
        boxes = tuple(kind for kind in self.prompts if PromptKind.BOX in kinds_in(kind))
        pointed = tuple(kind for kind in self.prompts if PromptKind.POINT in kinds_in(kind))
        first = BoxError(self.box_jitter, self.box_jitter_unit)
        errors = (*(BoxError(amount, self.box_jitter_unit) for amount in self.more_jitters), *self.more_boxes)
        for seed in (self.seed, *self.more_seeds):
            yield Variant(self.prompts, seed, first, self.points)
            for error in errors if boxes else ():
                yield Variant(boxes, seed, error, self.points)
            for points in self.more_points if pointed else ():
                yield Variant(pointed, seed, first, points)


_LATER = (
    *("more_seeds", "more_jitters", "box_jitter_unit", "clicks"),
    *("more_points", "more_boxes", "more_windows", "absent", "centre"),
)


class Variant(NamedTuple):
    """What is drawn at once: kinds of prompt from one seed, with one error of boxes and one number of points."""

    prompts: tuple[str, ...]
    seed: int
    box: BoxError
    points: int

    def coordinates(self, kind: str) -> dict[str, Any]:
        """What tells a prompt of this kind from others of its kind, as columns of the table of results."""
        kinds = kinds_in(kind)
        amount = self.box.amount if PromptKind.BOX in kinds else 0.0
        return {
            "prompt_seed": self.seed,
            "jitter": float(amount),
            "jitter_unit": self.box.unit if amount else "",
            "points": self.points if PromptKind.POINT in kinds else 0,
        }


def asked_structures(case: Case, questions: Questions) -> Iterator[str]:
    """The structures of a case that are asked for, in the questions' order."""
    for name in questions.structures or sorted(case.structures):
        if name in case.structures and np.isin(case.labels, case.structures[name]).any():
            yield name


def absent_structures(case: Case, questions: Questions) -> Iterator[str]:
    """The structures outside the field of view that are asked for; one that the case carries after all is left out."""
    present = set(asked_structures(case, Questions()))
    for name in questions.absent:
        if name not in present:
            yield name


def asked_prompts(case: Case, structure: str, questions: Questions) -> Iterator[tuple[str, Prompt, dict[str, Any]]]:
    """Every kind of prompt about one structure, with its coordinates."""
    points: dict[int, Prompt] = {}
    for variant in questions.variants():
        for kind, prompt in _drawn(case, structure, variant).items():
            if prompt.points and variant.points == questions.points:
                first = points.setdefault(variant.seed, prompt)  # boxes with another error come with the same points
                prompt = replace(prompt, points=first.points, labels=first.labels)
            if questions.centre == "truth":
                prompt = replace(prompt, centre=_middle(case.mask(structure)))
            yield kind, prompt, variant.coordinates(kind)


def _middle(truth: npt.NDArray[np.bool_]) -> Point:
    """Of the tight box (x, y, z), as SAM-Med3D's code takes it: the later voxel of two."""
    places = np.argwhere(truth)
    return point((places.min(axis=0) + places.max(axis=0) + 1) // 2)


def simulated_prompts(case: Case, structure: str, questions: Questions) -> dict[str, Prompt]:
    """PromptKind -> prompt made from the label, of the first variant; the same for every model.

    Raises:
        PromptError: a kind is unknown.
    """
    return _drawn(case, structure, next(questions.variants()))


def _drawn(case: Case, structure: str, variant: Variant) -> dict[str, Prompt]:
    for kind in variant.prompts:
        if not kinds_in(kind) <= SIMULATED_KINDS:
            raise PromptError(f'"{kind}" cannot be simulated from a label; {", ".join(sorted(SIMULATED_KINDS))} can.')
    rng = prompt_generator(variant.seed, case.dataset, case.name, structure)
    share = variant.box.unit == "share"
    full = prompt_from_mask(
        case.mask(structure),
        case.volume.grid,
        ("text", "point", "box"),
        structure,
        rng,
        positive=variant.points,
        jitter=0.0 if share else variant.box.amount,
        unit="voxel" if variant.box.unit == "share" else variant.box.unit,
        larger=variant.box.amount if share else 0.0,
    )
    for kind in sorted(frozenset().union(*map(kinds_in, variant.prompts)) - full.kinds):  # the later kinds
        kind_generator = prompt_generator(variant.seed, case.dataset, case.name, structure, kind)
        full = full.joined(prompt_from_mask(case.mask(structure), case.volume.grid, (kind,), structure, kind_generator))
    return {kind: full.only(kinds_in(kind)) for kind in variant.prompts}
