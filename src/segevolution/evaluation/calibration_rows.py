"""Answers with their signs and their true overlap, which a calibration is fitted on.

Each structure of a case is asked by text, by points, by a box and by a text with either, once as studies ask (five
points, a tight box) and once less precisely (one point, faces of the box up to 3 mm off), so that the curves hold for
people, too. Structures that the scan cannot show are asked by text: every answer to these is a false alarm.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.case import Case
from ..imaging.prompts import Prompt, PromptKind, kinds_in
from ..inference.calibration import kind_of
from ..inference.confidence import judge
from ..inference.session import Session
from ..inference.signs import Signs, Surroundings
from ..metrics.overlap import dice, iou
from ..models.backbone import BackboneModule
from .questions import Questions, asked_structures, simulated_prompts

PRECISE = Questions(prompts=("text", "point", "box", "text+point", "text+box"))
IMPRECISE = Questions(prompts=("point", "box"), seed=1, points=1, box_jitter=3.0, box_jitter_unit="mm")


@dataclass(frozen=True)
class CalibrationRow:
    """One answer.

    Attributes:
        patient: of the case; all answers about one stand on one side when curves are measured.
        kind: of prompt.
        structure: that was asked for.
        signs: of the answer.
        iou, dice: with the truth; 0 where the scan does not show the structure.
        absent: whether the scan does not show it.
        reasons: warnings that need no calibration.
    """

    patient: str
    kind: str
    structure: str
    signs: Signs
    iou: float
    dice: float
    absent: bool
    reasons: tuple[str, ...]


def calibration_rows(
    backbone: BackboneModule,
    case: Case,
    *,
    absent: Sequence[str] = (),
    check: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[CalibrationRow]:
    """Ask a network about one case, and yield what came of each answer that holds a voxel.

    Args:
        backbone: with its adapter attached, in eval mode.
        case: with labels on its volume's grid.
        absent: structures that the scan does not show.
        check: also ask each prompt moved a little, for the sign "agreement".
        progress: told the structure that is asked for.
    """
    session, person = Session(backbone, case.volume), f"{case.dataset}/{case.patient}"
    surroundings = Surroundings.of(case.volume)
    structures, accepts = backbone.spec.structures, backbone.spec.accepts
    for structure in asked_structures(case, PRECISE):
        if progress is not None:
            progress(structure)
        truth = case.mask(structure)
        for questions in (PRECISE, IMPRECISE):
            for kind, prompt in simulated_prompts(case, structure, questions).items():
                speaks = prompt.text is None or not structures or structure in structures
                if kinds_in(kind) <= accepts and speaks:
                    row = _row(session, surroundings, prompt, structure, check=check)
                    if row is not None:
                        signs, reasons, mask = row
                        overlap = iou(mask, truth), dice(mask, truth)
                        yield CalibrationRow(person, kind_of(prompt), structure, signs, *overlap, False, reasons)
    for structure in absent if PromptKind.TEXT in accepts else ():
        prompt = Prompt(case.volume.grid, structure)
        row = _row(session, surroundings, prompt, structure, check=check)
        if row is not None:
            signs, reasons, _ = row
            yield CalibrationRow(person, "text", structure, signs, 0.0, 0.0, True, reasons)


def _row(
    session: Session, surroundings: Surroundings, prompt: Prompt, structure: str, *, check: bool
) -> tuple[Signs, tuple[str, ...], npt.NDArray[np.bool_]] | None:
    """The signs of one answer, the warnings that need no calibration, and its mask; None for an empty one."""
    answer = session.segment([prompt], structure=structure, keep_logits=True)[0]
    judged = judge(answer, surroundings, frame=session.frame, session=session if check else None, structure=structure)
    return None if judged.signs is None else (judged.signs, judged.warnings, answer.mask)
