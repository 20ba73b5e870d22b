"""Run training, and continue a run that was stopped or killed exactly where its last checkpoint stands.

The folder holds `last.ckpt` (trained weights, optimiser, average, step: see `checkpoint_file`), `best.ckpt` where
validation chooses, `curves/N/metrics.csv` of each call, and `features/` where encodings are kept. A run that has
reached its last step is not trained again.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from ..data.streaming import ArrayCache
from ..errors import CheckpointError, OutputError, SegevolutionError
from ..files import sweep, write_json
from ..models.backbone import BackboneModule
from ..progress import write_stderr
from ..runtime import has_bfloat16, resolve_device
from .auxiliary import SemanticHead
from .batches import CaseGroup
from .checkpoint_file import BEST, LAST, read_checkpoint, step_of
from .checkpoint_io import CheckpointFile
from .checkpointing import CheckpointCallback
from .feature_cache import FeatureCache, encoder_digest, require_frozen_encoder
from .fit_result import FitResult
from .loaders import TrainingDataModule
from .loggers import loggers
from .memory import compiled, recomputing
from .module import PromptableModule
from .progress_callback import TrainingProgress
from .settings import FitSettings
from .validation import validator


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
        validation: cases for the Dice curve; best weights, a plateau and an early end go by them, where asked for.
        device: "auto", "cpu" or "cuda".
        quiet: no progress bar.

    Raises:
        RecipeError: the settings do not fit the network or the patients.
        CheckpointError: the folder holds another run, or a checkpoint that is damaged or a pickle.
        OutputError, StoreError: the folder cannot be written, or data not be read, any more; what was kept is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    settings = settings_on(settings, device, quiet)
    torch.manual_seed(settings.seed)
    cache = ArrayCache(settings.cache_bytes)
    groups, validation = ([group.kept_in(cache) for group in part] for part in (groups, validation))
    head = _semantic_head(backbone, groups, settings)
    module = PromptableModule(backbone, settings, head)
    began_with = module.copied() if settings.start_share else {}  # a checkpoint is read later, within trainer.fit
    checkpoint_callback = CheckpointCallback(folder, settings, validator(validation, backbone.spec, settings))
    semantic = [] if head is None else _structures(groups)
    loaders = TrainingDataModule(groups, backbone.spec, settings, semantic, _pool(backbone, settings, folder, device))
    started = time.monotonic()
    trainer = make_trainer(settings, folder, checkpoint_callback, device, quiet)
    backbone.train()
    with (
        warnings.catch_warnings(),
        explained(trainer, folder),
        recomputing(backbone, on=settings.gradient_checkpointing),
        compiled(backbone, settings.compile),
    ):
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, datamodule=loaders, ckpt_path=last_checkpoint(folder))
    step, ended = trainer.global_step, checkpoint_callback.validation_state.ended
    finished = step >= settings.steps or ended
    best = folder / BEST
    if settings.keep_weights == "best" and finished and best.exists():
        module.adopt(read_checkpoint(best))
    else:
        module.adopt_average()
    module.lean_towards(began_with, settings.start_share)
    backbone.eval()
    seconds = time.monotonic() - started
    trained = sum(value.numel() for name, value in module.trained().items() if not name.startswith("head."))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()} | checkpoint_callback.metrics
    result = FitResult(
        step,
        finished,
        seconds,
        trained,
        metrics,
        checkpoint_callback.validation_state.best_step if best.exists() else None,
    )
    if trainer.is_global_zero:
        write_json(folder / "fit.json", {"settings": asdict(settings), "result": asdict(result)})
    return result


@contextmanager
def explained(trainer: lightning.Trainer, folder: Path) -> Iterator[None]:
    """One sentence for what stops a run from outside: a full disk, or data that cannot be read any more."""
    try:
        yield
    except SegevolutionError as error:
        message = str(error).strip()
        if "\n" not in message:
            raise
        raise type(error)(
            message.splitlines()[-1].partition(": ")[2] or message
        ) from error  # a worker's, with its traceback
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        checkpoint_io = trainer.strategy.checkpoint_io
        if not isinstance(checkpoint_io, CheckpointFile) or checkpoint_io.restoring is None:
            raise
        raise CheckpointError(
            f"{checkpoint_io.restoring} is of a run with other settings or another network ({_first_line(error)}); "
            "state the settings that it began with, or begin in a new folder."
        ) from error
    except OSError as error:
        checkpoint_fact = f"{folder / LAST} is whole" if (folder / LAST).is_file() else "nothing was kept yet"
        raise OutputError(
            f"training stopped at step {trainer.global_step}: {error.filename or folder} cannot be used "
            f"({error.strerror or error}); {checkpoint_fact}, and the same call goes on from there."
        ) from error


def last_checkpoint(folder: Path) -> str | None:
    """The checkpoint that a run in this folder goes on from; None where it begins.

    Raises:
        CheckpointError: what is there cannot be read; said before any work.
    """
    path = folder / LAST
    if not path.exists():
        return None
    step_of(path)
    return str(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _pool(backbone: BackboneModule, settings: FitSettings, folder: Path, device: str) -> FeatureCache | None:
    """The views whose encodings are kept, where the settings ask for that."""
    if not settings.cache_features:
        return None
    require_frozen_encoder(backbone)
    return FeatureCache(
        folder / "features",
        backbone.spec,
        settings.cache_features,
        settings.seed,
        encoder_digest(backbone, settings.precision, _accelerator(device)),
        smallest=settings.sample.smallest,
        view=settings.view,
        intensity=settings.intensity,
        half=settings.cache_dtype == "float16",
    )


def _semantic_head(backbone: BackboneModule, groups: Sequence[CaseGroup], settings: FitSettings) -> SemanticHead | None:
    if settings.objective.semantic == 0:
        return None
    with torch.no_grad():
        features = backbone.encode(torch.zeros(1, 1, *backbone.spec.window), (None,))
    skip = features.skips[-1].shape[1] if features.skips else 0
    return SemanticHead(features.tokens.shape[-1], skip, len(_structures(groups)))


def _structures(groups: Sequence[CaseGroup]) -> list[str]:
    return sorted({name for group in groups for case in group.cases for name in case.structures})


def _accelerator(device: str) -> str:
    return resolve_device(device).type


def settings_on(settings: FitSettings, device: str, quiet: bool) -> FitSettings:
    """The settings with a precision that the device has; a line says so where it is another than was asked for."""
    if settings.precision != "bf16-mixed" or has_bfloat16(resolve_device(device)):
        return settings
    if not quiet:
        write_stderr("training in float32: this device has no bfloat16")
    return replace(settings, precision="32-true")


def make_trainer(
    settings: FitSettings, folder: Path, checkpoint_callback: CheckpointCallback, device: str, quiet: bool
) -> lightning.Trainer:
    """Lightning's trainer as these settings ask for it; validating and keeping are the checkpoint_callback's."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    target = resolve_device(device)
    one_of_several = target.type == "cuda" and target.index is not None and settings.devices == 1
    callbacks: list[Callback] = [checkpoint_callback] if quiet else [checkpoint_callback, TrainingProgress()]
    return lightning.Trainer(
        max_steps=settings.steps,
        accelerator=target.type,
        devices=[target.index] if one_of_several else settings.devices,
        num_nodes=settings.nodes,
        strategy="ddp_find_unused_parameters_true" if settings.devices * settings.nodes > 1 else "auto",
        precision=settings.precision,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip_norm,
        logger=loggers(settings, folder),
        log_every_n_steps=5,
        callbacks=callbacks,
        plugins=[CheckpointFile()],
        enable_checkpointing=False,
        enable_progress_bar=False,  # ours, see progress_callback
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        check_val_every_n_epoch=None,
        val_check_interval=settings.steps * settings.accumulate,
        default_root_dir=folder,
    )
