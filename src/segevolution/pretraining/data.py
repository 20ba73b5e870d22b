"""The cases of a pre-training: from the stores of its recipe's datasets, or from one packed file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..data.pack import Pack, PackEntry, read_pack, thinned, write_pack
from ..data.store import Store
from ..errors import OutputError, RecipeError
from ..files import check_writable, sweep
from ..imaging.framing import frame
from ..models.backbone import Spec
from ..recipes.keys import digest
from ..recipes.roles import assign
from ..recipes.stores import check_dataset, open_dataset, prepare_job
from ..training.batches import CaseGroup
from ..training.case_groups import framed, load_group
from .networks import maker_of
from .recipe import PretrainRecipe, WeightedDataset, stage_settings

_ROLES = ("train", "validation")
# What decides which cases a dataset has, and which of them are trained on.
_CHOSEN_BY = {"patients", "train", "validation", "replay", "test", "folds", "split", "cap", "seed"}


class TrainingData(Protocol):
    """The cases of a recipe's datasets."""

    @property
    def packed(self) -> dict[str, Any] | None:
        """What a reader must know of a packed set; None: the data are as they were prepared."""

    def names(self, entry: WeightedDataset, role: str) -> list[str]:
        """Names of the cases that have a role."""

    def group(self, entry: WeightedDataset, role: str, spec: Spec) -> CaseGroup | None:
        """Those cases ready for training; None where there are none."""

    def licence(self, entry: WeightedDataset) -> str | None:
        """Of the dataset, as its recipe or its source says."""

    def fingerprint(self, entry: WeightedDataset) -> str:
        """SHA-256 of the whole dataset as it was prepared."""


class StoreData:
    """Cases read from stores, each made when it is first asked for.

    Args:
        folder: of the run; stores lie in its `data`.
        root: where the recipe's data paths begin.
    """

    packed = None

    def __init__(self, folder: Path, root: Path | None) -> None:
        self.folder, self.root = folder, root
        self._stores: dict[str, Store] = {}

    def store(self, entry: WeightedDataset) -> Store:
        """The dataset's store, with every case in it."""
        if entry.name not in self._stores:
            self._stores[entry.name] = open_dataset(prepare_job(entry, self.root), self.folder / "data").store
        return self._stores[entry.name]

    def names(self, entry: WeightedDataset, role: str) -> list[str]:
        """As the recipe deals them now."""
        records = self.store(entry).cases
        return assign(entry, records)[0].of(role, records)

    def group(self, entry: WeightedDataset, role: str, spec: Spec) -> CaseGroup | None:
        """At the resolution of the store."""
        names = self.names(entry, role)
        return load_group(self.store(entry), names, spec, entry.weight) if names else None

    def licence(self, entry: WeightedDataset) -> str | None:
        """The recipe goes before the source."""
        licence = next((facts.get("licence") for facts in self.store(entry).datasets.values()), None)
        return entry.licence or licence

    def fingerprint(self, entry: WeightedDataset) -> str:
        """Of the store, cases without a role included."""
        return self.store(entry).fingerprint()


class PackedData:
    """Cases out of a packed set, and nothing else.

    Args:
        pack: of the same network input, structures and datasets as the recipe.
        recipe: of the training.

    Raises:
        RecipeError: the pack was made for another recipe.
    """

    def __init__(self, pack: Pack, recipe: PretrainRecipe) -> None:
        facts = pack.facts
        if facts.get("key") != pack_key(recipe):
            raise RecipeError(
                f"{pack.path} was packed for {facts.get('recipe')}, whose data, structures or intensity differ from "
                f"those of {recipe.name} as it is here; pack this recipe's data with --pack."
            )
        self.pack = pack

    @property
    def packed(self) -> dict[str, Any] | None:
        """The file and what became of the data in it; `about` is for the model card."""
        packing = self.pack.facts["packing"]
        pack_facts = {"file": self.pack.path.name, "sha256": self.pack.sha256, "packing": packing}
        return pack_facts | {"about": f"sha256 {self.pack.sha256}: {self._losses()}"}

    def _losses(self) -> str:
        """What was left out, as a sentence."""
        packing, datasets = self.pack.facts["packing"], self.pack.facts["datasets"]
        shares = [{}, *packing["datasets"].values()]
        voxels, levels = (max(share.get(what) or packing[what] for share in shares) for what in ("voxels", "levels"))
        finest = " x ".join(f"{side:g}" for side in packing["finest"])
        fewer = [
            f"{len(self.pack.names(name, 'train'))} of {facts['cases']['train']} training cases of {name}"
            for name, facts in datasets.items()
            if len(self.pack.names(name, "train")) < facts["cases"]["train"]
        ]
        return (
            f"voxels no finer than {finest} mm, at most {voxels} a case, brightness in at most {levels} levels"
            + (f"; {', '.join(fewer)}" if fewer else "")
            + "."
        )

    def names(self, entry: WeightedDataset, role: str) -> list[str]:
        """As they were dealt when the file was made."""
        return self.pack.names(entry.name, role)

    def group(self, entry: WeightedDataset, role: str, spec: Spec) -> CaseGroup | None:
        """At the resolution of the pack."""
        cases = self.pack.cases(entry.name, role)
        return CaseGroup(cases, entry.weight) if cases else None

    def licence(self, entry: WeightedDataset) -> str | None:
        """The recipe goes before what was packed."""
        return entry.licence or self.pack.facts["datasets"][entry.name]["licence"]

    def fingerprint(self, entry: WeightedDataset) -> str:
        """Of the store that was packed."""
        return str(self.pack.facts["datasets"][entry.name]["fingerprint"])


def open_data(recipe: PretrainRecipe, folder: Path, root: Path | None, packed: Path | None) -> TrainingData:
    """The data of a training; raises StoreError or RecipeError where a packed set cannot be used."""
    return StoreData(folder, root) if packed is None else PackedData(read_pack(packed), recipe)


@dataclass(frozen=True)
class PackReference:
    """What was written.

    Attributes:
        path: of the file.
        size: its bytes.
        cases: dataset -> how many cases of it the file holds.
    """

    path: Path
    size: int
    cases: dict[str, int]


def pack_training(
    recipe: PretrainRecipe, path: Path, folder: Path, *, root: Path | None = None, force: bool = False
) -> PackReference:
    """Pack all that a training needs into one file, as the recipe's `pack` says.

    Args:
        recipe: of the training.
        path: of the file.
        folder: of a run, whose stores are used, or made.
        root: where the recipe's data paths begin.
        force: replace a file that is there.

    Raises:
        SegevolutionError: the data cannot be used, or the file not be written, or it would be too large.
    """
    maker_of(recipe).require_packs(recipe)
    for number in range(len(recipe.stages)):
        stage_settings(recipe, number)
    for entry in recipe.data:
        check_dataset(prepare_job(entry, root))
    check_writable(path, force=force)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; a pack is one file, give its name.")
    if path.parent.is_dir():
        sweep(path.parent)
    data = StoreData(folder, root)
    packed_cases = {
        entry.name: {
            "train": recipe.pack.kept(entry.name, data.names(entry, "train")),
            "validation": data.names(entry, "validation"),
        }
        for entry in recipe.data
    }
    facts = {
        "recipe": recipe.name,
        "key": pack_key(recipe),
        "packing": recipe.pack.model_dump(mode="json"),
        "datasets": {
            entry.name: {
                "fingerprint": data.fingerprint(entry),
                "licence": data.licence(entry),
                "truth": entry.truth,
                "cases": {role: len(data.names(entry, role)) for role in _ROLES},
            }
            for entry in recipe.data
        },
    }
    size = write_pack(
        path,
        (entry for dataset in recipe.data for entry in _entries(recipe, dataset, data, packed_cases[dataset.name])),
        facts,
        most_bytes=int(recipe.pack.megabytes * 1e6),
        force=force,
    )
    return PackReference(path, size, {name: sum(map(len, roles.values())) for name, roles in packed_cases.items()})


def pack_key(recipe: PretrainRecipe) -> str:
    """A digest of what decides a recipe's cases and how a network sees them; weights and stages may change."""
    return digest(
        {
            "intensity": recipe.intensity,
            "structures": sorted(recipe.known),
            "data": {entry.name: [prepare_job(entry).key, _choice(entry)] for entry in recipe.data},
        }
    )


def _choice(entry: WeightedDataset) -> Any:
    return entry.model_dump(mode="json", include=_CHOSEN_BY)


def _entries(
    recipe: PretrainRecipe, dataset: WeightedDataset, data: StoreData, chosen: Mapping[str, Sequence[str]]
) -> Iterator[PackEntry]:
    """The cases of a dataset, one in memory at a time."""
    limits = recipe.pack.limits(dataset.name)
    store = data.store(dataset)
    for role in _ROLES:
        for name in chosen[role]:
            for case in framed(store, [name], lambda volume: frame(volume, recipe.intensity), recipe.known):
                yield PackEntry(dataset.name, role, thinned(case, store.record(name).spacing, limits), limits.levels)
