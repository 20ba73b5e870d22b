"""Where the body is, and how deep a place lies under its surface."""

import numpy as np
import pytest

from segevolution.imaging.body import Body
from segevolution.imaging.formats import read, read_labels
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SHAPE = (60, 50, 20)


def cylinder(radius: float) -> np.ndarray:
    x, y, _ = np.ogrid[:60, :50, :20]
    return np.broadcast_to((x - 30) ** 2 + (y - 25) ** 2 <= radius**2, SHAPE)


def scan(air: float, tissue: float, *, hollow: bool = False, modality: Modality | None = Modality.CT) -> Volume:
    """A body of 20 voxels (40 mm) radius along z, 2 mm a voxel in the plane and 5 mm between slices."""
    array = np.where(cylinder(20), tissue, air).astype(np.float32)
    if hollow:
        array[cylinder(6)] = air
    return Volume(array, Grid(SHAPE, np.diag([2.0, 2.0, 5.0, 1.0])), modality)


@pytest.mark.parametrize(
    "volume",
    [
        scan(-1000, 40),
        scan(-125, 40),
        scan(0, 300, modality=Modality.MRI),
        scan(0, 300, modality=None),
        scan(-1000, 40, hollow=True),
    ],
    ids=["ct", "ct-cut-at-125", "mri", "modality-unknown", "lungs-count-as-body"],
)
def test_depth_is_the_way_to_the_air_round_the_body(volume: Volume) -> None:
    body = Body.of(volume)
    assert body is not None
    middle, skin, air = np.zeros((3, *SHAPE), bool)
    middle[30, 25, 10] = True
    skin[48, 25, 10] = True
    air[1, 1, 10] = True
    assert body.depths(middle)[0] == pytest.approx(42, abs=6)
    assert body.depths(skin)[0] < 12
    assert body.depths(air)[0] == 0


def test_the_ends_of_the_scan_are_no_surface_of_the_body() -> None:
    body = Body.of(scan(-1000, 40))
    assert body is not None
    first = np.zeros(SHAPE, bool)
    first[30, 25, 0] = True
    assert body.depths(first)[0] > 30


def test_a_scan_without_air_or_spacing_has_no_outside() -> None:
    grid = Grid(SHAPE, np.eye(4))
    tissue = np.random.default_rng(0).uniform(50, 60, SHAPE).astype(np.float32)
    assert Body.of(Volume(tissue, grid, Modality.CT)) is None
    assert Body.of(Volume(scan(-1000, 40).array, grid, Modality.CT, spacing_stated=False)) is None


@pytest.mark.parametrize("case", ["mr_abdomen_chaos/imagesTr/chaos_01", "ct_abdomen_btcv/imagesTr/btcv_04"])
def test_organs_of_a_patient_lie_deep(shared_data: object, case: str) -> None:
    folder = shared_data / case.split("/")[0]  # type: ignore[operator]
    images = sorted((folder / "imagesTr").glob(case.rpartition("/")[2] + "*"))
    volume = read(images[0], modality="CT" if "btcv" in case else "MRI")
    labels = read_labels(folder / "labelsTr" / images[0].name.replace("_0000", ""))
    body = Body.of(volume)
    assert body is not None
    for value in np.unique(labels.array[labels.array > 0]):
        assert np.median(body.depths(labels.array == value)) > 30
