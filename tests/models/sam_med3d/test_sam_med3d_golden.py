"""SAM-Med3D at small sizes against the authors' code, and its published names and shapes. See golden/README.md."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.strategies.click import centred
from segevolution.inference.windows import VoxelBlock, Window, tight
from segevolution.models.backbone import Features, PromptBatch
from segevolution.models.outline import outlined
from segevolution.models.sam_med3d.config import SAM_MED3D, SamMed3dConfig
from segevolution.models.sam_med3d.image_encoder import SamMed3dImageEncoder
from segevolution.models.sam_med3d.sam_med3d import SamMed3d, standardised
from segevolution.vocabulary import Context, Modality

GOLDEN = Path(__file__).parents[2] / "golden"
SIZES = {"image": 64, "width": 48, "depth": 3, "heads": 4, "mlp": 192, "global_blocks": (1,), "out": 48}
CONFIG = SamMed3dConfig(window=6, decoder_mlp=64, iou_hidden=16, **SIZES)
CASES = {  # points that are told, the earlier answer, and whether a point "not a point" is among them
    "one_point_zero_mask": ([0], False),
    "three_points_previous": ([0, 1, 2], True),
    "padding_point_previous": ([0, 1, 2, None], True),
    "mask_only": ([], True),
}


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "sam_med3d_tiny_outputs.npz") as stored:
        return {name: stored[name] for name in stored.files}


@cache
def weights() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "sam_med3d_tiny_weights.safetensors")


@cache
def network() -> SamMed3d:
    model = SamMed3d(CONFIG)
    model.load_state_dict({name: value for name, value in weights().items() if not name.startswith("alt_")})
    return model.eval()


@cache
def features() -> Features:
    """The golden embedding as the seam holds it: tokens in the order (z, y, x)."""
    embedding = torch.from_numpy(golden()["image_embedding"])
    return Features(embedding.transpose(2, 4).flatten(2).transpose(1, 2), (4, 4, 4), (), (None,))


# The authors' own float32 numbers lie up to 8.9e-6 of the maximum from float64's, ours up to 3.4e-6.
DECODED = 1.5e-5


def close(ours: torch.Tensor, truth: np.ndarray, tolerance: float = 1e-5) -> None:
    """Within a share of the array's maximum."""
    values = torch.from_numpy(np.asarray(truth)).float()
    assert ours.shape == values.shape
    assert (ours - values).abs().max() <= tolerance * values.abs().max()


def turned(values: torch.Tensor) -> torch.Tensor:
    return values.transpose(-1, -3)


def prompts(points: list, labels: list, previous: torch.Tensor | None) -> PromptBatch:
    """Golden prompts (x, y, z) as `collate` lays them out."""
    places = torch.tensor(points, dtype=torch.float32)[None].flip(-1) if points else None
    said = torch.tensor(labels)[None] if labels else None
    return PromptBatch(torch.tensor([0]), (None,), places, said, None, previous)


def case_of(name: str) -> PromptBatch:
    wanted, told = CASES[name]
    known, labels = golden()["points"][0].tolist(), golden()["point_labels"][0].tolist()
    points = [[0.0, 0.0, 0.0] if number is None else known[number] for number in wanted]
    said = [-1 if number is None else labels[number] for number in wanted]
    previous = turned(torch.from_numpy(golden()["previous_logits"])) if told else None
    return prompts(points, said, previous)


def test_published_names_and_shapes_are_ours():
    published = json.loads((GOLDEN / "sam_med3d_state_dict.json").read_text(encoding="utf-8"))
    with outlined():
        model = SamMed3d(SAM_MED3D)
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == {
        name: shape for name, (shape, _) in published.items()
    }
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.image_encoder, model.mask_decoder)]
    assert counts == [92_924_928, 7_575_636]


@pytest.mark.parametrize(("prefix", "window"), [("", 6), ("alt_", 3)], ids=["padded window", "eight windows"])
def test_each_block_answers_as_published(prefix, window):
    encoder = SamMed3dImageEncoder(SamMed3dConfig(window=window, decoder_mlp=64, iou_hidden=16, **SIZES)).eval()
    start = f"{prefix}image_encoder."
    encoder.load_state_dict({k.removeprefix(start): v for k, v in weights().items() if k.startswith(start)})
    image = torch.from_numpy(golden()["image_uint8"]).float()[None, None] / 64 - 2
    with torch.no_grad():
        values = encoder.patch_embed(image) + encoder.pos_embed
        close(values, golden()[f"{prefix}tokens_in"])
        for number, block in enumerate(encoder.blocks):
            values = block(values)
            close(values, golden()[f"{prefix}tokens_after_block_{number}"])
        close(encoder(image), golden()[f"{prefix}image_embedding"])


def test_the_grid_has_the_published_code():
    close(network().prompt_encoder.grid_code()[None], golden()["dense_pe"])


@pytest.mark.parametrize("name", CASES)
def test_a_prompt_is_embedded_and_answered_as_published(name):
    told = case_of(name)
    encoder = network().prompt_encoder
    with torch.no_grad():
        points = None if told.points is None else told.points.flip(-1)
        sparse, present = encoder.sparse(points, told.labels, 1)
        masks = told.masks if told.masks is not None else torch.zeros(1, 1, 16, 16, 16)
        answer = network().decode(features(), told, [Context()])
        dense = encoder.dense(turned(masks))
        several = network().mask_decoder(
            torch.from_numpy(golden()["image_embedding"]), encoder.grid_code(), sparse, dense, told.image_index
        )
    assert bool(present.all())
    if sparse.numel():
        close(sparse, golden()[f"sparse_{name}"])
    close(dense, golden()[f"dense_{name}"])
    close(turned(answer.logits), golden()[f"lowres_{name}"], DECODED)
    close(answer.iou, golden()[f"iou_{name}"])
    close(several[0][:, 1:], golden()[f"lowres_multi_{name}"])
    close(several[1][:, 1:], golden()[f"iou_multi_{name}"])


def test_without_a_mask_the_published_decoder_reads_an_embedding_that_nobody_trained():
    encoder = network().prompt_encoder
    points, labels = torch.from_numpy(golden()["points"][:, :2]), torch.from_numpy(golden()["point_labels"][:, :2])
    with torch.no_grad():
        sparse, _ = encoder.sparse(points, labels, 1)
        dense = encoder.dense(None)
        close(dense.expand(1, -1, 4, 4, 4), golden()["dense_two_points_no_mask"])
        logits, _ = network().mask_decoder(
            torch.from_numpy(golden()["image_embedding"]), encoder.grid_code(), sparse, dense, torch.tensor([0])
        )
    close(logits[:, :1], golden()["lowres_two_points_no_mask"])


def test_two_prompts_at_once_are_answered_as_published():
    points = torch.from_numpy(golden()["points"][0, :2])[:, None].flip(-1)
    previous = turned(torch.from_numpy(golden()["previous_logits"]))
    both = PromptBatch(
        torch.tensor([0, 0]), (None, None), points, torch.tensor([[1], [1]]), None, torch.cat([previous, -previous])
    )
    with torch.no_grad():
        close(
            turned(network().decode(features(), both, [Context()] * 2).logits), golden()["lowres_batch_of_two"], DECODED
        )


@pytest.mark.parametrize("loop", ["loop", "loop_ritm"])
def test_clicks_in_turn_are_answered_as_published(loop):
    """All clicks so far and the last small logits go in; the encoder ran once."""
    clicks, labels = golden()[f"{loop}_clicks"].tolist(), golden()[f"{loop}_click_labels"].tolist()
    previous = None
    with torch.no_grad():
        for number in range(len(clicks)):
            told = prompts(clicks[: number + 1], labels[: number + 1], previous)
            answer = network().decode(features(), told, [Context()])
            close(turned(answer.logits)[0], golden()[f"{loop}_lowres"][number], 2e-5)
            close(answer.iou[0], golden()[f"{loop}_iou"][number], 2e-5)
            previous = answer.logits
    full = turned(answer.full())[0, 0]
    assert ((full > 0).numpy() != golden()[f"{loop}_mask"].astype(bool)).sum() <= 3
    x, y, z = golden()[f"{loop}_sample_voxels"].T.astype(int)
    close(full[x, y, z], golden()[f"{loop}_sample_logits"], 2e-5)


def raw() -> Volume:
    return Volume(golden()["raw"], Grid(golden()["raw"].shape, golden()["raw_affine"]), Modality.CT, "raw")


@pytest.mark.parametrize("structure", [1, 2])
def test_a_window_round_the_truth_holds_what_the_published_preparation_makes(structure):
    """1.5 mm, RAS+, 24^3 round the label's box, zeros outside, then the window's z-score."""
    volume = raw()
    framed = frame(volume, "scaled_signal", (1.5, 1.5, 1.5))
    assert framed.image.shape == tuple(golden()[f"canonical_shape_{structure}"][::-1])
    labels = torch.from_numpy(framed.labels(golden()["raw_label"] == structure))
    view = centred(tight(labels), (24, 24, 24))
    window = Window(view, view.meet(VoxelBlock.whole(framed.image.shape)))
    image = standardised(window.cut(torch.from_numpy(framed.image), framed.pad)[None, None])[0, 0]
    # Of structure 2 two voxels are exactly 0 and count as above it by the authors' rounding: 1.8e-4 of the maximum.
    close(turned(image), golden()[f"roi_image_{structure}"], {1: 1e-4, 2: 2e-4}[structure])
    cut = turned(window.cut(labels.float(), 0.0)).numpy()
    np.testing.assert_array_equal(cut, golden()[f"roi_label_{structure}"])
    first = framed.grid.to_mm(framed.voxels([view.start]))[0]
    np.testing.assert_allclose(first, golden()[f"roi_affine_{structure}"][:3, 3], atol=1e-4)


@pytest.mark.parametrize("structure", [1, 2])
def test_the_way_back_is_the_published_one(structure):
    """Each voxel of the file from the nearest one of the window, 0 beyond it."""
    framed = frame(raw(), "scaled_signal", (1.5, 1.5, 1.5))
    labels = framed.labels(golden()["raw_label"] == structure)
    shape = golden()["raw_label"].shape
    places = np.floor(framed.indices(np.argwhere(np.ones(shape, bool))) + 0.5 + 1e-6).astype(int)
    inside = ((places >= 0) & (places < labels.shape)).all(axis=1)
    back = np.zeros(len(places), bool)
    back[inside] = labels[tuple(places[inside].T)]
    np.testing.assert_array_equal(back.reshape(shape).transpose(2, 1, 0), golden()[f"back_{structure}"])
