"""One training step's input, drawn from an index alone: the same index gives the same batch on any machine.

That is what makes an interrupted run continue exactly: nothing about the data order lives outside the step's
number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch.utils.data import Dataset

from ..data.augment import AugmentSettings, augment_view
from ..data.balance import Level, draw
from ..data.streaming import ArrayCache
from ..data.windows import FramedCase, ViewSettings, mask_of
from ..errors import StoreError
from ..imaging.grid import Array, Triple
from ..imaging.prompts import PromptKind, kinds_in
from ..imaging.simulated_prompts import PromptSettings, draw_prompt, draw_wording
from ..inference.frame_prompt import FramePrompt, on_view
from ..inference.strategies import strategy_of
from ..models.backbone import Spec
from ..ranges import Count, Several, Share, Strength
from ..vocabulary import Context
from .batch_builder import BatchBuilder, Image, TrainingBatch
from .feature_cache import FeatureCache, sizes_in
from .sampling_targets import SamplingTarget, SamplingTargets

Rng = np.random.Generator

_TRIES = 20  # views drawn before one without any structure is given up


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
        absent: share of views that also ask by text for structures that are not there.
        absent_structures: how many, where so many of those that the dataset labels are missing.
        unnamed: share of prompts whose context withholds the structure.
        candidates: share of steps that train the three alternative masks instead of the single one.
        balance: levels that are drawn evenly, the outermost first, such as ("structure",) or ("dataset", "structure");
            each view is then drawn for one structure, shows it and asks for it. A dataset is a group here, and the
            groups' weights decide within the last level. Empty: a group by its weight, then a case evenly.
        balance_power: 1 = evenly, 0 = by the groups' weights alone; see `data.balance.weights`.
    """

    views: Several = 2
    structures: Several = 3
    prompts: Several = 2
    all_combinations: bool = False
    smallest: Several = 8
    size_power: Strength = 0.25
    absent: Share = 0.3
    absent_structures: Count = 1
    unnamed: Share = 0.1
    candidates: Share = 0.1
    balance: tuple[Level, ...] = ()
    balance_power: Strength = 1.0


@dataclass(frozen=True)
class CaseGroup:
    """Cases that share a weight in sampling, such as one dataset."""

    cases: tuple[FramedCase, ...]
    weight: float = 1.0

    def kept_in(self, cache: ArrayCache) -> "CaseGroup":
        """The same group, whose cases' files are kept in this cache as far as they fit."""
        return CaseGroup(tuple(case.kept_in(cache) for case in self.cases), self.weight)


class StepDataset(Dataset[TrainingBatch]):
    """Number of a batch -> batch.

    With `accumulate` batches a step and process, step n begins with the batch n * accumulate.

    Args:
        groups: where views come from; a group is drawn by weight, then a case evenly, unless `sample` balances.
        spec: of the network.
        length: number of batches.
        seed: with the step's number and a stream, all chance comes from it.
        stream: the process' rank. A step's batches draw from streams of their own, numbered over processes first, so
            that `world` processes and `accumulate` batches see together what their product sees in one process.
        world: number of processes.
        accumulate: batches a step and process.
        pool: views to choose from, with their features; None draws a new view each time.
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
        world: int = 1,
        accumulate: int = 1,
        sample: SampleSettings | None = None,
        view: ViewSettings | None = None,
        prompt: PromptSettings | None = None,
        intensity: AugmentSettings | None = None,
        pool: FeatureCache | None = None,
        semantic: Sequence[str] = (),
    ) -> None:
        self.groups = [group for group in groups if group.cases and group.weight > 0]
        self._strategy = strategy_of(spec)
        self.spec, self.length, self.seed, self.stream = spec, length, seed, stream
        self.world, self.accumulate, self.pool = world, accumulate, pool
        self.sample = sample or SampleSettings()
        self.view, self.intensity = view or ViewSettings(), intensity or AugmentSettings()
        self.prompt = prompt or PromptSettings()
        self.semantic = tuple(semantic)
        weights = np.array([group.weight for group in self.groups], float)
        self._chances = weights / weights.sum()
        self._combinations, self._combination_chances = self.prompt.drawable(spec.accepts)
        self._aims: SamplingTargets | None = None
        if self.sample.balance:
            cases, shares = [group.cases for group in self.groups], [group.weight for group in self.groups]
            self._aims = SamplingTargets.of(cases, shares, self.sample.balance, self.sample.balance_power)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> TrainingBatch:
        step, turn = divmod(index, self.accumulate)
        stream = self.stream + self.world * turn
        rng = np.random.default_rng([self.seed, stream, step])
        builder = BatchBuilder()
        for aim in self._aimed(step, stream):
            self._add_view(builder, rng, aim)
        return builder.finish(self.semantic, multimask=rng.random() < self.sample.candidates)

    def _aimed(self, step: int, stream: int) -> Sequence[SamplingTarget | None]:
        """What each view of a step is drawn for; None leaves it to chance."""
        if self._aims is None:
            return [None] * self.sample.views
        places = draw(self._aims.chances, step, self.seed, stream=stream, size=self.sample.views)
        return [self._aims.all[place] for place in places]

    def _add_view(self, builder: BatchBuilder, rng: Rng, aim: SamplingTarget | None = None) -> None:
        shown_view = self._new(rng, aim) if self.pool is None else self._kept(self.pool, rng, aim)
        builder.add_image(shown_view.case, shown_view.image, shown_view.labels)
        names = [name for name, size in shown_view.sizes.items() if size >= self.sample.smallest]
        for name in self._choose(names, shown_view.sizes, aim, rng):
            for combination in self._draw_combinations(rng):
                self._add_prompt(builder, shown_view, name, combination, rng)
        case = shown_view.case
        missing = [name for name in (*case.structures, *case.absent) if shown_view.sizes.get(name, 0) == 0]
        if missing and PromptKind.TEXT in self.spec.accepts and rng.random() < self.sample.absent:
            for _ in range(min(self.sample.absent_structures, len(missing))):
                name = missing.pop(int(rng.integers(len(missing))))
                wording = draw_wording(name, rng, self.prompt)
                nothing = np.zeros(shown_view.labels.shape, bool)
                builder.add_prompt(FramePrompt(name), Context(case.modality, name), nothing, wording)

    def _new(self, rng: Rng, aim: SamplingTarget | None) -> "_Shown":
        """Draw views until one shows a structure large enough to ask for: the one aimed at, unless none shows it."""
        shown_view = None
        for _ in range(_TRIES):
            if aim is None:
                case = self._draw_case(rng)
                view = self._strategy.view(case, self.spec, rng, self.view)
            else:
                case = aim.case
                view = self._strategy.view(aim.alone, self.spec, rng, self.view)
            sizes = sizes_in(view.labels, case)
            if max(sizes.values(), default=0) >= self.sample.smallest:
                shown_view = case, view, sizes
                if aim is None or sizes.get(aim.structure, 0) >= self.sample.smallest:
                    break
        if shown_view is None:
            raise StoreError(
                f"no view of {case.name} shows a structure of {self.sample.smallest} voxels; leave it out."
            )
        case, view, sizes = shown_view
        image, shown_as = augment_view(view, case, rng, self.intensity)
        return _Shown(shown_as, image, view.labels, sizes, view.outlines)

    def _kept(self, pool: FeatureCache, rng: Rng, aim: SamplingTarget | None) -> "_Shown":
        """One of the pool's views of a case, which shows the structure aimed at where one does."""
        case = self._draw_case(rng) if aim is None else aim.case
        numbers = list(range(pool.views))
        if aim is not None:
            every = [pool.sizes(case, number).get(aim.structure, 0) for number in numbers]
            numbers = [number for number in numbers if every[number] >= self.sample.smallest] or numbers
        number = numbers[rng.integers(len(numbers))]
        features, labels = pool.read(case, number)
        shown_as = replace(case, modality=features.modalities[0])  # of another contrast, where the pool made it so
        return _Shown(shown_as, features, labels, pool.sizes(case, number))

    def _draw_case(self, rng: Rng) -> FramedCase:
        group = self.groups[rng.choice(len(self.groups), p=self._chances)]
        return group.cases[rng.integers(len(group.cases))]

    def _choose(
        self, names: Sequence[str], sizes: Mapping[str, int], aim: SamplingTarget | None, rng: Rng
    ) -> list[str]:
        """The structures of a view that are asked for: the one aimed at, the others by size."""
        first = [aim.structure] if aim is not None and aim.structure in names else []
        rest = [name for name in names if name not in first]
        count = min(self.sample.structures, len(names)) - len(first)
        if not count:
            return first
        chances = np.array([sizes[name] for name in rest], float) ** self.sample.size_power
        drawn_numbers = rng.choice(len(rest), count, replace=False, p=chances / chances.sum())
        return [*first, *(rest[place] for place in drawn_numbers)]

    def _draw_combinations(self, rng: Rng) -> Sequence[str]:
        if self.sample.all_combinations:
            return self._combinations
        count = min(self.sample.prompts, len(self._combinations))
        picks = rng.choice(len(self._combinations), count, replace=False, p=self._combination_chances)
        return [self._combinations[pick] for pick in picks]

    def _add_prompt(self, builder: BatchBuilder, shown: "_Shown", name: str, combination: str, rng: Rng) -> None:
        mask = mask_of(shown.labels, shown.case.structures[name])
        prompt = draw_prompt(mask, kinds_in(combination), name, rng, self.prompt, outline=shown.outlines.get(name))
        withheld = rng.random() < self.sample.unnamed
        context = Context(shown.case.modality, None if withheld else name)
        wording = None if prompt.text is None else draw_wording(prompt.text, rng, self.prompt)
        builder.add_prompt(on_view(prompt), context, mask, wording)


@dataclass(frozen=True, eq=False)
class _Shown:
    """A view as it is trained on, and the case as the network is told of it.

    `sizes`: voxels of each structure of the case that are seen; `outlines`: see View, none of a kept one.
    """

    case: FramedCase
    image: Image
    labels: Array
    sizes: dict[str, int]
    outlines: Mapping[str, tuple[Triple, Triple]] = field(default_factory=dict)
