"""From what a person names (files, folders, patterns, a DICOM study) to the scans that are to be segmented."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import FormatError, OutputError
from ..imaging.formats.base import SUFFIXES, stem
from ..imaging.formats.dicom_file import files_below
from ..imaging.formats.dicom_series import FolderContents, contents_of, no_series
from .answer_key import read_key

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
        slices: the files of that series, or of the only one.
    """

    path: Path
    name: str
    series: str | None = None
    slices: tuple[Path, ...] = field(default=(), repr=False, compare=False)


def find_scans(paths: Sequence[Path]) -> tuple[tuple[ScanInput, ...], tuple[str, ...]]:
    """Every scan behind some paths, in their order, each once; and what was left out, a sentence each.

    A folder stands for its DICOM series, also in its subfolders; one without DICOM for its image files, and one without
    these for all image files in its subfolders. Links to folders are followed. A subfolder of damaged DICOM files alone
    is a scan, too, which then cannot be read: what is damaged never makes other files stand for a folder. A name with
    *, ? or [] that is no file is a pattern, ** included. Masks that an earlier call wrote (those that a key names, or
    x_seg with x_seg.json) are left out of folders, patterns and several paths; a single file is taken as it is.

    Raises:
        FormatError: a pattern matches nothing, a folder holds no scan, or several paths are masks alone.
    """
    notes: list[str] = []
    # A mask that is given alone is what a person wants; among others it was the shell's pattern that matched it.
    files = [path for path in paths if path.is_file()] if len(paths) > 1 else []
    masks = set(files).difference(_without_masks(files, notes))
    scans: dict[ScanInput, None] = {}
    for path in paths:
        if path not in masks:
            for scan in _scans_of(path, notes):
                scans.setdefault(scan)
    if not scans:
        raise FormatError(
            f"{paths[0]} and the others are masks that an earlier call wrote; give a mask alone to segment it."
        )
    return _named(list(scans)), tuple(notes)


def _scan(path: Path, series: str | None = None, slices: tuple[Path, ...] = ()) -> ScanInput:
    return ScanInput(path, stem(path), series, slices)


def _scans_of(path: Path, notes: list[str]) -> list[ScanInput]:
    if path.is_dir():
        return _scans_in(path, notes)
    if path.exists() or not _PATTERN & set(str(path)):
        return [_scan(path)]  # a file that does not exist is named when it is read
    anchor = Path(path.anchor or ".")
    matches = sorted(anchor.glob(str(path.relative_to(anchor) if path.anchor else path)))
    image_matches = _without_masks(matches, notes)
    if not image_matches:
        raise FormatError(f"{path} matches no file; check the pattern.")
    return [scan for match in image_matches for scan in (_scans_in(match, notes) if match.is_dir() else [_scan(match)])]


def _scans_in(folder: Path, notes: list[str]) -> list[ScanInput]:
    """The scans of a folder; images below it that are not taken are counted in a note."""
    images = _without_masks([file for file in files_below(folder) if _is_image(file.relative_to(folder))], notes)
    contents = contents_of(folder)
    if contents.series or contents.faults:
        _note_left_out(f"{folder} holds DICOM, so", images, notes)
        return _dicom_scans(contents)
    if not images:
        raise no_series(folder)
    own = [file for file in images if file.parent == folder]
    _note_left_out(f"{folder} holds images itself, so", [file for file in images if own and file not in own], notes)
    return [_scan(file) for file in own or images]


def _dicom_scans(contents: FolderContents) -> list[ScanInput]:
    """The series of a folder, and the folders below it of damaged files alone."""
    homes = {file.parent for info in contents.series.values() for file in info.files}
    damaged = sorted({file.parent for file in contents.faults} - homes)
    if len(contents.series) == 1 and not damaged:
        return [_scan(contents.path, None, info.files) for info in contents.series.values()]
    series = [_scan(contents.path, info.uid, info.files) for info in contents.series.values()]
    return [*series, *(_scan(folder) for folder in damaged)]


def _is_image(file: Path) -> bool:
    """Whether a file of a folder, by its path there, is called as an image is; hidden folders (.git) hold none."""
    return file.name.lower().endswith(_SUFFIXES) and not any(part.startswith(".") for part in file.parts)


def _without_masks(files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Files without those that an earlier call wrote; their keys lie beside them."""
    written = {file for folder in {file.parent for file in files} for file in _written_in(folder)}
    masks = [
        file
        for file in files
        if file in written or (stem(file).endswith("_seg") and file.with_name(f"{stem(file)}.json").is_file())
    ]
    if masks:
        notes.append(f"{len(masks)} masks of an earlier call were left out, {masks[0].name} the first")
    left_out = set(masks)
    return [file for file in files if file not in left_out]


def _written_in(folder: Path) -> list[Path]:
    """The masks and maps that the keys of a folder name."""
    files: list[Path] = []
    for path in folder.glob("*.json"):
        try:
            files += read_key(path).files(folder)
        except OutputError:
            continue  # another kind of JSON file
    return files


def _note_left_out(reason: str, images: Sequence[Path], notes: list[str]) -> None:
    if images:
        counted = f"{len(images)} other image file{'s' if len(images) > 1 else ''}"
        notes.append(
            f"{reason} {counted} below it {'were' if len(images) > 1 else 'was'} left out, {images[0].name} the first"
        )


def _named(scans: Sequence[ScanInput]) -> tuple[ScanInput, ...]:
    """Names from files and folders; where two would share one, their folders are put before, then numbers behind.

    Folders never tell files of one folder apart (a.nii and a.nii.gz), so that these have numbers alone.
    """
    depth = [1] * len(scans)
    names = [scan.name for scan in scans]
    homes = [(str(scan.path.absolute().parent).lower(), scan.name.lower()) for scan in scans]
    for _ in range(max((len(scan.path.absolute().parts) for scan in scans), default=0)):
        homes_of_name: dict[str, set[tuple[str, str]]] = {}
        for name, home in zip(names, homes, strict=True):
            homes_of_name.setdefault(name.lower(), set()).add(home)
        alike = [
            place
            for place, name in enumerate(names)
            if len(homes_of_name[name.lower()]) > 1 and scans[place].series is None
        ]
        if not alike:
            break
        for place in alike:
            depth[place] += 1
            names[place] = _name(scans[place].path, depth[place])
    names_taken: set[str] = set()
    named_scans = []
    for scan, name in zip(scans, names, strict=True):
        candidate, number = name, 1
        while candidate.lower() in names_taken:
            number += 1
            candidate = f"{name}_{number}"
        names_taken.add(candidate.lower())
        named_scans.append(replace(scan, name=candidate))
    return tuple(named_scans)


def _name(path: Path, depth: int) -> str:
    """The last `depth` parts of a path as one name, the last without the suffix of an image."""
    folders = path.absolute().parts[1:-1][-(depth - 1) :] if depth > 1 else ()
    return "_".join((*folders, stem(path)))
