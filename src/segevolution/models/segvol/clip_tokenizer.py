"""CLIP's byte-pair tokenizer, as the transformers library reads it."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from transformers import CLIPTokenizer

from ...errors import CheckpointError
from .tokenizer import FILE


class ClipTokenizer:
    """CLIP's byte-pair tokenizer, from files."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def size(self) -> int:
        """Number of token ids."""
        return len(self._tokenizer)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """See Tokenizer; sentences beyond CLIP's 77 positions are cut."""
        encoded_texts = self._tokenizer(list(texts), padding=True, truncation=True, max_length=77, return_tensors="pt")
        ids: Tensor = encoded_texts["input_ids"]
        return ids

    def knows(self, text: str) -> bool:
        """See Tokenizer; byte pairs spell any word."""
        return True

    def save(self, folder: Path) -> None:
        """Write the files that `load` reads."""
        self._tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> "ClipTokenizer":
        """Read CLIP's tokenizer files from a folder; never from the network.

        Raises:
            CheckpointError: the folder does not hold them.
        """
        if not any((folder / name).is_file() for name in (FILE, "vocab.json")):
            raise CheckpointError(f"{folder} holds no CLIP tokenizer; put tokenizer.json or vocab.json there.")
        try:
            return cls(CLIPTokenizer.from_pretrained(folder, local_files_only=True))
        except Exception as error:  # of the library, which raises whatever a damaged file makes it stumble over
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
            raise CheckpointError(f"the CLIP tokenizer in {folder} cannot be read: {reason}.") from error
