"""Hermes-R as a Backbone: no prompts, one logit map for each task of the data set that labels what is asked.

Priors enter at a quarter of the resolution, so an encoding is what the U-Net makes of the image before that, and a
decoding is all the rest, once for the tasks of a data set together: a structure's answer never hangs on what else was
asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import PromptError
from ...imaging.prompts import PromptKind
from ...vocabulary import Context, Modality, require_known
from ..backbone import BackboneModule, Features, Masks, PromptBatch
from ..spec import Adaptation, AnswerGroup, Spec
from .config import MODALITY_TOKENS, PLACES, HermesConfig
from .fusion import PriorFusion
from .heads import ModalityClassifier, PosteriorPrototypes, TaskClassifiers
from .unet import DownStep, InputBlock, UpStep

ALTERNATIVES = 3
_FUSIONS = ("prior_init_fuse_2", "prior_init_fuse_3", "prior_init_fuse_4", "prior_fuse_5", "prior_fuse_6")
_EARLY = ("inc", "down1", "down2")
_DOWN, _UP = ("inc.**", "down*.**"), ("up*.**",)
_NULL = -1  # the row of the null task, and of the unknown modality


class EarlyMaps(NamedTuple):
    """What is known of images before any prior.

    Attributes:
        finest: (B, c, D, H, W).
        half: (B, 2c, ...) at half the resolution.
        quarter: (B, 4c, ...) at a quarter.
    """

    finest: Tensor
    half: Tensor
    quarter: Tensor


class FusedMaps(NamedTuple):
    """What is known after all priors.

    Attributes:
        features: (B, c, D, H, W).
        posteriors: (B, T + 10, width) of each place, the tasks first; none without priors.
    """

    features: Tensor
    posteriors: list[Tensor]


class Hermes(BackboneModule):
    """Hermes-R (Gao et al. 2024, arXiv:2306.02416), under its published names.

    It gives one answer, which is also each of the three alternatives, and no estimate of its overlap.
    """

    def __init__(self, config: HermesConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HermesConfig()
        width = config.width
        self.inc = InputBlock(width)
        self.down1 = DownStep(width, 2 * width)
        self.down2 = DownStep(2 * width, 4 * width)
        self.down3 = DownStep(4 * width, 8 * width)
        self.down4 = DownStep(8 * width, 10 * width)
        self.up1 = UpStep(10 * width, 8 * width, 8 * width)
        self.up2 = UpStep(8 * width, 4 * width, 4 * width)
        self.up3 = UpStep(4 * width, 2 * width, 2 * width)
        self.up4 = UpStep(2 * width, width, width)
        if config.priors == "fused":
            modalities = len(config.acquisitions) + 1
            for name, share, blocks in zip(_FUSIONS, PLACES, config.fusion_blocks, strict=True):
                self.add_module(name, PriorFusion(share * width, blocks, config.task_rows, modalities))
            self.out = PosteriorPrototypes(sum(PLACES) * width, width)
            self.mod_out = ModalityClassifier(sum(PLACES) * width, modalities)
        else:
            self.heads = TaskClassifiers(config.task_rows, width)
        self.spec = self._spec()

    def _spec(self) -> Spec:
        layers = tuple(
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Conv3d | nn.Linear) and not name.startswith(("out.", "mod_out."))
        )
        fused = self.config.priors == "fused"
        fusion = tuple(f"{name}.**" for name in _FUSIONS) if fused else ()
        head = ("out.**",) if fused else ("heads.**",)
        return Spec(
            window=self.config.window,
            accepts=frozenset({PromptKind.TEXT}),
            intensity="clipped_z_score",
            framing="sliding",
            spacing=self.config.spacing,
            estimates_overlap=False,
            adaptable=layers,
            encoding=tuple(name for name in layers if name.startswith(_EARLY)),
            layer_groups={
                "encoder": _DOWN,
                "decoder": _UP,
                "convolutions": (*_DOWN, *_UP),
                **({"fusion": fusion} if fused else {}),
            },
            parameter_groups={
                "head": head,
                "decoder": (*_UP, *head),
                **({"priors": ("*.task_prior", "*.modality_prior")} if fused else {}),
            },
            adaptation=Adaptation(("convolutions",), ("head", "priors") if fused else ("head",)),
            structures=self.config.structures,
            answer_groups=tuple(AnswerGroup(entry.structures, entry.modality) for entry in self.config.tasks),
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """See BackboneModule.blocks."""
        return (self.down1, self.down2, self.down3, self.down4, self.up1, self.up2, self.up3, self.up4)

    def early(self, images: Tensor) -> EarlyMaps:
        """Images (B, 1, D, H, W) -> what is known of them before any prior."""
        finest = self.inc(images)
        half = self.down1(finest)
        return EarlyMaps(finest, half, self.down2(half))

    def late(self, maps: EarlyMaps, tasks: Tensor, modalities: Tensor) -> FusedMaps:
        """All that follows, with rows (B, T) and (B,) of the tables of priors; without priors these are not read."""
        posteriors: list[Tensor] = []

        def fused(place: int, features: Tensor) -> Tensor:
            if self.config.priors == "none":
                return features
            features, posterior = self.get_submodule(_FUSIONS[place])(features, tasks, modalities)
            posteriors.append(posterior)
            return features

        quarter = fused(0, maps.quarter)
        eighth = fused(1, self.down3(quarter))
        deepest = fused(2, self.down4(eighth))
        features = fused(3, self.up1(deepest, eighth))
        features = fused(4, self.up2(features, quarter))
        return FusedMaps(self.up4(self.up3(features, maps.half), maps.finest), posteriors)

    def classify(self, fused: FusedMaps, tasks: Tensor) -> Tensor:
        """Logits (B, T, D, H, W) of task rows (T,): with priors those of the tasks that were fused, in their order."""
        if self.config.priors == "none":
            logits: Tensor = self.heads(fused.features, tasks)
            return logits
        prototypes = self.out([part[:, : len(tasks)] for part in fused.posteriors])
        return torch.einsum("bcdhw,btc->btdhw", fused.features, prototypes)

    def name_modality(self, fused: FusedMaps) -> Tensor:
        """Logits (B, modalities) of the posteriors of the modality's tokens."""
        logits: Tensor = self.mod_out([part[:, -MODALITY_TOKENS:] for part in fused.posteriors])
        return logits

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """(B, 1, D, H, W) -> the map at a quarter of the resolution as tokens, the finer ones as skips."""
        maps = self.early(images)
        d, h, w = maps.quarter.shape[2:]
        tokens = maps.quarter.flatten(2).transpose(1, 2)
        return Features(tokens, (d, h, w), (maps.half, maps.finest), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; logits come at the window's size.

        Raises:
            PromptError: a prompt without a text, or with anything else.
            VocabularyError: a structure that it has no task for.
        """
        structures = self._named(prompts)
        images = prompts.image_index.tolist()
        hidden = self._hidden(len(features.modalities))
        runs: dict[tuple[int, bool], list[int]] = {}
        for row, (structure, context, image) in enumerate(zip(structures, contexts, images, strict=True)):
            group = self.spec.answer_group(structure, context.modality)
            assert group is not None
            known = context.modality is self.config.tasks[group].modality and not hidden[image]
            runs.setdefault((group, known), []).append(row)
        parts, losses, loss_count = [], [], 0
        for (group, known), rows in runs.items():
            run_images = sorted({images[row] for row in rows})
            logits, loss = self._run(features, run_images, group, known)
            order = self.config.tasks[group].structures
            picks = [(run_images.index(images[row]), order.index(structures[row])) for row in rows]
            parts.append(torch.stack([logits[image, task] for image, task in picks]))
            if loss is not None:
                losses.append(loss)
                loss_count += len(run_images)
        places = torch.tensor([row for rows in runs.values() for row in rows], device=features.tokens.device)
        answers = torch.cat(parts)[places.argsort()][:, None]
        answers = answers.expand(-1, ALTERNATIVES if multimask else 1, -1, -1, -1)
        overlaps = answers.new_full(answers.shape[:2], 0.5)
        auxiliary = self.config.modality_loss * torch.stack(losses).sum() / loss_count if losses else None
        return Masks(answers, overlaps, self.spec.window, auxiliary)

    def _run(self, features: Features, images: Sequence[int], group: int, known: bool) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T, D, H, W) of some images for all tasks of a data set.

        In training also the cross-entropy of the images' modality, their sum, where it is known and asked for.
        """
        some = features if list(images) == list(range(len(features.modalities))) else features.rows(images)
        half, finest = some.skips
        quarter = some.tokens.transpose(1, 2).unflatten(2, some.grid)
        entry, device = self.config.tasks[group], some.tokens.device
        tasks = torch.tensor(entry.ids, device=device)
        rows = torch.cat([tasks, tasks.new_tensor([_NULL])]).expand(len(images), -1)
        modality = self.config.acquisitions.index(entry.prior) if known else _NULL
        modalities = torch.full((len(images),), modality, device=device)
        fused = self.late(EarlyMaps(finest, half, quarter), rows, modalities)
        loss = None
        if self.training and known and self.config.priors == "fused" and self.config.modality_loss:
            loss = functional.cross_entropy(self.name_modality(fused).float(), modalities, reduction="sum")
        return self.classify(fused, tasks), loss

    def _hidden(self, images: int) -> list[bool]:
        """Which images' modality training hides, by torch's generator."""
        if not self.training or self.config.priors == "none":
            return [False] * images
        return (torch.rand(images, device="cpu") < self.config.modality_dropout).tolist()

    def _named(self, prompts: PromptBatch) -> list[str]:
        """The structure of each prompt, which must be a text and nothing else."""
        placed = (prompts.points, prompts.masks, prompts.regions, prompts.maps)
        boxed = prompts.boxes is not None and not bool(prompts.boxes.isnan().all())
        names = [name for name in prompts.structures if name is not None]
        if boxed or any(part is not None for part in placed) or len(names) < len(prompts):
            raise PromptError("Hermes takes no prompt but the name of a structure; give a text.")
        known = self.config.structures
        return [require_known(name, known) for name in names]
