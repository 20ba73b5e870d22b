"""nnInteractive's channels, zoom and network against the authors' code. See golden/README.md."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segevolution.imaging.intensity import normalise
from segevolution.imaging.prompts import PromptKind
from segevolution.inference.encodings import Encodings
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.refinement import covering, opened
from segevolution.inference.strategies.autozoom import ZoomRun, first_look, widens
from segevolution.inference.zoomed_window import ZoomedWindow
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch, Spec
from segevolution.models.nninteractive.config import OFFICIAL
from segevolution.models.nninteractive.nninteractive import NnInteractive
from segevolution.models.nninteractive.unet import ResidualEncoder, UNetDecoder
from segevolution.models.outline import outlined
from segevolution.models.prompt_maps import CHANNELS, DrawnPrompt, MapKind, PromptMaps, Stroke, ball
from segevolution.vocabulary import Context

GOLDEN = Path(__file__).parents[2] / "golden" / "nninteractive_prompts.npz"
SHAPE, PATCH = (30, 28, 26), (16, 12, 20)
SETTINGS = PromptMaps(4, 0.98)
CPU = torch.device("cpu")


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return {name: stored[name] for name in stored.files}


@cache
def facts() -> dict[str, Any]:
    return json.loads(str(golden()["facts"]))


def close(ours: Tensor, truth: np.ndarray, tolerance: float = 1e-5) -> None:
    values = torch.from_numpy(np.asarray(truth)).float()
    assert ours.shape == values.shape
    assert (ours - values).abs().max() <= tolerance * max(1.0, float(values.abs().max()))


def stroke(step: dict[str, Any]) -> Stroke:
    """A golden prompt; boxes come half-open and may reach outside the volume."""
    arguments, kind = step["arguments"], step["kind"]
    positive = arguments["pos"]
    if kind == "point":
        return Stroke.point(arguments["c"], positive=positive, radius=4)
    if kind == "box":
        low, stop = zip(*arguments["b"], strict=True)
        return Stroke(MapKind.REGION, positive, (low, stop))
    if kind == "lasso":
        voxels = np.argwhere(golden()["lasso_mask"])
        return Stroke.filled(MapKind.REGION, torch.from_numpy(voxels), positive=positive)
    voxels = np.argwhere(golden()["scribble_crop"]) + [low for low, _ in arguments["bb"]]
    return Stroke.filled(MapKind.SCRIBBLE, torch.from_numpy(voxels), positive=positive)


def strokes() -> list[Stroke]:
    return [stroke(step) for step in facts()["prompt_steps"][1:]]


def test_a_point_is_a_ball_that_fades_to_its_rim():
    close(ball(4), golden()["point_radius_4"], 0)


def test_prompts_are_stored_as_published():
    drawn = DrawnPrompt(strokes(), SETTINGS)
    for number in range(CHANNELS):
        stored = drawn.stored(number, (0, 0, 0), SHAPE, CPU)
        np.testing.assert_array_equal(stored.numpy(), golden()["stored_channels"][1 + number])
        seen = drawn.seen(number, (0, 0, 0), SHAPE, CPU)
        close(seen, golden()["channels_for_network"][1 + number], 1e-3)
    for number, step in enumerate(facts()["prompt_steps"][1:]):
        assert DrawnPrompt(strokes()[: number + 1], SETTINGS).intensity == pytest.approx(step["intensity"])


def test_the_first_look_lies_where_it_is_published():
    nothing = torch.zeros(SHAPE, dtype=torch.bool)
    for each, step in zip(strokes(), facts()["prompt_steps"][1:], strict=True):
        place, zoom = first_look(FramePrompt(), [each], nothing, PATCH)
        assert place == step["centre"]
        assert zoom == pytest.approx(step["zoom"])


def test_the_image_is_normalised_as_published():
    close(
        torch.from_numpy(normalise(golden()["prompt_image"], "nonzero_box_z_score", None)),
        golden()["prompt_image_normalised"],
    )


@pytest.mark.parametrize("number", range(7))
def test_a_look_shows_what_the_published_one_shows(number):
    look = facts()["inputs"][number]
    window = ZoomedWindow.round(look["centre"], look["zoom"], PATCH, SHAPE)
    assert list(window.view.shape) == look["scaled_patch"]
    assert [[low, high] for low, high in zip(window.view.start, window.view.stop, strict=True)] == look["box"]
    before = torch.from_numpy(golden()["initial_seg"] > 0)
    image = window.cut(torch.from_numpy(golden()["prompt_image_normalised"]))
    close(image, golden()[f"input_{number}"][0])
    maps = window.maps(DrawnPrompt(strokes(), SETTINGS), before)
    close(maps, golden()[f"input_{number}"][1:], 1e-3 if look["zoom"] == 1 else 6e-3)
    np.testing.assert_array_equal(window.picked(before).numpy(), golden()[f"input_{number}_previous"] > 0)


@pytest.mark.parametrize("row", range(13))
def test_a_face_widens_the_look_where_the_published_one_does(row):
    now_count, before_count, first, expected = facts()["border_change"]["rows"][row]
    now, before = torch.zeros(60, 60, 60, dtype=torch.bool), torch.zeros(60, 60, 60, dtype=torch.bool)
    now[0].view(-1)[first : first + now_count] = True
    before[0].view(-1)[:before_count] = True
    assert widens(now, before) is expected


def test_thin_differences_are_dropped_as_published():
    np.testing.assert_array_equal(opened(torch.from_numpy(golden()["open_in"] > 0)).numpy(), golden()["open_out"] > 0)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_differences_are_covered_by_the_published_windows(number):
    case = facts()["refinement_boxes"][number]
    d, h, w = np.meshgrid(*map(np.arange, case["shape"]), indexing="ij")
    mask = np.zeros(case["shape"], bool)
    for centre, radii in case["ellipsoids"]:
        mask |= sum(((axis - c) / r) ** 2 for axis, c, r in zip((d, h, w), centre, radii, strict=True)) < 1
    found = covering(torch.from_numpy(mask), tuple(case["patch"]), np.random.RandomState(17))
    assert [[list(pair) for pair in zip(each.start, each.stop, strict=True)] for each in found] == case["boxes"]


class OneConv(BackboneModule):
    """The golden "network": one 1^3 convolution of the eight channels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.weight = torch.nn.Parameter(torch.tensor(facts()["network"]["weight_foreground"], dtype=torch.float32))
        patch = tuple(facts()["autozoom"]["patch"])
        accepts = frozenset({PromptKind.POINT, PromptKind.MASK})
        self.spec = Spec(patch, accepts, "z_score", "autozoom", previous=patch, maps=SETTINGS, estimates_overlap=False)

    def _encode(self, images: Tensor, modalities: Sequence[Any]) -> Features:
        return Features(images.flatten(2).transpose(1, 2), self.spec.window, (), tuple(modalities))

    def _decode(self, features, prompts: PromptBatch, contexts, *, multimask: bool = False) -> Masks:
        image = features.tokens.transpose(1, 2).unflatten(2, features.grid)
        inputs = torch.cat([image, prompts.maps], dim=1)
        self.seen.append(inputs[0])
        logits = torch.einsum("c,pcdhw->pdhw", self.weight, inputs)[:, None] + facts()["network"]["bias_foreground"]
        return Masks(logits, torch.zeros(len(prompts), 1), self.spec.window)


@pytest.mark.parametrize("name", ["small_point", "edge_point", "mid_box"])
def test_autozoom_answers_as_published(name):
    check_autozoom(name)


def check_autozoom(name: str) -> None:
    """Every look's input at some voxels, every window, and the answer, to the voxel."""
    case = next(case for case in facts()["autozoom"]["cases"] if case["case"] == name)
    image = torch.from_numpy(normalise(golden()[f"volume_{case['volume']}"], "nonzero_box_z_score", None))
    network, shape = OneConv().eval(), tuple(facts()["autozoom"]["shape"])
    encodings = Encodings(network, image, None, memory=0)
    before, given, rng = torch.zeros(shape, dtype=torch.bool), [], np.random.RandomState(17)
    steps, answers = case["steps"], 0
    for number, step in enumerate(steps):
        if step["kind"] != "prompt":
            continue
        if step["prompt"] == "initial":
            mask = np.unpackbits(golden()["autozoom_initial"])[: image.numel()].reshape(shape)
            before = torch.from_numpy(mask > 0)
        else:
            given.append(
                stroke(
                    {"kind": "point", "arguments": {"c": step["arguments"], "pos": step["positive"]}}
                    if step["prompt"] == "point"
                    else {"kind": "box", "arguments": {"b": step["arguments"], "pos": step["positive"]}}
                )
            )
        run = ZoomRun(encodings, Context(), DrawnPrompt(given, SETTINGS), before, rng)
        network.seen.clear()
        place, zoom = first_look(FramePrompt(), given, before, network.spec.window)
        run.answer(place, zoom, initial=not given)
        rest = steps[number + 1 :]
        end = next((place for place, later in enumerate(rest) if later["kind"] == "prompt"), len(rest))
        passes = [later for later in rest[:end] if later["kind"] == "pass"]
        assert len(network.seen) == len(passes)
        for inputs, golden_pass in zip(network.seen, passes, strict=True):
            place = golden_pass["input_samples"]
            d, h, w = golden()["pass_sample_voxels"][place].T.astype(int)
            close(inputs[:, d, h, w], golden()["pass_samples"][place], 6e-3)
        mask = np.unpackbits(golden()[f"{name}_mask_{answers}"])[: image.numel()].reshape(shape)
        np.testing.assert_array_equal(run.mask.numpy(), mask > 0)
        before, answers = run.mask, answers + 1


def test_the_network_answers_as_published():
    weights = {
        name.removeprefix("unet/"): torch.from_numpy(value)
        for name, value in golden().items()
        if name.startswith("unet/")
    }
    arguments = facts()["unet"]
    encoder = ResidualEncoder(arguments["features_per_stage"], arguments["n_blocks_per_stage"]).eval()
    decoder = UNetDecoder(arguments["features_per_stage"]).eval()
    for part, start in ((encoder, "encoder."), (decoder, "decoder.")):
        part.load_state_dict({k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)})
    with torch.no_grad():
        skips = encoder(torch.from_numpy(golden()["unet_input"]))
        for number, skip in enumerate(skips):
            close(skip, golden()[f"unet_skip_{number}"])
        close(decoder(skips), golden()["unet_output_0"])


def test_official_names_and_shapes_are_ours():
    with outlined():
        model = NnInteractive(OFFICIAL)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert shapes == facts()["official_state_dict"]
    assert sum(parameter.numel() for parameter in model.parameters()) == 102_355_818
