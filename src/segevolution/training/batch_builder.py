"""The tensors of one training step, and the builder that collects them view by view."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.windows import FramedCase, mask_of
from ..imaging.grid import Array
from ..inference.frame_prompt import FramePrompt, collate
from ..models.backbone import Features, PromptBatch
from ..vocabulary import Context, Modality, Wording

Image = npt.NDArray[np.float32] | Features  # (D, H, W) in [0, 1], or its encoding


@dataclass(frozen=True)
class TrainingBatch:
    """Tensors of one step.

    Attributes:
        images: (B, 1, D, H, W) float32 in [0, 1]; None where their features are given.
        modalities: one an image.
        prompts: P prompts over these images.
        contexts: one a prompt.
        targets: (P, D, H, W) bool.
        semantic: (B, S, D, H, W) bool, one map a known structure, for the auxiliary head; None without one.
        labelled: (B, S) bool, which structures the image's dataset labels; None without one.
        multimask: whether this step trains the alternatives.
        features: the images' encodings, kept from an earlier time; None = encode them now.
    """

    images: Tensor | None
    modalities: tuple[Modality | None, ...]
    prompts: PromptBatch
    contexts: tuple[Context, ...]
    targets: Tensor
    semantic: Tensor | None
    labelled: Tensor | None
    multimask: bool
    features: Features | None = None

    def to(self, device: torch.device) -> "TrainingBatch":
        """The same batch with its tensors on `device`."""
        prompts: PromptBatch = replace(self.prompts, **_moved(self.prompts, device))
        features = self.features
        if features is not None:
            skips = tuple(skip.to(device) for skip in features.skips)
            features = replace(features, **_moved(features, device), skips=skips)
        whole: TrainingBatch = replace(self, **_moved(self, device), prompts=prompts, features=features)
        return whole


def _moved(value: Any, device: torch.device) -> dict[str, Any]:
    """The tensors among a dataclass' fields, on `device`."""
    values = {part.name: getattr(value, part.name) for part in fields(value)}
    return {name: tensor.to(device) for name, tensor in values.items() if isinstance(tensor, Tensor)}


class BatchBuilder:
    """Collects images (or their features) and prompts of one step."""

    def __init__(self) -> None:
        self.cases: list[FramedCase] = []
        self.images: list[npt.NDArray[np.float32]] = []
        self.features: list[Features] = []
        self.labels: list[Array] = []
        self.image_index: list[int] = []
        self.prompts: list[FramePrompt] = []
        self.wordings: list[Wording | None] = []
        self.contexts: list[Context] = []
        self.targets: list[npt.NDArray[np.bool_]] = []

    def add_image(self, case: FramedCase, image: Image, labels: Array) -> None:
        """Begin a view; the prompts that follow are asked of it."""
        self.cases.append(case)
        if isinstance(image, Features):
            self.features.append(image)
        else:
            self.images.append(image)
        self.labels.append(labels)

    def add_prompt(
        self,
        prompt: FramePrompt,
        context: Context,
        target: npt.NDArray[np.bool_],
        wording: Wording | None = None,
    ) -> None:
        """A prompt on the last view, in its voxels; `target` (D, H, W)."""
        self.image_index.append(len(self.cases) - 1)
        self.prompts.append(prompt)
        self.wordings.append(wording)
        self.contexts.append(context)
        self.targets.append(target)

    def finish(self, semantic: tuple[str, ...], multimask: bool) -> TrainingBatch:
        """Everything as tensors; `semantic` names the structures of the auxiliary head."""
        depth, height, width = self.labels[0].shape
        prompts = collate(self.prompts, self.image_index, torch.device("cpu"), (depth, height, width))
        boxes = torch.full((len(prompts), 6), torch.nan) if prompts.boxes is None else prompts.boxes
        prompts = replace(prompts, boxes=boxes, wordings=tuple(self.wordings) if any(self.wordings) else None)
        maps, labelled = self._semantic(semantic) if semantic else (None, None)
        return TrainingBatch(
            torch.from_numpy(np.stack(self.images))[:, None] if self.images else None,
            tuple(case.modality for case in self.cases),
            prompts,
            tuple(self.contexts),
            torch.from_numpy(np.stack(self.targets)),
            maps,
            labelled,
            multimask,
            Features.stack(self.features) if self.features else None,
        )

    def _semantic(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        maps = np.zeros((len(self.cases), len(names), *self.labels[0].shape), bool)
        labelled = np.zeros((len(self.cases), len(names)), bool)
        for row, (case, labels) in enumerate(zip(self.cases, self.labels, strict=True)):
            for column, name in enumerate(names):
                labelled[row, column] = name in case.structures or name in case.absent
                if name in case.structures:
                    maps[row, column] = mask_of(labels, case.structures[name])
        return torch.from_numpy(maps), torch.from_numpy(labelled)
