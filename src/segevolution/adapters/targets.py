"""Find the layers and parameters that a method adapts, by names of groups, patterns and exact names.

A network names its own groups, `spec.layer_groups` and `spec.parameter_groups`. In a pattern `*` stands for exactly one
part between dots and `**` for one or more; a name without stars means only itself. Patterns choose among what the
network's own `spec.adaptable` and `spec.words` offer, so nothing is found by accident.
"""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule

ALL_LINEAR, NORMS, SMALL_NORMS, BIASES = "linear", "norms", "small_norms", "biases"

_NORM_TYPES = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm3d, nn.InstanceNorm3d)


def layers(backbone: BackboneModule, targets: Sequence[str]) -> tuple[str, ...]:
    """The adaptable layers that `targets` choose, in the network's own order.

    Args:
        backbone: its `spec.adaptable` and `spec.words` are what can be chosen.
        targets: "linear" (every linear layer but those of `spec.words`), keys of `spec.layer_groups`, patterns, or
            exact names.

    Raises:
        AdapterError: a target chooses nothing in this network, or nothing is chosen at all.
    """
    groups, offered = backbone.spec.layer_groups, (*backbone.spec.adaptable, *backbone.spec.words)
    linear = {name for name in backbone.spec.adaptable if isinstance(backbone.get_submodule(name), nn.Linear)}
    layer_names: set[str] = set()
    for target in targets:
        matches = linear if target == ALL_LINEAR else _matching(groups.get(target, (target,)), offered)
        if not matches:
            raise AdapterError(
                f'this network has no adaptable layer "{target}"; use {", ".join((ALL_LINEAR, *groups))}, '
                f"a pattern with *, or a name such as {', '.join(offered[:3])}."
            )
        layer_names |= matches
    if not layer_names:
        raise AdapterError("no target layer was named; give at least one.")
    return tuple(name for name in offered if name in layer_names)


def parameters(backbone: BackboneModule, wanted: Sequence[str]) -> dict[str, nn.Parameter]:
    """Parameters of the base that are to train as well, by name.

    Args:
        backbone: without an adapter, so that names are the base's own.
        wanted: "norms" (of the parts that hold adaptable layers), "small_norms" (those of them whose values are one a
            channel: a norm over whole feature maps has one a voxel, and may hold most of what trains), "biases" (of
            adaptable layers), keys of `spec.parameter_groups`, patterns, exact names of parameters, or of modules for
            all that is in them.

    Raises:
        AdapterError: one of them chooses nothing in this network.
    """
    groups, named = backbone.spec.parameter_groups, dict(backbone.named_parameters())

    def meant(want: str) -> set[str]:
        if want in (NORMS, SMALL_NORMS):
            return {name for name in _norms(backbone) if want == NORMS or named[name].dim() <= 1}
        if want == BIASES:
            return {f"{name}.bias" for name in backbone.spec.adaptable} & named.keys()
        return _matching((*groups.get(want, ()), want, f"{want}.**"), named)

    parameter_names: set[str] = set()
    for want in wanted:
        matches = meant(want)
        if not matches:
            words = [word for word in (NORMS, SMALL_NORMS, BIASES, *groups) if meant(word)]
            raise AdapterError(
                f'this network has no parameter "{want}" to train; use '
                f"{''.join(f'{word}, ' for word in words)}a pattern with *, or a name such as "
                f"{', '.join(list(named)[:3])}."
            )
        parameter_names |= matches
    return {name: parameter for name, parameter in named.items() if name in parameter_names}


def trained_groups(backbone: BackboneModule, own: str | None = None) -> dict[str, int]:
    """How many values train, by what they are; the groups that hold some, in a fixed order.

    Args:
        backbone: with its adapter on.
        own: the name of a part that the adapter has put beside the network's own.

    Returns:
        "LoRA", "small_norms" and "large_norms" (one value a channel, or one a voxel), "biases" (of other layers),
        `own`, and "weights" for all the rest.
    """
    counts = dict.fromkeys(("LoRA", SMALL_NORMS, "large_norms", BIASES, *([own] if own else []), "weights"), 0)
    for name, module in backbone.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if own and name.split(".")[0] == own:
                group = own
            elif ".lora_" in f".{name}.{kind}":
                group = "LoRA"
            elif isinstance(module, _NORM_TYPES):
                group = SMALL_NORMS if parameter.dim() <= 1 else "large_norms"
            else:
                group = BIASES if kind == "bias" else "weights"
            counts[group] += parameter.numel()
    return {group: count for group, count in counts.items() if count}


def _matching(patterns: Iterable[str], names: Iterable[str]) -> set[str]:
    expressions = [
        re.compile(re.escape(pattern).replace(r"\*\*", r".+").replace(r"\*", r"[^.]+")) for pattern in patterns
    ]
    return {name for name in names if any(expression.fullmatch(name) for expression in expressions)}


def _norms(backbone: BackboneModule) -> set[str]:
    parts = {name.split(".")[0] for name in backbone.spec.adaptable}
    return {
        f"{name}.{kind}"
        for name, module in backbone.named_modules()
        if isinstance(module, _NORM_TYPES) and name.split(".")[0] in parts
        for kind, _ in module.named_parameters(recurse=False)
    }
