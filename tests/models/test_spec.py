"""A Spec holds possible values only, and its groups name layers that are there."""

import copy
import re
from dataclasses import replace
from typing import Any

import pytest

from segevolution.adapters.targets import layers
from segevolution.errors import CheckpointError
from segevolution.imaging.prompts import PromptKind
from segevolution.models.backbone import AnswerGroup, BackboneModule, Spec
from segevolution.models.segvol.config import PixelDecoderConfig, SegVolConfig, StemConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality

POSSIBLE: dict[str, Any] = {"window": (8, 32, 32), "accepts": frozenset({PromptKind.POINT}), "intensity": "z_score"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"window": (8, 0, 32)}, "window"),
        ({"window": (8, 32)}, "window"),
        ({"window": (8.0, 32, 32)}, "window"),
        ({"accepts": frozenset()}, "kinds of prompt"),
        ({"accepts": frozenset({"pointer"})}, "kinds of prompt"),
        ({"intensity": "zscore"}, "foreground, soft_tissue, "),
        ({"framing": ""}, "framing"),
        ({"spacing": (1.5, 1.5, 0.0)}, "millimetres"),
        ({"spacing": (1.5, float("nan"), 1.5)}, "millimetres"),
        ({"spacing": (1.5, 1.5)}, "millimetres"),
        ({"axis": "w"}, "axis"),
        ({"windows": "everywhere"}, "roi"),
        ({"previous": (8, 16, 16)}, "accepts a mask"),
        ({"accepts": frozenset({PromptKind.MASK})}, "accepts a mask"),
        ({"encoding": ("patches",)}, "patches"),
        ({"structures": ("liver", "liver")}, "doubles"),
    ],
)
def test_a_value_that_no_network_can_have_is_refused_in_a_sentence(value: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        Spec(**{**POSSIBLE, **value})


def test_what_a_second_network_asks_for_can_be_said() -> None:
    spec = Spec(
        window=(128, 128, 128),
        accepts=frozenset({PromptKind.POINT, PromptKind.MASK}),
        intensity="z_score",
        framing="click",
        spacing=(1.5, 1.5, 1.5),
        previous=(32, 32, 32),
    )
    assert copy.deepcopy(spec) == spec


def test_the_group_of_the_modality_answers_else_the_first_that_has_the_structure() -> None:
    groups = (AnswerGroup(("liver", "aorta"), Modality.CT), AnswerGroup(("liver", "prostate"), Modality.MRI))
    names = ("liver", "aorta", "prostate")
    spec = Spec((8, 8, 8), frozenset({PromptKind.TEXT}), "z_score", structures=names, answer_groups=groups)
    assert spec.answered_with("liver", Modality.CT) == ("liver", "aorta")
    assert spec.answered_with("liver", Modality.MRI) == ("liver", "prostate")
    assert spec.answered_with("aorta", Modality.MRI) == ("liver", "aorta")
    assert spec.answered_with("prostate", None) == ("liver", "prostate")
    assert replace(spec, answer_groups=()).answered_with("aorta", Modality.MRI) == names
    with pytest.raises(CheckpointError, match="answer groups"):
        replace(spec, answer_groups=groups[:1])


def network_with_everything() -> SegVol:
    sizes = {"width": 32, "depth": 1, "heads": 2, "mlp": 32, "decoder_heads": 2, "decoder_mlp": 16, "iou_hidden": 8}
    return SegVol(
        SegVolConfig(
            (8, 32, 32),
            (4, 8, 8),
            text=TextConfig(kind="words", vocabulary=30, width=16, layers=1, heads=2, mlp=16, positions=8),
            stem=StemConfig((4, 8, 16)),
            high_resolution=True,
            dense_prompts=True,
            pixel_decoder=PixelDecoderConfig((8, 8), groups=4),
            **sizes,
        )
    )


def _matches(patterns: tuple[str, ...], names: list[str]) -> bool:
    shapes = [re.escape(pattern).replace(r"\*\*", r".+").replace(r"\*", r"[^.]+") for pattern in patterns]
    return all(any(re.fullmatch(shape, name) for name in names) for shape in shapes)


@pytest.mark.parametrize("make", [TinyBackbone, network_with_everything])
def test_every_pattern_of_a_group_names_something_that_is_there(make: type[BackboneModule]) -> None:
    network = make()
    offered = [*network.spec.adaptable, *network.spec.words]
    for group, patterns in network.spec.layer_groups.items():
        assert _matches(patterns, offered), group
    named = [name for name, _ in network.named_parameters()]
    for group, patterns in network.spec.parameter_groups.items():
        assert _matches(patterns, named), group
    assert layers(network, network.spec.adaptation.targets)
