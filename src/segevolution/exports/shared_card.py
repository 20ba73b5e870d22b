"""The card of what is exported: what it is, how it is used, data, licences, limits and what was measured.

Its front matter is that of the Hugging Face hub (https://huggingface.co/docs/hub/model-cards), written by
huggingface_hub. Nothing is stated that the model's or the adapter's own card, its configuration or its calibration
does not say.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..markup import markdown_text
from ..models.cards import NOT_STATED, ModelCard, hub_licence

TASK = "image-segmentation"
TAGS = ("segevolution", "medical-imaging", "segmentation", "3d")
RESEARCH = "For research only; not a medical device. Look at every mask."
CARD, LICENCE = "README.md", "LICENSE"

_DATASET_ID = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class SharedCard:
    """What is said of an exported model or adapter.

    Attributes:
        title: one line.
        own: the model's or adapter's own card.
        licence: of the weights, in words; None = nobody said it.
        datasets: what it was trained on -> licence.
        base: the model that an adapter belongs to, or that a model was made from.
        results: what was measured, as numbers.
        use: lines of Markdown that show how it is used.
        limits: a sentence each.
    """

    title: str
    own: ModelCard
    licence: str | None
    datasets: Mapping[str, str]
    base: str | None = None
    results: tuple[EvalResult, ...] = ()
    use: tuple[str, ...] = ()
    limits: tuple[str, ...] = field(default=())

    def front_matter(self, library: str, tags: Sequence[str] = ()) -> str:
        """YAML between two rules.

        Args:
            library: that reads the folder, in the hub's words.
            tags: beside the usual ones.
        """
        identifier, name = hub_licence(self.licence)
        own = ModelCardData(**self.own.metadata, ignore_metadata_errors=True)
        results = [*(own.eval_results or ()), *self.results]
        values: dict[str, Any] = {
            "library_name": library,
            "pipeline_tag": TASK,
            "license": identifier,
            "license_name": name,
            "license_link": LICENCE if name else None,
            "tags": [*TAGS, *tags],
            "datasets": [*dict.fromkeys([*_listed(own.datasets), *filter(_DATASET_ID.fullmatch, self.datasets)])]
            or None,
            "metrics": [*dict.fromkeys([*_listed(own.metrics), *self._metrics(results)])] or None,
            "base_model": self.base or own.base_model,
            "model_name": self.title if results else None,
            "eval_results": results or None,
        }
        data = ModelCardData(**{key: value for key, value in values.items() if value is not None})
        return f"---\n{data.to_yaml()}\n---\n"

    def markdown(self) -> str:
        """All below the front matter."""
        lines = [f"# {markdown_text(self.title)}", "", self.own.text.strip(), ""]
        lines += ["## How to use it", "", *self.use, ""] if self.use else []
        lines += ["## Licences", "", *self._licences(), "", "## Limits", "", *(f"- {each}" for each in self.limits), ""]
        return "\n".join(lines)

    def licence_text(self) -> str:
        """Text of the file LICENSE."""
        return "\n".join([f"Licence of the weights: {_words(self.licence)}.", "", *self.data_licences(), ""])

    def data_licences(self) -> list[str]:
        """A line for each dataset."""
        if not self.datasets:
            return ["What it was trained on is not stated; ask whoever gave it to you before you pass it on."]
        return ["Trained on:", *(f"- {name}: {licence}" for name, licence in self.datasets.items())]

    def _licences(self) -> list[str]:
        rows = [f"| {markdown_text(name)} | {markdown_text(licence)} |" for name, licence in self.datasets.items()]
        return [
            f"The weights: {markdown_text(_words(self.licence))}.",
            "",
            "| trained on | licence |",
            "|---|---|",
            *(rows or [f"| {NOT_STATED} | |"]),
        ]

    def _metrics(self, results: Sequence[EvalResult]) -> list[str]:
        measured = [result.metric_type for result in results]
        return [*measured, *(["dice"] if re.search(r"\bDice\b", self.own.text) else [])]


def public_name(base: str) -> str:
    """A model's name without the folders of this machine; a name on the hub, "owner/name", stays."""
    path = Path(base).expanduser()
    is_path = path.is_absolute() or base.startswith((".", "~")) or "\\" in base or base.count("/") > 1 or path.exists()
    return path.name or base if is_path else base


def _words(licence: str | None) -> str:
    return licence.rstrip(". ") if licence else "not stated; ask whoever gave it to you"


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value or ()]
