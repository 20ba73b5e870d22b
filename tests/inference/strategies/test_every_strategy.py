"""What holds whichever strategy answers: the right place in the patient, exactly the input's grid, the Spec obeyed."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segevolution.errors import CheckpointError, PromptError
from segevolution.imaging.framing import frame
from segevolution.imaging.intensity import NORMALISERS
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.inference.session import Session
from segevolution.inference.strategies import STRATEGIES, strategy_of
from segevolution.models.backbone import Features
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.vocabulary import Modality

GRIDS = [
    ((0, 1, 2), (1, 1, 1), False),
    ((2, 0, 1), (-1, 1, -1), True),
    ((1, 2, 0), (1, -1, -1), False),
    ((1, 0, 2), (-1, -1, 1), True),
    ((0, 2, 1), (-1, 1, 1), False),
    ((2, 1, 0), (1, 1, -1), True),
]
ASKED = [  # least Dice of the untrained double, which sees bright voxels only
    ("zoom", "box", 0.9),
    ("zoom", "point", 0.8),
    ("click", "box", 0.8),
    ("click", "point", 0.75),
    ("slices", "box", 0.85),
    ("slices", "point", 0.75),
    ("sliding", "text", 0.9),
]


def prompt_for(phantom, kind: str, where, truth) -> Prompt:
    if kind == "box":
        return Prompt.make(where, box=phantom.tight(truth))
    if kind == "point":
        return Prompt.make(where, points=[phantom.CENTRE], mm=True)
    return Prompt(where, "liver")


@pytest.mark.parametrize(("axes", "signs", "oblique"), GRIDS)
@pytest.mark.parametrize(("framing", "kind", "least"), ASKED)
def test_the_answer_lies_in_the_same_place_of_the_patient_for_every_grid(
    phantom, framing: str, kind: str, least: float, axes: tuple[int, ...], signs: tuple[int, ...], oblique: bool
) -> None:
    where = phantom.grid(axes, signs, oblique=oblique)
    volume, truth = phantom.patient(where)
    network = TinyBackbone(replace(VARIANTS[framing], structures=("liver", "spleen"))).eval()
    answer = Session(network, volume).segment(prompt_for(phantom, kind, where, truth))
    if kind == "text":  # without a place, all that is bright
        truth = truth | phantom.ellipsoid(where, -phantom.CENTRE * 1.4, phantom.OTHER)
    assert answer.mask.shape == where.shape
    assert phantom.dice(answer.mask, truth) > least
    middle = where.to_mm(np.argwhere(answer.mask)).mean(axis=0)
    np.testing.assert_allclose(middle, where.to_mm(np.argwhere(truth)).mean(axis=0), atol=1.0)


@pytest.mark.parametrize(("framing", "kind"), [(framing, kind) for framing, kind, _ in ASKED if kind != "text"])
@pytest.mark.parametrize("corner", list(itertools.product((-1, 1), repeat=3))[::2])
def test_a_structure_in_the_corner_of_the_image_is_answered(
    phantom, framing: str, kind: str, corner: tuple[int, ...]
) -> None:
    where = phantom.grid((2, 0, 1), (-1, 1, -1))
    centre = phantom.FIELD / 2 * corner * 0.97
    volume, truth = phantom.patient(where, centre)
    network = phantom.network(framing)
    place = np.argwhere(truth)[np.linalg.norm(where.to_mm(np.argwhere(truth)) - centre, axis=1).argmin()]
    prompt = Prompt.make(where, box=phantom.tight(truth)) if kind == "box" else Prompt.make(where, points=[place])
    answer = Session(network, volume).segment(prompt)
    assert phantom.dice(answer.mask, truth) > 0.6


class Recorded(TinyBackbone):
    """Keeps the images that it was given."""

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        self.__dict__.setdefault("images", []).append(images.clone())
        return super()._encode(images, modalities)


@pytest.mark.parametrize("framing", VARIANTS)
def test_a_network_is_given_its_window_its_intensities_and_its_padding(phantom, framing: str) -> None:
    where = phantom.grid()
    volume, truth = phantom.patient(where, phantom.FIELD / 2 * 0.97)
    network = Recorded(replace(VARIANTS[framing], structures=("liver",))).eval()
    session = Session(network, volume)
    session.segment(prompt_for(phantom, "text" if framing == "sliding" else "box", where, truth))
    bounds = NORMALISERS[network.spec.intensity]
    for image in torch.cat(network.images):
        assert tuple(image.shape) == (1, *network.spec.window)
        assert image.min() >= session.frame.pad - 1e-6
        assert bounds.high is None or image.max() <= bounds.high + 1e-6
    if framing == "click":
        assert session.frame.pad < -0.3
        np.testing.assert_allclose(session.frame.spacing, network.spec.spacing)
        image = torch.cat(network.images)[0, 0]
        assert (image == image[-1, -1, -1]).sum() > image.numel() / 4  # beyond the corner it is air
        assert image[-1, -1, -1] == session.frame.pad


@pytest.mark.parametrize("framing", VARIANTS)
def test_the_prompts_of_a_session_are_answered_each_as_if_alone(phantom, framing: str) -> None:
    where = phantom.grid()
    volume, truth = phantom.patient(where)
    network = TinyBackbone(replace(VARIANTS[framing], structures=("liver", "spleen", "aorta"))).eval()
    if framing == "sliding":
        prompts = [Prompt(where, name) for name in ("aorta", "liver", "spleen")]
    else:
        prompts = [prompt_for(phantom, kind, where, truth) for kind in ("box", "point")]
    together = Session(network, volume).segment(prompts, keep_logits=True)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = Session(network, volume).segment(prompt, keep_logits=True)
        np.testing.assert_allclose(alone.logits, answer.logits, atol=2e-2)
        assert phantom.dice(alone.mask, answer.mask) > 0.99


@pytest.mark.parametrize("framing", VARIANTS)
def test_three_alternatives_are_answered(phantom, framing: str) -> None:
    where = phantom.grid()
    volume, truth = phantom.patient(where)
    network = TinyBackbone(replace(VARIANTS[framing], structures=("liver",))).eval()
    found = Session(network, volume).candidates(
        prompt_for(phantom, "text" if framing == "sliding" else "box", where, truth), keep_logits=True
    )
    assert len(found) == 3
    assert not np.array_equal(found[0].logits, found[1].logits)


@pytest.mark.parametrize("framing", VARIANTS)
def test_what_a_network_does_not_accept_is_refused(phantom, framing: str) -> None:
    where = phantom.grid()
    volume, truth = phantom.patient(where)
    network = phantom.network(framing)
    session = Session(network, volume)
    for kind, prompt in {
        PromptKind.TEXT: Prompt(where, "liver"),
        PromptKind.POINT: Prompt.make(where, points=[(30, 20, 12)]),
        PromptKind.BOX: Prompt.make(where, box=phantom.tight(truth)),
    }.items():
        if kind not in network.spec.accepts:
            with pytest.raises(PromptError, match=f"takes no {kind} prompt"):
                session.segment(prompt)


@pytest.mark.parametrize("framing", VARIANTS)
def test_one_window_stands_for_an_image_and_can_be_encoded(phantom, framing: str) -> None:
    volume, _ = phantom.patient(phantom.grid())
    network = phantom.network(framing)
    strategy = strategy_of(network.spec)
    framed = strategy.prepare(volume, network.spec)
    window = strategy.overview(torch.from_numpy(framed.image), framed.pad, network.spec)
    assert window.shape == (1, 1, *network.spec.window)
    assert window.min() < window.max()
    network.encode(window, [None])


def test_every_strategy_has_a_tiny_network() -> None:
    assert set(STRATEGIES) == {*VARIANTS, "autozoom"}  # its network is nnInteractive's at a small size, see models/
    assert all(strategy_of(TinyBackbone(config).spec).name == name for name, config in VARIANTS.items())


@pytest.mark.parametrize(
    ("framing", "change", "sentence"),
    [
        ("zoom", {"framing": "spiral"}, 'asks for the framing "spiral"; this version knows zoom, click'),
        ("slices", {"framing": "zoom"}, "2-D windows"),
        ("zoom", {"framing": "slices"}, r"has the window \(1, H, W\)"),
        ("sliding", {"framing": "click"}, "must accept points or a box"),
        ("zoom", {"framing": "sliding"}, "must accept text alone"),
    ],
)
def test_a_network_that_no_strategy_serves_is_refused(
    phantom, framing: str, change: dict[str, str], sentence: str
) -> None:
    network = phantom.network(framing)
    network.spec = replace(network.spec, **change)
    volume, _ = phantom.patient(phantom.grid())
    with pytest.raises(CheckpointError, match=sentence):
        Session(network, volume)


def test_a_zoom_network_of_z_scores_is_padded_with_air_not_with_the_mean(phantom) -> None:
    volume, _ = phantom.patient(phantom.grid())
    network = Recorded(replace(VARIANTS["zoom"], window=(32, 64, 64))).eval()
    network.spec = replace(network.spec, intensity="z_score")
    session = Session(network, volume, windows="roi")
    session.segment(points=[phantom.CENTRE], mm=True)
    pad = frame(volume, "z_score").pad
    assert session.frame.pad == pad < -0.3
    window = network.images[1][0, 0]
    assert tuple(window.shape) > session.frame.image.shape
    assert float(window[0, 0, 0]) == pytest.approx(pad)
