"""DICOM as archives export it: a folder a patient, with image series and segmentations (SEG) or structure sets.

    patient_01/CT/*.dcm, patient_01/SEG/1.dcm        the folders inside, and the names of files, are of no account
    patient_02/*.dcm                                 series and RTSTRUCT side by side

What belongs together is told by UIDs, not by names. A case is a series with all files of structures that were drawn on
it; series without any are no cases. Structures are named by their SNOMED codes where these are known, else by what they
were called, in the words of `vocabulary` and of radiotherapy (`rt_names`); unknown names stay as they are.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Case
from ...imaging.formats import read
from ...imaging.formats.dicom_structures import read_structures
from ...imaging.formats.structure_set import Places, StructureName
from ...vocabulary import canonical
from .base import Decision, Overrides, Provenance
from .collection import ImagePlace
from .dicom_index import DicomIndex, ImageSeries, LabelSource, has_structures, index_dicom
from .grouping import Grouping
from .masks import labels_of
from .naming import slug
from .paired import PairedSource
from .pairs import Pair, case_of
from .rt_names import rt_meaning
from .structure_names import Meanings, name_meanings, unions_of

# What anonymisers write in place of a PatientID.
_PLACEHOLDER = re.compile(
    r"anon|de-?ident|unknown|removed|hidden|redacted|no[ _-]?(?:id|name)|(?:none|null|n/?a|patient|test|id|x+|0+)\W*$",
    re.IGNORECASE,
)


class DICOMSource(PairedSource):
    """A folder with a folder a patient, or with one patient's files.

    Raises:
        StoreError: no file of structures lies below it.
    """

    name: ClassVar[str] = "dicom"
    summary: ClassVar[str] = "a folder a patient with DICOM series and SEG or RTSTRUCT files, paired by their UIDs"
    provenance: ClassVar[Provenance] = Provenance()

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._dataset = self.overrides.dataset or slug(self.path.resolve().name)
        if not self._index.labels:
            raise StoreError(
                f"{self.path} is not in this layout: no DICOM segmentation (SEG) and no structure set (RTSTRUCT) lies "
                "below it."
            )
        self._structures = {}
        self._decisions = (*self._meanings.decisions, *self._renamed)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a segmentation or structure set lies below it."""
        return has_structures(Path(path))

    def image_of(self, case: str) -> ImagePlace | None:
        """The folder and series of a case."""
        return self._pairs[case].image, self._series_of_case.get(case)

    def read(self, case: str) -> Case:
        """One series with the structures of all files that were drawn on it; unions are added.

        Raises:
            StoreError: the case is not there, its series is missing, or two files hold one structure.
            FormatError, VolumeError: a file cannot be used.
        """
        pair = self._pair(case)
        if pair.fault is not None:
            raise StoreError(pair.fault)
        uid = self._series_of_case[case]
        image = read(pair.image, series=uid)
        image = replace(image, name=pair.name, modality=self.overrides.modality or pair.modality)
        numbers: dict[str, tuple[int, ...]] = {}
        masks: dict[int, Places] = {}
        remarks: list[str] = []
        for source in self._labels_by_series[uid]:
            structures = read_structures(source.path, image)
            remarks += structures.remarks
            for name in structures.names:
                structure = self._meanings.of[self._word(source, name)]
                if structure in numbers:
                    files = ", ".join(sorted(other.path.name for other in self._labels_by_series[uid]))
                    raise StoreError(
                        f"{pair.name} has {structure} more than once ({files}); leave one of the files, or give them "
                        "names of their own."
                    )
                numbers[structure] = (len(masks) + 1,)
                masks[len(masks) + 1] = structures.places[name.number]
        labels, present = labels_of(masks, numbers | unions_of(numbers)[0], image.grid.shape)
        finished = case_of(pair, self.dataset, image, labels, present, self.overrides)
        sentences = [finished.remark, *(f"{remark}." for remark in remarks)]
        return replace(finished, remark=" ".join(filter(None, sentences)) or None)

    @cached_property
    def grouping(self) -> Grouping:
        """Folders are patients; folders that share a PatientID are one, unless it is no person's.

        It is no person's where every folder has it, or where it is what anonymisers write ("ANON").
        """
        if self.overrides.patient_pattern is not None:
            return super().grouping
        stems = {pair.stem for pair in self._pairs.values()}
        home_of_stem = {pair.stem: pair.patient or pair.stem for pair in self._pairs.values()}
        homes_by_id: dict[str, set[str]] = defaultdict(set)
        people_by_id: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for series in self._index.series.values():
            if series.uid in self._labels_by_series and series.patient:
                homes_by_id[series.patient].add(series.home or self._dataset)
                people_by_id[series.patient].add(series.person)
        homes = set(home_of_stem.values())
        shared = {patient: places for patient, places in homes_by_id.items() if len(places) > 1}
        if len(homes_by_id) == 1 and len(homes) > 1:
            patient = next(iter(homes_by_id))
            doubt = f'every folder has the PatientID "{patient}", which is taken for no person\'s'
            return Grouping(home_of_stem, "the names of their folders", doubt)
        nobodys = sorted(patient for patient in shared if _PLACEHOLDER.match(patient))
        joined = {home: patient for patient, places in shared.items() for home in places if patient not in nobodys}
        rule = "the names of their folders" + (", and PatientIDs that folders share" if joined else "")
        doubts = [f'folders share the PatientID "{patient}", which is taken for no person\'s' for patient in nobodys]
        doubts += [
            f'folders of several studies or people share the PatientID "{patient}", and were taken for one patient'
            for patient in sorted(shared.keys() - set(nobodys))
            if len(people_by_id[patient]) > 1
        ]
        patients = {stem: joined.get(home_of_stem[stem], home_of_stem[stem]) for stem in sorted(stems)}
        return Grouping(patients, rule, "; ".join(doubts[:3]) or None)

    @cached_property
    def _index(self) -> DicomIndex:
        return index_dicom(self.path)

    @cached_property
    def _labels_by_series(self) -> Mapping[str, Sequence[LabelSource]]:
        sources: dict[str, list[LabelSource]] = defaultdict(list)
        for source in self._index.labels:
            if source.series is not None and source.fault is None:
                sources[source.series].append(source)
        return dict(sources)

    @cached_property
    def _series_of_case(self) -> dict[str, str]:
        """Case -> its series; named after the folder, after the series too where one folder holds several.

        Series of one name are told apart by their UIDs, so that none takes the name of another as a dataset grows.
        """
        series = [self._index.series[uid] for uid in sorted(self._labels_by_series)]
        several = Counter(one.home for one in series)
        names: dict[str, str] = {}
        for one in series:
            name = one.home or self._dataset
            if several[one.home] > 1:
                name = f"{name}_{slug(one.description) or one.modality.lower()}"
            names[one.uid] = name
        counts = Counter(names.values())
        return {name if counts[name] == 1 else f"{name}_{_short(uid)}": uid for uid, name in names.items()}

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        pairs = {}
        for case, uid in self._series_of_case.items():
            one, label = self._index.series[uid], self._labels_by_series[uid][0].path
            pairs[case] = self._pair_of(case, one, label)
        for source in self._index.labels:
            if source.fault is not None:
                case = _free(f"{source.home or self._dataset}_{slug(source.path.stem)}", pairs)
                home = source.home or self._dataset
                pairs[case] = Pair(case, case, source.path, source.path, None, patient=home, fault=source.fault)
        return pairs

    def _pair_of(self, case: str, series: ImageSeries, label: Path) -> Pair:
        modality = self.overrides.modality or series.modality
        return Pair(case, case, series.folder, label, modality, patient=series.home or self._dataset)

    @cached_property
    def _meanings(self) -> Meanings:
        words = [self._word(source, name) for source in self._usable for name in _names(source)]
        return name_meanings(words, title=self._dataset)

    @property
    def _usable(self) -> list[LabelSource]:
        return [source for source in self._index.labels if source.fault is None]

    @cached_property
    def _renamed(self) -> tuple[Decision, ...]:
        """What was named by a code or in the words of radiotherapy."""
        texts = {
            f'"{name.written}" is called {word}{" by its code" if word == name.coded else ""}': None
            for source in self._usable
            for name in _names(source)
            if (word := self._word(source, name)) != name.written and canonical(name.written) != word
        }
        return tuple(Decision("renamed", text) for text in texts)

    def _word(self, source: LabelSource, name: StructureName) -> str:
        """What a structure is called before all names of the dataset are compared."""
        certain = _certain(name)
        others = [other for other in _names(source) if other.number != name.number]
        used_names = {_certain(other) or canonical(other.written) for other in others}
        return name.written if certain is None or certain in used_names else certain


def _names(source: LabelSource) -> tuple[StructureName, ...]:
    return source.described.names if source.described is not None else ()


def _certain(name: StructureName) -> str | None:
    """The structure by its code, else by a name of radiotherapy."""
    return name.coded or rt_meaning(name.written)


def _short(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
