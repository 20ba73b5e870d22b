"""Run training, and continue a run that was stopped or killed exactly where its last checkpoint stands.

The folder holds `last.ckpt` (trained weights, optimiser, average, step) and `curves/N/metrics.csv` of each call.
A run that has reached its last step is not trained again.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Sampler

from ..data.store import Store
from ..data.windows import FramedCase
from ..errors import StoreError
from ..files import replacing, write_json
from ..models.backbone import BackboneModule, Spec
from .auxiliary import SemanticHead
from .batches import CaseGroup, StepDataset, TrainingBatch
from .module import PromptableModule
from .settings import FitSettings


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        step: optimiser steps done in the whole run.
        finished: whether that is all of them.
        seconds: of this call.
        trained_parameters: numbers that were trained.
        metrics: the last value of everything logged.
    """

    step: int
    finished: bool
    seconds: float
    trained_parameters: int
    metrics: dict[str, float]


def load_group(store: Store, names: Sequence[str], spec: Spec, weight: float = 1.0) -> CaseGroup:
    """Frame cases of a store for training and keep them in memory.

    Only structures that the network knows are kept (`spec.structures`; all where that is empty).

    Raises:
        StoreError: a case carries no structure.
    """
    records = store.select(names=names)
    groups = {(record.dataset, record.modality) for record in records}
    labelled = {group: store.labelled(*group) for group in groups}
    known = frozenset(spec.structures)
    cases = []
    for record in records:
        case = FramedCase.make(
            store.read(record.name), spec.intensity, labelled[record.dataset, record.modality], known
        )
        if not case.structures:
            raise StoreError(f"{record.name} carries no structure that this model knows, so it cannot be trained on.")
        cases.append(case)
    return CaseGroup(tuple(cases), weight)


def fit(
    backbone: BackboneModule,
    groups: Sequence[CaseGroup],
    settings: FitSettings,
    folder: Path,
    *,
    validation: Sequence[CaseGroup] = (),
    device: str = "auto",
    quiet: bool = False,
) -> FitResult:
    """Train what asks for gradients in `backbone` and leave the result in it, in eval mode.

    Args:
        backbone: with an adapter attached, or whole.
        groups: cases to draw from.
        settings: the run; one that continues must state the same.
        folder: of this run; created.
        validation: cases for the Dice curve; nothing is chosen by it.
        device: "auto", "cpu" or "cuda".
        quiet: no progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    head = _semantic_head(backbone, groups, settings)
    module = PromptableModule(backbone, settings, head)
    loaders = _Loaders(groups, validation, backbone.spec, settings, head is not None)
    keeper = _Keeper(folder, settings)
    started = time.monotonic()
    last = folder / "last.ckpt"
    trainer = _trainer(settings, folder, keeper, device, quiet, validate=bool(validation))
    backbone.train()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, datamodule=loaders, ckpt_path=str(last) if last.exists() else None, weights_only=False)
    module.adopt_average()
    backbone.eval()
    seconds = time.monotonic() - started
    trained = sum(value.numel() for name, value in module.trained().items() if not name.startswith("head."))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    step = trainer.global_step
    result = FitResult(step, step >= settings.steps, seconds, trained, metrics)
    if trainer.is_global_zero:
        write_json(folder / "fit.json", {"settings": asdict(settings), "result": asdict(result)})
    return result


def _semantic_head(backbone: BackboneModule, groups: Sequence[CaseGroup], settings: FitSettings) -> SemanticHead | None:
    if settings.objective.semantic == 0:
        return None
    with torch.no_grad():
        features = backbone.encode(torch.zeros(1, 1, *backbone.spec.window), (None,))
    skip = features.skips[-1].shape[1] if features.skips else 0
    return SemanticHead(features.tokens.shape[-1], skip, len(_structures(groups)))


def _structures(groups: Sequence[CaseGroup]) -> list[str]:
    return sorted({name for group in groups for case in group.cases for name in case.structures})


def _trainer(
    settings: FitSettings, folder: Path, keeper: "_Keeper", device: str, quiet: bool, *, validate: bool
) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    accelerator = {"auto": "cuda" if torch.cuda.is_available() else "cpu"}.get(device, device)
    callbacks: list[Callback] = [keeper] if quiet else [keeper, TQDMProgressBar(refresh_rate=10)]
    return lightning.Trainer(
        max_steps=settings.steps,
        accelerator=accelerator,
        devices=settings.devices,
        strategy="ddp_find_unused_parameters_true" if settings.devices > 1 else "auto",
        precision=settings.precision,
        gradient_clip_val=settings.clip,
        logger=CSVLogger(folder, name="curves", version=_free_number(folder / "curves"), flush_logs_every_n_steps=10),
        log_every_n_steps=5,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=not quiet,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=settings.validation_steps if validate else 0,
        val_check_interval=settings.validate_every or settings.steps,
        check_val_every_n_epoch=None,
        default_root_dir=folder,
    )


def _free_number(folder: Path) -> str:
    """Each call logs into a folder of its own, since Lightning's logger empties the one it is given."""
    return str(sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0)


class _Loaders(lightning.LightningDataModule):
    """Batches by step number, beginning where the trainer stands."""

    def __init__(
        self,
        groups: Sequence[CaseGroup],
        validation: Sequence[CaseGroup],
        spec: Spec,
        settings: FitSettings,
        semantic: bool,
    ) -> None:
        super().__init__()
        self.groups, self.validation, self.spec, self.settings = groups, validation, spec, settings
        self.semantic = _structures(groups) if semantic else []

    def train_dataloader(self) -> DataLoader[TrainingBatch]:
        assert self.trainer is not None
        settings = self.settings
        dataset = StepDataset(
            self.groups,
            self.spec,
            settings.steps,
            settings.seed,
            stream=self.trainer.global_rank,
            sample=settings.sample,
            view=settings.view,
            prompt=settings.prompt,
            intensity=settings.intensity,
            semantic=self.semantic,
        )
        sampler = _FromStep(self.trainer, settings.steps)
        return DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=settings.workers)

    def val_dataloader(self) -> DataLoader[TrainingBatch] | list[Any]:
        if not self.validation:
            return []
        settings = self.settings
        dataset = StepDataset(
            self.validation,
            self.spec,
            settings.validation_steps,
            settings.seed + 1,
            sample=settings.sample,
            view=settings.view,
            prompt=settings.prompt,
        )
        return DataLoader(dataset, batch_size=None)


class _FromStep(Sampler[int]):
    """Step numbers from the trainer's own up to the last."""

    def __init__(self, trainer: lightning.Trainer, total: int) -> None:
        self.trainer, self.total = trainer, total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.trainer.global_step, self.total))

    def __len__(self) -> int:
        return self.total


class _Keeper(Callback):
    """Writes last.ckpt whole or not at all, and stops a run whose time is up."""

    def __init__(self, folder: Path, settings: FitSettings) -> None:
        self.path, self.settings = folder / "last.ckpt", settings
        self.started = time.monotonic()
        self.saved = -1

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        limit = self.settings.seconds
        if limit is not None and trainer.strategy.reduce_boolean_decision(
            time.monotonic() - self.started > limit, all=False
        ):
            trainer.should_stop = True
        if trainer.global_step % self.settings.checkpoint_every == 0 or trainer.should_stop:
            self._save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        if self.saved == trainer.global_step:
            return
        self.saved = trainer.global_step
        if trainer.is_global_zero:
            with replacing(self.path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(self.path)
