"""A mask that was moved against its image is found; one that lies right is left in peace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segevolution.data.audit import registration
from segevolution.data.audit.registration import check_registration, outside_body, surface_fit
from segevolution.data.record import record_of
from segevolution.data.sources import open_source
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
SHAPE = (64, 56, 30)


@pytest.fixture(scope="module")
def body() -> Case:
    """A liver on the right and front, a spleen on the left and back, in a body with texture, in air."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.arange(side, dtype=float) for side in SHAPE), indexing="ij")

    def ball(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        return sum(((axis - c) / r) ** 2 for axis, c, r in zip((x, y, z), centre, radii, strict=True)) < 1

    signal = np.where(ball((31, 27, 14), (29, 24, 30)), 300.0, 0.0)
    labels = np.zeros(SHAPE, np.uint8)
    for value, (centre, radii, bright) in enumerate(
        (((43, 32, 17), (12, 13, 9), 420.0), ((17, 20, 12), (8, 6, 7), 200.0)), start=1
    ):
        mask = ball(centre, radii)
        labels[mask], signal[mask] = value, bright
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2) * 150
    signal = np.where(signal > 0, signal + texture, 0) + np.abs(rng.normal(0, 10, SHAPE))
    return case(signal.astype(np.int16), labels)


def case(signal: np.ndarray, labels: np.ndarray) -> Case:
    volume = Volume(signal, Grid(SHAPE, AFFINE), None, "toy")
    return Case("toy", "toy", "toy", volume, labels, {"liver": (1,), "spleen": (2,)})


def said(case: Case) -> list[str]:
    record = record_of(case, case.volume.grid)
    return [finding.message for finding in check_registration("s/toy", record, case.volume.array, case.labels)]


def test_a_mask_that_lies_right_is_left_in_peace(body: Case) -> None:
    assert said(body) == []


@pytest.mark.parametrize(("axes", "words"), [((0,), "along x:"), ((2,), "along z:"), ((0, 1), "along x and y:")])
def test_a_mirrored_mask_is_found_with_its_axes(body: Case, axes: tuple[int, ...], words: str) -> None:
    (message,) = said(replace(body, labels=np.flip(body.labels, axes)))
    assert f"seems mirrored {words}" in message


def test_a_shifted_mask_is_found_with_the_way_back(body: Case) -> None:
    (message,) = said(replace(body, labels=np.roll(body.labels, 6, 0)))
    assert "seems shifted" in message
    assert "moved by -12 x 0 x 0 mm" in message


@pytest.mark.parametrize(("gain", "findings"), [(0.03, 0), (0.06, 1)])
@pytest.mark.parametrize("elsewhere", ["mirrored", "shifted"])
def test_a_place_that_fits_a_little_better_is_not_believed(
    body: Case, elsewhere: str, gain: float, findings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Healthy real cases gain up to 0.03 elsewhere, masks moved on purpose 0.06 and more."""
    fit = surface_fit(body.volume.array, body.labels, (2.0, 2.0, 3.0))
    assert fit is not None
    level = replace(fit, own=0.6, mirrored=0.6, shifted=0.6)
    monkeypatch.setattr(registration, "surface_fit", lambda *_: replace(level, **{elsewhere: 0.6 + gain}))
    assert len(said(body)) == findings


def test_one_voxel_is_no_shift(body: Case) -> None:
    assert said(replace(body, labels=np.roll(body.labels, 1, 0))) == []


def test_a_mask_in_the_air_is_found_but_not_that_of_a_hollow_organ(body: Case) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:8, :8, 5:15], labels[-8:, :8, 5:15] = 1, 2
    moved = replace(body, labels=labels, structures={"liver": (1,), "stomach": (2,)})
    found = outside_body(record_of(moved, moved.volume.grid), moved.volume.array, labels)
    assert found.keys() == {"liver"}
    assert found["liver"] > 0.9


def test_a_dark_organ_lies_inside_the_body(body: Case) -> None:
    """Iron and fat suppression leave a liver at a tenth of the brightest signal, and more of it dark than bright."""
    liver = body.labels == 1
    signal = np.where(liver, body.volume.array // 12, body.volume.array)
    bright = ndimage.binary_dilation(liver, iterations=2) & ~liver
    signal = np.where(bright, signal // 12, signal).astype(np.int16)
    signal[:, 34:][signal[:, 34:] > 60] = 45  # the front is dark up to the skin
    dark = replace(body, volume=replace(body.volume, array=signal, modality=Modality.MRI))
    assert outside_body(record_of(dark, dark.volume.grid), signal, dark.labels) == {}


def test_noise_shows_no_place_to_be_better(body: Case) -> None:
    noise = np.random.default_rng(1).integers(0, 900, SHAPE).astype(np.int16)
    assert said(replace(body, volume=replace(body.volume, array=noise))) == []


@pytest.mark.parametrize(("dataset", "step"), [("mr_abdomen_chaos", 1), ("ct_abdomen_btcv", 2)])
def test_real_masks_lie_right_and_their_mirror_images_do_not(shared_data: Path, dataset: str, step: int) -> None:
    source = open_source("auto", shared_data / dataset)
    for name in source.index()[:1]:
        found = source.read(name)
        volume, turn = found.volume.canonical()
        small, labels = volume.array[::step, ::step], turn.apply(found.labels)[::step, ::step]
        grid = Grid(small.shape, np.diag([*(np.array(volume.grid.spacing) * (step, step, 1)), 1]))
        right = replace(found, volume=replace(volume, array=small, grid=grid), labels=labels)
        assert said(right) == []
        (message,) = said(replace(right, labels=labels[:, :, ::-1]))
        assert "mirrored along z:" in message
