"""SAM and SAM-Med2D at small sizes against the authors' code; the published names and shapes. See golden/README.md."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segevolution.models.sam.config import LITE_MEDSAM, SAM_MED2D, SAM_VIT_B, SamConfig
from segevolution.models.sam.network import SamNetwork
from segevolution.models.sam.preparation import Placement, prepared

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = {"image": 128, "depth": 3, "out": 32, "decoder_heads": 4, "decoder_mlp": 64, "iou_hidden": 24}
CONFIGS = {
    "sam": SamConfig(width=48, heads=3, mlp=192, window=3, global_blocks=(2,), **SMALL),
    "sam_med2d": SamConfig(
        "sam_med2d", width=32, heads=2, mlp=128, window=7, global_blocks=(1,), adapters=True, **SMALL
    ),
}
CASES = [
    *[("sam", "a", case) for case in ("none", "point", "points", "points_padded", "box", "mask", "point_box")],
    *[("sam", "a", case) for case in ("box_mask", "point_box_mask")],
    *[("sam", "b", case) for case in ("box", "point")],
    *[("sam_med2d", "a", case) for case in ("point", "points", "box", "mask", "point_mask", "point_box_mask")],
    ("sam_med2d", "b", "box"),
    ("sam_med2d", "small", "box"),
]


@cache
def outputs(system: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{system}_tiny_outputs.npz") as stored:
        return {name: stored[name] for name in stored.files}


@cache
def network(system: str) -> SamNetwork:
    model = SamNetwork(CONFIGS[system]).eval()
    model.load_state_dict(load_file(GOLDEN / f"{system}_tiny_weights.safetensors"))
    return model


@cache
def embedded(system: str, image: str) -> tuple[torch.Tensor, torch.Tensor, Placement]:
    slice_input, placement = prepared(CONFIGS[system], outputs(system)[f"{image}/image_uint8"])
    with torch.no_grad():
        return slice_input, network(system).embed(slice_input[None]), placement


def close(ours: torch.Tensor, golden: np.ndarray, tolerance: float = 2e-5) -> None:
    """Within a share of the array's maximum."""
    truth = torch.from_numpy(np.asarray(golden)).float()
    assert ours.shape == truth.shape
    assert (ours - truth).abs().max() <= tolerance * truth.abs().max()


@pytest.mark.parametrize(
    ("file", "config"), [("sam_vit_b", SAM_VIT_B), ("sam_med2d", SAM_MED2D), ("lite_medsam", LITE_MEDSAM)]
)
def test_published_names_and_shapes_are_ours(file, config):
    published = json.loads((GOLDEN / f"{file}_state_dict.json").read_text())
    with torch.device("meta"):
        ours = SamNetwork(config).state_dict()
    assert {name: list(value.shape) for name, value in ours.items()} == {
        name: shape for name, (shape, _) in published.items()
    }


@pytest.mark.parametrize(("system", "image"), sorted({(system, image) for system, image, _ in CASES}))
def test_a_slice_is_prepared_and_encoded_as_published(system, image):
    slice_input, embedding, _ = embedded(system, image)
    golden = outputs(system)[f"{image}/input"][0]
    step = slice_input.shape[-1] // golden.shape[-1]  # of some images every fourth pixel is kept
    close(slice_input[:, ::step, ::step], golden, 0)
    close(embedding, outputs(system)[f"{image}/embedding"])


@pytest.mark.parametrize("system", CONFIGS)
def test_the_grid_has_the_published_code(system):
    close(network(system).prompt_encoder.grid_code()[None], outputs(system)["dense_pe"])


@pytest.mark.parametrize("system", CONFIGS)
def test_each_block_answers_as_published(system):
    model, values = network(system).image_encoder, None
    with torch.no_grad():
        values = model.patch_embed(embedded(system, "a")[0][None])
        close(values, outputs(system)["a/patch_embed"])
        values = values + model.pos_embed
        for number, block in enumerate(model.blocks):
            values = block(values)
            close(values, outputs(system)[f"a/block_{number}"])


@pytest.mark.parametrize(("system", "image", "case"), CASES)
def test_a_prompt_is_answered_as_published(system, image, case):
    def part(name: str) -> np.ndarray | None:
        return outputs(system).get(f"{image}/{case}/{name}")

    def tensor(name: str) -> torch.Tensor | None:
        return None if part(name) is None else torch.from_numpy(part(name))[None]

    _, embedding, placement = embedded(system, image)
    points, labels, box = tensor("point_coords"), tensor("point_labels"), tensor("box")
    mask = torch.from_numpy(outputs(system)["mask_input"])[None] if "mask" in case else None
    prompts = {
        "points": None if points is None else placement.inward(points),
        "labels": labels,
        "boxes": None if box is None else placement.inward(box.reshape(1, 2, 2)).reshape(1, 4),
        "masks": mask,
    }
    with torch.no_grad():
        logits, overlaps = network(system).masks(embedding, **prompts)
        full = placement.outward(logits)
    close(logits[0, :1], part("lowres_single"))
    close(logits[0, 1:], part("lowres_multi"))
    close(overlaps[0, :1], part("iou_single"))
    close(overlaps[0, 1:], part("iou_multi"))
    if part("logits_single") is not None:
        close(full[0, :1], part("logits_single"))
        assert ((full[0, 1:].numpy() > 0) != part("mask_multi")).sum() <= 2
    if part("logits_best") is not None:
        best = int(overlaps[0, 1:].argmax())
        assert best == part("best_index")
        step = full.shape[-1] // part("logits_best").shape[-1]
        close(full[0, 1 + best : 2 + best, ::step, ::step], part("logits_best"))


def test_three_boxes_at_once_are_answered_as_each_alone():
    _, embedding, placement = embedded("sam", "a")
    boxes = placement.inward(torch.from_numpy(outputs("sam")["a/batch/boxes"]).reshape(-1, 2, 2)).reshape(-1, 4)
    close(boxes, outputs("sam")["a/batch/boxes_model_frame"])
    with torch.no_grad():
        logits, overlaps = network("sam").masks(embedding, boxes=boxes)
    close(logits[:, 1:], outputs("sam")["a/batch/lowres_multi"])
    close(overlaps[:, 1:], outputs("sam")["a/batch/iou_multi"])


def test_without_its_adapters_sam_med2d_is_the_papers_other_row():
    model = network("sam_med2d")
    for block in model.image_encoder.blocks:
        block.adapted = False
    try:
        with torch.no_grad():
            close(
                model.embed(embedded("sam_med2d", "a")[0][None]), outputs("sam_med2d")["a/embedding_without_adapters"]
            )
    finally:
        for block in model.image_encoder.blocks:
            block.adapted = True
