"""What the card of an exported model says: from its folder, its own card and its calibration."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from huggingface_hub import EvalResult

from ..imaging.prompts import PromptKind
from ..inference.calibration import Calibration
from ..models import hub
from ..models.cards import read_card
from ..models.spec import Spec
from ..vocabulary import Modality
from .shared_card import RESEARCH, TASK, SharedCard

OVERLAP_ERROR = "expected_calibration_error"
MODALITY_WORD = "MODALITY"
"""Stands in a command for the modality of the scan, where a card cannot know it."""
# What `segevolution train` writes of patients that it kept for validation.
_HELD_OUT = re.compile(r"; never trained on: (.+)$", re.MULTILINE)


def model_card(
    name: str,
    folder: Path,
    spec: Spec,
    calibration: Calibration,
    *,
    use: tuple[str, ...] = (),
    licence: str | None = None,
    case_names: bool = False,
) -> SharedCard:
    """What is said of a model.

    Args:
        name: of the exported folder.
        folder: of the model.
        spec: of its network.
        calibration: of its answers.
        use: lines of Markdown.
        licence: that its owner states; None takes what its own card says.
        case_names: name the patients that its own card names; else only their number.

    Raises:
        CheckpointError: its own card is damaged.
    """
    own = read_card(folder)
    if not case_names:
        own = replace(own, text=_HELD_OUT.sub(_counted, own.text))
    return SharedCard(
        title=own.title or name,
        own=own,
        licence=licence or own.licence,
        datasets=own.datasets,
        base=_source(folder),
        results=calibration_results(calibration),
        use=use,
        limits=(RESEARCH, *prompt_limits(spec), modality_limit(calibration.modalities)),
    )


def calibration_results(calibration: Calibration) -> tuple[EvalResult, ...]:
    """How far the calibrated estimates of overlap were from the truth, by modality and kind of prompt."""
    return tuple(
        EvalResult(
            task_type=TASK,
            dataset_type=dataset_of(each.measured.data),
            dataset_name=f"{dataset_of(each.measured.data)}, {modality}, {each.measured.patients} patients",
            metric_type=OVERLAP_ERROR,
            metric_name=f"Calibration error of the expected overlap, {kind} prompts",
            metric_value=error,
        )
        for modality, each in calibration.modalities.items()
        for kind, error in each.measured.error_after.items()
    )


def dataset_of(data: str) -> str:
    """The datasets that a calibration was measured on, without the names of its patients."""
    return data.partition(":")[0].strip()


def prompt_limits(spec: Spec) -> tuple[str, ...]:
    """What the network can be asked."""
    kinds = ", ".join(sorted(spec.accepts))
    if PromptKind.TEXT not in spec.accepts:
        return (f"It is prompted by {kinds}; it reads no text.",)
    if not spec.structures:
        return (f"It is prompted by {kinds}; any text may be tried, and nothing says which names it was trained on.",)
    return (f"It is prompted by {kinds}; by text only for {', '.join(spec.structures)}.",)


def modality_limit(modalities: Iterable[Modality]) -> str:
    """Where its estimates were measured."""
    names = ", ".join(modalities)
    if not names:
        return "How far its own estimate of the overlap can be trusted was not measured."
    return f"How far its own estimate of the overlap can be trusted was measured on {names} only."


def _source(folder: Path) -> str | None:
    """The repository that a model was pulled from; never a folder of this machine."""
    record = hub.pulled_record(folder)
    return record.source if record is not None and record.commit is not None else None


def model_use(name: str, spec: Spec) -> tuple[str, ...]:
    """How a model folder is used."""
    prompt = f"--text {_word(spec.structures[0])}" if spec.structures else "--point X,Y,Z"
    return (
        with_modality_word("With SegEVOLution installed, and this folder here"),
        "",
        "```bash",
        f"segevolution segment scan.nii.gz --modality {MODALITY_WORD} --model {_word(name)} {prompt} -o mask.nii.gz",
        "```",
        "",
        "```python",
        "import segevolution as sev",
        "",
        f'session = sev.Session(sev.load("{name}"), sev.read("scan.nii.gz", modality="{MODALITY_WORD}"))',
        "```",
    )


def with_modality_word(sentence: str, modality: str = MODALITY_WORD) -> str:
    """A sentence before a command, with what MODALITY stands for where that is in the command."""
    if modality != MODALITY_WORD:
        return f"{sentence}:"
    return f"{sentence} ({MODALITY_WORD} is the scan's, such as CT or MRI, which a NIfTI file does not say):"


def _counted(match: re.Match[str]) -> str:
    return f"; never trained on: {match[1].count(',') + 1} cases"


def _word(text: str) -> str:
    return f'"{text}"' if " " in text else text
