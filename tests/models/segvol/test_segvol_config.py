"""Configs: round trips, and what they refuse."""

import json
from dataclasses import replace
from typing import Any

import pytest

from segevolution.errors import CheckpointError
from segevolution.models.segvol.config import PixelDecoderConfig, SegVolConfig, StartConfig, StemConfig, TextConfig


def test_config_survives_json(mini_config: SegVolConfig) -> None:
    for config in (mini_config, SegVolConfig.published()):
        assert SegVolConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changed", "near"),
    [({"widht": 1}, "width"), ({"text": {"layer": 2}}, "text.layers"), ({"stem": {"chanels": [4]}}, "stem.channels")],
)
def test_unknown_setting_is_refused_with_the_nearest_known(
    changed: dict[str, Any], near: str, mini_config: SegVolConfig
) -> None:
    with pytest.raises(CheckpointError, match=f'did you mean "{near}"'):
        SegVolConfig.from_dict({**mini_config.to_dict(), **changed})


def test_missing_setting_is_refused_by_name(mini_config: SegVolConfig) -> None:
    values = mini_config.to_dict()
    del values["width"]
    with pytest.raises(CheckpointError, match="width"):
        SegVolConfig.from_dict(values)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"window": (8, 30, 32)}, "whole number of patches"),
        ({"window": (8, 32)}, "three positive whole numbers"),
        ({"width": 36}, "eight"),
        ({"width": "32"}, "positive whole number"),
        ({"heads": 3}, "heads"),
        ({"decoder_heads": 5}, "decoder_heads"),
        ({"template": "latin"}, "template"),
        ({"coordinates": "polar"}, "coordinates"),
        ({"stem": None}, "high_resolution needs a stem"),
        ({"stem": StemConfig((4, 4), groups=2)}, "3 stages"),
        ({"high_resolution": False, "pixel_decoder": PixelDecoderConfig()}, "needs high_resolution"),
        ({"patch": (2, 8, 8)}, "at least 4"),
        ({"window": (9, 32, 32), "patch": (3, 8, 8)}, "powers of two"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed: dict[str, Any], said: str, mini_config: SegVolConfig) -> None:
    with pytest.raises(CheckpointError, match=said):
        replace(mini_config, **changed)


def test_parts_refuse_impossible_values() -> None:
    with pytest.raises(CheckpointError, match="kind"):
        TextConfig("bytes")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="groups"):
        StemConfig((6, 12), groups=4)
    with pytest.raises(CheckpointError, match="8 groups"):
        PixelDecoderConfig((96, 20))
    with pytest.raises(CheckpointError, match="standard deviations"):
        StartConfig(fourier=(0.0, 1.0))


@pytest.mark.parametrize(
    ("patch", "steps"),
    [
        ((4, 8, 8), ((1, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((4, 16, 16), ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((8, 8, 8), ((2, 2, 2),) * 3),
    ],
)
def test_stem_steps_lead_from_voxels_to_tokens(
    patch: tuple[int, int, int], steps: tuple[tuple[int, int, int], ...], mini_config: SegVolConfig
) -> None:
    stem = StemConfig((4,) * len(steps), groups=2)
    config = replace(mini_config, window=(16, 32, 32), patch=patch, stem=stem)
    assert config.stem_steps == steps


def test_masks_are_four_times_the_token_grid() -> None:
    config = SegVolConfig.published()
    assert config.grid == (8, 16, 16)
    assert config.mask_size == (32, 64, 64)
