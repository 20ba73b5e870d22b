"""Our zoom-out-zoom-in beside the published one, on the golden network and volumes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segevolution.inference.encodings import Encodings
from segevolution.inference.frame_prompt import FramePrompt, resized
from segevolution.inference.strategies.base import Answer
from segevolution.inference.strategies.zoom import answers
from segevolution.inference.stretched_logits import stretched
from segevolution.inference.windows import Focus, VoxelBlock, focus_around, tight
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch, Windows
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.vocabulary import Context, Modality

GOLDEN = Path(__file__).parents[2] / "golden"
outputs = np.load(GOLDEN / "zoom_outputs.npz", allow_pickle=False)
cases = json.loads(str(outputs["cases"]))


class Recorded(BackboneModule):
    """The golden network, the last batch it was asked kept."""

    def __init__(self) -> None:
        super().__init__()
        sizes = SegVolConfig((8, 32, 32), (4, 8, 8), 48, 2, 4, 96, 2, 4, 64, 2, 16, unused_mask_downscaling=True)
        self.network = SegVol(sizes).eval()
        self.network.load_state_dict(load_file(GOLDEN / "zoom_weights.safetensors"))
        self.spec = self.network.spec
        self.asked: list[PromptBatch] = []

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        return self.network.encode(images, modalities)

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        self.asked.append(prompts)
        words = [torch.from_numpy(outputs[f"text_{name or 'liver'}"])[0] for name in prompts.structures]
        text = torch.stack(words) if any(prompts.structures) else None
        return self.network.decode_tokens(features, prompts, contexts, text=text, multimask=multimask)


@pytest.fixture(scope="module")
def network() -> Recorded:
    return Recorded()


def image_of(volume: str) -> Tensor:
    return torch.from_numpy(outputs[f"volume/{volume}/image_uint8"].astype(np.float32) / 256)


def ask(network: Recorded, volume: str, prompt: FramePrompt, windows: Windows = "roi") -> tuple[Answer, Encodings]:
    encodings = Encodings(network, image_of(volume), None)
    network.asked.clear()
    (answer,) = answers(encodings, [prompt], [Context()], windows=windows)
    return answer, encodings


def dice(first: object, second: object) -> float:
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


TEXTS = [case for case in cases if case.endswith("_text") and not cases[case]["box"] and not cases[case]["point"]]
LOCAL = [case for case in TEXTS if cases[case]["windows"]]


@pytest.mark.parametrize("windows", ["roi", "lattice"])
@pytest.mark.parametrize("case", LOCAL)
def test_text_finds_the_structure_at_least_as_well_as_published(network: Recorded, case: str, windows: Windows) -> None:
    facts = cases[case]
    answer, encodings = ask(network, facts["volume"], FramePrompt(facts["text"]), windows)
    truth = outputs[f"volume/{facts['volume']}/label"] == {"liver": 1, "spleen": 2}[facts["text"]]
    assert answer.windows == encodings.counts.encodings - 1
    assert dice(answer.logits > 0, truth) >= facts["dice_with_toy_label"] - 0.01


def test_beside_a_border_the_region_shows_image_where_the_published_one_shows_zeros(network: Recorded) -> None:
    truth = outputs["volume/corner/label"] == {"liver": 1, "spleen": 2}[cases["corner_text"]["text"]]
    answer, _ = ask(network, "corner", FramePrompt(cases["corner_text"]["text"]))
    assert dice(outputs["corner_text/mask_as_published"], truth) < 0.7
    assert dice(answer.logits > 0, truth) > 0.95


def test_windows_without_anything_known_in_them_are_not_encoded(network: Recorded) -> None:
    answer, encodings = ask(network, "large", FramePrompt("liver"))
    assert 1 < answer.windows < cases["large_text"]["windows"]
    assert encodings.counts.encodings == answer.windows + 1
    assert encodings.counts.decodings == answer.windows + 1
    coarse, _ = ask(network, "large", FramePrompt("liver"), "off")
    unseen = answer.logits == coarse.logits
    assert unseen.any()
    assert (answer.logits[unseen] <= 0).all()


def test_without_coarse_foreground_text_gets_the_coarse_answer(network: Recorded) -> None:
    answer, encodings = ask(network, "blank", FramePrompt("liver"))
    assert answer.windows == 0
    assert encodings.counts.encodings == 1
    assert not (answer.logits > 0).any()


def test_without_coarse_foreground_a_box_or_a_point_still_says_where_to_look(network: Recorded) -> None:
    box, _ = ask(network, "blank", FramePrompt(box=VoxelBlock((2, 10, 10), (6, 20, 20))))
    assert box.windows == 1
    lone = network.asked[-1]
    assert lone.boxes is not None
    assert not lone.boxes.isnan().any()
    point, _ = ask(network, "blank", FramePrompt(points=((4.0, 15.0, 15.0),), labels=(1,)))
    assert point.windows == 1


@pytest.mark.parametrize("volume", ["thin", "single", "large"])
def test_every_point_of_a_person_reaches_a_window_with_its_label(network: Recorded, volume: str) -> None:
    label = outputs[f"volume/{volume}/label"]
    inside, outside = (np.argwhere(label == value)[::37][:5].astype(float) for value in (1, 2))
    points = tuple((float(d), float(h), float(w)) for d, h, w in [*inside, *outside])
    labels = (1,) * len(inside) + (0,) * len(outside)
    answer, _ = ask(network, volume, FramePrompt("liver", points, labels))
    assert answer.windows > 0
    told = torch.cat([batch.labels.flatten() for batch in network.asked[1:] if batch.labels is not None])
    assert (told == 1).sum() >= len(inside)
    assert not (told == -1).any()


def test_box_and_points_together_are_answered(network: Recorded) -> None:
    truth = outputs["volume/single/label"] == 1
    d, h, w = np.argwhere(truth).T
    box = VoxelBlock((d.min(), h.min(), w.min()), (d.max() + 1, h.max() + 1, w.max() + 1))
    middle = (float(d.mean()), float(h.mean()), float(w.mean()))
    answer, _ = ask(network, "single", FramePrompt("liver", (middle,), (1,), box))
    assert dice(answer.logits > 0, truth) > 0.9


def test_several_prompts_and_alternatives_are_those_of_each_alone(network: Recorded) -> None:
    prompts = [FramePrompt("liver"), FramePrompt("spleen"), FramePrompt(points=((6.0, 20.0, 24.0),), labels=(1,))]
    encodings = Encodings(network, image_of("single"), None, batch=3)
    together = list(answers(encodings, prompts, [Context()] * 3, multimask=True))
    assert len(together) == 9
    for place, prompt in enumerate(prompts):
        alone = Encodings(network, image_of("single"), None, batch=1)
        for number, answer in enumerate(answers(alone, [prompt], [Context()], multimask=True)):
            found = together[3 * place + number]
            assert torch.allclose(found.logits, answer.logits, atol=1e-3)
            assert found.windows == answer.windows
            assert found.iou == pytest.approx(answer.iou, abs=1e-4)


def test_coarse_logits_keep_their_place_on_the_frame() -> None:
    ramp = torch.arange(8.0)[:, None, None].expand(8, 4, 4)
    carried = stretched(ramp.contiguous(), (16, 4, 4))[:, 0, 0]
    np.testing.assert_allclose(carried[1:-1], (np.arange(1, 15) + 0.5) / 2 - 0.5, atol=1e-6)


@pytest.mark.parametrize("windows", ["roi", "focus"])
def test_a_closer_look_finds_more_than_the_whole_image_shows(network: Recorded, windows: Windows) -> None:
    truth = outputs["volume/corner/label"] == {"liver": 1, "spleen": 2}[cases["corner_text"]["text"]]
    coarse, _ = ask(network, "corner", FramePrompt(cases["corner_text"]["text"]), "off")
    closer, _ = ask(network, "corner", FramePrompt(cases["corner_text"]["text"]), windows)
    assert dice(closer.logits > 0, truth) > dice(coarse.logits > 0, truth)


def test_focus_looks_once_and_tells_the_point_where_it_lies(network: Recorded) -> None:
    point = tuple(float(value) for value in np.argwhere(outputs["volume/single/label"] == 1).mean(axis=0))
    answer, encodings = ask(network, "single", FramePrompt("liver", (point,), (1,)), "focus")  # type: ignore[arg-type]
    assert (answer.windows, encodings.counts.encodings, encodings.counts.decodings) == (1, 2, 2)
    told = network.asked[-1].points
    assert told is not None
    assert all(0 <= value < side for value, side in zip(told[0, 0].tolist(), network.spec.window, strict=True))


def test_focus_averages_its_look_with_the_whole_image(network: Recorded) -> None:
    prompt = FramePrompt("liver")
    encodings = Encodings(network, image_of("corner"), None)
    (answer,) = answers(encodings, [prompt], [Context()], windows="focus")
    (coarse,) = answers(encodings, [prompt], [Context()], windows="off")
    changed = answer.logits != coarse.logits
    region = tight(changed)
    assert answer.windows == 1
    assert region is not None
    inside = tight(coarse.logits > 0)
    assert inside is not None
    view = focus_around(inside, encodings.window, (*image_of("corner").shape,))  # type: ignore[arg-type]
    assert view.holds(region)
    look = Focus.on(view, encodings.window)
    told = resized(FramePrompt("liver", box=inside.shift(view.start, -1)), view.shape, encodings.window)
    said, iou = encodings.decode([encodings.at(look)], [told], [Context()], multimask=False)
    mean = (look.carry(said[0, 0]) + coarse.logits[view.slices]) / 2
    torch.testing.assert_close(answer.logits[view.slices], mean)
    assert answer.iou == pytest.approx((float(iou[0, 0]) + coarse.iou) / 2)


@pytest.mark.parametrize(("windows", "boxed"), [("roi", False), ("focus", True)])
def test_only_focus_tells_a_text_where_the_coarse_mask_lies(network: Recorded, windows: Windows, boxed: bool) -> None:
    ask(network, "corner", FramePrompt("liver"), windows)
    assert (network.asked[-1].boxes is not None) == boxed
    assert network.asked[-1].points is None


def test_a_prompt_corrected_by_a_voxel_mostly_keeps_its_focus() -> None:
    first = focus_around(VoxelBlock((10, 20, 30), (18, 40, 50)), (8, 16, 16), (64, 64, 64))
    moved = [VoxelBlock((10, 20 + low, 30), (18, 40, 50 + high)) for low in (-1, 0, 1) for high in (-1, 0, 1)]
    assert sum(focus_around(block, (8, 16, 16), (64, 64, 64)) == first for block in moved) >= 4
