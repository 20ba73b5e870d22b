"""What is to be segmented and where the answer goes, checked before any network is loaded.

One structure a text, all from one encoding; points and a box say more about a single structure. Outputs follow
TotalSegmentator's habit: one label map, or with `split` a folder with one file a structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, PromptError
from ..files import check_writable
from ..imaging.formats import FORMATS, read
from ..imaging.formats.base import stem
from ..imaging.grid import Grid
from ..imaging.prompts import Prompt
from ..imaging.volume import Volume
from ..models.backbone import Windows
from ..vocabulary import Modality, canonical

UNNAMED = "structure"  # what a structure is called that only points or a box describe
ALTERNATIVES = 3


@dataclass(frozen=True)
class SegmentRequest:
    """One call of `predict`.

    Attributes:
        image: a file or a DICOM folder.
        texts: structures; with points or a box, at most one.
        points, negative_points: (x, y, z) each, voxel indices of the file, or RAS+ millimetres if `mm`.
        box: (x0, y0, z0, x1, y1, z1), both corners included.
        modality, series, orientation, spacing, time, allow_outside, max_gigabytes: as for `imaging.formats.read`.
        model, device, windows: as for `load` and `Session`.
        adapter: as for `load`; None = the expert that ships for this model and modality answers, where there is one,
            see `adapters.shipped`, and "none" leaves that out.
        output: file of the label map, or folder with `split`; None = beside the image, `<image>_seg.nii.gz` (the
            image's own format if it can be written) or folder `<image>_seg`.
        split: one file a structure instead of a label map.
        candidates: the three alternative masks of a single prompt, best first, instead of one.
        preview: a PNG.
        force: replace what exists.

    Raises:
        PromptError: nothing is asked, a structure is asked twice, or parts of a prompt do not go together.
        OutputError: the output's suffix cannot be written.
    """

    image: Path
    texts: tuple[str, ...] = ()
    points: tuple[Sequence[float], ...] = ()
    negative_points: tuple[Sequence[float], ...] = ()
    box: Sequence[float] | None = None
    mm: bool = False
    modality: Modality | None = None
    series: str | None = None
    orientation: str | None = None
    spacing: Sequence[float] | None = None
    time: int | None = None
    allow_outside: bool = False
    max_gigabytes: float | None = None
    model: str = "segvol-mini"
    adapter: str | Path | None = None
    device: str = "auto"
    windows: Windows | None = None
    output: Path | None = None
    split: bool = False
    candidates: bool = False
    preview: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        names = [canonical(text) for text in self.texts]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise PromptError(f'"{twice}" is asked for twice; name each structure once.')
        if not self.texts and not self.points and self.box is None:
            missing = "only negative points were given" if self.negative_points else "no prompt was given"
            raise PromptError(f"{missing}; give a text (--text liver), a positive point (--point) or a box (--box).")
        if self.has_place and len(self.texts) > 1:
            raise PromptError(
                f"points and a box describe one structure, but {len(self.texts)} texts were given; "
                "give them with one text, or without text."
            )
        if self.candidates and len(self.texts) > 1:
            raise PromptError(f"--candidates are of one structure, but {len(self.texts)} texts were given; give one.")
        if self.candidates and self.split:
            raise PromptError("--candidates and --split do not go together; give either.")
        if self.output is not None and not self.split:
            suffix_of(self.output)
        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise OutputError(f"{self.preview} cannot be the preview; its name must end in .png.")

    @property
    def has_place(self) -> bool:
        """Whether any point or box was given."""
        return bool(self.points or self.negative_points) or self.box is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical name of each structure asked for."""
        return tuple(canonical(text) for text in self.texts) or (UNNAMED,)

    def read_image(self) -> Volume:
        """Read the image, and refuse what its place cannot answer.

        Raises:
            VolumeError: the image cannot be used, or a structure of one side is asked for where the file does not say
                which side is which.
            PromptError: millimetres are given where the file does not say where it lies.
        """
        volume = read(
            self.image,
            modality=self.modality,
            series=self.series,
            orientation=self.orientation,
            spacing=self.spacing,
            time=self.time,
            allow_outside=self.allow_outside,
            max_gigabytes=self.max_gigabytes,
        )
        for name in self.names:
            volume.require_sides(name)
        if self.mm and self.has_place and volume.unstated:
            raise PromptError(
                f"{volume.unstated[0]}; points and a box in millimetres need that, or give them in voxels."
            )
        return volume

    def prompts(self, grid: Grid) -> list[Prompt]:
        """One prompt a structure, on the image's grid; raises PromptError for what lies outside it."""
        if not self.has_place:
            return [Prompt(grid, text) for text in self.texts]
        text = self.texts[0] if self.texts else None
        return [
            Prompt.make(
                grid, text=text, points=self.points, negative_points=self.negative_points, box=self.box, mm=self.mm
            )
        ]

    @property
    def masks(self) -> tuple[Path, ...]:
        """The files of masks that will be written: one, or one a structure, or one an alternative."""
        beside, suffix = self.image.absolute().parent / f"{stem(self.image)}_seg", _suffix_like(self.image)
        if self.split:
            folder = self.output or beside
            return tuple(folder / f"{file_name(name)}{suffix}" for name in self.names)
        path = self.output or beside.with_name(beside.name + suffix)
        if not self.candidates:
            return (path,)
        suffix = suffix_of(path)
        start = path.name[: -len(suffix)]
        return tuple(path.with_name(f"{start}_{number}{suffix}") for number in range(1, ALTERNATIVES + 1))

    @property
    def sidecar(self) -> Path:
        """The JSON file that says which label is what."""
        if self.split:
            return self.masks[0].parent / "segmentation.json"
        path = self.output or self.image.absolute().parent / f"{stem(self.image)}_seg{_suffix_like(self.image)}"
        return path.with_name(path.name[: -len(suffix_of(path))] + ".json")

    def check_outputs(self) -> None:
        """Refuse, before any work, outputs that could not be written; raises OutputError."""
        if self.split and self.masks[0].parent.exists() and not self.masks[0].parent.is_dir():
            raise OutputError(f"{self.masks[0].parent} is a file; --split writes a folder, so choose another name.")
        for path in (*self.masks, self.sidecar, *([self.preview] if self.preview else [])):
            if path.is_dir():
                raise OutputError(f"{path} is a folder, so no file of that name can be written; choose another name.")
            check_writable(path.absolute(), force=self.force)
            if path.exists() and path.resolve() == self.image.resolve():
                raise OutputError(f"{path} is the image itself, which is never replaced; choose another name.")


def suffix_of(path: Path) -> str:
    """The suffix that names a writable image format; raises OutputError where there is none."""
    known = [suffix for form in FORMATS for suffix in form.writes]
    for suffix in sorted(known, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[-len(suffix) :]
    raise OutputError(f"{path} has no suffix that can be written; known are {', '.join(known)}.")


def file_name(structure: str) -> str:
    """A structure's name as TotalSegmentator writes it in file names: "right kidney" -> "right_kidney"."""
    return "".join(character if character.isalnum() or character == "-" else "_" for character in structure)


def _suffix_like(image: Path) -> str:
    """The image's own suffix if a mask can be written with it, else .nii.gz."""
    try:
        return suffix_of(image)
    except OutputError:
        return ".nii.gz"
