"""SAM and SAM-Med2D at small sizes against the authors' code; the published names and shapes. See golden/README.md."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segevolution.inference.strategies.slice_placement import SlicePlacement
from segevolution.models.backbone import Features, PromptBatch
from segevolution.models.sam.config import LITE_MEDSAM, SAM_MED2D, SAM_VIT_B, SamConfig
from segevolution.models.sam.sam import Sam
from segevolution.vocabulary import Context

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
def backbone(system: str = "sam") -> Sam:
    """A network of its own, with the golden weights."""
    model = Sam(CONFIGS[system])
    model.load_state_dict(load_file(GOLDEN / f"{system}_tiny_weights.safetensors"))
    return model.eval()


def placement_of(system: str, image: str) -> SlicePlacement:
    """Where the strategy "slices" puts a golden image."""
    height, width = outputs(system)[f"{image}/image_uint8"].shape[:2]
    return SlicePlacement.of(0, (1, height, width), backbone(system).spec)


def cut_of(system: str, image: str) -> torch.Tensor:
    """(3, S, S): a golden image as "slices" hands it over, each colour as a grey slice; -1 in the padding."""
    colours = torch.from_numpy(outputs(system)[f"{image}/image_uint8"]).float().permute(2, 0, 1)
    return torch.cat([placement_of(system, image).cut(colour[None], -1.0) for colour in colours])


def square_of(system: str, image: str) -> torch.Tensor:
    """The same with the authors' own resized bytes, where these were kept."""
    if f"{image}/resized_uint8" not in outputs(system):
        return cut_of(system, image)
    resized = torch.from_numpy(outputs(system)[f"{image}/resized_uint8"]).float().permute(2, 0, 1)
    square = torch.full((3, 128, 128), -1.0)
    square[:, : resized.shape[1], : resized.shape[2]] = resized
    return square


@cache
def input_of(system: str, image: str) -> torch.Tensor:
    """(3, S, S): each colour scaled as its own grey slice, of which the channel of that colour is kept."""
    scaled = [backbone(system).scaled(colour[None])[0] for colour in square_of(system, image)]
    return torch.stack([slice_input[number] for number, slice_input in enumerate(scaled)])


@cache
def encoded(system: str, image: str) -> Features:
    with torch.no_grad():
        embedding = backbone(system).image_encoder(input_of(system, image)[None])
    grid = (1, embedding.shape[-2], embedding.shape[-1])
    return Features(embedding.flatten(2).transpose(1, 2), grid, (), (None,))


def in_square(system: str, image: str, places: np.ndarray) -> torch.Tensor:
    """(..., 2) pixels (x, y) of a golden image -> of the square, as the authors scale them."""
    rows, columns = placement_of(system, image).shown
    height, width = outputs(system)[f"{image}/image_uint8"].shape[:2]
    return torch.from_numpy(places).float() * torch.tensor(
        [(columns.stop - columns.start) / width, (rows.stop - rows.start) / height]
    )


def batch_of(system: str, image: str, case: str) -> PromptBatch:
    """A golden prompt as `collate` lays it out: (d, h, w), both corners of the box included."""
    golden, start = outputs(system), f"{image}/{case}/"
    points = labels = boxes = masks = None
    if start + "point_coords" in golden:
        xy = in_square(system, image, golden[start + "point_coords"])[None]
        points = torch.cat([torch.zeros_like(xy[..., :1]), xy.flip(-1)], dim=-1)
        labels = torch.from_numpy(golden[start + "point_labels"]).long()[None]
    if start + "box" in golden:
        (x0, y0), (x1, y1) = in_square(system, image, golden[start + "box"].reshape(2, 2)).tolist()
        boxes = torch.tensor([[0, y0, x0, 0, y1, x1]])
    if "mask" in case:
        masks = torch.from_numpy(golden["mask_input"])[None, None]
        masks = masks.logit() if system == "sam_med2d" else masks  # which reads probabilities of its earlier answer
    return PromptBatch(torch.tensor([0]), (None,), points, labels, boxes, masks)


def close(ours: torch.Tensor, golden: np.ndarray, tolerance: float = 2e-5) -> None:
    """Within a share of the array's maximum."""
    truth = torch.from_numpy(np.asarray(golden)).float()
    assert ours.shape == truth.shape
    assert (ours - truth).abs().max() <= tolerance * truth.abs().max()


@pytest.mark.parametrize(
    ("file", "config"), [("sam_vit_b", SAM_VIT_B), ("sam_med2d", SAM_MED2D), ("lite_medsam", LITE_MEDSAM)]
)
def test_published_names_and_shapes_are_ours(file, config):
    published = json.loads((GOLDEN / f"{file}_state_dict.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        ours = Sam(config).state_dict()
    assert {name: list(value.shape) for name, value in ours.items()} == {
        name: shape for name, (shape, _) in published.items()
    }


IMAGES = sorted({(system, image) for system, image, _ in CASES})


@pytest.mark.parametrize(("system", "image"), [case for case in IMAGES if case[0] == "sam"])
def test_a_slice_is_resized_to_within_a_grey_level(system, image):
    assert (cut_of(system, image).add(0.5).floor() - square_of(system, image)).abs().max() <= 1


@pytest.mark.parametrize(("system", "image"), IMAGES)
def test_a_slice_is_scaled_and_encoded_as_published(system, image):
    golden = outputs(system)[f"{image}/input"][0]
    ours = input_of(system, image)
    step = ours.shape[-1] // golden.shape[-1]  # of some images every fourth pixel is kept
    close(ours[:, ::step, ::step], golden, 1e-6)
    embedding = encoded(system, image).tokens.transpose(1, 2).unflatten(2, encoded(system, image).grid[1:])
    close(embedding, outputs(system)[f"{image}/embedding"])


@pytest.mark.parametrize("system", CONFIGS)
def test_the_grid_has_the_published_code(system):
    close(backbone(system).prompt_encoder.grid_code()[None], outputs(system)["dense_pe"])


@pytest.mark.parametrize("system", CONFIGS)
def test_each_block_answers_as_published(system):
    model = backbone(system).image_encoder
    with torch.no_grad():
        values = model.patch_embed(input_of(system, "a")[None])
        close(values, outputs(system)["a/patch_embed"])
        values = values + model.pos_embed
        for number, block in enumerate(model.blocks):
            values = block(values)
            close(values, outputs(system)[f"a/block_{number}"])


@pytest.mark.parametrize(("system", "image", "case"), CASES)
def test_a_prompt_is_answered_as_published(system, image, case):
    model, placement, golden = backbone(system), placement_of(system, image), outputs(system)

    def part(name: str) -> np.ndarray | None:
        return golden.get(f"{image}/{case}/{name}")

    prompts = batch_of(system, image, case)
    with torch.no_grad():
        answer = model.decode(encoded(system, image), prompts, [Context()])
        alternatives = model.decode(encoded(system, image), prompts, [Context()], multimask=True)
    close(alternatives.logits[0, :, 0], part("lowres_multi"))
    close(alternatives.iou[0], part("iou_multi"))
    height, width = golden[f"{image}/image_uint8"].shape[:2]  # the view of a window that keeps proportions is larger
    full, full_alternatives = (
        placement.carry(masks.full()[0, :, 0])[:, :height, :width] for masks in (answer, alternatives)
    )
    if system == "sam_med2d":  # which answers by the alternative that it trusts most
        assert int(alternatives.iou[0].argmax()) == part("best_index")
        step = full.shape[-1] // part("logits_best").shape[-1]
        close(full[:, ::step, ::step], part("logits_best"))
    else:
        close(answer.logits[0, :, 0], part("lowres_single"))
        close(answer.iou[0], part("iou_single"))
        close(full, part("logits_single"))
        assert ((full_alternatives.numpy() > 0) != part("mask_multi")).sum() <= 2


def test_three_boxes_at_once_are_answered_as_each_alone():
    golden = outputs("sam")
    boxes = in_square("sam", "a", golden["a/batch/boxes"].reshape(-1, 2, 2)).reshape(-1, 4)
    close(boxes, golden["a/batch/boxes_model_frame"])
    x0, y0, x1, y1 = boxes.T
    flat = torch.zeros_like(x0)
    prompts = PromptBatch(
        torch.zeros(3, dtype=torch.int64), (None,) * 3, boxes=torch.stack([flat, y0, x0, flat, y1, x1], dim=1)
    )
    with torch.no_grad():
        masks = backbone().decode(encoded("sam", "a"), prompts, [Context()] * 3, multimask=True)
    close(masks.logits[:, :, 0], golden["a/batch/lowres_multi"])
    close(masks.iou, golden["a/batch/iou_multi"])


def test_without_its_adapters_sam_med2d_is_the_papers_other_row():
    model = backbone("sam_med2d").image_encoder
    for block in model.blocks:
        block.adapted = False
    try:
        with torch.no_grad():
            close(model(input_of("sam_med2d", "a")[None]), outputs("sam_med2d")["a/embedding_without_adapters"])
    finally:
        for block in model.blocks:
            block.adapted = True
