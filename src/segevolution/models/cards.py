"""The card of a model, its README.md: YAML front matter as the Hugging Face hub wants it, then Markdown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..documents import yaml_from_text
from ..errors import CheckpointError
from .checkpoints import CARD

NOT_STATED = "not stated"
# Licences that the hub knows by name (https://huggingface.co/docs/hub/repositories-licenses), as far as they occur.
_HUB_LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
)
_RULE = "---"
_TITLE = re.compile(r"\s*# (.+)\n+")
# What pretraining writes of each dataset, see pretraining/pretrain.py.
_DATASET = re.compile(r"^- ([\w.+-]+): \d+ cases, .*?licence: (.+?)(?:; never trained on: .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class ModelCard:
    """What a README.md says.

    Attributes:
        metadata: its front matter; empty without one.
        title: of its first heading; empty without one.
        text: what follows the title, or all where there is none.
    """

    metadata: Mapping[str, Any]
    title: str
    text: str

    @property
    def licence(self) -> str | None:
        """What it says of its licence: a name in the front matter, else the first line on it; None = nothing."""
        licence_name = self.metadata.get("license")
        if licence_name not in (None, "other", "unknown"):
            return str(licence_name)
        for line in self.text.splitlines():
            key, _, value = line.strip("#*- ").partition(":")
            if key.strip().lower() in ("license", "licence") and value.strip():
                return value.strip(" *")
        own_name = self.metadata.get("license_name")
        return None if own_name is None else str(own_name)

    @property
    def datasets(self) -> dict[str, str]:
        """Dataset -> its licence, where the text lists what it was trained on as `segevolution train` does."""
        return {name: licence.strip() for name, licence in _DATASET.findall(self.text)}


def read_card(folder: Path) -> ModelCard:
    """The card in a folder; an empty one where there is none.

    Raises:
        CheckpointError: its front matter is no YAML.
    """
    path = Path(folder) / CARD
    return parse_card(path.read_text(encoding="utf-8", errors="replace"), str(path)) if path.is_file() else _NONE


def parse_card(text: str, where: str) -> ModelCard:
    """The card that a text is; `where` names it in the sentence. Raises as `read_card`."""
    metadata: dict[str, Any] = {}
    lines = text.splitlines(keepends=True)
    if lines and lines[0].strip() == _RULE:
        end = next((number for number, line in enumerate(lines[1:], start=1) if line.strip() == _RULE), None)
        if end is not None:
            front_matter = "".join(lines[1:end])
            if front_matter.strip():
                metadata = yaml_from_text(front_matter, dict[str, Any], where=where, error=CheckpointError)
            text = "".join(lines[end + 1 :])
    heading = _TITLE.match(text)
    return ModelCard(metadata, heading[1].strip() if heading else "", text[heading.end() :] if heading else text)


def hub_licence(words: str | None) -> tuple[str, str | None]:
    """A licence as the hub says it: its identifier, and a name of its own where it is none that the hub knows."""
    if words is None:
        return "unknown", None
    identifier = re.sub(r"\s+", "-", words.strip().lower()).rstrip(".")
    if identifier in _HUB_LICENCES:
        return identifier, None
    return "other", "research-only" if words.lower().startswith("research") else "as-stated-in-license"


_NONE = ModelCard({}, "", "")
