"""Feature statistics of another domain, re-estimated without labels: what AdaBN is for a network without batch norm.

AdaBN (Li et al. 2016, arXiv:1603.04779) replaces the mean and deviation that each batch normalisation keeps of its
training data by those of target data, so that each channel enters the next layer as it did in training. The networks
here normalise by group, instance and layer norms, which keep no statistics. The same effect is had by a fixed affine
map of each channel behind each of these norms: what has the target's mean and deviation gets the source's,

    y = (x - mean_target) / deviation_target * deviation_source + mean_source,

which is correlation alignment with diagonal covariances (Sun, Feng and Saenko 2016, arXiv:1511.05547) at each norm.
Layers are measured in their order, each with the maps of those before it in place, as a batch norm in AdaBN sees what
the adapted norms before it pass on. With few scans the source's statistics may count as some scans of their own
(Schneider et al. 2020, arXiv:2006.16971).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule
from ..vocabulary import Modality

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm3d, nn.InstanceNorm2d)
_LEAST = 1e-5  # of a deviation


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Mean and deviation of each channel (C,) of one layer's answers, over scans and places."""

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class _Window:
    """One window (1, 1, D, H, W) that stands for a scan."""

    image: Tensor
    modality: Modality | None


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """From one domain's statistics to another's, channel by channel.

    Attributes:
        scale, shift: (C,).
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def between(cls, target: ChannelStatistics, source: ChannelStatistics) -> "ChannelMap":
        """The map that gives what has the target's statistics the source's."""
        scale = source.deviation / target.deviation.clamp_min(_LEAST)
        return cls(scale, source.mean - scale * target.mean)


def estimate_maps(
    backbone: BackboneModule,
    source: Sequence[tuple[Tensor, Modality | None]],
    target: Sequence[tuple[Tensor, Modality | None]],
    prior: float = 0.0,
) -> dict[str, ChannelMap]:
    """Name of each norm of the encoder -> its map, in the order in which they answer.

    Args:
        backbone: in eval mode; it is left as it is.
        source, target: windows (1, 1, D, H, W) that stand for scans, each with its modality.
        prior: how many scans the source's statistics count as beside those of the target.

    Raises:
        AdapterError: the encoder has no norm.
    """
    source_windows, target_windows = ([_Window(*pair) for pair in pairs] for pairs in (source, target))
    names = encoder_norms(backbone, source_windows[0])
    if not names:
        raise AdapterError("this network's encoder has no norm, so it has no statistics that could be replaced.")
    before = channel_statistics(backbone, names, source_windows)
    maps: dict[str, ChannelMap] = {}
    share = len(target_windows) / (len(target_windows) + prior)
    for name in names:
        with mapped(backbone, maps):
            now = channel_statistics(backbone, [name], target_windows)[name]
        mixed = ChannelStatistics(
            share * now.mean + (1 - share) * before[name].mean,
            share * now.deviation + (1 - share) * before[name].deviation,
        )
        maps[name] = ChannelMap.between(mixed, before[name])
    return maps


@contextmanager
def mapped(backbone: BackboneModule, maps: Mapping[str, ChannelMap]) -> Iterator[None]:
    """A context in which these layers answer through their maps."""
    with ExitStack() as stack:
        for handle in install(backbone, maps):
            stack.callback(handle.remove)
        yield


def install(backbone: BackboneModule, maps: Mapping[str, ChannelMap]) -> list[Any]:
    """Let layers answer through their maps until the handles that this returns are removed."""
    handles = []
    for name, channel_map in maps.items():
        layer = backbone.get_submodule(name)

        def change(layer: nn.Module, inputs: Any, answer: Tensor, used: ChannelMap = channel_map) -> Tensor:
            return answer * _shaped(used.scale, layer, answer) + _shaped(used.shift, layer, answer)

        handles.append(layer.register_forward_hook(change))
    return handles


@torch.no_grad()
def encoder_norms(backbone: BackboneModule, window: _Window) -> list[str]:
    """Names of the norms with one value a channel that answer when an image is encoded, in their order."""
    answered: dict[str, None] = {}
    with ExitStack() as stack:
        for name, layer in backbone.named_modules():
            if isinstance(layer, NORMS) and not (isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1):
                handle = layer.register_forward_hook(lambda *_, name=name: answered.setdefault(name))
                stack.callback(handle.remove)
        backbone.encode(window.image, [window.modality])
    return list(answered)


@torch.no_grad()
def channel_statistics(
    backbone: BackboneModule, names: Iterable[str], windows: Sequence[_Window]
) -> dict[str, ChannelStatistics]:
    """Name of each of these layers -> the statistics of its answers to some windows, one of which is one scan."""
    sums: dict[str, list[Tensor]] = {}

    def collect(name: str, layer: nn.Module, answer: Tensor) -> None:
        flat = answer.detach().double().movedim(_axis(layer), 0).flatten(1)
        parts = [flat.mean(dim=1), flat.square().mean(dim=1)]
        sums[name] = [total + part for total, part in zip(sums[name], parts, strict=True)] if name in sums else parts

    with ExitStack() as stack:
        for name in names:
            layer = backbone.get_submodule(name)
            handle = layer.register_forward_hook(lambda layer, inputs, answer, name=name: collect(name, layer, answer))
            stack.callback(handle.remove)
        for window in windows:
            backbone.encode(window.image, [window.modality])
    return {
        name: ChannelStatistics(
            (first / len(windows)).float(),
            (second / len(windows) - (first / len(windows)).square()).clamp_min(0).sqrt().float(),
        )
        for name, (first, second) in sums.items()
    }


def _axis(layer: nn.Module) -> int:
    """The axis of channels in a norm's answers."""
    return -1 if isinstance(layer, nn.LayerNorm) else 1


def _shaped(values: Tensor, layer: nn.Module, answer: Tensor) -> Tensor:
    """(C,) ready to meet an answer of the layer."""
    shape = [1] * answer.dim()
    shape[_axis(layer)] = len(values)
    return values.to(answer).view(shape)
