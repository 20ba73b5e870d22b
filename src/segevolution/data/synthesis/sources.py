"""Made data as sources: what `data.prepare` writes into a store, resumable and in parallel like any dataset.

A case is made from its name alone, which holds its seed, so that any number of workers and stops give the same store.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ...documents import read_json
from ...errors import StoreError
from ...files import safe_name, write_json
from ...imaging.case import Case
from ...vocabulary import Modality
from ..sources.base import Provenance
from ..sources.collection import ImagePlace
from ..sources.naming import images_in
from ..store import Store
from .cases import synthesise
from .label_names import NAMES_BESIDE, Names, describe_labels, table_beside
from .patients import Region, simulate_case


@dataclass(frozen=True)
class SimulatedSource:
    """Patients of our own making; patient i comes from the seed `seed + i` and nothing else.

    Attributes:
        patients: how many.
        dataset: name in the store, and the beginning of each case's name.
        sequences: taken in turn; None leaves the choice to `simulate_case`. The other attributes: see there.
    """

    patients: int
    dataset: str
    seed: int = 0
    region: Region = "torso"
    modality: Modality = Modality.CT
    sequences: tuple[str | None, ...] = (None,)
    spacing: tuple[float, float, float] | None = None
    field: float | None = None
    tumour: bool | None = None
    pelvis: bool | None = None
    wholes: bool = False
    detail: bool = False
    name: ClassVar[str] = "simulated"
    summary: ClassVar[str] = "patients of our own making, with exact labels"
    provenance: ClassVar[Provenance] = Provenance("none needed", obtain="Made here.")
    licence: ClassVar[str] = "none: made by this package"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """No folder holds them: they are made."""
        return False

    def index(self) -> Sequence[str]:
        """Names of the cases, which hold the seeds."""
        return [f"{self.dataset}_{self.seed + number:06d}" for number in range(self.patients)]

    def read(self, case: str) -> Case:
        """Make one patient."""
        seed = int(case.rsplit("_", 1)[1])
        simulated_case = simulate_case(
            seed,
            region=self.region,
            modality=self.modality,
            sequence=_turn(self.sequences, seed - self.seed),
            spacing=self.spacing,
            field=self.field,
            tumour=self.tumour,
            pelvis=self.pelvis,
            wholes=self.wholes,
            detail=self.detail,
        )
        return replace(simulated_case, name=case, patient=case, dataset=self.dataset)


@dataclass(frozen=True)
class SynthesisedSource:
    """Images made from label maps; one patient a map, in turn until `patients` images are made.

    Attributes:
        path: a label map, or a folder of them.
        patients: how many images; None: one a map.
        dataset: name in the store.
        names, modality, spacing, field, deform, lenient, detail: see `cases.synthesise`.
        sequences: taken in turn.
    """

    path: Path
    patients: int | None
    dataset: str
    seed: int = 0
    names: Names = NAMES_BESIDE
    modality: Modality = Modality.CT
    sequences: tuple[str | None, ...] = (None,)
    spacing: tuple[float, float, float] | None = None
    field: float | None = None
    deform: float | None = None
    lenient: bool = False
    detail: bool = False
    name: ClassVar[str] = "synthesised"
    summary: ClassVar[str] = "images made from label maps"
    provenance: ClassVar[Provenance] = Provenance("that of the label maps", obtain="Made here, from label maps.")
    licence: ClassVar[str] = "that of the label maps"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder of label maps does not say that images are wanted."""
        return False

    def maps(self) -> dict[str, Path]:
        """Stem -> path of each label map, sorted.

        Raises:
            StoreError: there is none.
        """
        if self.path.is_file():
            return {self.path.name.split(".")[0]: self.path}
        image_paths = images_in(self.path)
        if not image_paths:
            raise StoreError(f"{self.dataset}: {self.path} holds no label map.")
        return dict(sorted(image_paths.items()))

    def index(self) -> Sequence[str]:
        """Names of the cases: the map and the seed."""
        stems = list(self.maps())
        count = len(stems) if self.patients is None else self.patients
        return [f"{stems[n % len(stems)]}_{self.seed + n:06d}" for n in range(count)]

    def image_of(self, case: str) -> ImagePlace | None:
        """Where the label map of a case lies."""
        return self.maps()[case.rsplit("_", 1)[0]], None

    def read(self, case: str) -> Case:
        """Make one case."""
        stem, seed = case.rsplit("_", 1)
        synthesised = synthesise(
            self.maps()[stem],
            int(seed),
            names=self.names,
            modality=self.modality,
            sequence=_turn(self.sequences, int(seed) - self.seed),
            spacing=self.spacing,
            field=self.field,
            deform=self.deform,
            lenient=self.lenient,
            detail=self.detail,
        )
        return replace(synthesised.case, name=case, dataset=self.dataset)

    def notes(self) -> dict[str, tuple[str, ...]]:
        """Note on names that no rule knows -> the maps whose table holds them; no voxel is read.

        Raises:
            StoreError: nothing names the labels of a map.
        """
        notes: dict[str, tuple[str, ...]] = {}
        for stem, path in self.maps().items():
            names = table_beside(path) if self.names == NAMES_BESIDE else self.names
            label_notes = () if isinstance(names, str) else describe_labels(names, names).notes
            for note in label_notes:
                notes[note] = (*notes.get(note, ()), stem)
        return notes


def claim(store: Store, source: SimulatedSource | SynthesisedSource) -> None:
    """Keep beside a store how the cases of a dataset are made; asked again, the answer must be the same.

    How many are made may change. A run that goes on after a stop must not fill the gaps with cases of another kind.

    Raises:
        StoreError: the store holds cases of this dataset made in another way; the sentence names the first difference.
    """
    source_values = {key: value for key, value in asdict(source).items() if key not in ("patients", "dataset")}
    settings = json.loads(json.dumps({"source": source.name} | source_values, default=lambda path: str(path.resolve())))
    place = store.path / "made" / f"{safe_name(source.dataset, 'a dataset', error=StoreError)}.json"
    if not place.is_file():
        write_json(place, settings)
        return
    before = read_json(place, dict[str, Any], error=StoreError)
    for key in sorted(settings.keys() | before.keys()):
        if settings.get(key) != before.get(key):
            raise StoreError(
                f"{store.path} holds cases of {source.dataset} with {key} {before.get(key)}, not {settings.get(key)}; "
                "choose another store, or another name with --dataset."
            )


def _turn(sequences: tuple[str | None, ...], number: int) -> str | None:
    return sequences[number % len(sequences)]
