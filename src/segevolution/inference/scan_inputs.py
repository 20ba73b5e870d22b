"""From what a person names (files, folders, patterns, a DICOM study) to the scans that are to be segmented."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError
from ..imaging.formats import list_series
from ..imaging.formats.base import SUFFIXES, stem

# The other half of a pair, slices of a series, and contours are no scans of their own.
_NO_SCANS = (".img", ".img.gz", ".dcm", ".rtstruct.dcm")
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in _NO_SCANS)
_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class ScanInput:
    """One scan.

    Attributes:
        path: a file or a DICOM folder.
        name: what its outputs are called; no two of one list share it.
        series: SeriesInstanceUID, where the folder holds several.
    """

    path: Path
    name: str
    series: str | None = None


def find_scans(paths: Sequence[Path]) -> tuple[tuple[ScanInput, ...], tuple[str, ...]]:
    """Every scan behind some paths, in their order, each once; and what was left out, a sentence each.

    A folder stands for its DICOM series, also in its subfolders; one without DICOM for its image files, and one without
    these for all image files in its subfolders. A name with *, ? or [] that is no file is a pattern, ** included.
    Masks that an earlier call wrote beside its image (x_seg with x_seg.json) are left out of folders and patterns.

    Raises:
        FormatError: a path does not exist, a pattern matches nothing, or a folder holds no scan.
    """
    scans: dict[tuple[Path, str | None], None] = {}
    notes: list[str] = []
    for path in paths:
        for scan in _scans_of(path, notes):
            scans.setdefault(scan)
    return _named(list(scans)), tuple(notes)


def _scans_of(path: Path, notes: list[str]) -> list[tuple[Path, str | None]]:
    if path.is_dir():
        return _scans_in(path, notes)
    if path.exists() or not _PATTERN & set(str(path)):
        return [(path, None)]  # a file that does not exist is named when it is read
    anchor = Path(path.anchor or ".")
    matches = sorted(anchor.glob(str(path.relative_to(anchor) if path.anchor else path)))
    image_matches = _without_masks(matches, notes)
    if not image_matches:
        raise FormatError(f"{path} matches no file; check the pattern.")
    return [
        scan for match in image_matches for scan in (_scans_in(match, notes) if match.is_dir() else [(match, None)])
    ]


def _scans_in(folder: Path, notes: list[str]) -> list[tuple[Path, str | None]]:
    """The scans of a folder."""
    files = _without_masks(sorted(file for file in folder.iterdir() if _is_image(file)), notes)
    try:
        series = list_series(folder)
    except FormatError:
        files = files or _without_masks(sorted(file for file in folder.rglob("*") if _is_image(file)), notes)
        if not files:
            raise
        return [(file, None) for file in files]
    if files:
        notes.append(f"{folder} holds DICOM, so {len(files)} other image files there were left out")
    if len(series) == 1:
        return [(folder, None)]
    return [(folder, info.uid) for info in series]


def _is_image(file: Path) -> bool:
    return file.name.lower().endswith(_SUFFIXES) and not file.name.startswith(".") and file.is_file()


def _without_masks(files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Files without the masks that an earlier call wrote; their keys lie beside them."""
    masks = [file for file in files if stem(file).endswith("_seg") and file.with_name(f"{stem(file)}.json").is_file()]
    if masks:
        notes.append(f"{len(masks)} masks of an earlier call were left out, {masks[0].name} the first")
    return [file for file in files if file not in masks]


def _named(scans: Sequence[tuple[Path, str | None]]) -> tuple[ScanInput, ...]:
    """Names from files and folders; where two would share one, their folders are put before, then numbers behind."""
    depth = [1] * len(scans)
    names = [_name(path, 1) for path, _ in scans]
    for _ in range(max((len(path.absolute().parts) for path, _ in scans), default=0)):
        lower = [name.lower() for name in names]
        alike = [place for place, name in enumerate(lower) if lower.count(name) > 1 and scans[place][1] is None]
        if not alike:
            break
        for place in alike:
            depth[place] += 1
            names[place] = _name(scans[place][0], depth[place])
    names_taken: set[str] = set()
    named_scans = []
    for (path, series), name in zip(scans, names, strict=True):
        candidate, number = name, 1
        while candidate.lower() in names_taken:
            number += 1
            candidate = f"{name}_{number}"
        names_taken.add(candidate.lower())
        named_scans.append(ScanInput(path, candidate, series))
    return tuple(named_scans)


def _name(path: Path, depth: int) -> str:
    """The last `depth` parts of a path as one name, the last without the suffix of an image."""
    folders = path.absolute().parts[1:-1][-(depth - 1) :] if depth > 1 else ()
    return "_".join((*folders, stem(path)))
