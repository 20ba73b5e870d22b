"""The files that a request writes: their names, and whether they can be written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..files import check_writable, is_taken
from ..imaging.formats import FORMATS
from ..imaging.formats.base import stem
from ..imaging.formats.itk_writing import voxel_file
from .answer_key import read_key

ALTERNATIVES = 3
KEY_OF_FOLDER = "segmentation.json"
_LABELS_ONLY = {
    ".seg.nrrd": ".nrrd",
    ".dcm": ".nii.gz",
    ".rtstruct.dcm": ".nii.gz",
}  # formats without signal -> what holds it instead


@dataclass(frozen=True)
class Outputs:
    """The files of one request.

    Attributes:
        masks: one, or one a structure, or one an alternative.
        key: the JSON file that says which label is what.
        probabilities: one a structure, if they are wanted.
        colours: ITK-SNAP's table of labels, if it is wanted.
        preview: a picture, if it is wanted.
    """

    masks: tuple[Path, ...]
    key: Path
    probabilities: tuple[Path, ...] = ()
    colours: Path | None = None
    preview: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, masks first."""
        further = (path for path in (self.colours, self.preview) if path is not None)
        return (*self.masks, *self.probabilities, self.key, *further)

    @property
    def written(self) -> tuple[Path, ...]:
        """All files and, where a format keeps voxels apart from the header, those of the voxels."""
        voxels = (voxel_file(mask) for mask in (*self.masks, *self.probabilities))
        return (*self.files, *(file for file in voxels if file is not None))

    def check(self, inputs: Sequence[Path], *, force: bool) -> None:
        """Refuse, before any work, files that could not be written.

        Args:
            inputs: all files that are read, such as those that hold the image; none is ever replaced or removed.

        Raises:
            OutputError: one of the files cannot be written, or exists and `force` is False; or as `check_inputs`.
        """
        folder = self.key.parent
        if self.key.name == KEY_OF_FOLDER and is_taken(folder) and not folder.is_dir():
            raise OutputError(f"{folder} is a file; --split writes a folder, so choose another name.")
        for path in self.written:
            if is_taken(path) and path.is_dir():
                raise OutputError(f"{path} is a folder, so no file of that name can be written; choose another name.")
            check_writable(path.absolute(), force=force)
        check_inputs([self], inputs)

    def superseded(self) -> tuple[Path, ...]:
        """Files of an earlier answer that its key names and that are not written again: they go with the key.

        Raises:
            OutputError: the file in the key's place cannot be read, is another kind of JSON file, or the key of other
                masks, whose labels nothing would name any more.
        """
        if not is_taken(self.key):
            return ()
        if not self.key.exists():
            raise OutputError(
                f"{self.key} is a link to nothing, so which masks it is the key of cannot be told; fetch its content, "
                "or choose another name."
            )
        try:
            key = read_key(self.key)
        except OutputError as error:
            raise OutputError(
                f"{self.key} is no key of masks, so it is never replaced; choose another name for the masks."
            ) from error
        folder = self.key.parent
        other = next((mask for mask in key.masks(folder) if is_taken(mask) and not self._takes_place_of(mask)), None)
        if other is not None:
            raise OutputError(
                f"{self.key} is the key of {other.name} and says what its labels mean, so other masks do not replace "
                "it; choose another name, or remove both."
            )
        return tuple(file for file in key.files(folder) if file not in self.written and is_taken(file))

    def _takes_place_of(self, mask: Path) -> bool:
        """Whether a mask is of these by its name: a structure's in a folder, or a label map or alternative of one."""
        is_label_map = bool(self.masks) and self.masks[0].name.startswith(self.key.stem)
        if mask.name.startswith(self.key.stem) != is_label_map:
            return False
        return not is_label_map or suffix_of(mask) == suffix_of(self.masks[0])


def check_inputs(outputs: Iterable[Outputs], inputs: Iterable[Path]) -> None:
    """Refuse files in the place of some that are read, or whose answer before these are a part of.

    Args:
        outputs: of one image or several.
        inputs: all files that are read, for whichever image; asked for only where something could be lost.

    Raises:
        OutputError: an input, under this name or another, would be replaced or removed; or as `Outputs.superseded`.
    """
    endangered = [
        (path, each, number)
        for each in outputs
        for path in (*each.written, *each.superseded())
        if (number := _file_number(path)) is not None
    ]
    originals = {_file_number(file) for file in inputs} if endangered else set()
    for path, each, number in endangered:
        if number in originals:
            loss = "are never replaced" if path in each.written else f"would be removed together with {each.key.name}"
            raise OutputError(
                f"{path} is the image itself, or holds its voxels or markups, which {loss}; choose another name."
            )


def outputs_of(
    image: Path,
    names: Sequence[str],
    output: Path | None,
    *,
    split: bool,
    candidates: bool,
    probabilities: bool,
    colours: bool,
    preview: Path | None,
) -> Outputs:
    """The files for structures of an image.

    Args:
        image: a file or a folder.
        names: of the structures.
        output: file of the label map, or folder with `split`; None = beside the image.
        split, candidates, probabilities, colours: whether these are written.
        preview: a PNG.

    Raises:
        OutputError: the output's suffix cannot be written.
    """
    beside, suffix = image.absolute().parent / f"{stem(image)}_seg", _suffix_like(image)
    if split:
        folder = output or beside
        masks = tuple(folder / f"{file_name(name)}{suffix}" for name in names)
        maps = tuple(folder / f"{file_name(name)}_probability{suffix}" for name in names)
        return Outputs(
            masks,
            folder / KEY_OF_FOLDER,
            maps if probabilities else (),
            folder / "labels.txt" if colours else None,
            preview,
        )
    path = output or beside.with_name(beside.name + suffix)
    suffix = suffix_of(path)
    start = path.name[: -len(suffix)]
    masks = (path,)
    if candidates:
        masks = tuple(path.with_name(f"{start}_{number}{suffix}") for number in range(1, ALTERNATIVES + 1))
    signal_suffix = _LABELS_ONLY.get(suffix.lower(), suffix)
    maps = tuple(path.with_name(f"{start}_{file_name(name)}_probability{signal_suffix}") for name in names)
    return Outputs(
        masks,
        path.with_name(f"{start}.json"),
        maps if probabilities else (),
        path.with_name(f"{start}_labels.txt") if colours else None,
        preview,
    )


def suffix_of(path: Path) -> str:
    """The suffix that names a writable image format; raises OutputError where there is none."""
    suffixes = [suffix for form in FORMATS for suffix in form.writes]
    for suffix in sorted(suffixes, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[-len(suffix) :]
    raise OutputError(f"{path} has no suffix that can be written; known are {', '.join(suffixes)}.")


def file_name(structure: str) -> str:
    """A structure's name as TotalSegmentator writes it in file names: "right kidney" -> "right_kidney"."""
    return "".join(character if character.isalnum() or character == "-" else "_" for character in structure)


def _file_number(path: Path) -> tuple[int, int] | None:
    """The number of the file behind a path, whatever its names and links; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _suffix_like(image: Path) -> str:
    """The image's own suffix if a mask can be written with it, else .nii.gz."""
    try:
        suffix = suffix_of(image)
    except OutputError:
        return ".nii.gz"
    return suffix if suffix.lower() not in _LABELS_ONLY else ".nii.gz"
