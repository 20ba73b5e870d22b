"""Whether an answer is to be believed, in sentences: the warnings that the command line, JSON, preview and server show.

surroundings = Surroundings.of(volume)                              # once a volume
calibration = calibration_of("segvol-mini-2", "segvol-mini-mri")    # once a network
answer = session.segment(text="liver", keep_logits=True)
warnings_of(answer, surroundings, calibration, frame=session.frame)  # once an answer, no further question
judge(answer, surroundings, calibration, session=session)            # asks once more, with a prompt moved a little
"""

from dataclasses import dataclass
from pathlib import Path

from ..adapters.artifact import WEIGHTS as ADAPTER_WEIGHTS
from ..adapters.shipped import find_adapter
from ..imaging.framing import Frame
from ..models import hub
from ..models.checkpoints import WEIGHTS
from ..vocabulary import Modality
from .against_prompt import against_prompt
from .calibration import Calibration, read_calibration
from .moved_prompts import agreement
from .segmentation import Segmentation
from .session import Session
from .signs import Signs, Surroundings, signs_of
from .usual_anatomy import DEEP_ORGANS, LARGEST_HEAD_CM2, LEAST_DEPTH_MM, OF_THE_HEAD, USUAL_MILLILITRES

_MOST_OUTSIDE = 0.2  # share of a mask outside the body
_STABLE = 0.6  # overlap with the answer to a moved prompt; no good answer of 5 BTCV and 9 CHAOS patients was below


@dataclass(frozen=True)
class Confidence:
    """What is thought of one answer.

    Attributes:
        expected_overlap: calibrated estimate of the overlap (IoU) with the truth; None where nothing is known.
        warnings: reasons to doubt the answer, a clause each, without its name and without full stop; empty = none.
        signs: what these are taken from; None for an empty mask.
    """

    expected_overlap: float | None
    warnings: tuple[str, ...]
    signs: Signs | None


def warnings_of(
    answer: Segmentation,
    surroundings: Surroundings,
    calibration: Calibration | None = None,
    *,
    frame: Frame | None = None,
    session: Session | None = None,
    structure: str | None = None,
) -> tuple[str, ...]:
    """Reasons to doubt an answer, a clause each; see `judge`."""
    return judge(answer, surroundings, calibration, frame=frame, session=session, structure=structure).warnings


def judge(
    answer: Segmentation,
    surroundings: Surroundings,
    calibration: Calibration | None = None,
    *,
    frame: Frame | None = None,
    session: Session | None = None,
    structure: str | None = None,
) -> Confidence:
    """Judge an answer by its signs.

    Args:
        answer: of a session; with its logits (`keep_logits`) it is judged better.
        surroundings: of the same volume.
        calibration: of the network, and adapter, that answered; None and an empty one leave out what it would say.
        frame: of the session that answered, on which the logits lie.
        session: that answered: it is asked once more, with a prompt moved a little. None leaves that out, and the
            answer is judged by what is left.
        structure: what is meant, where the prompt does not name it.
    """
    moved = None if session is None or not answer.mask.any() else agreement(session, answer)
    signs = signs_of(answer, surroundings, frame=session.frame if session is not None else frame, agreement=moved)
    if signs is None:
        return Confidence(None, (), None)
    calibration = calibration or Calibration()
    expected = calibration.expected_overlap(signs, answer.prompt, surroundings.modality)
    name = structure or answer.structure
    sentences = (
        calibrated_doubt(expected, calibration, surroundings.modality),
        _unseen(calibration, surroundings),
        _unusual_volume(name, signs),
        _under_the_skin(name, signs),
        _outside(signs),
        _unstable(signs),
        _no_head(name, signs),
    )
    warnings = tuple(sentence for sentence in sentences if sentence is not None)
    return Confidence(expected, (*warnings, *against_prompt(answer.mask, answer.prompt)), signs)


def calibration_of(model: str | Path, adapter: str | Path | None = None) -> Calibration:
    """What is known of a model's answers, and of an adapter's in the modalities that were measured with it.

    Args:
        model, adapter: as for `load`.

    Raises:
        CheckpointError: there is no such model, or a calibration is damaged.
        AdapterError: there is no such adapter.
    """
    folder = hub.find(model)
    if adapter is None:
        return read_calibration(folder, folder / WEIGHTS)
    folder = find_adapter(adapter)
    # An adapter changes every answer, so what was measured of the bare model says nothing here.
    return read_calibration(folder, folder / ADAPTER_WEIGHTS)


def calibrated_doubt(expected: float | None, calibration: Calibration, modality: Modality | None) -> str | None:
    """The warning that an expected overlap is low; None where it is not, or is not known."""
    limit = calibration.doubtful_below(modality)
    if expected is None or limit is None or expected >= limit:
        return None
    return f"probably wrong, as an overlap (IoU) of only {expected:.2f} with the truth is to be expected"


def _unseen(calibration: Calibration, surroundings: Surroundings) -> str | None:
    modalities, modality = calibration.modalities, surroundings.modality
    if not modalities or modality is None or modality in modalities:
        return None
    return f"nothing is known of this model's answers on {modality}: it was measured on {', '.join(modalities)} only"


def _unusual_volume(name: str | None, signs: Signs) -> str | None:
    usual = USUAL_MILLILITRES.get(name or "")
    if usual is None:
        return None
    least, most = usual
    if signs.millilitres > most or (signs.millilitres < least and not signs.cut):
        return f"{signs.millilitres:.3g} ml is no usual volume of it ({least:g} to {most:g} ml in adults)"
    return None


def _under_the_skin(name: str | None, signs: Signs) -> str | None:
    if name not in DEEP_ORGANS or signs.depth_mm is None or signs.depth_mm >= LEAST_DEPTH_MM:
        return None
    return f"half of it lies less than {LEAST_DEPTH_MM:g} mm under the skin, where it cannot be"


def _outside(signs: Signs) -> str | None:
    if signs.outside is None or signs.outside <= _MOST_OUTSIDE:
        return None
    return f"{signs.outside:.0%} of it lies outside the body"


def _no_head(name: str | None, signs: Signs) -> str | None:
    if name not in OF_THE_HEAD or signs.section_cm2 is None or signs.section_cm2 <= LARGEST_HEAD_CM2:
        return None
    return f"the body is {signs.section_cm2:.0f} cm2 across where it lies, which is no head"


def _unstable(signs: Signs) -> str | None:
    if signs.agreement is None or signs.agreement >= _STABLE:
        return None
    return f"it changes when the prompt is moved a little (overlap {signs.agreement:.2f})"
