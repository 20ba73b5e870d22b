"""Sizes of a Hermes network, and the tasks of each data set that it answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Literal, Self, get_args

from ...errors import CheckpointError
from ...imaging.grid import Triple
from ...vocabulary import Modality
from ..network_config import NetworkConfig

Priors = Literal["fused", "none"]

STEP = 16  # voxels of the window to one of the coarsest map
HEAD = 32  # channels of one head of attention
MODALITY_TOKENS = 10
PLACES = (4, 8, 10, 8, 4)  # channels where priors are fused, in base widths
LIMIT = 4096


@dataclass(frozen=True)
class TaskSet:
    """The structures that one data set labels, which are answered together.

    Attributes:
        name: of the data set.
        modality: of its images.
        structures: that it labels; of several data sets of a modality, one alone may label a structure.
        ids: the row of the table of task priors for each structure. Sets that name the same row share it; empty gives
            each structure a row that no set has named.
        acquisition: which prior of modalities it has, such as "T2"; sets of the same word share it. None takes the
            modality's name.
    """

    name: str
    modality: Modality
    structures: tuple[str, ...]
    ids: tuple[int, ...] = ()
    acquisition: str | None = None

    @property
    def prior(self) -> str:
        """The word of its prior of modalities."""
        return self.acquisition or self.modality.value


_EXAMPLE = TaskSet("abdomen", Modality.CT, ("liver", "spleen"))


@dataclass(frozen=True)
class HermesConfig(NetworkConfig):
    """Sizes of one network.

    Attributes:
        tasks: what each data set labels.
        window: (D, H, W), multiples of 16.
        spacing: (x, y, z) millimetres.
        width: c, channels at the finest resolution, a multiple of 8.
        fusion_blocks: at each of the five places.
        priors: "fused", as published, or "none": the same U-Net with one learned classifier a task, which hears nothing
            of tasks or modality, for comparison.
        modality_loss: weight of the training loss that names the modality from its posterior; 0 for none.
        modality_dropout: how often training hides the modality of an image, so that the prior of the unknown learns.

    Raises:
        CheckpointError: sizes or tasks that cannot be.
    """

    described: ClassVar[str] = "a Hermes network"

    tasks: tuple[TaskSet, ...] = (_EXAMPLE,)
    window: Triple = (128, 128, 128)
    spacing: tuple[float, float, float] = (1.5, 1.5, 1.5)
    width: int = 32
    fusion_blocks: tuple[int, ...] = (2, 2, 4, 2, 2)
    priors: Priors = "fused"
    modality_loss: float = 0.01
    modality_dropout: float = 0.1

    def __post_init__(self) -> None:
        if len(self.window) != 3 or any(side < STEP or side % STEP or side > 512 for side in self.window):
            raise CheckpointError(f"a Hermes network cannot have the window {self.window}; use multiples of {STEP}.")
        if math.prod(self.window) == STEP**3:
            raise CheckpointError(
                f"a Hermes network cannot have the window {self.window}; its coarsest map is a point."
            )
        if not 8 <= self.width <= 512 or self.width % 8:
            raise CheckpointError(f"a Hermes network cannot be {self.width} channels wide; use a multiple of 8.")
        if len(self.fusion_blocks) != len(PLACES) or not all(1 <= blocks <= 64 for blocks in self.fusion_blocks):
            raise CheckpointError(f"a Hermes network fuses at {len(PLACES)} places, each with 1 to 64 blocks.")
        if self.priors not in get_args(Priors):
            raise CheckpointError(
                f'a Hermes network has no priors "{self.priors}"; use {" or ".join(get_args(Priors))}.'
            )
        if not 0 <= self.modality_loss <= 1e6 or not 0 <= self.modality_dropout < 1:
            raise CheckpointError("a Hermes network needs a modality_loss of 0 or more and a modality_dropout below 1.")
        self._check_tasks()
        object.__setattr__(self, "tasks", numbered(self.tasks))

    def _check_tasks(self) -> None:
        if not self.tasks or not all(entry.structures for entry in self.tasks):
            raise CheckpointError("a Hermes network needs tasks: the structures of at least one data set.")
        places: dict[tuple[Modality, str], str] = {}
        for entry in self.tasks:
            if entry.ids and (len(entry.ids) != len(entry.structures) or len(set(entry.ids)) < len(entry.ids)):
                raise CheckpointError(f"the data set {entry.name} must have one id of its own for each structure.")
            if any(not 0 <= number < LIMIT for number in entry.ids):
                raise CheckpointError(f"the ids of the data set {entry.name} must lie between 0 and {LIMIT - 1}.")
            for structure in entry.structures:
                other = places.setdefault((entry.modality, structure), entry.name)
                if other != entry.name or entry.structures.count(structure) > 1:
                    raise CheckpointError(
                        f"{other} and {entry.name} both label {structure} on {entry.modality.value}, so a question for "
                        "it would be of two data sets; make them one, or leave it out of one."
                    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """See NetworkConfig.from_dict."""
        tasks = values.get("tasks")
        if not isinstance(tasks, list | tuple) or all(isinstance(entry, TaskSet) for entry in tasks):
            return super().from_dict(values)
        try:
            sets = tuple(
                TaskSet(
                    entry["name"],
                    Modality.parse(entry["modality"]),
                    tuple(entry["structures"]),
                    tuple(entry.get("ids") or ()),
                    entry.get("acquisition"),
                )
                for entry in tasks
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the tasks of {cls.described} cannot be read: {error}.") from error
        return super().from_dict({**values, "tasks": sets})

    @property
    def task_rows(self) -> int:
        """Rows of the table of task priors, that of the null task left out."""
        return 1 + max(number for entry in self.tasks for number in entry.ids)

    @property
    def acquisitions(self) -> tuple[str, ...]:
        """The words that have priors of modalities, in order; one more prior is for the unknown."""
        return tuple(dict.fromkeys(entry.prior for entry in self.tasks))

    @property
    def structures(self) -> tuple[str, ...]:
        """All names that it answers, each once."""
        return tuple(dict.fromkeys(name for entry in self.tasks for name in entry.structures))


def numbered(tasks: tuple[TaskSet, ...]) -> tuple[TaskSet, ...]:
    """The same sets, in which every structure has an id."""
    used_ids = {number for entry in tasks for number in entry.ids}
    free = (number for number in count() if number not in used_ids)
    return tuple(
        entry
        if entry.ids
        else TaskSet(
            entry.name,
            entry.modality,
            entry.structures,
            tuple(next(free) for _ in entry.structures),
            entry.acquisition,
        )
        for entry in tasks
    )
