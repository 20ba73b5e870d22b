"""Toy patients in a store, a tiny base in a folder, and a recipe over both: a whole study in seconds.

The conftest.py of each folder that uses these fixtures loads them by the path of this file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segevolution.data.store import Store
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import save_model
from segevolution.models.spec import Spec
from segevolution.models.tiny import TinyBackbone
from segevolution.recipes.stores import StoreRef
from segevolution.studies.facts import BaseFacts, DatasetFacts
from segevolution.studies.jobs import Plan
from segevolution.studies.plan import plan
from segevolution.studies.recipe import Recipe
from segevolution.training.fit_result import FitResult
from segevolution.vocabulary import Modality


def toy_case(name: str, dataset: str, modality: Modality, seed: int) -> Case:
    """A body with a liver and a spleen, brighter than the rest on CT, and a little on MRI."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(300, 5, (32, 32, 12)).astype(np.float32)
    labels = np.zeros(signal.shape, np.uint8)
    x, y = rng.integers(2, 6, 2)
    labels[x : x + 12, y : y + 12, 2:10], labels[20:27, 20:27, 3:8] = 1, 2
    signal[labels > 0] += 200 if modality is Modality.CT else 40
    volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 4.0, 1.0])), modality, name)
    return Case(name, name.split("_scan")[0], dataset, volume, labels, {"liver": (1,), "spleen": (2,)})


@pytest.fixture
def toy_root(tmp_path: Path) -> Path:
    """A data root with the stores `ct`, `mri` and `others` (MRI of other people), and the model folder `tiny`."""
    root = tmp_path / "data"
    stores = (("ct", Modality.CT, range(4)), ("mri", Modality.MRI, range(4)), ("others", Modality.MRI, range(100, 102)))
    for dataset, modality, seeds in stores:
        store = Store.create(root / dataset)
        for seed in seeds:
            store.add(toy_case(f"{dataset}{seed}", dataset, modality, seed))
    save_model(TinyBackbone(), root / "tiny")
    return root


@pytest.fixture
def toy_values(toy_root: Path) -> dict[str, Any]:
    """What a recipe file of the toy study would hold."""
    return {
        "name": "toy",
        "base": str(toy_root / "tiny"),
        "data": [
            {"name": "ct", "path": "ct", "labels": "exact", "replay": 1, "test": 2},
            {"name": "mri", "path": "mri", "labels": "exact", "train": 2, "test": 2},
        ],
        "methods": [{"name": "base"}, {"name": "lora", "settings": {"rank": 2}}],
        "fit": {"steps": 3, "warmup": 1, "sample": {"views": 1, "structures": 1}},
        "prompts": ["text", "box"],
        "windows": "off",
    }


@pytest.fixture
def toy_recipe(toy_values: dict[str, Any]) -> Recipe:
    return Recipe.model_validate(toy_values)


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """The plan of a recipe over made-up records, by dataset; all bases are of one kind."""

    def plan_of(
        recipe: Recipe,
        records: Mapping[str, Sequence[Any]],
        prints: Mapping[str, str] | None = None,
        base: str = "b",
        spec: Spec | None = None,
    ) -> Plan:
        prints = prints or dict.fromkeys(records, "print")
        data = {
            name: DatasetFacts(cases, prints[name], StoreRef(name, f"data/{name}")) for name, cases in records.items()
        }
        own = spec or TinyBackbone().spec
        return plan(recipe, data, {name: BaseFacts(name, base, own) for name in recipe.bases})

    return plan_of


class QuickFit:
    """Stands where `training.fit` stands: nudges what asks for gradients, and remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self,
        backbone: Any,
        groups: Sequence[Any],
        settings: Any,
        folder: Path,
        *,
        validation: Sequence[Any] = (),
        device: str = "auto",
        quiet: bool = False,
    ) -> FitResult:
        names = [(group.weight, [case.name for case in group.cases]) for group in groups]
        self.calls.append({"groups": names, "settings": settings, "folder": folder, "validation": validation})
        trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(0.05 * torch.randn_like(parameter))
        return FitResult(settings.steps, True, 0.0, sum(parameter.numel() for parameter in trained), {})


@pytest.fixture
def quick_fit() -> QuickFit:
    return QuickFit()


@pytest.fixture
def changed() -> Callable[..., Recipe]:
    """A recipe with other values, checked anew."""
    return lambda recipe, **values: Recipe.model_validate({**recipe.model_dump(exclude_unset=True), **values})


@pytest.fixture
def plain_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a toy study's time; most tests do not look."""
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
