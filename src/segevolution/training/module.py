"""One training step as Lightning sees it: encode each view once, decode all its prompts, step.

Only parameters that ask for gradients are trained, averaged and saved; what an adapter froze costs nothing.
"""

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from ..adapters.base import attached
from ..errors import CheckpointError
from ..models.backbone import BackboneModule
from .auxiliary import SemanticHead
from .batches import TrainingBatch
from .objective import intersection_over_union, prompt_loss, semantic_loss
from .settings import FitSettings


class PromptableModule(lightning.LightningModule):
    """A backbone (with whatever adapter is attached) under the promptable objective.

    Args:
        backbone: parameters with requires_grad are trained.
        settings: see FitSettings.
        head: auxiliary semantic head, or None.
    """

    def __init__(self, backbone: BackboneModule, settings: FitSettings, head: SemanticHead | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.settings = settings
        self.head = head
        self.strict_loading = False
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
        torch.manual_seed((self.settings.seed << 32) + (self.global_rank << 24) + self.global_step)
        objective = self.settings.objective
        features = self.backbone.encode(batch.images, batch.modalities)
        masks = self.backbone.decode(features, batch.prompts, batch.contexts, multimask=batch.multimask)
        parts = prompt_loss(masks, batch, objective, self.progress)
        if self.head is not None and self.progress < objective.semantic_until:
            parts["semantic"] = objective.semantic * semantic_loss(self.head(features), batch)
        adapter = attached(self.backbone)
        auxiliary = None if adapter is None else adapter.auxiliary_loss()
        if auxiliary is not None:
            parts["adapter"] = auxiliary
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()}, batch_size=1)
        return loss

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Lightning cannot move frozen dataclasses by itself."""
        return batch.to(device)

    def validation_step(self, batch: TrainingBatch, index: int) -> None:
        """Dice at window resolution, a mean for each prompt combination."""
        features = self.backbone.encode(batch.images, batch.modalities)
        masks = self.backbone.decode(features, batch.prompts, batch.contexts)
        iou = intersection_over_union(masks.full()[:, 0] > 0, batch.targets)
        dice = 2 * iou / (1 + iou)
        for name, value in zip(combinations(batch), dice, strict=True):
            self.log(f"validation/dice_{name}", value, batch_size=1, sync_dist=True, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW; vectors (biases, norms, tokens) without decay; warm-up, then cosine to `final_rate`."""
        settings, trained = self.settings, self.trained()
        matrices = [value for value in trained.values() if value.ndim > 1]
        vectors = [value for value in trained.values() if value.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            fused=settings.precision != "16-mixed",
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        settings = self.settings
        if step < settings.warmup:
            return (step + 1) / settings.warmup
        done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
        return settings.final_rate + (1 - settings.final_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """By norm. Lightning refuses to clip for a fused AdamW under autocast, needlessly where there is no scaler."""
        if self.settings.precision == "16-mixed":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif self.settings.clip:
            nn.utils.clip_grad_norm_(list(self.trained().values()), self.settings.clip)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the average follow: at once, so that every checkpoint holds both after the same step."""
        super().optimizer_step(*args, **kwargs)
        self._follow()

    def _follow(self) -> None:
        """Exponential moving average of the weights, fast at the start."""
        if self.settings.average == 0:
            return
        decay = min(self.settings.average, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for name, value in self.trained().items():
                if name in self._average:
                    self._average[name].lerp_(value.detach(), 1 - decay)
                else:
                    self._average[name] = value.detach().clone()

    def adopt_average(self) -> None:
        """Make the moving average the weights, for good; called when training has ended."""
        trained = self.trained()
        with torch.no_grad():
            for name, value in self._average.items():
                trained[name].copy_(value)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained, and the average."""
        trained = self.trained()
        checkpoint["state_dict"] = {name: checkpoint["state_dict"][name] for name in trained}
        checkpoint["average"] = self._average

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the average again.

        Raises:
            CheckpointError: it holds other parameters than those that are trained now.
        """
        there, wanted = checkpoint["state_dict"].keys(), self.trained().keys()
        if there != wanted or checkpoint["average"].keys() - wanted:
            odd = sorted(there ^ wanted) or sorted(checkpoint["average"].keys() - wanted)
            raise CheckpointError(
                f"the checkpoint of this run trains other parameters than the network now has ({odd[0]} and "
                f"{len(odd) - 1} more); begin in a new folder."
            )
        self._average = {name: value.to(self.device) for name, value in checkpoint["average"].items()}


def combinations(batch: TrainingBatch) -> list[str]:
    """Which prompt combination each prompt of a batch is, by the names of prompting.COMBINATIONS."""
    prompts, names = batch.prompts, []
    for row in range(len(prompts)):
        parts = []
        if prompts.structures[row] is not None:
            parts.append("text")
        if prompts.labels is not None and bool((prompts.labels[row] >= 0).any()):
            parts.append("point")
        if prompts.boxes is not None and not bool(prompts.boxes[row].isnan().any()):
            parts.append("box")
        names.append("+".join(parts))
    return names
