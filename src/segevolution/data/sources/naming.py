"""What the names of files, labels and channels tell of a dataset."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import StoreError, VocabularyError
from ...imaging.formats import FORMATS
from ...vocabulary import Modality, canonical

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
