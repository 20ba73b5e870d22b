"""Zoom-in on a network whose answer is known voxel by voxel: what is averaged, what is weighted, what is left out."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segevolution.imaging.prompts import PromptKind
from segevolution.inference.encodings import Encodings
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.strategies.base import Answer
from segevolution.inference.strategies.zoom import answers
from segevolution.inference.stretched_logits import stretched
from segevolution.inference.windows import VoxelBlock, central, region_around, tight, windows_over
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch, Spec
from segevolution.models.spec import Windows
from segevolution.vocabulary import Context, Modality

WINDOW = (4, 8, 8)


class Echo(BackboneModule):
    """Says of each voxel its own intensity less a half, and of its overlap the window's mean intensity."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = Spec(WINDOW, frozenset({PromptKind.TEXT}), "foreground")
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        return Features(images.flatten(1)[..., None], WINDOW, (), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        images = features.tokens[prompts.image_index].reshape(-1, 1, *WINDOW)
        return Masks(images - 0.5, images.mean(dim=(2, 3, 4)), WINDOW)


def image(*blocks: VoxelBlock, shape: tuple[int, int, int] = (8, 24, 24)) -> Tensor:
    values = 0.2 * torch.rand(shape, generator=torch.Generator().manual_seed(0))
    for block in blocks:
        values[block.slices] += 0.7
    return values


def ask(values: Tensor, windows: Windows) -> Answer:
    (answer,) = answers(Encodings(Echo(), values, None), [FramePrompt("liver")], [Context()], windows=windows)
    return answer


def coarse_of(values: Tensor) -> Tensor:
    small = functional.interpolate(values[None, None], WINDOW, mode="nearest-exact")[0, 0]
    return stretched(small - 0.5, (*values.shape,))  # type: ignore[arg-type]


WIDE = VoxelBlock((0, 2, 2), (8, 20, 20))


@pytest.mark.parametrize("windows", ["roi", "lattice", "central"])
def test_windows_that_overlap_are_averaged_so_that_what_all_of_them_say_stands(windows: Windows) -> None:
    values = image(WIDE)
    answer = ask(values, windows)
    assert answer.windows > 4
    found = tight(coarse_of(values) > 0)
    assert found is not None
    inside = found.slices
    torch.testing.assert_close(answer.logits[inside], values[inside] - 0.5)


def test_the_overlap_is_the_mean_over_windows_weighted_by_what_the_coarse_mask_has_in_each() -> None:
    values = image(VoxelBlock((0, 2, 2), (8, 20, 8)), VoxelBlock((0, 14, 8), (8, 20, 20)))
    mask = coarse_of(values) > 0
    found = tight(mask)
    assert found is not None
    region = region_around(found, WINDOW, (*values.shape,))  # type: ignore[arg-type]
    weights, overlaps = [], []
    for window in windows_over(region, WINDOW):
        weight = int(mask[window.content.slices].sum())
        if not weight:
            continue
        weights.append(weight)
        overlaps.append(float(values[window.content.slices].mean()))
    assert len(set(weights)) > 1
    expected = np.average(overlaps, weights=weights)
    assert abs(expected - np.mean(overlaps)) > 1e-3
    assert ask(values, "roi").iou == pytest.approx(expected, abs=1e-5)


BODY, SPECK, SECOND = (
    VoxelBlock((4, 2, 2), (12, 15, 15)),
    VoxelBlock((4, 25, 25), (12, 28, 28)),
    VoxelBlock((4, 17, 2), (12, 24, 8)),
)


def looked_at(values: Tensor) -> VoxelBlock | None:
    """What a closer look changed."""
    return tight(ask(values, "focus").logits != ask(values, "off").logits)


def test_a_speck_far_from_the_structure_does_not_widen_the_closer_look() -> None:
    values = image(BODY, SPECK, shape=(16, 32, 32))
    coarse = coarse_of(values) > 0
    assert coarse[SPECK.slices].any()
    assert ask(values, "focus").windows == 1
    seen = looked_at(values)
    assert seen is not None
    assert seen.holds(tight(coarse[:, :20, :20]) or BODY)
    assert seen.meet(SPECK).empty


def test_a_second_part_of_some_size_is_looked_at_too() -> None:
    values = image(BODY, SECOND, shape=(16, 48, 48))
    seen = looked_at(values)
    assert seen is not None
    assert not seen.meet(SECOND).empty
    assert seen.stop[1] >= SECOND.stop[1]


def test_central_windows_are_the_one_of_the_lattice_in_whose_middle_a_block_lies() -> None:
    lattice = windows_over(VoxelBlock.whole((8, 32, 40)), (8, 16, 16))
    (only,) = central(lattice, VoxelBlock((2, 10, 22), (6, 17, 30)))
    assert only.view.start == (0, 8, 16)
    along_rows = central(lattice, VoxelBlock((2, 3, 22), (6, 30, 30)))
    assert [window.view.start for window in along_rows] == [(0, 0, 16), (0, 8, 16), (0, 16, 16)]


def test_central_windows_are_fewer_than_the_lattices_and_say_what_they_see() -> None:
    values = image(VoxelBlock((0, 9, 9), (8, 15, 15)))
    one, many = (ask(values, windows) for windows in ("central", "lattice"))
    assert one.windows < many.windows
    found = tight(coarse_of(values) > 0)
    assert found is not None
    torch.testing.assert_close(one.logits[found.slices], values[found.slices] - 0.5)
