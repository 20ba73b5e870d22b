"""How slices are laid into a SAM network's square, and OpenCV's resizing by area."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.models.sam.config import LITE_MEDSAM, MEDSAM, SAM_MED2D, SAM_VIT_B, SamConfig
from segevolution.models.sam.preparation import grey_to_colour, placed, prepared, resized_area


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    file = Path(__file__).resolve().parents[4] / "shared" / "reference" / "lite_medsam_outputs.npz"
    if not file.is_file():
        pytest.skip("the outputs of LiteMedSAM's own code (../shared/reference) are not here")
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files if name.split("/")[-1] in KEPT}


KEPT = ("image_uint8", "resized_uint8", "boxes", "boxes_256")


def colour(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else grey_to_colour(image)


@pytest.mark.parametrize("image", ["ct", "synthetic"])
def test_area_means_are_within_a_grey_level_of_opencvs(published, image):
    slice_pixels, resized = colour(published[f"{image}/image_uint8"]), colour(published[f"{image}/resized_uint8"])
    placement = placed(LITE_MEDSAM, slice_pixels.shape[:2])
    assert placement.content == resized.shape[:2]
    apart = np.abs(resized_area(slice_pixels, placement.content).astype(int) - resized.astype(int))
    assert apart.max() <= 1


@pytest.mark.parametrize("image", ["ct", "synthetic"])
def test_boxes_are_cut_to_pixels_of_the_square_as_published(published, image):
    placement = placed(LITE_MEDSAM, published[f"{image}/image_uint8"].shape[:2])
    boxes = torch.from_numpy(published[f"{image}/boxes"]).float().reshape(-1, 2, 2)
    assert torch.equal(placement.inward(boxes).reshape(-1, 4), torch.from_numpy(published[f"{image}/boxes_256"]))


def test_area_means_of_whole_blocks_are_means():
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    means = image.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3))
    assert np.abs(resized_area(image, (4, 4)) - means).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("config", [SAM_VIT_B, MEDSAM, SAM_MED2D, LITE_MEDSAM])
@pytest.mark.parametrize("shape", [(60, 100), (300, 180), (64, 64)])
def test_a_pixel_goes_in_and_its_mask_comes_back_to_it(config: SamConfig, shape):
    """A cone of low-resolution logits round a prompt's place has its tip at the same place of the slice."""
    placement = placed(config, shape)
    spot = torch.tensor([[shape[1] * 0.3, shape[0] * 0.6]])
    x, y = (placement.inward(spot)[0] * config.lowres / config.image).tolist()
    rows, columns = torch.meshgrid(*[torch.arange(config.lowres, dtype=torch.float32)] * 2, indexing="ij")
    lowres = -torch.hypot(rows - y, columns - x)[None, None]
    mask = placement.outward(lowres)[0, 0]
    row, column = np.unravel_index(int(mask.argmax()), shape)
    assert abs(column - spot[0, 0]) <= 2 * shape[1] / config.lowres + 1
    assert abs(row - spot[0, 1]) <= 2 * shape[0] / config.lowres + 1


@pytest.mark.parametrize(("config", "right"), [(SAM_VIT_B, 0), (LITE_MEDSAM, 0)])
def test_what_lies_beside_a_slice_is_zero(config: SamConfig, right):
    image = np.full((100, 50, 3), 200, np.uint8)
    image[:10] = 10
    tensor, placement = prepared(config, image)
    assert tensor.shape == (3, config.image, config.image)
    assert placement.content == (config.image, config.image // 2)
    assert (tensor[..., config.image // 2 :] == right).all()
    assert (tensor[..., config.image // 4 :, : config.image // 2] != 0).all()
