"""How slices are laid into the square of each system of the SAM family, and how masks come back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.inference.strategies.slice_placement import SlicePlacement, resized_plane
from segevolution.models.sam.config import LITE_MEDSAM, MEDSAM, SAM_MED2D, SAM_VIT_B, SamConfig
from segevolution.models.sam.sam import Sam
from segevolution.models.spec import Spec

CONFIGS = {"sam": SAM_VIT_B, "medsam": MEDSAM, "sam_med2d": SAM_MED2D, "lite_medsam": LITE_MEDSAM}


def spec_of(config: SamConfig) -> Spec:
    with torch.device("meta"):
        return Sam(config).spec


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    file = Path(__file__).resolve().parents[4] / "shared" / "reference" / "lite_medsam_outputs.npz"
    if not file.is_file():
        pytest.skip("the outputs of LiteMedSAM's own code (../shared/reference) are not here")
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files if name.endswith("_uint8")}


@pytest.mark.parametrize("image", ["ct", "synthetic"])
def test_area_means_are_within_a_grey_level_of_opencvs(published, image):
    pixels, resized = (published[f"{image}/{name}_uint8"] for name in ("image", "resized"))
    if pixels.ndim == 3:
        pixels, resized = pixels[..., 0], resized[..., 0]
    placement = SlicePlacement.of(0, (1, *pixels.shape), spec_of(LITE_MEDSAM))
    rows, columns = placement.shown
    assert (rows.stop, columns.stop) == resized.shape[:2]
    ours = placement.cut(torch.from_numpy(pixels).double()[None], -1.0)[0, rows, columns].add(0.5).floor()
    assert (ours - torch.from_numpy(resized).double()).abs().max() <= 1


def test_area_means_of_whole_blocks_are_means():
    image = torch.rand(1, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(resized_plane(image, (4, 4), "area"), image.reshape(1, 4, 2, 4, 3).mean((2, 4)))


@pytest.mark.parametrize("system", CONFIGS)
@pytest.mark.parametrize("shape", [(60, 100), (300, 180), (64, 64)])
def test_a_pixel_goes_in_and_its_mask_comes_back_to_it(system, shape):
    """A cone of low-resolution logits round a place in the square has its tip at the same place of the slice."""
    config = CONFIGS[system]
    placement = SlicePlacement.of(0, (1, *shape), spec_of(config))
    rows, columns = placement.shown
    x, y = 0.3 * (columns.stop - columns.start), 0.6 * (rows.stop - rows.start)
    grid = torch.arange(config.lowres, dtype=torch.float32) * config.image / config.lowres
    lowres = -torch.hypot(grid[:, None] - y, grid[None] - x)
    square = torch.nn.functional.interpolate(lowres[None, None], (config.image, config.image), mode="bilinear")[0]
    mask = placement.carry(square)[0, : shape[0], : shape[1]]
    row, column = np.unravel_index(int(mask.argmax()), tuple(mask.shape))
    assert abs(column - 0.3 * shape[1]) <= 2 * max(shape) / config.lowres + 1
    assert abs(row - 0.6 * shape[0]) <= 2 * max(shape) / config.lowres + 1


@pytest.mark.parametrize("system", ["sam", "lite_medsam"])
def test_what_lies_beside_a_slice_is_padding(system):
    config = CONFIGS[system]
    square = SlicePlacement.of(0, (1, 100, 50), spec_of(config)).cut(torch.full((1, 100, 50), 200.0), -1.0)
    assert square.shape == (1, config.image, config.image)
    assert (square[..., : config.image // 2] > 0).all()
    assert (square[..., config.image // 2 :] == -1).all()
