"""What a recipe decides before anything is measured: its one primary question, and what must not be forgotten.

    primary: {method: lora, data: mri, prompt: text+box}
    retention: {data: [ct], margin: 0.02}

The first call writes the primary question beside the results, `primary.json`. Where another one stands there by the
time of the report, the report says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

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
    kept_within: Annotated[float, Field(gt=0)] | None = None
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
    margin: Annotated[float, Field(gt=0)] = MARGIN

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
    for name in (primary.method, against):
        _among("method", name, methods)
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


class _PrimaryNote(BaseModel):
    """primary.json."""

    model_config = ConfigDict(extra="ignore")

    question: str | None
    measured_before: int = 0


def note_primary(folder: Path, question: PrimaryQuestion | None, measured: int) -> str | None:
    """Note the primary question of a study, and say where it is not the one that stood there first.

    Args:
        folder: of the study.
        measured: answers that are there already.

    Returns:
        A sentence for the report, or None where the question was named before anything was measured.
    """
    path = folder / NOTE
    words = None if question is None else question.words
    if not path.is_file():
        write_json(path, {"question": words, "measured_before": measured})
    first = read_json(path, _PrimaryNote, error=RecipeError)
    if words is None or (first.question == words and not first.measured_before):
        return None
    if first.question == words:
        return f"the primary question was named after {first.measured_before} evaluations had been measured."
    if first.question is None:
        return "the primary question was named after the study had begun without one."
    return f'the primary question was changed; the study began with "{first.question}".'
