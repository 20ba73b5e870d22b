"""One training step as Lightning sees it: encode each view once, decode all its prompts, step.

Only parameters that ask for gradients are trained, averaged and saved; what an adapter froze costs nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from ..adapters.switch import attached
from ..errors import CheckpointError, RecipeError
from ..imaging.prompts import PromptKind
from ..models.backbone import BackboneModule
from ..vocabulary import did_you_mean
from .auxiliary import SemanticHead
from .batch_builder import TrainingBatch
from .clicks import clicked_loss
from .objective import retain_loss, semantic_loss
from .settings import FitSettings


class PromptableModule(lightning.LightningModule):
    """A backbone (with whatever adapter is attached) under the promptable objective.

    Args:
        backbone: parameters with requires_grad are trained.
        settings: see FitSettings.
        head: auxiliary semantic head, or None.

    Raises:
        RecipeError: clicks for a network that accepts no points.
    """

    def __init__(self, backbone: BackboneModule, settings: FitSettings, head: SemanticHead | None = None) -> None:
        super().__init__()
        if settings.prompt.clicks and PromptKind.POINT not in backbone.spec.accepts:
            raise RecipeError("prompt.clicks asks for clicks, but this model takes no points; leave it at 0.")
        self.backbone = backbone
        self.settings = settings
        self.head = head
        self.strict_loading = False
        self.plateau: Callable[[], float] = lambda: 1.0  # factor on the rate, where the schedule asks for it
        self._average: dict[str, Tensor] = {}

    def trained(self) -> dict[str, nn.Parameter]:
        """Name -> parameter for all that is trained."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return min(1.0, self.global_step / max(self.settings.steps, 1))

    def training_step(self, batch: TrainingBatch, index: int) -> Tensor:
        """Loss of one step."""
        # What is drawn inside the network hangs on the step alone, so that a resumed run draws the same.
        stream = self.global_rank + self.trainer.world_size * (index % self.settings.accumulate)
        torch.manual_seed((self.settings.seed << 32) + (stream << 24) + self.global_step)
        objective = self.settings.objective
        retained = self._retained(batch)  # first, as an adapter that steps aside may change weights in their place
        features = batch.features
        if features is None:
            assert batch.images is not None
            features = self.backbone.encode(batch.images, batch.modalities)
        masks = self.backbone.decode(features, batch.prompts, batch.contexts, multimask=batch.multimask)
        parts = clicked_loss(
            self.settings.prompt.clicks,
            batch,
            masks,
            lambda asked: self.backbone.decode(features, asked.prompts, asked.contexts),
            self.backbone.spec.previous,
            objective,
            self.progress,
        )
        if self.head is not None and self.progress < objective.semantic_until:
            parts["semantic"] = objective.semantic * semantic_loss(self.head(features), batch)
        if masks.auxiliary_loss is not None:
            parts["network"] = masks.auxiliary_loss
        if retained is not None:
            rows, before, weights = retained
            parts["retain"] = retain_loss(masks.logits[rows].float(), before, weights)
        adapter = attached(self.backbone)
        auxiliary = None if adapter is None else adapter.auxiliary_loss()
        if auxiliary is not None:
            parts["adapter"] = auxiliary
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()}, batch_size=1)
        return loss

    def _retained(self, batch: TrainingBatch) -> tuple[list[int], Tensor, Tensor] | None:
        """Prompts whose answers are to stay: which, the logits before any adapter, their weights; None for none."""
        adapter, retain_weights = attached(self.backbone), self.settings.objective.retain
        if adapter is None or not retain_weights:
            return None
        prompt_modalities = [batch.modalities[image] for image in batch.prompts.image_index.tolist()]
        weights = [0.0 if modality is None else retain_weights.get(modality, 0.0) for modality in prompt_modalities]
        rows = [row for row, weight in enumerate(weights) if weight > 0]
        if not rows:
            return None
        prompts = batch.prompts.rows(rows)
        images, places = prompts.image_index.unique(return_inverse=True)
        with torch.no_grad(), adapter.suspended() as base:
            if batch.features is not None:
                features = batch.features.rows(images.tolist())
            else:
                assert batch.images is not None
                features = base.encode(batch.images[images], [batch.modalities[image] for image in images.tolist()])
            contexts = [batch.contexts[row] for row in rows]
            before = base.decode(features, replace(prompts, image_index=places), contexts, multimask=batch.multimask)
        torch.clear_autocast_cache()  # older Lightning keeps one: what trains in its place would be taken for the base
        return rows, before.logits.float(), before.logits.new_tensor([weights[row] for row in rows])

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Lightning cannot move frozen dataclasses by itself."""
        return batch.to(device)

    def configure_optimizers(self) -> Any:
        """AdamW; vectors (biases, norms, tokens) without decay, parts of another rate apart; then the schedule."""
        settings, adapter = self.settings, attached(self.backbone)
        multipliers = {**({} if adapter is None else adapter.lr_multipliers), **settings.lr_multipliers}
        parts = groups(self.trained(), replace(settings, lr_multipliers=multipliers))
        optimizer = torch.optim.AdamW(parts, lr=settings.learning_rate, fused=settings.precision != "16-mixed")
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """The share of the learning rate at a step: warm-up, then the schedule."""
        settings = self.settings
        if step < settings.warmup:
            return (step + 1) / settings.warmup
        if settings.schedule != "cosine":
            return self.plateau() if settings.schedule == "plateau" else 1.0
        share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
        return settings.final_lr_fraction + (1 - settings.final_lr_fraction) * 0.5 * (
            1 + math.cos(math.pi * min(1.0, share))
        )

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """By norm. Lightning refuses to clip for a fused AdamW under autocast, needlessly where there is no scaler."""
        if self.settings.precision == "16-mixed":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif self.settings.gradient_clip_norm:
            nn.utils.clip_grad_norm_(list(self.trained().values()), self.settings.gradient_clip_norm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the average follow: at once, so that every checkpoint holds both after the same step."""
        super().optimizer_step(*args, **kwargs)
        self._follow()

    def _follow(self) -> None:
        """Exponential moving average of the weights, fast at the start."""
        if self.settings.ema_decay == 0:
            return
        decay = min(self.settings.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for name, value in self.trained().items():
                if name in self._average:
                    self._average[name].lerp_(value.detach(), 1 - decay)
                else:
                    self._average[name] = value.detach().clone()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While it lasts, the weights are their moving average; afterwards they are back, bit for bit."""
        trained = self.trained()
        with torch.no_grad():
            trained_weights = {name: trained[name].detach().clone() for name in self._average}
            for name, value in self._average.items():
                trained[name].copy_(value)
            try:
                yield
            finally:
                for name, value in trained_weights.items():
                    trained[name].copy_(value)

    def adopt_average(self) -> None:
        """Make the moving average the weights, for good; called when training has ended."""
        trained = self.trained()
        with torch.no_grad():
            for name, value in self._average.items():
                trained[name].copy_(value)

    def copied(self) -> dict[str, Tensor]:
        """What is trained, as it is now, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.trained().items()}

    def lean_towards(self, weights: Mapping[str, Tensor], share: float) -> None:
        """Make each trained value the mean of itself and of these, which count for `share`."""
        trained = self.trained()
        with torch.no_grad():
            for name, value in weights.items():
                trained[name].lerp_(value.to(trained[name]), share)

    def adopt(self, checkpoint: dict[str, Any]) -> None:
        """Take the weights that a checkpoint of this run would leave: their average where there is one.

        Raises:
            CheckpointError: it holds other parameters than those that are trained now.
        """
        self._check_parameters(checkpoint)
        trained = self.trained()
        with torch.no_grad():
            for name, value in {**checkpoint["state_dict"], **checkpoint["average"]}.items():
                trained[name].copy_(value)

    def _check_parameters(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse, with a CheckpointError, names or shapes other than those of what is trained."""
        trained, weights, average = self.trained(), checkpoint["state_dict"], checkpoint["average"]
        shapes = {name: tuple(value.shape) for name, value in trained.items()}
        odd = sorted(weights.keys() ^ shapes.keys()) or sorted(average.keys() - shapes.keys())
        odd = odd or sorted(
            name for part in (weights, average) for name, value in part.items() if tuple(value.shape) != shapes[name]
        )
        if odd:
            raise CheckpointError(
                f"the checkpoint of this run trains other parameters than the network now has ({odd[0]} and "
                f"{len(odd) - 1} more); begin in a new folder."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained, and the average.

        Raises:
            RecipeError: a weight is no longer finite; what was kept before stays.
        """
        trained = self.trained()
        astray = next((name for name, value in trained.items() if not bool(value.isfinite().all())), None)
        if astray is not None:
            raise RecipeError(
                f"training went astray: at step {checkpoint['global_step']} {astray.removeprefix('backbone.')} holds "
                "values that are not finite; lower learning_rate, or train with precision 32-true. The checkpoint "
                "before, if there is one, is whole."
            )
        checkpoint["state_dict"] = {name: checkpoint["state_dict"][name] for name in trained}
        checkpoint["average"] = self._average

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the average again, and count batches by the steps done, whoever shared them before.

        Raises:
            CheckpointError: it holds other parameters than those that are trained now.
        """
        self._check_parameters(checkpoint)
        self._average = {name: value.to(self.device) for name, value in checkpoint["average"].items()}
        done = checkpoint["global_step"] * self.settings.accumulate
        for progress in checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"].values():
            if isinstance(progress, dict):
                behind = progress["processed"] - progress["completed"]
                progress |= {"ready": done, "started": done, "processed": done, "completed": done - behind}


def groups(trained: Mapping[str, nn.Parameter], settings: FitSettings) -> list[dict[str, Any]]:
    """Parameter groups of AdamW: matrices with decay, vectors without, and the same again for each other rate.

    Raises:
        RecipeError: `lr_multipliers` names no beginning of a trained parameter.
    """
    short = {name: name.removeprefix("backbone.") for name in trained}
    beginnings = sorted(settings.lr_multipliers, key=len, reverse=True)
    for beginning in beginnings:
        if not any(_begins(name, beginning) for name in short.values()):
            parts = sorted({name.partition(".")[0] for name in short.values()})
            likely = next((part for part in parts if beginning in part), beginning)
            hint = did_you_mean(likely, parts, f"trained are {', '.join(parts)}.")
            raise RecipeError(f'lr_multipliers names "{beginning}", with which no trained parameter begins; {hint}')
    by_rate: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, value in trained.items():
        multiplier = next((settings.lr_multipliers[entry] for entry in beginnings if _begins(short[name], entry)), 1.0)
        by_rate.setdefault(multiplier, []).append(value)
    parameter_groups: list[dict[str, Any]] = []
    for factor, values in by_rate.items():
        rate = {} if factor == 1.0 else {"lr": factor * settings.learning_rate}
        matrices = [value for value in values if value.ndim > 1]
        vectors = [value for value in values if value.ndim <= 1]
        parameter_groups.append({"params": matrices, "weight_decay": settings.weight_decay, **rate})
        parameter_groups.append({"params": vectors, "weight_decay": 0.0, **rate})
    return [group for group in parameter_groups if group["params"]]


def _begins(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning.rstrip('.')}.")
