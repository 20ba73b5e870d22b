"""A network whose answer is a label map of the structures that it is always asked for: what a MONAI bundle runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PromptError
from ..imaging.grid import Array, Grid
from ..imaging.prompts import Prompt, PromptKind
from ..imaging.volume import Volume
from ..inference.labelmap import LabelMapBuilder
from ..inference.load import load
from ..inference.session import Session
from ..vocabulary import Modality, canonical, pairs_by_side, require_known

MOST = 255  # labels of 8 bits


class LabelMapNetwork(nn.Module):
    """A promptable network that is asked by the same texts in every volume, through a Session.

    Args:
        model: a model folder or name.
        adapter: an adapter folder or name; None = none.
        structures: names, in the order of their labels 1, 2, 3 ...; none = all that the network was trained on, a pair
            of organs side by side and not once more as a whole.
        modality: of every volume, such as "CT"; None = not known.

    Attributes:
        backbone: the network.
        structures: their canonical names.

    Raises:
        CheckpointError, AdapterError: as `load`.
        PromptError: the network reads no text, or the structures are none, too many, or named twice.
        VocabularyError: a structure or modality that is not known.
    """

    def __init__(
        self,
        model: str | Path,
        adapter: str | Path | None = None,
        *,
        structures: Sequence[str] = (),
        modality: str | None = None,
    ) -> None:
        super().__init__()
        self.modality = None if modality is None else Modality.parse(modality)
        self.backbone = load(model, adapter=adapter, device="cpu")
        spec = self.backbone.spec
        if PromptKind.TEXT not in spec.accepts:
            kinds = ", ".join(sorted(spec.accepts))
            raise PromptError(f"{model} reads no text ({kinds} only), and a bundle asks by the names of structures.")
        if not structures and not spec.structures:
            raise PromptError(f"{model} has no list of structures; name those that it is to segment.")
        structure_names = structures or pairs_by_side(spec.structures)
        known = [
            require_known(name, spec.structures) if spec.structures else canonical(name) for name in structure_names
        ]
        if not 0 < len(known) <= MOST or len(set(known)) < len(known):
            raise PromptError(f"a bundle needs 1 to {MOST} structures, each named once; {len(known)} were named.")
        self.structures = tuple(known)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, X, Y, Z), signal as measured -> the same shape in uint8: 0 background, else the number of a structure.

        Args:
            images: in the order of their files; where they carry an `affine` (MONAI's MetaTensor), (4, 4) or
                (B, 4, 4), voxel -> RAS+ millimetres, they lie there, else along R, A and S at 1 mm.

        Raises:
            VolumeError: not one channel of three dimensions, or voxels that are constant or not finite.
        """
        labels = torch.zeros_like(images, dtype=torch.uint8)
        affine = getattr(images, "affine", None)
        affines = np.broadcast_to(np.eye(4) if affine is None else np.asarray(affine), (len(images), 4, 4))
        signal = images.detach().cpu().numpy()
        for row, (channels, where) in enumerate(zip(signal, affines, strict=True)):
            (array,) = channels
            volume = Volume(array, Grid(array.shape, where), self.modality, f"image {row + 1}")
            labels[row, 0] = torch.from_numpy(self._label_map(volume)).to(labels.device)
        return labels

    def _label_map(self, volume: Volume) -> Array:
        session = Session(self.backbone, volume)
        builder = LabelMapBuilder(session.frame, len(self.structures))
        for name in self.structures:
            builder.add(session.segment(Prompt(volume.grid, name), keep_logits=True))
        return builder.labels()
