"""Keep the encodings of a fixed set of views on disk, for methods that train nothing in the encoder.

Each case has so many views, drawn once from the seed, the case and the view's number. They are encoded once by the
frozen encoder; training steps then choose among them and never run it again.

    features/<key of case, encoder and settings>-<number>.safetensors     tokens, skip.0 ..., labels
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..data.augment import AugmentSettings, augment_view
from ..data.windows import FramedCase, View, ViewSettings
from ..errors import OutputError, RecipeError, StoreError
from ..files import replacing
from ..imaging.grid import Array
from ..inference.strategies import strategy_of
from ..models.backbone import BackboneModule, Features, Spec, Triple
from ..models.tensor_files import read_tensors
from ..vocabulary import Modality

_TRIES = 20  # views drawn before a case without any structure is given up


def sizes_in(labels: Array, case: FramedCase) -> dict[str, int]:
    """Voxels of each structure of a case in a view's labels (D, H, W)."""
    counts = np.bincount(labels.ravel(), minlength=1)
    return {
        name: int(sum(counts[value] for value in values if value < counts.size))
        for name, values in case.structures.items()
    }


class FeatureCache:
    """Views of cases and their features.

    Args:
        folder: where they are kept.
        spec: of the network.
        views: views a case.
        seed: they are drawn from it.
        encoder: digest of the frozen network, see `encoder_digest`.
        smallest: voxels that one structure of a view has at least.
        view, intensity: how they are drawn and changed.
        half: whether features are kept as float16, and read back as float32.
    """

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        views: int,
        seed: int,
        encoder: str,
        *,
        smallest: int,
        view: ViewSettings,
        intensity: AugmentSettings,
        half: bool = False,
    ) -> None:
        self._strategy = strategy_of(spec)
        self.folder, self.spec, self.views, self.seed = folder, spec, views, seed
        self.smallest, self.view, self.intensity, self.half = smallest, view, intensity, half
        self._told = [encoder, views, seed, smallest, asdict(view), intensity.key(), list(spec.window), half]
        self._keys: WeakKeyDictionary[FramedCase, str] = WeakKeyDictionary()  # a dead case's id may come again
        self._sizes: dict[tuple[str, int], dict[str, int]] = {}

    def fill(
        self,
        cases: Iterable[FramedCase],
        backbone: BackboneModule,
        context: AbstractContextManager[None],
        *,
        rank: int = 0,
        world: int = 1,
    ) -> int:
        """Encode what is missing; of several processes, each its share. Returns how many views this one encoded.

        Args:
            cases: all that steps will draw from.
            backbone: in the state in which its encoder stays.
            context: the precision of training, such as autocast.

        Raises:
            OutputError: they cannot be written.
            StoreError: a case shows no structure.
        """
        case_views = [(case, number) for case in cases for number in range(self.views)]
        missing = [(case, number) for case, number in case_views[rank::world] if not self._path(case, number).is_file()]
        modes = {module: module.training for module in backbone.modules()}
        backbone.eval()
        try:
            with context, torch.no_grad():
                for case, number in missing:
                    view, shown_as = self.draw(case, number)
                    image = torch.from_numpy(view.image)[None, None].to(backbone.device)
                    features = backbone.encode(image, (shown_as.modality,))
                    self._write(self._path(case, number), features, view.labels)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return len(missing)

    def draw(self, case: FramedCase, number: int) -> tuple[View, FramedCase]:
        """A view of the pool, as it was before it was encoded, and the case as a network is told of it.

        Raises:
            StoreError: none of the views that are tried shows a structure.
        """
        rng = np.random.default_rng([self.seed, int(self._key(case)[:12], 16), number])
        for _ in range(_TRIES):
            view = self._strategy.view(case, self.spec, rng, self.view)
            if max(sizes_in(view.labels, case).values(), default=0) >= self.smallest:
                image, shown_as = augment_view(view, case, rng, self.intensity)
                return View(image, view.labels), shown_as
        raise StoreError(f"no view of {case.name} shows a structure of {self.smallest} voxels; leave it out.")

    def read(self, case: FramedCase, number: int) -> tuple[Features, Array]:
        """Features (one image) and labels (D, H, W) of a view.

        Raises:
            StoreError: its file is gone or damaged.
        """
        cached_view = self._load(case, number)
        tensors = {
            name: value.float() if self.half and value.is_floating_point() else value
            for name, value in cached_view.items()
        }
        skips = tuple(tensors[f"skip.{level}"] for level in range(len(tensors)) if f"skip.{level}" in tensors)
        depth, height, width = cached_view["grid"].tolist()
        grid: Triple = (depth, height, width)
        modality = list(Modality)[int(cached_view["modality"])] if "modality" in cached_view else case.modality
        features = Features(tensors["tokens"], grid, skips, (modality,), tensors.get("routing"))
        return features, cached_view["labels"].numpy()

    def sizes(self, case: FramedCase, number: int) -> dict[str, int]:
        """Voxels of each structure in a view."""
        place = self._key(case), number
        if place not in self._sizes:
            self._sizes[place] = sizes_in(self._load(case, number)["labels"].numpy(), case)
        return self._sizes[place]

    def _load(self, case: FramedCase, number: int) -> dict[str, Tensor]:
        path = self._path(case, number)
        try:
            tensors = read_tensors(path, StoreError, widened=False)
        except StoreError as error:
            raise StoreError(_damaged(path, case, "cannot be read")) from error
        fault = self._fault(tensors)
        if fault:
            raise StoreError(_damaged(path, case, fault))
        return tensors

    def _fault(self, tensors: Mapping[str, Tensor]) -> str | None:
        """How a file differs from what `_write` writes, for a sentence; None where it does not."""
        missing = sorted({"tokens", "labels", "grid"} - tensors.keys())
        if missing:
            return f"lack {' and '.join(missing)}"
        tokens, labels, grid = tensors["tokens"], tensors["labels"], tensors["grid"]
        whole = grid.dtype == torch.int64 and grid.shape == (3,) and bool((grid > 0).all())
        if (
            not whole
            or tokens.dim() != 3
            or tokens.shape[:2] != (1, int(grid.prod()))
            or not tokens.is_floating_point()
        ):
            return f"hold tokens of shape {tuple(tokens.shape)}, which do not fit their grid"
        if labels.dtype not in (torch.uint8, torch.int32) or labels.shape != self.spec.window:
            return f"hold labels of shape {tuple(labels.shape)} in place of {self.spec.window}"
        levels = sorted(name for name in tensors if name.startswith("skip."))
        maps = [tensors[name] for name in levels]
        if levels != sorted(f"skip.{level}" for level in range(len(levels))) or any(
            value.dim() != 5 or value.shape[0] != 1 or not value.is_floating_point() for value in maps
        ):
            return "hold maps of another shape"
        routing, modality = tensors.get("routing"), tensors.get("modality")
        if routing is not None and (routing.dim() != 2 or routing.shape[0] != 1 or not routing.is_floating_point()):
            return "hold a routing of another shape"
        if modality is not None and (modality.numel() != 1 or not 0 <= int(modality) < len(Modality)):
            return "are of no known modality"
        return None

    def _write(self, path: Path, features: Features, labels: Array) -> None:
        parts = {"tokens": features.tokens, **{f"skip.{level}": skip for level, skip in enumerate(features.skips)}}
        if features.routing is not None:
            parts["routing"] = features.routing
        tensors = {name: (value.half() if self.half else value).cpu().contiguous() for name, value in parts.items()}
        kind = np.uint8 if labels.max(initial=0) < 256 else np.int32
        tensors["labels"] = torch.from_numpy(np.ascontiguousarray(labels.astype(kind)))
        tensors["grid"] = torch.tensor(features.grid)
        (modality,) = features.modalities
        if modality is not None:
            tensors["modality"] = torch.tensor(list(Modality).index(modality))
        with replacing(path) as temporary:
            try:
                save_file(tensors, temporary)
            except SafetensorError as error:
                raise OutputError(f"{path} cannot be written: {error}.") from error

    def _path(self, case: FramedCase, number: int) -> Path:
        return self.folder / f"{self._key(case)}-{number}.safetensors"

    def _key(self, case: FramedCase) -> str:
        if case not in self._keys:
            content = hashlib.sha256(np.ascontiguousarray(case.image).data)
            content.update(np.ascontiguousarray(case.labels).data)
            case_facts = [case.name, case.modality, sorted(case.structures.items()), sorted(case.absent)]
            key_text = json.dumps([self._told, case_facts, content.hexdigest()], sort_keys=True, default=str)
            self._keys[case] = hashlib.sha256(key_text.encode()).hexdigest()[:24]
        return self._keys[case]


def _damaged(path: Path, case: FramedCase, fault: str) -> str:
    return f"{path}, kept features of {case.name}, {fault}; delete it and call again, and it is made anew."


def encoder_digest(backbone: nn.Module, *more: object) -> str:
    """A digest of every value of a network that does not train, and of what else decides an encoding."""
    digest = hashlib.sha256(repr(more).encode())
    for name, value in sorted([*backbone.named_parameters(), *backbone.named_buffers()]):
        if not value.requires_grad:
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def require_frozen_encoder(backbone: BackboneModule) -> None:
    """Refuse to keep encodings that training would change.

    Raises:
        RecipeError: names a parameter that trains and that the encoding hangs on.
    """
    modalities = (
        (None,) if backbone.hooks.encode is None else (None, *Modality)
    )  # it may hang on what an adapter is told
    mode = backbone.training
    try:
        moved = [name for modality in modalities for name in _moving(backbone.train(), modality)]
    finally:
        backbone.train(mode)
    names = list(dict.fromkeys(moved))
    if names:
        raise RecipeError(
            f"cache_features keeps encodings, but this method trains what makes them ({names[0]} and {len(names) - 1} "
            "more); set cache_features to 0, or train the decoder only."
        )


def _moving(backbone: BackboneModule, modality: Modality | None) -> list[str]:
    """The parameters that train and that an encoding in training hangs on."""
    trained = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    with torch.enable_grad():
        moving_parts = backbone.encode(torch.zeros(1, 1, *backbone.spec.window, device=backbone.device), (modality,))
        parts = [
            moving_parts.tokens,
            *moving_parts.skips,
            *([] if moving_parts.routing is None else [moving_parts.routing]),
        ]
        moving = [part.float().sum() for part in parts if part.requires_grad]
        grads = torch.autograd.grad(moving, list(trained.values()), allow_unused=True) if moving else ()
    return [name for name, grad in zip(trained, grads, strict=False) if grad is not None]
