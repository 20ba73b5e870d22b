"""Read facts from the names of files, labels and channels of a dataset."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ...errors import StoreError, VocabularyError
from ...imaging.formats import FORMATS
from ...imaging.formats.dicom_file import files_below
from ...vocabulary import Modality

Name = TypeVar("Name", str, int)

# Sequences that datasets name in different ways; others keep their own name.
SEQUENCES = {"t1w": "T1", "t2w": "T2", "t1gd": "T1-CE", "t1ce": "T1-CE", "flair": "FLAIR", "adc": "ADC"}

# Whole words, so that neither "Swiss" nor "PDAC" nor "T12" is a sequence.
_MRI_SEQUENCE = re.compile(
    r"(?:t[12](?!\d)(?:[a-z]{0,3}|starw?)|pd(?:w|wi|fs)?|flair|adc(?:map)?|dwi|swi|bold|cine|stir)(?![a-z])",
    re.IGNORECASE,
)


def parse_channel(text: str, dataset: str) -> tuple[Modality | None, str | None]:
    """Modality and sequence from a channel's name ("MRI", "T2", "FLAIR", "CT"), the sequence else from the dataset's.

    "CHAOS T2-SPIR" with a channel "MRI" -> (MRI, "T2-SPIR"). A modality anywhere in the name goes before a sequence:
    "Cine CT" -> (CT, None). Names that say neither give (None, None).
    """
    channel_text = text.strip()
    modality = next(filter(None, map(_modality, (channel_text, *re.split(r"[^A-Za-z]+", channel_text)))), None)
    if modality not in (None, Modality.MRI):
        return modality, None
    if _MRI_SEQUENCE.match(channel_text):
        return Modality.MRI, SEQUENCES.get(channel_text.lower(), channel_text)
    if modality is None:
        return None, None
    return modality, next((word for word in re.split(r"[\s_]+", dataset) if _MRI_SEQUENCE.match(word)), None)


def _modality(text: str) -> Modality | None:
    try:
        return Modality.parse(text)
    except VocabularyError:
        return None


def channel_suffixes(names: Sequence[str]) -> list[str]:
    """What the channels of a case are called behind its name: "T1-CE" -> "t1_ce"; those without a name of their own
    by their number, "channel_1".
    """
    slugs = [slug(name) for name in names]
    return [text if text and slugs.count(text) == 1 else f"channel_{number}" for number, text in enumerate(slugs)]


def distinct_stems(images: Iterable[Path]) -> dict[Path, str]:
    """Image -> its stem, with the names of the folders above it where several images have one stem.

    case1/image.nii.gz and case2/image.nii.gz -> case1_image and case2_image.
    """
    names = {image: image_stem(image.name) or image.name for image in images}
    stems = dict(names)
    for depth in range(1, max((len(image.parents) for image in names), default=0)):
        counts = Counter(names.values())
        for image, name in list(names.items()):
            if counts[name] > 1:
                names[image] = "_".join((*image.parts[-1 - depth : -1], stems[image]))
    return names


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder.

    Attributes:
        by_stem: stem -> path; of several files of one stem the one whose ending most files of the folder have.
        strays: image files that are not read: of another ending, or beside another file of their stem.
        twice: stems of which nothing tells which file is meant.
        deeper: image files in folders inside the folder, which are not read.
    """

    by_stem: Mapping[str, Path]
    strays: tuple[Path, ...] = ()
    twice: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    deeper: tuple[Path, ...] = ()


def image_files(folder: Path, ending: str | None = None) -> ImageFiles:
    """The image files of a folder, and DICOM folders in it; hidden ones and those of archives ("._x") are left out.

    Args:
        ending: of every file that counts, such as ".nii.gz"; None takes every format.
    """
    paths = [path for path in _entries(folder) if not path.name.startswith(".") and not path.name.startswith("__")]
    stems: dict[str, list[Path]] = defaultdict(list)
    strays: list[Path] = []
    deeper: list[Path] = []
    for path in paths:
        if ending is not None and path.name.lower().endswith(ending.lower()) and not path.is_dir():
            stems[path.name[: -len(ending)]].append(path)
        elif (stem := image_stem(path.name)) is not None and not path.is_dir():
            if _is_data_of_header(path):
                continue  # the voxels of the .hdr beside it
            if ending is None:
                stems[stem].append(path)
            else:
                strays.append(path)
        elif ending is None and path.is_dir() and _holds_dicom(path):
            stems[path.name].append(path)
        elif path.is_dir():
            deeper += (file for file in files_below(path) if image_stem(file.name) is not None)
    usual = Counter(_ending(path) for same_stem in stems.values() for path in same_stem)
    path_by_stem: dict[str, Path] = {}
    twice: dict[str, tuple[Path, ...]] = {}
    for stem, same_stem in stems.items():
        ranked = sorted(same_stem, key=lambda path: -usual[_ending(path)])
        if len(ranked) > 1 and usual[_ending(ranked[0])] == usual[_ending(ranked[1])]:
            twice[stem] = tuple(sorted(ranked))
        path_by_stem[stem] = ranked[0]
        strays += ranked[1:]
    return ImageFiles(path_by_stem, tuple(sorted(strays)), twice, tuple(deeper))


def images_in(folder: Path) -> dict[str, Path]:
    """Stem -> path of each image file of a folder, stray files of archives ("._x", hidden ones) left out."""
    return dict(image_files(folder).by_stem)


def by_own_name(named_paths: Iterable[tuple[Name, Path]]) -> dict[Name, Path]:
    """Name -> path; StoreError where two paths have one name."""
    paths: dict[Name, Path] = {}
    for name, path in named_paths:
        if (other := paths.setdefault(name, path)) != path:
            raise StoreError(one_name((other, path)))
    return paths


def matched(files: Mapping[str, Path], pattern: re.Pattern[str], name: Callable[[str], Name]) -> dict[Name, Path]:
    """What `name` makes of the first group of a stem that fits the pattern -> path; StoreError as `by_own_name`."""
    return by_own_name((name(match[1]), path) for stem, path in files.items() if (match := pattern.fullmatch(stem)))


def held_twice(case: str, first: Path, second: Path) -> str:
    """A sentence on a case that two folders hold."""
    return f"{case} is in {first} and in {second}; keep one of the two."


def one_name(paths: Iterable[Path]) -> str:
    """A sentence on files of which nothing tells which is meant."""
    return f"{' and '.join(map(str, paths))} have one name, and nothing tells which is meant; keep one."


def _is_data_of_header(path: Path) -> bool:
    """Whether a file is the .img of a .hdr beside it, which is the one that counts."""
    name = path.name
    ending = next((ending for ending in (".img", ".img.gz") if name.lower().endswith(ending)), None)
    stem = name[: -len(ending)] if ending else ""
    return ending is not None and any(path.with_name(f"{stem}{header}").exists() for header in (".hdr", ".hdr.gz"))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not a folder, or not ours to read
        return []


def _ending(path: Path) -> str:
    stem = image_stem(path.name)
    return "" if stem is None or path.is_dir() else path.name[len(stem) :].lower()


def _holds_dicom(folder: Path) -> bool:
    """Whether a folder's first file looks like DICOM: its name, or the mark that Part 10 puts at byte 128."""
    files = [path for path in _entries(folder) if path.is_file() and not path.name.startswith(".")]
    if not files:
        return False
    if files[0].suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with files[0].open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def outside_fault(header_path: Path, root: Path, paths: Iterable[Path], allowed: bool) -> str | None:
    """A sentence on the first path that a dataset's description lists outside the dataset; None where none does.

    A person's own links within the dataset may lead anywhere; what is judged is what the description says.

    Args:
        header_path: of the description.
        root: the dataset's folder.
        paths: as listed, joined to the folder.
        allowed: whether a person said that they may lie elsewhere.
    """
    if allowed:
        return None
    inside = _plain(root)
    for path in paths:
        if not _plain(path).is_relative_to(inside):
            return (
                f"{header_path} lists {path}, outside the dataset's own folder, which is not read; if you trust it, "
                "allow that with --allow-outside."
            )
    return None


def _plain(path: Path) -> Path:
    """An absolute path without "..", its links not followed."""
    return Path(os.path.normpath(path.absolute()))


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
    suffixes = sorted((".seg.nrrd", *(suffix for form in FORMATS for suffix in form.suffixes)), key=len, reverse=True)
    return next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), None)


def contents(folder: Path) -> str:
    """What a folder holds, in words, for a sentence: "3 .mgz files, 2 .png files and 1 folder"."""
    kinds = Counter(
        "folder" if path.is_dir() else f"{''.join(path.suffixes[-2:]) or 'nameless'} file"
        for path in _entries(folder)
        if not path.name.startswith(".")
    )
    words = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in kinds.most_common(6)]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0] if words else "nothing"


def slug(text: str) -> str:
    """A name for folders and tables, of letters and digits of any script: "CHAOS T2-SPIR" -> "chaos_t2_spir"."""
    letters = (one if one.isalnum() or unicodedata.category(one).startswith("M") else " " for one in folded(text))
    return "_".join("".join(letters).split())


def folded(text: str) -> str:
    """Text without the difference of small and capital letters, and of ways to encode an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def require_modality(modality: Modality | None, said: Iterable[str], path: Path) -> None:
    """Raise StoreError where nothing tells the modality."""
    if modality is None:
        raise StoreError(f"{path} does not tell the modality (it says {', '.join(said)}); give --modality CT or MRI.")
