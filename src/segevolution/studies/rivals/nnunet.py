"""The real nnU-Net (Isensee et al. 2021) through its own package, on the same patients and in the same table.

A run exports its training cases alone, so that neither plan nor fingerprint knows a tested patient, lets nnU-Net plan,
preprocess and train, and answers with its predictions of single scans. It goes on from nnU-Net's own checkpoint of the
last epoch. Its checkpoints are pickles that nnU-Net opens itself: share a run's folder with nobody who could change it.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from ...data.nnunet_export import ENDING, ExportedCase, export_nnunet, write_scan, write_splits
from ...data.store import Store
from ...documents import Document, read_json
from ...errors import RecipeError
from ...evaluation.answerers import Answerer, ContextChoice, Dialogue, MaskDialogue
from ...evaluation.automatic import LabelledAnswers, asked_by
from ...files import safe_name, write_json
from ...imaging.formats import read_labels
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ...inference.segmentation import Segmentation
from ...inference.signs import Surroundings
from ...models.backbone import Windows
from ...processors import usable_processors
from ...recipes.parts import fit_fault
from ...runtime import resolve_device
from ..jobs import TrainJob
from .base import RunFacts
from .nnunet_program import NUMBER, TRAINER, NnUnetProgram, require_commands

STRUCTURES, FINAL, LATEST = "structures.json", "checkpoint_final.pth", "checkpoint_latest.pth"
WORKERS = "nnUNet_n_proc_DA"
_SCAN = "scan"


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NnUnetSettings:
    """One training; the defaults are nnU-Net's.

    Attributes:
        epochs: of the training, whose learning rate ends there.
        iterations: of an epoch.
        validation_iterations: after each epoch, for its pseudo Dice.
        configuration: of nnU-Net's plans.
        gpu_memory: gigabytes that the plan is made for; None = nnU-Net's 8.
        tta: whether answers are averaged over mirrored scans.
        workers: processes that preprocess and augment; 0 augments in nnU-Net's own.
    """

    epochs: Annotated[int, Field(ge=1)] = 1000
    iterations: Annotated[int, Field(ge=1)] = 250
    validation_iterations: Annotated[int, Field(ge=1)] = 50
    configuration: Literal["2d", "3d_fullres", "3d_lowres"] = "3d_fullres"
    gpu_memory: Annotated[float, Field(gt=0)] | None = None
    tta: bool = True
    workers: Annotated[int, Field(ge=0, le=128)] = 4


class _StructuresFile(Document):
    """structures.json."""

    structures: list[str]


@dataclass(frozen=True)
class NnUnetRival:
    """See the module."""

    name: str = "nnunet"
    summary: str = "nnU-Net itself, through its package"
    trained: bool = True
    on_base: bool = False
    mark: str = "nnunet 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        _settings(settings)

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return asked_by(kinds)

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival; replayed cases are left out."""
        require_commands()
        settings = _settings(job.settings)
        started = time.monotonic()
        records = [stores[name.dataset].record(name.case) for name in (*job.train, *job.validation)]
        structures = job.structures or tuple(sorted({name for record in records for name in record.structures}))
        program = _program(folder, settings, job.seed)
        _prepare(program, job, stores, structures, settings)
        write_json(folder / STRUCTURES, {"structures": list(structures)})
        left = program.results(settings.configuration)
        if not (left / FINAL).is_file():
            resumed = ["--c"] if (left / LATEST).is_file() else []
            processor = ["-device", resolve_device(device).type]
            program.run(
                "nnUNetv2_train", str(NUMBER), settings.configuration, "0", "-tr", TRAINER, *processor, *resumed
            )
        return {
            "steps": settings.epochs * settings.iterations,
            "seconds": time.monotonic() - started,
            "settings": asdict(settings),
        }

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        if folder is None:
            raise RecipeError("nnU-Net answers only after it was trained.")
        require_commands()
        chosen = _settings(settings)
        known = read_json(folder / STRUCTURES, _StructuresFile, error=RecipeError).structures
        return NnUnetAnswerer(_program(folder, chosen, 0), chosen, tuple(known), resolve_device(device).type)


@dataclass(frozen=True)
class NnUnetAnswerer:
    """A trained nnU-Net.

    Attributes:
        program: with its folders.
        settings: of the training.
        structures: label 1 + i is structure i.
        device: "cpu" or "cuda".
    """

    program: NnUnetProgram
    settings: NnUnetSettings
    structures: tuple[str, ...]
    device: str
    corrects: bool = False

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Answerer."""
        return asked_by(kinds)

    def knows(self, structure: str) -> bool:
        """See Answerer."""
        return structure in self.structures

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer; the whole scan is predicted at once."""
        with tempfile.TemporaryDirectory() as holder:
            asked, answered = Path(holder, "asked"), Path(holder, "answered")
            asked.mkdir()
            write_scan(volume, asked, _SCAN)
            self.program.run(
                "nnUNetv2_predict",
                *("-i", str(asked), "-o", str(answered), "-d", str(NUMBER), "-c", self.settings.configuration),
                *("-f", "0", "-tr", TRAINER, "-device", self.device, "-npp", "1", "-nps", "1"),
                *("--disable_progress_bar", *([] if self.settings.tta else ["--disable_tta"])),
            )
            labels = read_labels(answered / f"{_SCAN}{ENDING}").array
        masks = {name: labels == number for number, name in enumerate(self.structures, start=1)}
        return MaskDialogue(volume, LabelledAnswers(masks, volume.grid.shape))

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """See Answerer: it doubts nothing."""
        return 0


def _settings(values: Mapping[str, Any]) -> NnUnetSettings:
    """The settings; ValueError in one clause for what cannot be."""
    try:
        return TypeAdapter(NnUnetSettings).validate_python(dict(values))
    except ValidationError as error:
        raise ValueError(fit_fault(error, NnUnetSettings())) from error


def _program(folder: Path, settings: NnUnetSettings, seed: int) -> NnUnetProgram:
    prefix = "SEGEVOLUTION_NNUNET_"
    numbers = {
        f"{prefix}SEED": seed,
        f"{prefix}EPOCHS": settings.epochs,
        f"{prefix}ITERATIONS": settings.iterations,
        f"{prefix}VALIDATION_ITERATIONS": settings.validation_iterations,
        f"{prefix}THREADS": usable_processors(),
        WORKERS: settings.workers,
    }
    return NnUnetProgram((folder / "nnunet").resolve(), {name: str(value) for name, value in numbers.items()})


def _prepare(
    program: NnUnetProgram,
    job: TrainJob,
    stores: Mapping[str, Store],
    structures: tuple[str, ...],
    settings: NnUnetSettings,
) -> None:
    """Export, plan and preprocess, unless an earlier call has."""
    done = program.folder / "prepared.json"
    if done.is_file():
        return
    names = {
        name: safe_name(f"{name.dataset}.{name.case}", "a case", error=RecipeError)
        for name in (*job.train, *job.validation)
    }
    export_nnunet(
        [ExportedCase(stores[name.dataset], name.case, exported) for name, exported in names.items()],
        structures,
        program.raw,
    )
    memory = [] if settings.gpu_memory is None else ["-gpu_memory_target", str(settings.gpu_memory)]
    processes = str(max(1, settings.workers))
    planner = replace(program, variables={**program.variables, WORKERS: processes})  # nnU-Net plans with 1 at least
    planner.run(
        "nnUNetv2_plan_and_preprocess",
        *("-d", str(NUMBER), "-c", settings.configuration, "-np", processes, "-npfp", processes),
        *("--verify_dataset_integrity", *memory),
    )
    write_splits(program.preprocessed, [names[name] for name in job.train], [names[name] for name in job.validation])
    write_json(done, {"train": len(job.train), "validation": len(job.validation)})
