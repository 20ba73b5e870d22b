"""Sentences to token ids: CLIP's byte pairs for the published weights, a word list for networks of our own."""

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from ... import files
from ...documents import Document, read_json
from ...errors import CheckpointError
from ...vocabulary import STRUCTURES, TEMPLATES

FILE = "tokenizer.json"
PAD, UNKNOWN, START, END = range(4)
_SPECIAL = ("<pad>", "<unknown>", "<start>", "<end>")


class Tokenizer(Protocol):
    """What a text encoder asks of a tokenizer."""

    @property
    def size(self) -> int:
        """Number of token ids."""
        ...

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(T, L) int64, each row ended by the end-of-text token and filled up to the longest."""
        ...

    def knows(self, text: str) -> bool:
        """Whether it has a token for every word."""
        ...

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a folder."""
        ...


class _WordList(Document):
    """tokenizer.json of a word tokenizer."""

    kind: Literal["words"]
    words: Annotated[list[str], Field(max_length=100_000)]


class WordTokenizer:
    """One token a lower-case word; what is not in the list becomes one unknown token.

    Args:
        words: in the order of their ids. The list is kept with the weights, since these depend on it.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: number for number, word in enumerate((*_SPECIAL, *self.words))}

    @classmethod
    def of_vocabulary(cls, texts: Iterable[str] | None = None) -> "WordTokenizer":
        """All words of `texts` (default: every structure and template of `vocabulary`), in alphabetical order."""
        if texts is None:
            texts = (*STRUCTURES, *(form for forms in TEMPLATES.values() for form in forms.values()))
        return cls(sorted({word for text in texts for word in _split(text)}))

    @property
    def size(self) -> int:
        """Number of token ids, the four special ones included."""
        return len(self._ids)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """See Tokenizer."""
        rows = [[START, *(self._ids.get(word, UNKNOWN) for word in _split(text)), END] for text in texts]
        longest = max(map(len, rows), default=0)
        padded = [row + [PAD] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), longest)

    def knows(self, text: str) -> bool:
        """See Tokenizer."""
        return all(word in self._ids for word in _split(text))

    def save(self, folder: Path) -> None:
        """Write tokenizer.json: the kind and the words."""
        files.write_json(folder / FILE, {"kind": "words", "words": list(self.words)})

    @classmethod
    def load(cls, folder: Path) -> "WordTokenizer":
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing or is no word list.
        """
        path = folder / FILE
        words = read_json(path, _WordList, error=CheckpointError).words
        if len(set(words)) < len(words):
            raise CheckpointError(f"{path} names a word twice, so words have lost their numbers; get it again.")
        return cls(words)


def load_tokenizer(kind: str, folder: Path) -> Tokenizer:
    """The tokenizer that a text config's `kind` asks for, from a model folder."""
    if kind == "words":
        return WordTokenizer.load(folder)
    # Imported when it is asked for: the library behind it takes seconds, and a word list has no need of it.
    tokenizer: Tokenizer = import_module(".clip_tokenizer", __package__).ClipTokenizer.load(folder)
    return tokenizer


def _split(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
