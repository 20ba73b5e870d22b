"""A Lightning callback that validates, writes checkpoints, and stops a run whose time is up.

A checkpoint is written after the validation of its step, whole or not at all. So a run that was killed and is called
again takes the same decisions as a run that was not killed.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from ..errors import CheckpointError
from ..files import plain_values, replacing
from .checkpoint_file import BEST, LAST, check_restored
from .checkpoint_io import CheckpointFile
from .module import PromptableModule
from .settings import FitSettings, difference
from .validation import Validator
from .validation_state import Table, ValidationState

_SETTINGS = "settings"  # of the run, in its checkpoint


class CheckpointCallback(Callback):
    """Validates, and writes last.ckpt and best.ckpt.

    Args:
        folder: of the run.
        settings: of the run.
        validator: None without validation patients.
    """

    def __init__(self, folder: Path, settings: FitSettings, validator: Validator | None) -> None:
        self.folder, self.settings, self.validator = folder, settings, validator
        self.started = time.monotonic()
        self.validation_state = ValidationState()
        self.metrics: dict[str, float] = {}
        self._seen = self._saved = -1

    @property
    def state_key(self) -> str:
        """The name of its state in a checkpoint; it is the class's first name, so that older runs can go on."""
        return "Keeper"

    def state_dict(self) -> dict[str, Any]:
        """See Callback."""
        return {**self.validation_state.state(), _SETTINGS: plain_values(asdict(self.settings))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See Callback."""
        self.validation_state = ValidationState(**{key: state_dict[key] for key in state_dict if key != _SETTINGS})

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Let the module's schedule follow the validation state."""
        assert isinstance(pl_module, PromptableModule)
        pl_module.plateau = lambda: self.validation_state.factor

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A run that patience ended stays ended, and one that was begun with other settings is not gone on with.

        Raises:
            CheckpointError: they are others; older checkpoints hold none.
        """
        saved_state = checkpoint.get("callbacks", {}).get(self.state_key, {})
        changed = difference(saved_state.get(_SETTINGS, {}), self.settings)
        if changed:
            raise CheckpointError(
                f"{self.folder} was begun with {changed}; state the settings that it began with, or begin in a new "
                "folder."
            )
        trainer.should_stop = trainer.should_stop or bool(saved_state.get("ended"))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """What this call begins with is kept already.

        Raises:
            CheckpointError: the optimiser's restored state is of other shapes than the parameters.
        """
        self._seen = trainer.global_step
        checkpoint_io = trainer.strategy.checkpoint_io
        if isinstance(checkpoint_io, CheckpointFile) and checkpoint_io.restoring is not None:
            check_restored(trainer.optimizers, checkpoint_io.restoring)
            checkpoint_io.restoring = None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """See the module's docstring; nothing happens within an accumulation."""
        step = trainer.global_step
        if step == self._seen:
            return
        self._seen = step
        limit = self.settings.seconds
        if limit is not None and trainer.strategy.reduce_boolean_decision(
            time.monotonic() - self.started > limit, all=False
        ):
            trainer.should_stop = True
        every = self.settings.validate_every
        if self.validator is not None and (step == self.settings.steps or (every and step % every == 0)):
            self._validate(self.validator, trainer, pl_module)
        if step % self.settings.checkpoint_every == 0 or trainer.should_stop:
            self._save_last(trainer)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Keep the end."""
        self._save_last(trainer)

    def _validate(self, validator: Validator, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure the weights that the run would leave now, and decide by them."""
        assert isinstance(pl_module, PromptableModule)
        backbone, validation_state = pl_module.backbone, self.validation_state
        modes = {module: module.training for module in backbone.modules()}
        backbone.eval()
        with pl_module.averaged(), torch.no_grad(), trainer.precision_plugin.val_step_context():
            table = validator.measure(backbone, validation_state.turn, trainer.global_rank, trainer.world_size)
        for module, mode in modes.items():
            module.training = mode
        best = validation_state.take(_gathered(table, trainer), trainer.global_step, validator.turns, self.settings)
        self.metrics = {f"validation/dice_{kind}": value for kind, value in validation_state.dice().items()}
        if validation_state.score is not None:
            self.metrics["validation/score"] = validation_state.score
        for logger in trainer.loggers:
            logger.log_metrics(self.metrics, step=trainer.global_step)
        if best and self.settings.chooses:
            self._save(trainer, self.folder / BEST)
        if validation_state.ended:
            trainer.should_stop = True

    def _save_last(self, trainer: lightning.Trainer) -> None:
        if self._saved != trainer.global_step:
            self._saved = trainer.global_step
            self._save(trainer, self.folder / LAST)

    def _save(self, trainer: lightning.Trainer, path: Path) -> None:
        if trainer.is_global_zero:
            with replacing(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)


def _gathered(table: Table, trainer: lightning.Trainer) -> Table:
    """The tables of all processes in one."""
    if trainer.world_size == 1:
        return table
    parts: list[Table] = [{} for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(parts, table)
    return {name: row for part in parts for name, row in part.items()}
