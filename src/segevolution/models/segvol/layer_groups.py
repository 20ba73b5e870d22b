"""Names of SegVol's own layers and parameters, by which adapters and recipes speak of them.

In a pattern `*` stands for exactly one part between dots and `**` for one or more; see `adapters/targets.py`.
"""

from collections.abc import Mapping

ENCODER = "image_encoder."
"""How the names of all that belongs to the image encoder begin."""

_BLOCK = f"{ENCODER}blocks.*."
_LAYER = "mask_decoder.transformer.layers.*."
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_CROSS = (
    *(f"{_LAYER}cross_attn_{way}" for way in ("token_to_image", "image_to_token")),
    "mask_decoder.transformer.final_attn_token_to_image",
)

_PARTS: dict[str, tuple[str, ...]] = {
    "encoder.qkv": (f"{_BLOCK}attn.qkv",),
    "encoder.out": (f"{_BLOCK}attn.out_proj",),
    "encoder.mlp": (f"{_BLOCK}mlp.linear1", f"{_BLOCK}mlp.linear2"),
    "decoder.self_attention": tuple(f"{_LAYER}self_attn.{part}" for part in _PROJECTIONS),
    "decoder.cross_attention": tuple(f"{cross}.{part}" for cross in _CROSS for part in _PROJECTIONS),
    "decoder.mlp": (f"{_LAYER}mlp.lin1", f"{_LAYER}mlp.lin2"),
    "stem": ("image_encoder.patch_embedding.stem.**",),
    "pixel_decoder": ("pixel_decoder.**",),
    "dense_prompts": ("dense_prompts.**",),
    "upscaling": ("mask_decoder.high_resolution.**",),
    "text": ("text_encoder.**",),
}

# What the study of AMS (Mihailov et al. 2024) adapted: 36 layers of the encoder and 10 of the decoder.
_STUDY = (
    *_PARTS["encoder.qkv"],
    *_PARTS["encoder.mlp"],
    *(f"{_LAYER}{attention}.{part}_proj" for attention in ("self_attn", "cross_attn_image_to_token") for part in "qv"),
    *(f"mask_decoder.transformer.final_attn_token_to_image.{part}_proj" for part in "qv"),
)

LAYER_GROUPS: Mapping[str, tuple[str, ...]] = {
    # The optional parts go together as "convolutions"; their 1 x 1 x 1 steps are linear layers in places.
    "encoder": tuple(pattern for part in ("qkv", "out", "mlp") for pattern in _PARTS[f"encoder.{part}"]),
    "decoder": tuple(
        pattern for part in ("self_attention", "cross_attention", "mlp") for pattern in _PARTS[f"decoder.{part}"]
    ),
    "convolutions": tuple(
        pattern for part in ("stem", "pixel_decoder", "dense_prompts", "upscaling") for pattern in _PARTS[part]
    ),
    **_PARTS,
    "study": _STUDY,
}

PARAMETER_GROUPS: Mapping[str, tuple[str, ...]] = {
    "dim_align": ("text_encoder.dim_align.*",),
    "prompt_tokens": (
        "prompt_encoder.point_embeddings.*.weight",
        "prompt_encoder.not_a_point_embed.weight",
        "prompt_encoder.no_mask_embed.weight",
    ),
    "mask_tokens": ("mask_decoder.mask_tokens.weight", "mask_decoder.iou_token.weight"),
    "decoder": ("mask_decoder.**",),
    "text": ("text_encoder.**",),
}
