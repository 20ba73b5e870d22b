"""Dice on validation patients while training goes on: of training-like views, or of whole volumes in turn.

Whole volumes are answered as inference answers them. They take turns, a few a validation, so that a validation costs
little; the score is the mean of each one's latest Dice, so that every score is about the same patients.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..data.windows import FramedCase, mask_of
from ..errors import RecipeError
from ..imaging.grid import Grid
from ..imaging.prompts import PromptKind, kinds_in
from ..imaging.simulated_prompts import prompt_from_mask, prompt_generator
from ..inference.frame_prompt import FramePrompt, on_view
from ..inference.strategies import strategy_of
from ..inference.strategies.base import StrategyOptions
from ..models.backbone import BackboneModule, Spec
from ..vocabulary import Context
from .batch_builder import TrainingBatch
from .batches import CaseGroup, StepDataset
from .objective import intersection_over_union
from .settings import FitSettings
from .validation_state import Table


class Validator(Protocol):
    """Something that measures a share of the validation patients."""

    turns: int

    def measure(self, backbone: BackboneModule, turn: int, rank: int, world: int) -> Table:
        """This process' part of a validation, numbered `turn`; after `turns` of them everything was measured."""
        ...


def validator(groups: Sequence[CaseGroup], spec: Spec, settings: FitSettings) -> Validator | None:
    """What measures a run; None without validation patients.

    Raises:
        RecipeError: validation is to decide something that it cannot.
    """
    if not any(group.cases for group in groups):
        if settings.chooses:
            raise RecipeError(
                "keep_weights: best, patience and schedule: plateau go by validation patients, and this run has none; "
                "give some patients the role validation."
            )
        return None
    kind_of_validator: Validator = (
        VolumeDice(groups, spec, settings) if settings.validation.volumes else ViewDice(groups, spec, settings)
    )
    planned = math.ceil(settings.steps / settings.validate_every) if settings.validate_every else 1
    if settings.chooses and planned < kind_of_validator.turns:
        raise RecipeError(
            f"{planned} validations are planned, but all validation patients have had their turn only after "
            f"{kind_of_validator.turns}, so nothing could be chosen; raise validation.volumes or lower validate_every."
        )
    return kind_of_validator


class ViewDice:
    """Dice at window resolution of views drawn as for training: always the same ones."""

    def __init__(self, groups: Sequence[CaseGroup], spec: Spec, settings: FitSettings) -> None:
        self.turns = 1
        self._dataset = StepDataset(
            groups,
            spec,
            settings.validation_steps,
            settings.seed + 1,
            sample=settings.sample,
            view=settings.view,
            prompt=settings.prompt,
        )

    def measure(self, backbone: BackboneModule, turn: int, rank: int, world: int) -> Table:
        """See Validator; one row a prompt."""
        table: Table = {}
        for number in range(rank, len(self._dataset), world):
            batch = self._dataset[number].to(backbone.device)
            assert batch.images is not None
            features = backbone.encode(batch.images, batch.modalities)
            masks = backbone.decode(features, batch.prompts, batch.contexts)
            iou = intersection_over_union(masks.full()[:, 0] > 0, batch.targets)
            dice = (2 * iou / (1 + iou)).tolist()
            for row, (kind, value) in enumerate(zip(combinations(batch), dice, strict=True)):
                table[f"{number}.{row}"] = {kind: value}
        return table


class VolumeDice:
    """Dice of whole volumes through `inference`, a few in each turn."""

    def __init__(self, groups: Sequence[CaseGroup], spec: Spec, settings: FitSettings) -> None:
        validation_settings = settings.validation
        self._points, self._seed = validation_settings.points, settings.seed
        self._kinds = tuple(kind for kind in validation_settings.prompts if kinds_in(kind) <= spec.accepts)
        self._precise = settings.precision != "bf16-mixed"
        parts = [
            (f"{number}/{case.dataset}/{case.name}", case, tuple(names[start : start + validation_settings.structures]))
            for number, group in enumerate(groups)
            for case in group.cases
            for names in [list(case.structures)]
            for start in range(0, len(names), validation_settings.structures)
        ]
        order = np.random.default_rng(settings.seed).permutation(len(parts))
        self._parts = [parts[place] for place in order]
        self._each = min(validation_settings.volumes, len(parts))
        self.turns = math.ceil(len(parts) / self._each)

    def measure(self, backbone: BackboneModule, turn: int, rank: int, world: int) -> Table:
        """See Validator; one row a structure of a volume, named by the place of its dataset, which no other has."""
        table: Table = {}
        first = turn * self._each
        for place in range(first + rank, first + self._each, world):
            row, case, names = self._parts[place % len(self._parts)]
            answers = self._volume(backbone, case, names)
            table |= {f"{row}/{name}": dice for name, dice in answers.items()}
        return table

    def _volume(self, backbone: BackboneModule, case: FramedCase, names: Sequence[str]) -> Table:
        image = torch.from_numpy(np.asarray(case.image).astype(np.float32)).to(backbone.device)
        options = StrategyOptions(precision="fp32" if self._precise else "bf16")
        opened = strategy_of(backbone.spec).open(backbone, image, case.pad, case.modality, options)
        known = frozenset(backbone.spec.structures)
        labels = np.asarray(case.labels)
        table: Table = {}
        for name in names:
            truth = mask_of(labels, case.structures[name])
            kinds = [
                kind for kind in self._kinds if not known or name in known or PromptKind.TEXT not in kinds_in(kind)
            ]
            frame_prompts = self._frame_prompts(kinds, name, truth, case)
            contexts = [Context(case.modality, name)] * len(frame_prompts)
            answers = opened.answers(frame_prompts, contexts) if frame_prompts else ()
            truth_there = torch.from_numpy(truth).to(backbone.device)
            table[name] = {
                kind: _dice(answer.logits > 0, truth_there) for kind, answer in zip(kinds, answers, strict=True)
            }
        return table

    def _frame_prompts(
        self, kinds: Sequence[str], name: str, truth: npt.NDArray[np.bool_], case: FramedCase
    ) -> list[FramePrompt]:
        """Prompts on the whole volume: the tight box, and points that seed, dataset, case and structure decide."""
        depth, height, width = truth.shape
        grid = Grid((depth, height, width), np.eye(4))
        rng = prompt_generator(self._seed, case.dataset, case.name, name)
        prompt = prompt_from_mask(truth, grid, ("text", "point", "box"), name, rng, positive=self._points)
        return [on_view(prompt.only(kinds_in(kind))) for kind in kinds]


def _dice(answer: torch.Tensor, truth: torch.Tensor) -> float:
    intersection = (answer & truth).sum()
    return float(2 * intersection / (answer.sum() + truth.sum()).clamp_min(1))


def combinations(batch: TrainingBatch) -> list[str]:
    """Which prompt combination each prompt of a batch is, by the names of prompts.COMBINATIONS."""
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
