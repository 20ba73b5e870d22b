"""What a step is drawn from: today's way by default, bit for bit, or balanced over levels."""

import hashlib
from collections import Counter
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils.data import DataLoader

from segevolution.data.windows import FramedCase, ViewSettings
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, SampleSettings, StepDataset
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SPEC = TinyBackbone(TinyConfig(seed=0)).spec


def blob(seed: int, modality: Modality = Modality.CT, structures: dict[str, tuple[int, ...]] | None = None):
    rng = np.random.default_rng(seed)
    labels = np.zeros((12, 40, 40), np.uint8)
    d, h, w = rng.integers((0, 0, 0), (4, 12, 12))
    labels[d : d + 6, h : h + 14, w : w + 12] = 1
    labels[d + 1 : d + 5, h + 16 : h + 26, w + 14 : w + 26] = 2
    image = np.where(labels == 1, 0.9, np.where(labels == 2, 0.6, 0.2))
    found = structures or {"liver": (1,), "spleen": (2,)}
    return FramedCase(f"case{seed}", modality, image.astype(np.float16), labels, found)


def mixed() -> list[CaseGroup]:
    return [
        CaseGroup(tuple(blob(seed) for seed in range(3)), 2.0),
        CaseGroup((blob(7, Modality.MRI),), 1.0),
    ]


def same(one, other) -> bool:
    """Whether two batches hold the same numbers and words; a box that is not given is NaN."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(-9.0), other.nan_to_num(-9.0))
    if is_dataclass(one):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return one == other


def test_the_default_draws_are_those_of_every_training_so_far():
    """Seen before `balance` existed: long trainings go on with the very same steps."""
    batches = [StepDataset(mixed(), SPEC, 10, seed=3)[step] for step in range(3)]
    assert [batch.targets.sum((1, 2, 3)).tolist() for batch in batches] == [
        [660, 660, 297, 297, 500, 500, 184, 184],
        [144, 144, 392, 392, 480, 480, 270, 270],
        [484, 484, 176, 176, 440, 440, 780, 780],
    ]
    assert [[str(modality) for modality in batch.modalities] for batch in batches] == [
        ["CT", "CT"],
        ["MRI", "CT"],
        ["CT", "MRI"],
    ]
    words = repr([[(context.modality, context.structure) for context in batch.contexts] for batch in batches])
    assert hashlib.sha256(words.encode()).hexdigest()[:12] == "ff188a6baf4b"


@pytest.mark.parametrize("balance", [(), ("dataset", "structure")])
def test_two_worker_processes_give_the_batches_that_none_gives(balance):
    dataset = StepDataset(mixed(), SPEC, 6, seed=5, sample=SampleSettings(balance=balance))
    alone, shared = (list(DataLoader(dataset, batch_size=None, num_workers=workers)) for workers in (0, 2))
    assert len(alone) == len(shared) == 6
    assert all(same(one, other) for one, other in zip(alone, shared, strict=True))
    assert not same(alone[0], alone[1])


def asked(groups, sample, steps=60, view=None) -> Counter:
    """(structure, modality) of the first prompt of each view, over many steps."""
    found = Counter()
    dataset = StepDataset(groups, SPEC, steps, seed=0, sample=sample, view=view)
    for step in range(steps):
        batch = dataset[step]
        index = batch.prompts.image_index.tolist()
        for image in range(len(batch.modalities)):
            found[batch.contexts[index.index(image)].structure, batch.modalities[image]] += 1
    return found


ONE = {"views": 2, "structures": 1, "prompts": 1, "absent": 0.0, "unnamed": 0.0}


def lopsided() -> list[CaseGroup]:
    """Many livers in CT, one spleen in MRI."""
    return [
        CaseGroup(tuple(blob(seed, structures={"liver": (1,)}) for seed in range(8)), 8.0),
        CaseGroup((blob(9, Modality.MRI, {"liver": (1,), "spleen": (2,)}),), 1.0),
    ]


def test_balance_by_structure_asks_for_a_rare_structure_as_often_as_for_a_common_one():
    plain, even = (asked(lopsided(), SampleSettings(**ONE, balance=balance)) for balance in ((), ("structure",)))
    spleens = [sum(times for (name, _), times in found.items() if name == "spleen") for found in (plain, even)]
    assert spleens[0] < 20
    assert 40 < spleens[1] < 80


@pytest.mark.parametrize("level", ["dataset", "modality"])
def test_balance_by_dataset_or_modality_evens_them_out(level):
    found = asked(lopsided(), SampleSettings(**ONE, balance=(level,)))
    scans = sum(times for (_, modality), times in found.items() if modality is Modality.MRI)
    assert 40 < scans < 80


def test_no_power_leaves_the_groups_to_their_weights():
    found = asked(lopsided(), SampleSettings(**ONE, balance=("dataset",), balance_power=0.0))
    scans = sum(times for (_, modality), times in found.items() if modality is Modality.MRI)
    assert 3 < scans < 28  # 1 in 9 of 120


def test_a_view_shows_the_structure_that_it_was_drawn_for_and_asks_for_others_too():
    sample = SampleSettings(views=1, structures=2, prompts=1, absent=0.0, unnamed=0.0, balance=("structure",))
    dataset = StepDataset(mixed(), SPEC, 20, seed=1, sample=sample)
    batches = [dataset[step] for step in range(20)]
    assert {context.structure for batch in batches for context in batch.contexts[:1]} == {"liver", "spleen"}
    assert all(int(target.sum()) >= sample.smallest for batch in batches for target in batch.targets)
    assert any(len(batch.contexts) == 2 for batch in batches)
    assert all(len({context.structure for context in batch.contexts}) == len(batch.contexts) for batch in batches)


def test_a_structure_too_small_to_be_shown_does_not_stop_a_training():
    case = blob(1)
    labels = case.labels.copy()
    labels[0, 0, 0] = 3
    speck = FramedCase("speck", case.modality, case.image, labels, {"liver": (1,), "cyst": (3,)})
    sample = SampleSettings(**ONE, balance=("structure",))
    batch = StepDataset([CaseGroup((speck,))], SPEC, 4, seed=0, sample=sample, view=ViewSettings(whole=1.0))[0]
    assert {context.structure for context in batch.contexts} == {"liver"}


def test_a_level_that_does_not_exist_is_refused_by_name():
    assert FitSettings(sample={"balance": ["dataset", "structure"]}).sample.balance == ("dataset", "structure")
    with pytest.raises(ValidationError, match="'dataset', 'modality' or 'structure'"):
        FitSettings(sample={"balance": ["scanner"]})


@pytest.mark.parametrize(("power", "least", "most"), [(0.0, 0.35, 0.65), (1.0, 0.97, 1.0)])
def test_structures_are_asked_for_by_a_power_of_their_size(power: float, least: float, most: float):
    """One structure fills fifty times the voxels of the other."""
    labels = np.zeros((8, 32, 32), np.uint8)
    labels[1:7, 2:27, 2:27] = 1
    labels[2:5, 28:31, 28:31] = 2
    case = FramedCase("a", Modality.CT, np.ones(labels.shape, np.float16), labels, {"liver": (1,), "spleen": (2,)})
    sample = SampleSettings(views=1, structures=1, prompts=1, size_power=power, unnamed=0, smallest=1)
    view = ViewSettings(whole=1, native=0, still=1)
    steps = StepDataset([CaseGroup((case,))], SPEC, 60, seed=0, sample=sample, view=view)
    asked = Counter(steps[number].contexts[0].structure for number in range(60))
    assert least <= asked["liver"] / 60 <= most


def test_a_view_asks_for_as_many_absent_structures_as_wanted_each_once():
    case = replace(blob(0), absent=("aorta", "pancreas", "stomach"))
    for wanted, asked_for in ((1, 1), (2, 2), (9, 3)):
        sample = SampleSettings(views=1, absent=1.0, absent_structures=wanted)
        batch = StepDataset([CaseGroup((case,))], SPEC, 1, seed=1, sample=sample)[0]
        nothing = [
            context.structure for context, mask in zip(batch.contexts, batch.targets, strict=True) if not mask.any()
        ]
        assert len(set(nothing)) == len(nothing) == asked_for
