"""The data module of Lightning: batches by number, beginning at the step where the trainer stands."""

from collections.abc import Callable, Iterator, Sequence

import lightning
from torch.utils.data import DataLoader, Sampler

from ..models.backbone import BackboneModule, Spec
from .batch_builder import TrainingBatch
from .batches import CaseGroup, StepDataset
from .feature_cache import FeatureCache
from .settings import FitSettings


class TrainingDataModule(lightning.LightningDataModule):
    """Training batches of this process.

    Args:
        groups: cases to draw from.
        spec: of the network.
        settings: of the run.
        semantic: structures of the auxiliary head.
        pool: views with kept features, to be filled before the first step; None draws new ones.
    """

    def __init__(
        self,
        groups: Sequence[CaseGroup],
        spec: Spec,
        settings: FitSettings,
        semantic: Sequence[str] = (),
        pool: FeatureCache | None = None,
    ) -> None:
        super().__init__()
        self.groups, self.spec, self.settings, self.semantic, self.pool = groups, spec, settings, semantic, pool

    def train_dataloader(self) -> DataLoader[TrainingBatch]:
        """One loader of single batches; their order is their numbers'."""
        trainer, settings = self.trainer, self.settings
        assert trainer is not None
        if self.pool is not None and trainer.global_step < settings.steps:
            self._fill(self.pool, trainer)
        total = settings.steps * settings.accumulate
        dataset = StepDataset(
            self.groups,
            self.spec,
            total,
            settings.seed,
            stream=trainer.global_rank,
            world=trainer.world_size,
            accumulate=settings.accumulate,
            sample=settings.sample,
            view=settings.view,
            prompt=settings.prompt,
            intensity=settings.intensity,
            pool=self.pool,
            semantic=self.semantic,
        )
        sampler = NumbersFromStep(lambda: trainer.global_step * settings.accumulate, total)
        return DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=settings.workers)

    def _fill(self, pool: FeatureCache, trainer: lightning.Trainer) -> None:
        backbone = trainer.lightning_module.backbone
        assert isinstance(backbone, BackboneModule)
        cases = [case for group in self.groups for case in group.cases if group.weight > 0]
        context = trainer.precision_plugin.forward_context()
        pool.fill(cases, backbone, context, rank=trainer.global_rank, world=trainer.world_size)
        trainer.strategy.barrier("features")


class NumbersFromStep(Sampler[int]):
    """Numbers of batches from the trainer's own up to the last."""

    def __init__(self, first: Callable[[], int], total: int) -> None:
        self.first, self.total = first, total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first(), self.total))

    def __len__(self) -> int:
        return self.total
