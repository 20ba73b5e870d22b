"""What a recipe decides before anything is measured: its one primary question, and what must not be forgotten.

    primary: {method: lora, data: mri, prompt: text+box}
    retention: {data: [ct], margin: 0.02}

The first call writes both, and the reference, beside the results, `primary.json`. Where others stand there by the time
of the report, the report says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..appearance import SHIFTS
from ..documents import read_json
from ..errors import RecipeError
from ..evaluation.analysis import MARGIN, PrimaryQuestion, RetentionQuestion
from ..files import write_json
from ..metrics import METRICS
from ..recipes.parts import RecipePart
from ..vocabulary import did_you_mean

NOTE = "primary.json"


class Primary(RecipePart):
    """The question that a study asks first; its p-value is corrected for no other.

    `kept_within` asks whether the method equals `against` within so much, in place of whether they differ. `prompt`
    left out takes all kinds of prompt together. With `shots` in the recipe, `shots` says which of the methods' runs;
    left out, the last.
    """

    method: str
    against: str | None = None  # None: the recipe's reference
    data: str
    prompt: str | None = None
    metric: str = "dice"
    kept_within: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    shots: Annotated[int, Field(gt=0)] | Literal["all"] | None = None
    context: Literal["known", "withheld"] | None = None  # None: the first of the recipe's
    shift: str | None = None
    strength: float | None = None
    click: Annotated[int, Field(ge=0)] = 0

    def question(self, method: str, against: str, contexts: Sequence[str]) -> PrimaryQuestion:
        """As the report asks it.

        Args:
            method, against: with their shots, as the tables name them.
            contexts: of the recipe.
        """
        return PrimaryQuestion(
            method=method,
            reference=against,
            dataset=self.data,
            prompt=self.prompt,
            metric=self.metric,
            margin=self.kept_within,
            context=self.context or contexts[0],
            shift=self.shift or "none",
            strength=self.strength or 0.0,
            click=self.click,
        )


class RetentionPlan(RecipePart):
    """Datasets on which nothing may be forgotten; a change of Dice within `margin` is none."""

    data: Annotated[list[str], Field(min_length=1)]
    margin: Annotated[float, Field(gt=0, lt=1)] = MARGIN

    def question(self) -> RetentionQuestion:
        """As the report asks it."""
        return RetentionQuestion(tuple(self.data), self.margin)


def check_primary(
    primary: Primary,
    *,
    reference: str,
    methods: Sequence[str],
    data: Sequence[str],
    prompts: Sequence[str],
    contexts: Sequence[str],
    shots: Sequence[int | str],
    strengths: Mapping[str, Sequence[float]],
    clicks: int,
    surface: bool,
) -> None:
    """Raise ValueError, in one sentence, for a question that the rest of the recipe does not answer.

    Args:
        strengths: shift -> its strengths.
    """
    against = primary.against or reference
    _among("method", primary.method, methods)
    _among("against", against, methods)
    if primary.method == against:
        raise ValueError(f"primary compares {primary.method} with itself; name another method, or against")
    _among("data", primary.data, data)
    if primary.prompt is not None:
        _among("prompt", primary.prompt, prompts)
    if primary.context is not None:
        _among("context", primary.context, contexts)
    _among("metric", primary.metric, METRICS)
    if METRICS[primary.metric].needs_mm and not surface:
        raise ValueError(f"primary asks for {primary.metric}, which is not measured with surface: false")
    low, high = METRICS[primary.metric].span
    if primary.kept_within is not None and primary.kept_within >= high - low:
        raise ValueError(
            f"primary.kept_within is {primary.kept_within:g}, and no two values of {METRICS[primary.metric].title} "
            f"differ by more than {high - low:g}, so that every method would be equal; give less"
        )
    if primary.shots is not None and primary.shots not in shots:
        values = ", ".join(map(str, shots)) or "none, so leave it out"
        raise ValueError(f"primary.shots is {primary.shots}; the recipe's shots are {values}")
    if (primary.shift is None) != (primary.strength is None):
        raise ValueError("primary.shift and primary.strength go together")
    if primary.shift is not None:
        _among("shift", primary.shift, [name for name in strengths if name in SHIFTS])
        if primary.strength not in strengths[primary.shift]:
            values = ", ".join(f"{value:g}" for value in strengths[primary.shift])
            raise ValueError(f"primary.strength is {primary.strength:g}; {primary.shift} is measured at {values}")
    if primary.click > clicks:
        raise ValueError(f"primary.click is {primary.click}, but there are {clicks} clicks")


def _among(key: str, name: str, known: Mapping[str, object] | Sequence[str]) -> None:
    if name not in known:
        hint = did_you_mean(name, known, f"there are {', '.join(known) or 'none'}")
        raise ValueError(f'primary.{key} is "{name}", which the recipe does not have; {hint}')


class _Decided(BaseModel):
    """What a study had decided when it began, as plain values."""

    reference: str
    primary: dict[str, Any] | None
    retention: dict[str, Any] | None
    retention_question: str | None


class _PrimaryNote(BaseModel):
    """primary.json; notes of earlier versions hold the words of the primary question alone."""

    model_config = ConfigDict(extra="ignore")

    question: str | None
    measured_before: int = 0
    decided: _Decided | None = None


def note_analysis(
    folder: Path,
    *,
    reference: str,
    primary: PrimaryQuestion | None,
    retention: RetentionQuestion | None,
    measured: int,
) -> list[str]:
    """Note what a study decided, and say where it is not what stood there first.

    Args:
        folder: of the study.
        reference, primary, retention: as the report reads the table.
        measured: answers that are there already.

    Returns:
        Sentences for the report; none where all was decided before anything was measured.
    """
    path = folder / NOTE
    decided = _Decided(
        reference=reference,
        primary=None if primary is None else asdict(primary),
        retention=None if retention is None else {**asdict(retention), "datasets": list(retention.datasets)},
        retention_question=None if retention is None else retention.words,
    )
    if not path.is_file():
        question = None if primary is None else primary.words
        note = {"question": question, "measured_before": measured, "decided": decided.model_dump()}
        write_json(path, note)
    first = read_json(path, _PrimaryNote, error=RecipeError)
    if first.decided is None:
        # Earlier versions said no context in the words.
        same = primary is not None and first.question in (primary.words, replace(primary, context="known").words)
        return _changed("the primary question", first.question, primary is not None, same, first.measured_before)
    sentences = _changed(
        "the primary question",
        first.question,
        primary is not None,
        first.decided.primary == decided.primary,
        first.measured_before,
    )
    sentences += _changed(
        "the question what was kept",
        first.decided.retention_question,
        retention is not None,
        first.decided.retention == decided.retention,
        first.measured_before,
    )
    if first.decided.reference != reference:
        sentences.append(f"the reference was changed; the study began with {first.decided.reference}.")
    return sentences


def _changed(subject: str, first: str | None, asked: bool, same: bool, measured: int) -> list[str]:
    """The sentence on a question, where it was not asked so from the beginning.

    Args:
        subject: what question it is.
        first: its words when the study began; None: it was not asked.
        asked: whether it is asked now; `same`: as it was then.
        measured: evaluations before it was noted.
    """
    if first is None and not asked:
        return []
    if first is None:
        return [f"{subject} was named after the study had begun without one."]
    if not asked:
        return [f'{subject} was dropped; the study began with "{first}".']
    if not same:
        return [f'{subject} was changed; the study began with "{first}".']
    return [f"{subject} was named after {measured} evaluations had been measured."] if measured else []
