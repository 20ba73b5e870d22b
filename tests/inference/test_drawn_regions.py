"""Scribbles and lassos reach a network that takes them, on the voxels where they were drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segevolution.errors import CheckpointError, PromptError
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.regions import Region
from segevolution.imaging.volume import Volume
from segevolution.inference.drawn_regions import channels, in_frame, rescaled, within
from segevolution.inference.frame_prompt import FramePrompt, collate, resized, to_frame_prompt
from segevolution.inference.session import Session
from segevolution.inference.strategies import strategy_of
from segevolution.inference.windows import VoxelBlock
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.vocabulary import Modality

SHAPE = (20, 24, 10)
_voxels = st.sets(st.tuples(*[st.integers(0, side - 1) for side in SHAPE]), min_size=1, max_size=6)


def scan(spacing: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> Volume:
    """Noise, its first axis against the patient's right."""
    array = np.random.default_rng(0).uniform(0.2, 1, SHAPE).astype(np.float32)
    return Volume(array, Grid(SHAPE, np.diag([-spacing[0], spacing[1], spacing[2], 1])), Modality.CT, "scan")


@settings(deadline=None, max_examples=30)
@given(_voxels, st.sampled_from([None, (1.5, 1.5, 1.5), (0.7, 0.7, 2.0)]))
def test_a_drawn_voxel_lies_in_the_frame_where_its_centre_lies(voxels, spacing) -> None:
    framed = frame(scan(), "z_score", spacing)
    region = Region.of(list(voxels))
    carried = in_frame(region, framed)
    assert carried is not None
    centres = np.floor(framed.indices(region.voxels) + 0.5).clip(0, np.array(framed.image.shape) - 1)
    assert {tuple(row) for row in centres.astype(int).tolist()} <= {tuple(row) for row in carried.voxels.tolist()}
    back = np.floor(framed.voxels(carried.voxels) + 0.5)
    assert np.abs(back[:, None] - region.voxels[None]).max(axis=2).min(axis=1).max() <= 1
    if spacing is None:
        assert len(carried) == len(region)


@settings(deadline=None, max_examples=30)
@given(_voxels, st.tuples(*[st.integers(3, 40)] * 3))
def test_resizing_keeps_what_was_drawn_where_it_was(voxels, target) -> None:
    region = Region.of(list(voxels))
    carried = rescaled(region, SHAPE, target)
    assert carried is not None
    assert carried.inside(target)
    share = (carried.voxels + 0.5) / np.array(target)
    from_there = (region.voxels + 0.5) / np.array(SHAPE)
    apart = np.abs(share[:, None] - from_there[None])
    near = (apart <= 0.5 / np.array(SHAPE) + 0.5 / np.array(target) + 1e-9).all(axis=2)
    assert near.any(axis=1).all(), "nothing appears elsewhere"
    assert near.any(axis=0).all(), "nothing vanishes"


def test_a_window_sees_its_part_and_a_batch_has_a_channel_for_each_kind_and_sign() -> None:
    view = VoxelBlock((2, 2, 2), (6, 8, 8))
    lines = Region.of([(3, 3, 3), (9, 9, 9)]).joined(Region.of([(4, 4, 4)], positive=False))
    part = within(lines, view)
    assert part == Region.of([(1, 1, 1)]).joined(Region.of([(2, 2, 2)], positive=False))
    assert within(Region.of([(9, 9, 9)]), view) is None
    batch = collate(
        [FramePrompt("liver"), FramePrompt(scribbles=part, lasso=Region.of([(0, 5, 5)]))],
        [0, 0],
        torch.device("cpu"),
        view.shape,
    )
    assert batch.regions is not None
    assert batch.regions.shape == (2, 4, 4, 6, 6)
    assert torch.nonzero(batch.regions).tolist() == [[1, 0, 1, 1, 1], [1, 1, 2, 2, 2], [1, 2, 0, 5, 5]]
    assert batch.rows([0]).regions is not None
    assert channels([(None, None)], view.shape, torch.device("cpu")) is None
    assert resized(FramePrompt(scribbles=part), view.shape, (8, 12, 12)).scribbles is not None


@pytest.mark.parametrize("variant", ["zoom", "click"])
def test_a_network_that_takes_scribbles_is_told_them_and_one_that_does_not_refuses(variant: str) -> None:
    network, told = TinyBackbone(VARIANTS[variant]).eval(), []
    decode = network._decode
    network._decode = lambda features, prompts, *rest, **more: (  # type: ignore[method-assign]
        told.append(prompts.regions),
        decode(features, prompts, *rest, **more),
    )[1]
    volume = scan()
    drawn = Prompt(volume.grid, scribbles=Region.along([(5, 5, 5), (12, 5, 5)], volume.grid.shape))
    Session(network, volume).segment(drawn)
    assert told
    assert all(regions is None for regions in told), "it takes points, so the scribble became some"
    told.clear()
    network.spec = replace(network.spec, accepts=network.spec.accepts | {PromptKind.SCRIBBLE})
    answer = Session(network, volume).segment(drawn)
    assert answer.notes == ()
    assert told[0] is not None
    assert told[0][:, 0].sum() > 0
    assert told[0][:, 1:].sum() == 0


def test_drawn_voxels_are_refused_by_a_network_that_takes_none() -> None:
    network = TinyBackbone(VARIANTS["zoom"]).eval()
    window = network.spec.window
    features = network.encode(torch.zeros(1, 1, *window), [None])
    framed = frame(scan(), "foreground")
    prompt = to_frame_prompt(Prompt(framed.grid, "liver", scribbles=Region.of([(1, 1, 1)])), framed)
    batch = collate([prompt], [0], torch.device("cpu"), window)
    with pytest.raises(PromptError, match="takes no scribble or lasso prompt; it takes box, point, text"):
        network.decode(features, batch, [])
    spec = TinyBackbone(VARIANTS["slices"]).spec
    with pytest.raises(CheckpointError, match="carries no scribbles"):
        strategy_of(replace(spec, accepts=spec.accepts | {PromptKind.LASSO}))
