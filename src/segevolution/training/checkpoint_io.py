"""How Lightning writes and reads a training's checkpoints: as the files of `checkpoint_file`."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from .checkpoint_file import read_checkpoint, write_checkpoint


class CheckpointFile(CheckpointIO):
    """Lightning writes and reads its checkpoints through this.

    Attributes:
        restoring: the file that was read last; None before any, and again once training has begun.
    """

    def __init__(self) -> None:
        self.restoring: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """See `read_checkpoint`; tensors come on the CPU."""
        self.restoring = Path(path)
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
