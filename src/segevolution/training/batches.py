"""One training step's input, drawn from an index alone: the same index gives the same batch on any machine.

That is what makes an interrupted run continue exactly: nothing about the data order lives outside the step's
number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.augment import AugmentSettings, augment
from ..data.balance import Level, draw
from ..data.windows import FramedCase, View, ViewSettings, draw_view, mask_of
from ..models.backbone import Kind, PromptBatch, Spec
from ..vocabulary import Context, Modality
from .aims import Aim, Aims
from .prompting import COMBINATIONS, PromptSettings, coarse_mask, draw_box, draw_points, pad_points

Rng = np.random.Generator


@dataclass(frozen=True)
class SampleSettings:
    """What a step is made of.

    Attributes:
        views: images a step (and process).
        structures: structures drawn from each view.
        prompts: prompts a structure; 6 with `all_combinations` is SegVol's own objective.
        all_combinations: each structure gets every combination once, instead of a draw.
        smallest: voxels a structure needs in the view to be asked for.
        size_power: structures are drawn by their size in the view to this power.
        absent: share of views that also ask by text for a structure that is not there.
        unnamed: share of prompts whose context withholds the structure.
        candidates: share of steps that train the three alternative masks instead of the single one.
        balance: levels that are drawn evenly, the outermost first, such as ("structure",) or ("dataset", "structure");
            each view is then drawn for one structure, shows it and asks for it. A dataset is a group here, and the
            groups' weights decide within the last level. Empty: a group by its weight, then a case evenly.
        balance_power: 1 = evenly, 0 = by the groups' weights alone; see `data.balance.weights`.
    """

    views: int = 2
    structures: int = 3
    prompts: int = 2
    all_combinations: bool = False
    smallest: int = 8
    size_power: float = 0.25
    absent: float = 0.3
    unnamed: float = 0.1
    candidates: float = 0.1
    balance: tuple[Level, ...] = ()
    balance_power: float = 1.0


@dataclass(frozen=True)
class TrainingBatch:
    """Tensors of one step.

    Attributes:
        images: (B, 1, D, H, W) float32 in [0, 1].
        modalities: one an image.
        prompts: P prompts over these images.
        contexts: one a prompt.
        targets: (P, D, H, W) bool.
        semantic: (B, S, D, H, W) bool, one map a known structure, for the auxiliary head; None without one.
        labelled: (B, S) bool, which structures the image's dataset labels; None without one.
        multimask: whether this step trains the alternatives.
    """

    images: Tensor
    modalities: tuple[Modality | None, ...]
    prompts: PromptBatch
    contexts: tuple[Context, ...]
    targets: Tensor
    semantic: Tensor | None
    labelled: Tensor | None
    multimask: bool

    def to(self, device: torch.device) -> "TrainingBatch":
        """The same batch with its tensors on `device`."""
        prompts: PromptBatch = replace(self.prompts, **_moved(self.prompts, device))
        whole: TrainingBatch = replace(self, **_moved(self, device), prompts=prompts)
        return whole


@dataclass(frozen=True)
class CaseGroup:
    """Cases that share a weight in sampling, such as one dataset."""

    cases: tuple[FramedCase, ...]
    weight: float = 1.0


def _moved(value: Any, device: torch.device) -> dict[str, Any]:
    """The tensors among a dataclass' fields, on `device`."""
    found = {part.name: getattr(value, part.name) for part in fields(value)}
    return {name: tensor.to(device) for name, tensor in found.items() if isinstance(tensor, Tensor)}


class StepDataset(Dataset[TrainingBatch]):
    """Step number -> batch.

    Args:
        groups: where views come from; a group is drawn by weight, then a case evenly, unless `sample` balances.
        spec: of the network.
        length: number of steps.
        seed: with the step's number and `stream`, all chance comes from it.
        stream: the process' rank, so that processes draw apart.
        semantic: structures of the auxiliary head, in order; empty for none.
    """

    def __init__(
        self,
        groups: Sequence[CaseGroup],
        spec: Spec,
        length: int,
        seed: int,
        *,
        stream: int = 0,
        sample: SampleSettings | None = None,
        view: ViewSettings | None = None,
        prompt: PromptSettings | None = None,
        intensity: AugmentSettings | None = None,
        semantic: Sequence[str] = (),
    ) -> None:
        self.groups = [group for group in groups if group.cases and group.weight > 0]
        self.spec, self.length, self.seed, self.stream = spec, length, seed, stream
        self.sample = sample or SampleSettings()
        self.view, self.intensity = view or ViewSettings(), intensity or AugmentSettings()
        self.prompt = prompt or PromptSettings()
        self.semantic = tuple(semantic)
        weights = np.array([group.weight for group in self.groups], float)
        self._chances = weights / weights.sum()
        self._combinations, self._combination_chances = self.prompt.drawable(spec.accepts)
        self._aims: Aims | None = None
        if self.sample.balance:
            cases, shares = [group.cases for group in self.groups], [group.weight for group in self.groups]
            self._aims = Aims.of(cases, shares, self.sample.balance, self.sample.balance_power)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> TrainingBatch:
        rng = np.random.default_rng([self.seed, self.stream, index])
        builder = _Builder()
        for aim in self._aimed(index):
            self._add_view(builder, rng, aim)
        return builder.finish(self.semantic, multimask=rng.random() < self.sample.candidates)

    def _aimed(self, index: int) -> Sequence[Aim | None]:
        """What each view of a step is drawn for; None leaves it to chance."""
        if self._aims is None:
            return [None] * self.sample.views
        places = draw(self._aims.chances, index, self.seed, stream=self.stream, size=self.sample.views)
        return [self._aims.all[place] for place in places]

    def _add_view(self, builder: "_Builder", rng: Rng, aim: Aim | None = None) -> None:
        """Draw views until one shows a structure large enough to ask for: the one aimed at, unless none shows it."""
        shown: tuple[FramedCase, View, dict[str, int], list[str]] | None = None
        for _ in range(20):
            if aim is None:
                group = self.groups[rng.choice(len(self.groups), p=self._chances)]
                case = group.cases[rng.integers(len(group.cases))]
                view = draw_view(case, self.spec.window, rng, self.view)
            else:
                case = aim.case
                view = draw_view(aim.alone, self.spec.window, rng, self.view)
            counts = np.bincount(view.labels.ravel(), minlength=1)
            sizes = {
                name: int(sum(counts[value] for value in values if value < counts.size))
                for name, values in case.structures.items()
            }
            names = [name for name, size in sizes.items() if size >= self.sample.smallest]
            if names:
                shown = case, view, sizes, names
                if aim is None or aim.structure in names:
                    break
        if shown is None:
            raise ValueError(f"no view of {case.name} shows a structure of {self.sample.smallest} voxels")
        case, view, sizes, names = shown
        builder.add_image(case, augment(view.image, rng, self.intensity), view.labels)
        for name in self._choose(names, sizes, aim, rng):
            for combination in self._draw_combinations(rng):
                self._add_prompt(builder, case, view, name, combination, rng)
        missing = [name for name in (*case.structures, *case.absent) if sizes.get(name, 0) == 0]
        if missing and Kind.TEXT in self.spec.accepts and rng.random() < self.sample.absent:
            name = missing[rng.integers(len(missing))]
            builder.add_prompt(name, Context(case.modality, name), None, None, np.zeros(view.labels.shape, bool))

    def _choose(self, names: Sequence[str], sizes: Mapping[str, int], aim: Aim | None, rng: Rng) -> list[str]:
        """The structures of a view that are asked for: the one aimed at, the others by size."""
        first = [aim.structure] if aim is not None and aim.structure in names else []
        rest = [name for name in names if name not in first]
        count = min(self.sample.structures, len(names)) - len(first)
        if not count:
            return first
        chances = np.array([sizes[name] for name in rest], float) ** self.sample.size_power
        chosen = rng.choice(len(rest), count, replace=False, p=chances / chances.sum())
        return [*first, *(rest[place] for place in chosen)]

    def _draw_combinations(self, rng: Rng) -> Sequence[str]:
        if self.sample.all_combinations:
            return self._combinations
        count = min(self.sample.prompts, len(self._combinations))
        picks = rng.choice(len(self._combinations), count, replace=False, p=self._combination_chances)
        return [self._combinations[pick] for pick in picks]

    def _add_prompt(
        self, builder: "_Builder", case: FramedCase, view: View, name: str, combination: str, rng: Rng
    ) -> None:
        mask = mask_of(view.labels, case.structures[name])
        kinds = COMBINATIONS[combination]
        shown = coarse_mask(mask, rng) if self.prompt.coarse and rng.random() < self.prompt.coarse else mask
        points = draw_points(shown, rng, self.prompt) if Kind.POINT in kinds else None
        box = draw_box(shown, rng, self.prompt) if Kind.BOX in kinds else None
        withheld = rng.random() < self.sample.unnamed
        context = Context(case.modality, None if withheld else name)
        builder.add_prompt(name if Kind.TEXT in kinds else None, context, points, box, mask)


class _Builder:
    """Collects images and prompts of one step."""

    def __init__(self) -> None:
        self.cases: list[FramedCase] = []
        self.images: list[npt.NDArray[np.float32]] = []
        self.labels: list[npt.NDArray[np.generic]] = []
        self.image_index: list[int] = []
        self.texts: list[str | None] = []
        self.contexts: list[Context] = []
        self.points: list[tuple[npt.NDArray[np.float32], Sequence[int]] | None] = []
        self.boxes: list[npt.NDArray[np.float32]] = []
        self.targets: list[npt.NDArray[np.bool_]] = []

    def add_image(self, case: FramedCase, image: npt.NDArray[np.float32], labels: npt.NDArray[np.generic]) -> None:
        self.cases.append(case)
        self.images.append(image)
        self.labels.append(labels)

    def add_prompt(
        self,
        text: str | None,
        context: Context,
        points: tuple[npt.NDArray[np.float32], Sequence[int]] | None,
        box: npt.NDArray[np.float32] | None,
        target: npt.NDArray[np.bool_],
    ) -> None:
        self.image_index.append(len(self.images) - 1)
        self.texts.append(text)
        self.contexts.append(context)
        self.points.append(points)
        self.boxes.append(np.full(6, np.nan, np.float32) if box is None else box)
        self.targets.append(target)

    def finish(self, semantic: tuple[str, ...], multimask: bool) -> TrainingBatch:
        points, labels = pad_points(self.points)
        prompts = PromptBatch(
            torch.tensor(self.image_index),
            tuple(self.texts),
            torch.from_numpy(points) if points.shape[1] else None,
            torch.from_numpy(labels) if points.shape[1] else None,
            torch.from_numpy(np.stack(self.boxes)),
        )
        maps, labelled = self._semantic(semantic) if semantic else (None, None)
        return TrainingBatch(
            torch.from_numpy(np.stack(self.images))[:, None],
            tuple(case.modality for case in self.cases),
            prompts,
            tuple(self.contexts),
            torch.from_numpy(np.stack(self.targets)),
            maps,
            labelled,
            multimask,
        )

    def _semantic(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        maps = np.zeros((len(self.cases), len(names), *self.images[0].shape), bool)
        labelled = np.zeros((len(self.cases), len(names)), bool)
        for row, (case, labels) in enumerate(zip(self.cases, self.labels, strict=True)):
            for column, name in enumerate(names):
                labelled[row, column] = name in case.structures or name in case.absent
                if name in case.structures:
                    maps[row, column] = mask_of(labels, case.structures[name])
        return torch.from_numpy(maps), torch.from_numpy(labelled)
