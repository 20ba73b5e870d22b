"""What a dataset is to the rest of the package, and what the readers of image and label files share.

A new dataset is one file with a class that fulfils `Source`, and one line in the table of `sources/__init__`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import nibabel as nib
import numpy as np

from ...errors import FormatError, StoreError, VocabularyError
from ...imaging.case import Case, Part
from ...imaging.formats import FORMATS, read, read_labels
from ...imaging.grid import Array, Grid
from ...imaging.volume import Origin, Volume
from ...vocabulary import Modality, canonical


@dataclass(frozen=True)
class Overrides:
    """What a person knows better than the files.

    Attributes:
        dataset: its name in the store.
        modality, sequence: of every case.
        patient_pattern: regular expression whose first group, in a case's file name, is the patient.
    """

    dataset: str | None = None
    modality: Modality | None = None
    sequence: str | None = None
    patient_pattern: str | None = None


@dataclass(frozen=True)
class Provenance:
    """Where a dataset comes from.

    Attributes:
        licence: as its publishers state it, or "its owner's" for a layout that anyone may use.
        link: of its page; empty for a layout.
        obtain: what a person does to get it, in a sentence; this package downloads nothing.
    """

    licence: str = "its owner's"
    link: str = ""
    obtain: str = "Your own files, in this layout."


class Source(Protocol):
    """A dataset in its own layout.

    Attributes:
        name: of the layout, such as "msd".
        summary: one line for the list of sources.
        provenance: for the list of sources.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    provenance: ClassVar[Provenance]

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None: ...

    @property
    def licence(self) -> str:
        """Of the data, as far as its files say."""
        ...

    @property
    def dataset(self) -> str:
        """Name of this dataset in the store."""
        ...

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder looks like this layout, from its names alone."""
        ...

    def index(self) -> Sequence[str]:
        """The names of all cases, sorted, those with a fault among them."""
        ...

    def read(self, case: str) -> Case:
        """One case; a SegevolutionError of one sentence where it cannot be used."""
        ...


@dataclass(frozen=True)
class Pair:
    """An image file and its label file; `read_pair` makes a case of them.

    Attributes:
        name: of the case.
        stem: of the file, from which the patient is read.
        channel: of a 4-D image; None for a 3-D one.
        patient: where the layout knows better than the stem.
        site, part: see `Case`.
    """

    name: str
    stem: str
    image: Path
    label: Path
    modality: Modality | None
    sequence: str | None = None
    channel: int | None = None
    patient: str | None = None
    site: str | None = None
    part: Part | None = None


# Two frames, phases or visits of one person are one patient: "patient001_frame12" -> "patient001".
PATIENT_PATTERN = r"^(.+?)(?:[_-](?:frame|phase|time|ses|session|visit|scan)[_-]?\d+)*$"

# A union exists where a dataset labels all the parts of one of its recipes.
UNIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "prostate": (("prostate peripheral zone", "prostate transition zone"),),
    "hippocampus": (("anterior hippocampus", "posterior hippocampus"),),
    "brain tumour": (
        ("brain tumour oedema", "brain tumour enhancing", "brain tumour non-enhancing core"),
        ("brain tumour oedema", "brain tumour enhancing", "brain tumour necrotic core"),
    ),
}

# Sequences that datasets name in different ways; others keep their own name.
SEQUENCES = {"t1w": "T1", "t2w": "T2", "t1gd": "T1-CE", "t1ce": "T1-CE", "flair": "FLAIR", "adc": "ADC"}

_MRI_SEQUENCE = re.compile(r"(?:t1|t2|pd|flair|adc|dwi|swi|bold|cine|stir)(?![a-z]{4})", re.IGNORECASE)


def read_pair(
    pair: Pair,
    dataset: str,
    structures: Mapping[str, tuple[int, ...]],
    overrides: Overrides,
    *,
    open_image: Callable[[Path], Volume] = read,
    open_labels: Callable[[Path], Volume] = read_labels,
) -> Case:
    """Read and check an image with its labels.

    Args:
        structures: of the whole dataset, unions among them; those without a voxel here are left out.
        open_image, open_labels: read a file, for formats that do not say where their voxels lie.

    Raises:
        FormatError, VolumeError: a file is missing or cannot be used.
        StoreError: the two do not lie on one grid, or the labels hold a value that the dataset does not name.
    """
    for kind, path, other in (("label", pair.label, pair.image), ("image", pair.image, pair.label)):
        if not path.exists():
            there = (
                f"; {other.parent.name}/{other.name} is there" if other.exists() else "; its other half is missing too"
            )
            raise StoreError(f"{pair.name} has no {kind}: {path} is missing{there}.")
    image = open_image(pair.image) if pair.channel is None else read_channel(pair.image, pair.channel)
    image = replace(image, name=pair.name, modality=overrides.modality or pair.modality or image.modality)
    image.check_voxels()
    labels = place_labels(image, open_labels(pair.label))
    present = set(np.unique(labels).tolist()) - {0}
    unknown = present - {value for values in structures.values() for value in values}
    if unknown:
        raise StoreError(
            f"{pair.name}: {pair.label} holds the label {', '.join(map(str, sorted(unknown)))}, "
            "which the dataset names as no structure; name it in its labels, or repair the file "
            '(voxels marked "ignore" cannot be used).'
        )
    return Case(
        name=pair.name,
        patient=pair_patient(pair, overrides),
        dataset=dataset,
        volume=image,
        labels=labels,
        structures={name: values for name, values in structures.items() if present.intersection(values)},
        sequence=overrides.sequence or pair.sequence,
        site=pair.site,
        part=pair.part,
    )


def pair_patient(pair: Pair, overrides: Overrides) -> str:
    """The patient that a person's pattern, the layout, or the file's name tells of."""
    if pair.patient is not None and overrides.patient_pattern is None:
        return pair.patient
    return patient_of(pair.stem, overrides.patient_pattern)


def place_labels(image: Volume, labels: Volume) -> Array:
    """Labels (X, Y, Z) in the image's axis order, whatever order their own file has; nothing is resampled.

    Raises:
        StoreError: they do not cover the same voxels, to a tenth of a voxel.
    """
    image_grid, image_turn = image.grid.canonical()
    label_grid, label_turn = labels.grid.canonical()
    if image_grid.shape != label_grid.shape:
        shapes = [" x ".join(map(str, volume.grid.shape)) for volume in (labels, image)]
        raise StoreError(f"{image.name}: the label map has {shapes[0]} voxels, the image {shapes[1]}.")
    if not image_grid.close_to(label_grid, tolerance=0.1 * min(image_grid.spacing)):
        away = np.abs(image_grid.to_mm([[0, 0, 0]]) - label_grid.to_mm([[0, 0, 0]])).max()
        raise StoreError(
            f"{image.name}: image and label map lie on different grids of one shape (first voxels {away:.4g} mm apart, "
            f"spacings {_millimetres(image_grid)} and {_millimetres(label_grid)} mm); register or resample one."
        )
    return image_turn.undo(label_turn.apply(labels.array))


def read_channel(path: Path, channel: int) -> Volume:
    """One channel of a 4-D NIfTI file (X, Y, Z, channels); integers without a slope stay integers.

    Raises:
        FormatError: the file cannot be read, or has no such channel.
    """
    try:
        image: Any = nib.load(path)
        if len(image.shape) != 4 or channel >= image.shape[3]:
            shape = " x ".join(map(str, image.shape))
            raise FormatError(f"{path} has shape {shape}, so it has no channel {channel + 1}; check dataset.json.")
        array = np.asarray(image.dataobj[..., channel])
        if array.dtype == np.float64 and image.get_data_dtype().itemsize <= 2:
            array = array.astype(np.float32)
        grid = Grid(array.shape, image.affine)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise FormatError(f"{path} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}.") from error
    return Volume(array, grid, name=path.name, origin=Origin(path, "nifti"))


def parse_labels(raw: object, path: Path, names: Mapping[str, str] | None = None) -> dict[str, tuple[int, ...]]:
    """Canonical structure -> label values, from {"1": "liver"} (MSD) or {"liver": 1, "kidney": [2, 3]} (nnU-Net).

    Background and "ignore" are no structures; unions of UNIONS are added.

    Args:
        raw: the "labels" of a dataset.json.
        names: this dataset's own names -> ours, before synonyms are joined.

    Raises:
        StoreError: it is neither form.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise StoreError(f'{path} has no "labels" that map values to names; see the layout of this source.')
    structures: dict[str, tuple[int, ...]] = {}
    for key, value in raw.items():
        number_first = str(key).isdigit() and isinstance(value, str)
        name, numbers = (value, [int(key)]) if number_first else (key, value if isinstance(value, list) else [value])
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise StoreError(f"{path}: the label {key!r}: {value!r} is neither value to name nor name to value.")
        tidy = canonical(str(name))
        tidy = canonical((names or {}).get(tidy, tidy))
        if tidy == "background" or numbers == [0]:
            continue
        structures[tidy] = tuple(sorted({*structures.get(tidy, ()), *numbers} - {0}))
    structures.pop("ignore", None)
    return structures | unions_of(structures)


def unions_of(structures: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The unions that a dataset's structures allow and that it does not label itself."""
    found: dict[str, tuple[int, ...]] = {}
    for union, recipes in UNIONS.items():
        for parts in recipes:
            if union not in structures and all(part in structures for part in parts):
                found[union] = tuple(sorted({value for part in parts for value in structures[part]}))
    return found


def parse_channel(text: str, dataset: str) -> tuple[Modality | None, str | None]:
    """Modality and sequence from a channel's name ("MRI", "T2", "FLAIR", "CT"), the sequence else from the dataset's.

    "CHAOS T2-SPIR" with a channel "MRI" -> (MRI, "T2-SPIR"). Names that say neither give (None, None).
    """
    try:
        modality = Modality.parse(text)
    except VocabularyError:
        said = text.strip()
        return (Modality.MRI, SEQUENCES.get(said.lower(), said)) if _MRI_SEQUENCE.match(said) else (None, None)
    if modality is not Modality.MRI:
        return modality, None
    return modality, next((word for word in re.split(r"[\s_]+", dataset) if _MRI_SEQUENCE.match(word)), None)


def patient_of(stem: str, pattern: str | None = None) -> str:
    """The patient that a file name tells of; the whole name where the pattern does not fit.

    Raises:
        StoreError: the pattern is no regular expression with a group.
    """
    try:
        match = re.search(pattern or PATIENT_PATTERN, stem)
        return match.group(1) or stem if match else stem
    except (re.error, IndexError) as error:
        raise StoreError(f"the patient pattern {pattern!r} must be a regular expression with one group.") from error


def images_in(folder: Path) -> dict[str, Path]:
    """Stem -> path of each image file of a folder, stray files of archives ("._x", hidden ones) left out."""
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        stem = image_stem(path.name)
        if stem is not None and not path.name.startswith("."):
            found[stem] = path
    return found


def nested_folders(path: Path) -> list[Path]:
    """The folders in a folder, then those in them, each level sorted; "__MACOSX" and hidden ones left out."""
    upper = _folders_in(path)
    return upper + [lower for folder in upper for lower in _folders_in(folder)]


def _folders_in(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))
    except OSError:  # not a folder, or not ours to read, such as lost+found
        return []


def image_stem(name: str) -> str | None:
    """A file name without the suffix of an image format, or None if it has none."""
    suffixes = sorted((suffix for form in FORMATS for suffix in form.suffixes), key=len, reverse=True)
    return next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), None)


def slug(text: str) -> str:
    """A name for folders and tables: "CHAOS T2-SPIR" -> "chaos_t2_spir"."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def require_modality(modality: Modality | None, said: Iterable[str], path: Path) -> None:
    """Raise StoreError where nothing tells the modality."""
    if modality is None:
        raise StoreError(f"{path} does not tell the modality (it says {', '.join(said)}); give --modality CT or MRI.")


def _millimetres(grid: Grid) -> str:
    return " x ".join(f"{step:.4g}" for step in grid.spacing)
