"""Train an automatic network by nnU-Net's schedule, going on exactly where an earlier call was stopped or killed.

Stochastic gradient descent with Nesterov momentum .99, or AdamW; weight decay 3e-5, a learning rate that
falls as (1 - step / steps)^0.9, gradients clipped at 12; cross-entropy plus soft Dice of each structure at each
resolution, with weights 1, 1/2, 1/4 ... (Isensee et al. 2021). The folder holds `last.ckpt` and `curve.csv` (step,
loss, seconds).
"""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ...files import replacing
from ...models.checkpoints import count_parameters
from ...models.unet.unet import Unet
from ...progress import Writer, duration, write_stderr
from ...runtime import has_bfloat16
from ..checkpoint_file import check_restored, read_checkpoint, write_checkpoint
from .augmentation import IntensityAugmentation
from .patches import PatchSampler
from .settings import AutomaticSettings

LAST, CURVE = "last.ckpt", "curve.csv"
LEARNING_RATES = {"sgd": 1e-2, "adamw": 1e-3}
MOMENTUM, WEIGHT_DECAY, POWER, LARGEST_GRADIENT = 0.99, 3e-5, 0.9, 12.0
_TOLD = 10  # lines a training
_LOOKED_BACK = 50  # steps whose mean loss is told

ScoreLoss = Callable[[Sequence[Tensor], Tensor], Tensor]


@dataclass(frozen=True)
class AutomaticResult:
    """How a training ended.

    Attributes:
        steps: done in all calls.
        planned: steps that were asked for.
        seconds: of all calls.
        parameters: of the network.
        loss: mean of the last 50 steps of this call; NaN where it made none.
    """

    steps: int
    planned: int
    seconds: float
    parameters: int
    loss: float

    @property
    def finished(self) -> bool:
        """Whether its minutes sufficed for all of its steps."""
        return self.steps >= self.planned


def train_automatic(
    network: Unet,
    sampler: PatchSampler,
    settings: AutomaticSettings,
    folder: Path,
    *,
    device: torch.device | None = None,
    write: Writer = write_stderr,
) -> AutomaticResult:
    """Train a network in place, and leave it in eval mode.

    Args:
        network: fresh; its weights are overwritten where the folder holds a checkpoint.
        sampler: of its patches.
        settings: of the training.
        folder: of the run.
        device: where to train; None = where the network is.
        write: takes lines on how far it is.

    Raises:
        CheckpointError: the checkpoint is damaged or of another network, or the loss is no number any more.
        OutputError: the folder cannot be written.
    """
    device = device or network.device
    network.to(device).train()
    rate = settings.learning_rate or LEARNING_RATES[settings.optimizer]
    optimizer = _optimizer(network, settings.optimizer, rate)
    folder.mkdir(parents=True, exist_ok=True)
    step, seconds = _restored(folder / LAST, network, optimizer)
    loss_of, augment = score_loss(), IntensityAugmentation()
    limit = float("inf") if settings.minutes is None else 60 * settings.minutes
    rows: list[tuple[int, float, float]] = []
    begun, first = time.monotonic() - seconds, step
    bfloat16 = settings.precision == "bf16" and has_bfloat16(device)
    while step < settings.steps and seconds < limit:
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / settings.steps) ** POWER
        images, classes = _inputs(sampler, augment, step, settings.batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            scores = network.scores(images.to(device))
        loss = loss_of([score.float() for score in scores], classes.to(device))
        if not bool(torch.isfinite(loss)):
            raise CheckpointError(f"the loss became {loss.item()} at step {step}; train with a lower learning_rate.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        step, seconds = step + 1, time.monotonic() - begun
        rows.append((step, float(loss.detach()), seconds))
        _tell(write, step, first, settings.steps, rows, limit)
        if step % settings.checkpoint_every == 0:
            _keep(folder, step, seconds, network, optimizer, rows)
    _keep(folder, step, seconds, network, optimizer, rows)
    network.eval()
    recent = [loss for _, loss, _ in rows[-_LOOKED_BACK:]]
    mean = float(np.mean(recent)) if recent else float("nan")
    return AutomaticResult(step, settings.steps, seconds, count_parameters(network), mean)


def _optimizer(network: Unet, name: str, rate: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(network.parameters(), rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    return torch.optim.AdamW(network.parameters(), rate, weight_decay=WEIGHT_DECAY)


def _name(optimizer: torch.optim.Optimizer) -> str:
    """As the settings call it."""
    return type(optimizer).__name__.lower()


def score_loss() -> ScoreLoss:
    """Scores (B, classes, d, h, w), finest first, and classes (B, 1, D, H, W) -> the loss, a scalar.

    At each resolution cross-entropy of all classes plus 1 - soft Dice of each but the background, averaged.
    """
    dice = import_module("monai.losses.dice").DiceCELoss(
        include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5
    )

    def loss(scores: Sequence[Tensor], classes: Tensor) -> Tensor:
        weights = [0.5**level for level in range(len(scores))]
        parts = [dice(score, _at(classes, score.shape[2:])) for score in scores]
        total: Tensor = sum(weight * part for weight, part in zip(weights, parts, strict=True)) / sum(weights)
        return total

    return loss


def _at(classes: Tensor, shape: Sequence[int]) -> Tensor:
    """Classes (B, 1, D, H, W) at a resolution, picked and not blended."""
    d, h, w = (slice(None, None, side // coarse) for side, coarse in zip(classes.shape[2:], shape, strict=True))
    return classes[:, :, d, h, w]


def _inputs(sampler: PatchSampler, augment: IntensityAugmentation, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Images (B, 1, D, H, W) float32 and classes (B, 1, D, H, W) int64 of a step."""
    patches = sampler.batch(step, size)
    seeds = np.random.SeedSequence((sampler.seed, step)).generate_state(size).tolist()
    images = [augment(patch.image, seed) for patch, seed in zip(patches, seeds, strict=True)]
    classes = [torch.from_numpy(patch.classes.astype(np.int64))[None] for patch in patches]
    return torch.stack(images), torch.stack(classes)


def _tell(
    write: Writer, step: int, first: int, steps: int, rows: Sequence[tuple[int, float, float]], limit: float
) -> None:
    """A line after five steps, and at each tenth of the training."""
    done = step - first
    if done != 5 and step * _TOLD // steps == (step - 1) * _TOLD // steps:
        return
    pace = (rows[-1][2] - rows[0][2]) / max(1, len(rows) - 1)
    left = min(pace * (steps - step), limit - rows[-1][2])
    mean = np.mean([loss for _, loss, _ in rows[-_LOOKED_BACK:]])
    write(f"step {step} of {steps}, loss {mean:.3f}, about {duration(max(0.0, left))} left")


def _keep(
    folder: Path,
    step: int,
    seconds: float,
    network: Unet,
    optimizer: torch.optim.Optimizer,
    rows: list[tuple[int, float, float]],
) -> None:
    """Write the checkpoint, whole or not at all, then the rows of the curve that are new."""
    state: Mapping[str, Any] = {
        "global_step": step,
        "seconds": seconds,
        "state_dict": dict(network.state_dict()),
        "optimizer_states": [optimizer.state_dict()],
        "optimizer": _name(optimizer),
        "average": {},
        "loops": {},
        "callbacks": {},
        "lr_schedulers": [],
    }
    with replacing(folder / LAST) as temporary:
        write_checkpoint(temporary, state)
    curve = folder / CURVE
    last_step = _told_until(curve)
    with curve.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if last_step is None:
            writer.writerow(("step", "loss", "seconds"))
        writer.writerows(
            (number, f"{loss:.6f}", f"{when:.1f}") for number, loss, when in rows if number > (last_step or 0)
        )


def _told_until(curve: Path) -> int | None:
    """The last step of a curve; None where there is no curve yet."""
    if not curve.is_file():
        return None
    lines = curve.read_text(encoding="utf-8").splitlines()
    last = lines[-1].split(",")[0] if lines else ""
    return int(last) if last.isdigit() else 0


def _restored(path: Path, network: Unet, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """(steps, seconds) of a checkpoint, whose weights and momentum are put in place; (0, 0.0) where there is none."""
    if not path.exists():
        return 0, 0.0
    state = read_checkpoint(path)
    if state.get("optimizer", "sgd") != _name(optimizer):
        raise CheckpointError(
            f"{path} was trained by another optimiser than {_name(optimizer)}; delete it to begin again."
        )
    try:
        network.load_state_dict(state["state_dict"])
        optimizer.load_state_dict(state["optimizer_states"][0])
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path} is of another network; delete it to begin again.") from error
    check_restored([optimizer], path)
    return int(state["global_step"]), float(state.get("seconds", 0.0))
