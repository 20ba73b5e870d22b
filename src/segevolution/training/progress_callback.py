"""How far a training is and how long the rest takes: a bar on a terminal, lines in a log."""

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from ..progress import Writer, duration, progress_bar, write_stderr

_FIRST, _PARTS = 5, 10  # steps until the first estimate, since the very first are slower; lines a training


class TrainingProgress(Callback):
    """Tells the steps that are done. Where stderr is no terminal it writes a line after five steps and at each tenth.

    Args:
        write: takes the lines; stderr by default.
    """

    def __init__(self, write: Writer = write_stderr) -> None:
        self._bar = progress_bar()
        self._task = self._bar.add_task("training", total=None)
        self._write = write
        self._start = 0.0
        self._first_step = 0
        self._told = -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin at the step that an earlier call had reached."""
        self._start, self._first_step = time.monotonic(), trainer.global_step
        if self._bar.disable:
            self._write(f"training, {trainer.max_steps - self._first_step} of {trainer.max_steps} steps to do")
        self._bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell of the step."""
        step = trainer.global_step
        self._bar.update(self._task, completed=step, total=trainer.max_steps)
        steps_done = step - self._first_step
        part = step * _PARTS // max(1, trainer.max_steps)
        if not self._bar.disable or (steps_done != _FIRST and part <= self._told) or steps_done < _FIRST:
            return
        self._told = max(part, self._told)
        rest = (time.monotonic() - self._start) / steps_done * (trainer.max_steps - step)
        self._write(f"step {step} of {trainer.max_steps}, about {duration(rest)} left")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the bar away."""
        self._bar.stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away before the error is printed."""
        self._bar.stop()
