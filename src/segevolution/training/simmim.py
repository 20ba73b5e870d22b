"""SimMIM: learn an image encoder without labels, by predicting voxels that were hidden from it.

Source: Xie et al., CVPR 2022, arXiv:2111.09886; in the form of MIM-Med3D (Chen et al. 2023), which SegVol's authors
followed: a random share of the tokens is replaced by one learned mask token, position embeddings stay, the blocks run,
one linear layer predicts the voxels of each token's patch, and the loss is L1 on hidden voxels alone.

A convolutional stem would look past the border of a token into hidden voxels, so these are blanked in the image
before anything looks at it: no hidden voxel reaches the prediction, with a stem or without.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..adapters.switch import attached
from ..data.augment import AugmentSettings
from ..data.streaming import ArrayCache
from ..errors import AdapterError, CheckpointError
from ..files import sweep, write_json
from ..models.backbone import BackboneModule, Triple
from ..models.segvol.image_encoder import ImageEncoder, Patches
from ..models.segvol.layer_groups import ENCODER
from ..models.segvol.segvol import SegVol
from .checkpointing import CheckpointCallback
from .fit import explained, last_checkpoint, make_trainer, settings_on
from .fit_result import FitResult
from .loaders import NumbersFromStep
from .masking import MaskedBatch, MaskedDataset, MaskSettings, UnlabelledImages
from .memory import compiled, recomputing
from .module import PromptableModule
from .settings import FitSettings


class MaskedPrediction(nn.Module):
    """What SimMIM adds to an encoder: the mask token and a linear head; both are dropped afterwards.

    Args:
        width: channels of a token.
        patch: (d, h, w) voxels of a token.
        settings: see MaskSettings.
        seed: of the first values.
    """

    def __init__(self, width: int, patch: Triple, settings: MaskSettings, seed: int = 0) -> None:
        super().__init__()
        self.settings, self.patch = settings, patch
        self.patches = Patches(patch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mask_token = nn.Parameter(torch.empty(1, 1, width))
            nn.init.trunc_normal_(self.mask_token, std=0.02, a=-2.0, b=2.0)
            self.head = nn.Linear(width, patch[0] * patch[1] * patch[2])
        self.fill = nn.Parameter(torch.zeros(1)) if settings.fill == "learned" else None

    def forward(self, encoder: ImageEncoder, images: Tensor, hidden: Tensor) -> Tensor:
        """Predict the voxels of every patch.

        Args:
            encoder: whose patch embedding and blocks run.
            images: (B, 1, D, H, W); what is hidden in them is not looked at.
            hidden: (B, N) bool, W fastest.

        Returns:
            (B, N, voxels of a patch), in the order of `Patches`.
        """
        voxels = self._spread(hidden, images)
        blank = images.new_zeros(1) if self.fill is None else self.fill.to(images.dtype)
        tokens, _ = encoder.patch_embedding(torch.where(voxels, blank, images))
        masked = self.mask_token + encoder.patch_embedding.position_embeddings
        tokens = torch.where(hidden[..., None], masked.to(tokens.dtype), tokens)
        for block in encoder.blocks:
            tokens = block(tokens)
        predicted: Tensor = self.head(encoder.norm(tokens) if self.settings.final_norm else tokens)
        return predicted

    def loss(self, predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
        """Mean absolute error over hidden voxels, a scalar in the images' unit; seen voxels do not count."""
        error = (predicted.float() - self.patches(images.float())).abs().mean(-1)
        mean: Tensor = error[hidden].mean()
        return mean

    def guess(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The same loss of the best answer that looks at no place: the median of each image's seen voxels."""
        voxels = self.patches(images.float())
        losses = [
            (image[gone] - image[~gone].median()).abs().mean() for image, gone in zip(voxels, hidden, strict=True)
        ]
        return torch.stack(losses).mean()

    def painted(self, predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
        """(B, 1, D, H, W): the images with their hidden voxels as predicted."""
        batch, _, depth, height, width = images.shape
        pd, ph, pw = self.patch
        grid = predicted.float().reshape(batch, depth // pd, height // ph, width // pw, pd, ph, pw)
        whole = grid.permute(0, 1, 4, 2, 5, 3, 6).reshape(images.shape)
        return torch.where(self._spread(hidden, images), whole, images)

    def _spread(self, hidden: Tensor, images: Tensor) -> Tensor:
        """(B, N) over tokens -> (B, 1, D, H, W) over voxels."""
        depth, height, width = (side // step for side, step in zip(images.shape[2:], self.patch, strict=True))
        grid = hidden.reshape(len(hidden), 1, depth, height, width)
        for axis, step in enumerate(self.patch, start=2):
            grid = grid.repeat_interleave(step, axis)
        return grid


class SimMIMModule(PromptableModule):
    """SimMIM as Lightning sees it; optimiser, schedule, average and checkpoints are those of training with labels.

    Args:
        network: whose image encoder learns, by itself or through an adapter.
        settings: its prompts and objective have no part in this.
        masking: see MaskSettings.
        validation: batches of other images, for the curve; None without any.
    """

    def __init__(
        self,
        network: SegVol,
        settings: FitSettings,
        masking: MaskSettings,
        validation: MaskedDataset | None = None,
    ) -> None:
        super().__init__(network, settings)
        self.network = (network,)  # in a tuple, since it is registered as the backbone
        self.simmim = MaskedPrediction(network.config.width, network.config.patch, masking, settings.seed)
        self.validation = validation

    def training_step(self, batch: Any, index: int) -> Tensor:
        """L1 on what is hidden."""
        # An adapter's dropout hangs on the step alone, so that a resumed run draws the same.
        stream = self.global_rank + self.trainer.world_size * (index % self.settings.accumulate)
        torch.manual_seed((self.settings.seed << 32) + (stream << 24) + self.global_step)
        loss = self.simmim.loss(self._predict(batch), batch.images, batch.hidden)
        self.log("train/l1", loss.detach(), batch_size=1)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure other images now and then; nothing is chosen by it."""
        every = self.settings.validate_every
        if (batch_idx + 1) % self.settings.accumulate == 0 and every and self.global_step % every == 0:
            with self.averaged(), self.trainer.precision_plugin.val_step_context():
                measured = self.measured()
            for logger in self.loggers:
                logger.log_metrics(measured, step=self.global_step)

    @torch.no_grad()
    def measured(self) -> dict[str, float]:
        """L1 on the validation images, beside that of a guess that looks at no place; nothing without images."""
        if self.validation is None:
            return {}
        network = self.network[0]
        modes = {module: module.training for module in network.modules()}
        network.eval()
        batches = [self.validation[index].to(network.device) for index in range(len(self.validation))]
        losses = [
            (
                self.simmim.loss(self._predict(batch), batch.images, batch.hidden),
                self.simmim.guess(batch.images, batch.hidden),
            )
            for batch in batches
        ]
        for module, mode in modes.items():
            module.training = mode
        l1, guess = torch.tensor(losses).mean(0).tolist()
        return {"validation/l1": l1, "validation/guess": guess}

    def _predict(self, batch: MaskedBatch) -> Tensor:
        predicted: Tensor = self.simmim(self.network[0].encoder, batch.images, batch.hidden)
        return predicted


def learn(
    network: BackboneModule,
    pools: Sequence[UnlabelledImages],
    settings: FitSettings,
    masking: MaskSettings,
    folder: Path,
    *,
    validation: Sequence[UnlabelledImages] = (),
    device: str = "auto",
    quiet: bool = False,
) -> tuple[FitResult, MaskedPrediction]:
    """Pre-train a network's image encoder, or the adapter in it, and leave the result in the network, in eval mode.

    A run that was stopped goes on from `last.ckpt`, as in `fit`.

    Args:
        network: a SegVol. With an adapter attached only that learns, and it must lie within the encoder; without one
            the encoder does, and nothing else of the network.
        pools: images to draw from.
        settings: the run; one that continues must state the same.
        masking: see MaskSettings.
        folder: of this run; created.
        validation: images for the curve on other patients; nothing is chosen by it.
        device: "auto", "cpu" or "cuda".
        quiet: no progress bar.

    Returns:
        How it ended, and the mask token and head, for pictures.

    Raises:
        CheckpointError: the network is no SegVol, or last.ckpt is damaged, a pickle, or of another.
        AdapterError: the adapter reaches beyond the encoder.
        RecipeError: the masking does not fit the network's tokens.
        OutputError, StoreError: the folder cannot be written, or data not be read, any more; what was kept is whole.
    """
    if not isinstance(network, SegVol):
        raise CheckpointError(f"a {type(network).__name__} has no image encoder of SegVol; SimMIM needs one.")
    masking.hidden_units(network.config.grid)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    settings = settings_on(settings, device, quiet)
    started = time.monotonic()
    cache = ArrayCache(settings.cache_bytes)
    pools, validation = ([pool.kept_in(cache) for pool in part] for part in (pools, validation))
    with (
        _learning(network, masking),
        recomputing(network, on=settings.gradient_checkpointing),
        compiled(network, settings.compile),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", module="lightning")
        validation_dataset = _dataset(validation, network, masking, settings, training=False) if validation else None
        module = SimMIMModule(network, settings, masking, validation_dataset)
        trainer = make_trainer(settings, folder, CheckpointCallback(folder, settings, None), device, quiet)
        network.train()
        loaders = _ImageDataModule(pools, network, masking, settings)
        with explained(trainer, folder):
            trainer.fit(module, datamodule=loaders, ckpt_path=last_checkpoint(folder))
        module.adopt_average()
        trained = sum(value.numel() for name, value in module.trained().items() if name.startswith("backbone."))
    network.eval()
    module.simmim.eval()
    step = trainer.global_step
    finished = step >= settings.steps
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    metrics |= module.measured() if finished else {}
    result = FitResult(step, finished, time.monotonic() - started, trained, metrics)
    if trainer.is_global_zero:
        run_facts = {"settings": asdict(settings), "simmim": masking.to_dict(), "result": asdict(result)}
        write_json(folder / "fit.json", run_facts)
    return result, module.simmim


def leads() -> bool:
    """Whether this process is the one of several that writes files."""
    return not getattr(rank_zero_only, "rank", 0)


@contextmanager
def _learning(network: SegVol, masking: MaskSettings) -> Iterator[None]:
    """Let the adapter learn, or else the encoder without what no loss reaches; afterwards all is as it was."""
    adapter = attached(network)
    if adapter is not None:
        outside = [
            name for name, value in network.named_parameters() if value.requires_grad and not name.startswith(ENCODER)
        ]
        if outside or network.hooks.encode is not None:
            where = f"trains {outside[0]}" if outside else "chooses its way by the image"
            raise AdapterError(
                f"this {adapter.method} adapter {where}, which SimMIM does not run; it can teach what lies within the "
                'image encoder alone, such as lora with targets "encoder".'
            )
    before = {name: value.requires_grad for name, value in network.named_parameters()}
    if adapter is None:
        network.requires_grad_(False)
        network.encoder.requires_grad_(True)
    if not masking.final_norm:
        network.encoder.norm.requires_grad_(False)
    try:
        yield
    finally:
        for name, value in network.named_parameters():
            value.requires_grad_(before[name])
            value.grad = None


class _ImageDataModule(lightning.LightningDataModule):
    """Batches by number, beginning where the trainer stands."""

    def __init__(
        self, pools: Sequence[UnlabelledImages], network: SegVol, masking: MaskSettings, settings: FitSettings
    ) -> None:
        super().__init__()
        self.pools, self.network, self.masking, self.settings = pools, (network,), masking, settings

    def train_dataloader(self) -> DataLoader[MaskedBatch]:
        """One loader of single batches; their order is their numbers'."""
        trainer, settings = self.trainer, self.settings
        assert trainer is not None
        place = {"rank": trainer.global_rank, "world": trainer.world_size}
        dataset = _dataset(self.pools, self.network[0], self.masking, settings, training=True, **place)
        sampler = NumbersFromStep(lambda: trainer.global_step * settings.accumulate, len(dataset))
        return DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=settings.workers)


def _dataset(
    pools: Sequence[UnlabelledImages],
    network: SegVol,
    masking: MaskSettings,
    settings: FitSettings,
    *,
    training: bool,
    rank: int = 0,
    world: int = 1,
) -> MaskedDataset:
    """Training's, or a fixed one whose intensities stay as they are."""
    return MaskedDataset(
        pools,
        network.config.window,
        network.config.grid,
        masking,
        settings.steps * settings.accumulate if training else settings.validation_steps,
        settings.seed if training else settings.seed + 1,
        rank=rank,
        world=world,
        accumulate=settings.accumulate if training else 1,
        views=settings.sample.views,
        view=settings.view,
        intensity=settings.intensity if training else AugmentSettings(chance=0.0),
    )
