"""The 34 zoom-out-zoom-in cases of the published code, as published and with its one fault mended."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segevolution.inference.published import PublishedAnswer, PublishedPrompt, published
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = SegVolConfig(
    window=(8, 32, 32),
    patch=(4, 8, 8),
    width=48,
    depth=2,
    heads=4,
    mlp=96,
    decoder_heads=4,
    decoder_mlp=64,
    iou_hidden=16,
    unused_mask_downscaling=True,
)
FILLER = -9

outputs = np.load(GOLDEN / "zoom_outputs.npz", allow_pickle=False)
tiny = np.load(GOLDEN / "tiny_outputs.npz", allow_pickle=False)
cases: dict[str, dict[str, object]] = json.loads(str(outputs["cases"]))
WORDS = {"liver": torch.from_numpy(outputs["text_liver"])[0], "spleen": torch.from_numpy(outputs["text_spleen"])[0]}


class Recorded(BackboneModule):
    """The tiny golden network with its text tower replaced by the two recorded text tokens."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.network = SegVol(SIZES).eval()
        self.network.load_state_dict(load_file(GOLDEN / weights))
        self.spec = self.network.spec

    def _encode(self, images: Tensor, modalities: object) -> Features:
        return self.network.encode(images, modalities)  # type: ignore[arg-type]

    def _decode(self, features: Features, prompts: PromptBatch, contexts: object, *, multimask: bool = False) -> Masks:
        text = None
        if any(prompts.structures):
            text = torch.stack([WORDS[name or "liver"] for name in prompts.structures])
        return self.network.decode_tokens(features, prompts, contexts, text=text, multimask=multimask)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def network() -> Recorded:
    return Recorded("zoom_weights.safetensors")


def image_of(volume: object) -> Tensor:
    return torch.from_numpy(outputs[f"volume/{volume}/image_uint8"].astype(np.float32) / 256)


def prompt_of(case: str) -> PublishedPrompt:
    def part(key: str) -> Tensor | None:
        name = f"{case}/zoom_out_{key}"
        return torch.from_numpy(outputs[name])[0] if name in outputs.files else None

    facts = cases[case]
    return PublishedPrompt(
        facts["text"],  # type: ignore[arg-type]
        part("points") if facts["point"] else None,
        part("point_labels") if facts["point"] else None,
        part("box") if facts["box"] else None,
    )


def run(network: Recorded, case: str, *, corrected: bool = False) -> PublishedAnswer:
    torch.manual_seed(cases[case]["seed"])  # type: ignore[arg-type]
    with torch.inference_mode():
        return published(network, image_of(cases[case]["volume"]), prompt_of(case), corrected=corrected)


def assert_close(found: Tensor, expected: npt.NDArray[np.floating], tolerance: float) -> None:
    wanted = expected.astype(np.float32)
    assert np.abs(found.numpy() - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("case", cases)
def test_the_way_to_the_windows_is_the_published_one(network: Recorded, case: str) -> None:
    answer = run(network, case)
    assert_close(answer.coarse_window, outputs[f"{case}/coarse_logits_window"], 1e-5)
    np.testing.assert_array_equal(answer.coarse > 0, outputs[f"{case}/coarse_mask"])
    carried = next((key for key in ("box_map", "point_map") if f"{case}/{key}" in outputs.files), None)
    if carried:
        assert answer.prompt_map is not None
        np.testing.assert_array_equal(answer.prompt_map, outputs[f"{case}/{carried}"])
    if cases[case]["windows"] == 0:
        assert answer.region is None
        assert f"{case}/region" not in outputs.files
        return
    assert answer.region is not None
    reported = outputs[f"{case}/region"]
    start_stop = [answer.region.start, answer.region.stop]
    np.testing.assert_array_equal(start_stop, outputs[f"{case}/region_start_stop"])
    np.testing.assert_array_equal(
        start_stop, [reported[:3], np.minimum(reported[3:] + 1, answer.coarse.shape)], "the reported upper end"
    )
    np.testing.assert_array_equal(answer.pad, outputs[f"{case}/pad"])
    np.testing.assert_array_equal(answer.starts, outputs[f"{case}/window_starts"])


VARIANTS = [(case, False) for case in cases] + [(case, True) for case in cases if cases[case].get("corrected_differs")]


@pytest.mark.parametrize(("case", "corrected"), VARIANTS)
def test_the_answer_is_the_published_one(network: Recorded, case: str, corrected: bool) -> None:
    kind = "corrected" if corrected else "as_published"
    answer = run(network, case, corrected=corrected)
    if f"{case}/window_boxes_{kind}" in outputs.files:
        np.testing.assert_array_equal(torch.stack(answer.boxes), outputs[f"{case}/window_boxes_{kind}"])
    else:
        assert not answer.boxes
    if f"{case}/window_points_{kind}" in outputs.files:
        rows = zip(outputs[f"{case}/window_points_{kind}"], outputs[f"{case}/window_point_labels_{kind}"], strict=True)
        for points, labels, (expected, expected_labels) in zip(answer.points, answer.labels, rows, strict=True):
            given = expected_labels != FILLER
            np.testing.assert_array_equal(points, expected[given])
            np.testing.assert_array_equal(labels, expected_labels[given])
    np.testing.assert_array_equal(answer.logits > 0, outputs[f"{case}/mask_{kind}"])
    if f"{case}/region_logits_{kind}" in outputs.files:
        assert answer.region is not None
        assert_close(answer.logits[answer.region.slices], outputs[f"{case}/region_logits_{kind}"], 1e-3)
    if answer.region is not None:
        d, h, w = outputs[f"{case}/sample_voxels"].astype(int).T
        assert_close(answer.logits[d, h, w], outputs[f"{case}/sample_logits_{kind}"], 1e-5)
    else:
        assert torch.equal(answer.logits, answer.coarse)


@pytest.mark.parametrize(
    ("name", "structure", "box"),
    [("box", None, True), ("box_text", "liver", True), ("text", "spleen", False), ("text_liver", "liver", False)],
)
def test_untrained_weights_whose_region_is_everything_agree_too(name: str, structure: str | None, box: bool) -> None:
    prompt = PublishedPrompt(structure, box=torch.from_numpy(tiny["zoom_box"])[0] if box else None)
    with torch.inference_mode():
        answer = published(Recorded("tiny_weights.safetensors"), torch.from_numpy(tiny["zoom_volume"]), prompt)
    assert answer.region is not None
    roi = tiny[f"zoom_roi_{name}"]
    assert answer.region.start == tuple(roi[:3])
    assert answer.region.stop == tuple(np.minimum(roi[3:] + 1, answer.coarse.shape))
    if box:
        np.testing.assert_array_equal(torch.stack(answer.boxes), tiny[f"zoom_window_boxes_{name}"][1:])
    assert_close(answer.coarse, tiny[f"coarse_logits_{name}"][0, 0], 2e-3)
    assert_close(answer.logits, tiny[f"zoom_logits_{name}"][0, 0], 2e-3)
