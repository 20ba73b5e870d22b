"""Which layers and parameters a method works on: names of groups, patterns and exact names, resolved in the open.

In a pattern `*` stands for exactly one part between dots and `**` for one or more; a name without stars means only
itself. Patterns choose among what the network's own `spec.adaptable` and `spec.words` offer, so nothing is found by
accident.
"""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule

_BLOCK = "image_encoder.blocks.*."
_LAYER = "mask_decoder.transformer.layers.*."
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_CROSS = (
    *(f"{_LAYER}cross_attn_{way}" for way in ("token_to_image", "image_to_token")),
    "mask_decoder.transformer.final_attn_token_to_image",
)

PATTERNS: dict[str, tuple[str, ...]] = {
    "encoder.qkv": (f"{_BLOCK}attn.qkv",),
    "encoder.out": (f"{_BLOCK}attn.out_proj",),
    "encoder.mlp": (f"{_BLOCK}mlp.linear1", f"{_BLOCK}mlp.linear2"),
    "decoder.self_attention": tuple(f"{_LAYER}self_attn.{part}" for part in _PROJECTIONS),
    "decoder.cross_attention": tuple(f"{cross}.{part}" for cross in _CROSS for part in _PROJECTIONS),
    "decoder.mlp": (f"{_LAYER}mlp.lin1", f"{_LAYER}mlp.lin2"),
    "stem": ("image_encoder.patch_embedding.stem.**",),
    "dense_prompts": ("dense_prompts.**",),
    "upscaling": ("mask_decoder.high_resolution.**",),
    "text": ("text_encoder.**",),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "encoder": ("encoder.qkv", "encoder.out", "encoder.mlp"),
    "decoder": ("decoder.self_attention", "decoder.cross_attention", "decoder.mlp"),
    "convolutions": ("stem", "dense_prompts", "upscaling"),
}
"""The optional parts go together as "convolutions"; their 1 x 1 x 1 steps are linear layers in places."""

ALL_LINEAR, NORMS, BIASES = "linear", "norms", "biases"

STUDY = (
    "encoder.qkv",
    "encoder.mlp",
    *(f"{_LAYER}{attention}.{part}_proj" for attention in ("self_attn", "cross_attn_image_to_token") for part in "qv"),
    *(f"mask_decoder.transformer.final_attn_token_to_image.{part}_proj" for part in "qv"),
)
"""What the study of AMS (Mihailov et al. 2024) adapted: 36 layers of the encoder and 10 of the decoder."""

TOKENS: dict[str, tuple[str, ...]] = {
    "dim_align": ("text_encoder.dim_align.*",),
    "prompt_tokens": (
        "prompt_encoder.point_embeddings.*.weight",
        "prompt_encoder.not_a_point_embed.weight",
        "prompt_encoder.no_mask_embed.weight",
    ),
    "mask_tokens": ("mask_decoder.mask_tokens.weight", "mask_decoder.iou_token.weight"),
}

_NORM_TYPES = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm3d, nn.InstanceNorm3d)


def layers(backbone: BackboneModule, targets: Sequence[str]) -> tuple[str, ...]:
    """The adaptable layers that `targets` choose, in the network's own order.

    Args:
        backbone: its `spec.adaptable` and `spec.words` are what can be chosen.
        targets: "linear" (every linear layer but those of the text tower, which are "text"), keys of GROUPS and
            PATTERNS, patterns, or exact names.

    Raises:
        AdapterError: a target chooses nothing in this network, or nothing is chosen at all.
    """
    offered = (*backbone.spec.adaptable, *backbone.spec.words)
    linear = {name for name in backbone.spec.adaptable if isinstance(backbone.get_submodule(name), nn.Linear)}
    chosen: set[str] = set()
    for target in targets:
        found = linear if target == ALL_LINEAR else _matching(_patterns(target), offered)
        if not found:
            raise AdapterError(
                f'this network has no adaptable layer "{target}"; use {ALL_LINEAR}, '
                f"{', '.join((*GROUPS, *PATTERNS))}, a pattern with *, or a name such as {', '.join(offered[:3])}."
            )
        chosen |= found
    if not chosen:
        raise AdapterError("no target layer was named; give at least one.")
    return tuple(name for name in offered if name in chosen)


def parameters(backbone: BackboneModule, wanted: Sequence[str]) -> dict[str, nn.Parameter]:
    """Parameters of the base that are to train as well, by name.

    Args:
        backbone: without an adapter, so that names are the base's own.
        wanted: "norms" (of the parts that hold adaptable layers), "biases" (of adaptable layers), keys of TOKENS,
            patterns, exact names of parameters, or of modules for all that is in them.

    Raises:
        AdapterError: one of them chooses nothing in this network.
    """
    named = dict(backbone.named_parameters())
    chosen: set[str] = set()
    for want in wanted:
        if want == NORMS:
            found = _norms(backbone)
        elif want == BIASES:
            found = {f"{name}.bias" for name in backbone.spec.adaptable} & named.keys()
        else:
            found = _matching((*TOKENS.get(want, ()), want, f"{want}.**"), named)
        if not found:
            raise AdapterError(
                f'this network has no parameter "{want}" to train; use {NORMS}, {BIASES}, {", ".join(TOKENS)}, '
                f"a pattern with *, or a name such as {', '.join(list(named)[:3])}."
            )
        chosen |= found
    return {name: parameter for name, parameter in named.items() if name in chosen}


def _patterns(target: str) -> tuple[str, ...]:
    parts = GROUPS.get(target, (target,))
    return tuple(pattern for part in parts for pattern in PATTERNS.get(part, (part,)))


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
