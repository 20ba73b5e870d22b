"""Write and read the sizes and the tokenizer in a SegVol model folder, beside its weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import SegVolConfig
from .segvol import SegVol
from .tokenizer import FILE as TOKENIZER
from .tokenizer import Tokenizer, load_tokenizer


def clip_tokenizer(folder: Path) -> Tokenizer | None:
    """CLIP's tokenizer from a folder; None where its files are absent, so that everything but text works."""
    has_tokenizer = any((folder / name).is_file() for name in (TOKENIZER, "vocab.json"))
    return load_tokenizer("clip", folder) if has_tokenizer else None


def build(sizes: Mapping[str, Any], folder: Path) -> SegVol:
    """A SegVol of these sizes, weights not yet loaded, with the tokenizer that lies in the folder."""
    config = SegVolConfig.from_dict(sizes, where=str(folder / "config.json"))
    tokenizer: Tokenizer | None = None
    if config.text is not None:
        clip = config.text.kind == "clip"
        tokenizer = clip_tokenizer(folder) if clip else load_tokenizer(config.text.kind, folder)
    return SegVol(config, tokenizer)


def save(model: SegVol, folder: Path) -> dict[str, Any]:
    """Write the tokenizer into a folder; the sizes for config.json."""
    if model.text_encoder is not None and model.text_encoder.tokenizer is not None:
        model.text_encoder.tokenizer.save(folder)
    spec = model.spec  # an adapter may have taught it more
    values = replace(model.config, structures=spec.structures, exchanged_greys=spec.exchanged_greys).to_dict()
    if spec.exchanged_greys:
        del values["exchanged_greys"]  # as in folders of earlier versions
    return values
