"""A request to segment: what, in which image, and where the answer goes; checked before any network is loaded.

One structure a text, all from one encoding of the whole scan; points and a box say more about a single structure.
Outputs follow TotalSegmentator's habit: one label map, or with `split` a folder with one file a structure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from ..errors import FormatError, OutputError, PromptError
from ..imaging.formats import dicom_seg, image_files, read
from ..imaging.formats.mrk_json import read_markups
from ..imaging.grid import Grid
from ..imaging.prompts import Prompt
from ..imaging.volume import Volume
from ..models.backbone import Windows
from ..vocabulary import Modality, canonical
from .outputs import Outputs, outputs_of, suffix_of

UNNAMED = "structure"  # what a structure is called that only points or a box describe


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
        every: all structures that the model knows, in place of texts; those that are not found, or whose answers are
            doubted, are left out of the files.
        markups: a .mrk.json of 3D Slicer with points or a box, in place of `points` and `box`.
        probabilities: also write a map a structure: "float" from 0 to 1 in float32, "percent" from 0 to 100 in uint8.
        colours: also write a table of labels for ITK-SNAP.
        smooth: millimetres by which masks are smoothed, 0 = not.
        largest: keep the largest connected piece of each structure.
        check: ask once more with a prompt moved a little, to tell how far an answer is to be believed.
        test_time_steps: of test-time adaptation before each answer, see test_time.py; 0 = none.
        second_opinion, drop_islands: as for `Session`.
        address: where the image was fetched from, which the key then names in its place.
        slices: the files of the DICOM series, where they were listed before; none = they are looked up.

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
    every: bool = False
    markups: Path | None = None
    probabilities: Literal["float", "percent"] | None = None
    colours: bool = False
    smooth: float = 0.0
    largest: bool = False
    check: bool = False
    test_time_steps: int = 0
    second_opinion: bool = True
    drop_islands: bool = True
    address: str | None = None
    slices: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        names = [canonical(text) for text in self.texts]
        if "" in names:
            raise PromptError("a text is empty; give the name of a structure, such as liver.")
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise PromptError(f'"{twice}" is asked for twice; name each structure once.')
        if self.every and (self.texts or self.has_place or self.candidates):
            raise PromptError("--all asks for every structure that the model knows, so leave out other prompts.")
        if self.markups is not None and (self.points or self.negative_points or self.box is not None):
            raise PromptError("a markups file was given together with points or a box; give either.")
        if not 0 <= self.smooth < math.inf:
            raise PromptError(f"--smooth {self.smooth:g} is impossible; give millimetres, such as 2.")
        if self.test_time_steps < 0:
            raise PromptError(f"--test-time-steps {self.test_time_steps} is impossible; give 0 or more.")
        if self.probabilities is not None and self.candidates:
            raise PromptError("--candidates and --probabilities do not go together; give either.")
        if not self.texts and not self.points and self.box is None and self.markups is None and not self.every:
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
        if self.output is not None and not self.split and suffix_of(self.output).lower() == dicom_seg.SUFFIX:
            dicom_seg.require_installed(self.output)
        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise OutputError(f"{self.preview} cannot be the preview; its name must end in .png.")

    @property
    def has_place(self) -> bool:
        """Whether any point or box was given."""
        return bool(self.points or self.negative_points) or self.box is not None or self.markups is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical name of each structure asked for; none yet where all are and the model is not known."""
        return tuple(canonical(text) for text in self.texts) or (() if self.every else (UNNAMED,))

    @cached_property
    def image_files(self) -> tuple[Path, ...]:
        """All files that hold the image; its path alone where no header can be read, which `read_image` then says."""
        try:
            return self.slices or image_files(self.image, series=self.series, allow_outside=self.allow_outside)
        except (FormatError, OSError):
            return (self.image,)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read and therefore never replaced: the image's, and the markups."""
        return self.image_files if self.markups is None else (*self.image_files, self.markups)

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
        """One prompt a structure, on the image's grid.

        Raises:
            PromptError: something lies outside it, or the markups cannot be read.
        """
        if not self.has_place:
            return [Prompt(grid, text) for text in self.texts]
        text = self.texts[0] if self.texts else None
        if self.markups is not None:
            return [read_markups(self.markups).prompt(grid, text)]
        return [
            Prompt.make(
                grid, text=text, points=self.points, negative_points=self.negative_points, box=self.box, mm=self.mm
            )
        ]

    @property
    def outputs(self) -> Outputs:
        """The files that will be written; of no structure yet where all are asked for and the model is not known."""
        return outputs_of(
            self.image,
            self.names,
            self.output,
            split=self.split,
            candidates=self.candidates,
            probabilities=self.probabilities is not None,
            colours=self.colours,
            preview=self.preview,
        )

    def check_outputs(self) -> None:
        """Refuse, before any work, outputs that could not be written; raises OutputError."""
        self.outputs.check(self.inputs, force=self.force)

    def of_structures(self, names: Sequence[str]) -> "SegmentRequest":
        """This request, of some structures by their names."""
        return replace(self, texts=tuple(names), every=False)
