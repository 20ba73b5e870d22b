"""A click means the same place of the patient, however the file's grid lies; left and right are right."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.imaging.case import Case
from segevolution.imaging.formats import write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.regions import moved_mask
from segevolution.imaging.volume import Volume

from .conftest import new_page

pytestmark = pytest.mark.server


def turned(volume: Volume, order: str) -> Volume:
    return volume.canonical(order)[0]


def rotated(volume: Volume, degrees: tuple[float, float, float]) -> Volume:
    """The same patient, lying obliquely in the scanner."""
    return Volume(volume.array, Grid(volume.grid.shape, _rotation(degrees) @ volume.grid.affine), volume.modality)


def _rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    rotation = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one = np.eye(4)
        i, j = [other for other in range(3) if other != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        rotation = one @ rotation
    return rotation


def thinned(volume: Volume) -> Volume:
    """Each other slice of the first axis only: voxels twice as long there."""
    affine = volume.grid.affine.copy()
    affine[:, 0] *= 2
    array = volume.array[::2]
    return Volume(np.ascontiguousarray(array), Grid(array.shape, affine), volume.modality)


OBLIQUE = (12.0, -9.0, 17.0)
GRIDS: dict[str, Any] = {
    "LPS": lambda volume: turned(volume, "LPS"),
    "ASL": lambda volume: turned(volume, "ASL"),
    "oblique": lambda volume: rotated(volume, OBLIQUE),
    "oblique LPS": lambda volume: turned(rotated(volume, OBLIQUE), "LPS"),
    "anisotropic": thinned,
}


def deepest(mask: np.ndarray) -> np.ndarray:
    """The voxel of a mask that lies farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    return np.array(np.unravel_index(distance_transform_edt(mask).argmax(), mask.shape))


def clicked(page: Any, volume: Volume, millimetres: np.ndarray, folder: Path) -> tuple[Any, nib.Nifti1Image]:
    """Click on a place of the patient; the structure, and the label map as it was saved."""
    path = folder / "scan.nii.gz"
    write_volume(volume, path, force=True)
    page.open(path)
    page.click(np.rint(volume.grid.to_voxel(millimetres)).ravel())
    return page.structure(), nib.load(page.save("NIfTI", folder))


@pytest.fixture(scope="module")
def spot(patient: Case) -> np.ndarray:
    """A voxel deep in the liver, in a slice that the thinned grid has, too."""
    voxel = deepest(patient.mask("liver"))
    voxel[0] -= voxel[0] % 2
    return voxel


@pytest.fixture(scope="module")
def expected(
    browser: Any, server_url: str, patient: Case, spot: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    """The mask of one click on the liver in RAS."""
    with new_page(browser, server_url) as page:
        place = patient.volume.grid.to_mm(spot).ravel()
        _, saved = clicked(page, patient.volume, place, tmp_path_factory.mktemp("ras"))
        mask = np.asarray(saved.dataobj) > 0
    assert mask[tuple(spot)]
    return mask


@pytest.mark.parametrize("grid", GRIDS)
def test_a_click_on_the_liver_gives_the_same_world_mask(
    grid: str, page: Any, patient: Case, spot: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    plain = patient.volume
    volume = GRIDS[grid](plain)
    motion = _rotation(OBLIQUE) if "oblique" in grid else np.eye(4)
    place = (motion @ [*plain.grid.to_mm(spot).ravel(), 1])[:3]
    structure, saved = clicked(page, volume, place, tmp_path)

    (point,) = structure["prompt"]["points"]
    assert np.allclose(volume.grid.to_mm(point), place, atol=0.01)
    assert saved.shape == volume.grid.shape
    assert np.allclose(saved.affine, volume.grid.affine, atol=1e-3)
    mask = np.asarray(saved.dataobj) > 0
    if grid == "anisotropic":
        same = expected[::2]
        assert 2 * (mask & same).sum() / (mask.sum() + same.sum()) > 0.8
        return
    there = Grid(plain.grid.shape, motion @ plain.grid.affine)
    assert np.array_equal(moved_mask(mask, volume.grid, there), expected)


@pytest.mark.parametrize("order", ["RAS", "LPS", "ASL"])
def test_what_is_drawn_at_a_voxel_is_picked_there(order: str, page: Any, written: Any, patient: Case) -> None:
    volume = rotated(turned(thinned(patient.volume), order), OBLIQUE)
    page.open(written(volume), None)
    script = """(voxels) => voxels.map((voxel) => {
        const { view } = segevolution.stage;
        view.setCrosshair(voxel);
        const { left, top } = view.canvas.getBoundingClientRect();
        const spots = view.project(view.grid.toMm(voxel));
        return spots.map(({ x, y, depth }) => ({ ...view.pick(x + left, y + top), depth }));
    })"""
    random = np.random.default_rng(5)
    voxels = [[int(random.integers(length)) for length in volume.grid.shape] for _ in range(40)]
    for voxel, picks in zip(voxels, page.tab.evaluate(script, voxels), strict=True):
        assert [pick["plane"] for pick in picks] == [0, 1, 2]
        for pick in picks:
            assert pick["voxel"] == voxel
            assert pick["depth"] == 0
            assert np.allclose(pick["mm"], np.ravel(volume.grid.to_mm(voxel)), atol=1e-4)


@pytest.mark.parametrize("order", ["RAS", "LPS", "ASL"])
def test_the_patients_right_is_on_the_left_unless_the_convention_is_changed(
    order: str, page: Any, written: Any, patient: Case
) -> None:
    page.open(written(turned(patient.volume, order)), None)
    stage = page.tab.locator("#marks").bounding_box()
    axial = (stage["x"] + 0.15 * stage["width"], stage["y"] + 0.25 * stage["height"])
    script = "([x, y]) => segevolution.stage.view.pick(x, y)"
    pick, middle = (
        page.tab.evaluate(script, axial),
        patient.volume.grid.to_mm(np.array(patient.volume.grid.shape) / 2).ravel(),
    )
    assert pick["plane"] == 0
    assert pick["mm"][0] > middle[0]  # RAS+: right is positive
    assert "right is on the left" in page.tab.inner_text("#convention")
    upper = page.tab.evaluate(script, (stage["x"] + 0.25 * stage["width"], stage["y"] + 0.12 * stage["height"]))
    assert upper["mm"][1] > middle[1]  # anterior above

    page.tab.click("#convention")
    assert page.tab.evaluate(script, axial)["mm"][0] < middle[0]
    assert "left is on the left" in page.tab.inner_text("#convention")


def test_intensities_on_the_screen_are_those_of_the_place(page: Any, written: Any, patient: Case) -> None:
    volume = turned(patient.volume, "PSL")
    page.open(written(volume), None)
    voxel = deepest(volume.array > 0)
    script = "(voxel) => segevolution.stage.view.intensity(voxel)"
    assert page.tab.evaluate(script, voxel.tolist()) == volume.array[tuple(voxel)]
    # The pixel under it: grey by the window, black below it and white above it.
    script = """([voxel, low, high]) => {
        const { view } = segevolution.stage;
        view.setCrosshair(voxel);
        view.setWindow(low, high);
        const { x, y } = view.project(view.grid.toMm(voxel))[0];
        const { gl } = view.nv;
        const pixel = new Uint8Array(4);
        gl.readPixels(Math.round(x), gl.canvas.height - Math.round(y), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
        return pixel[0];
    }"""
    value = float(volume.array[tuple(voxel)])
    assert page.tab.evaluate(script, [voxel.tolist(), value + 500, value + 900]) == 0
    assert page.tab.evaluate(script, [voxel.tolist(), value - 900, value - 500]) == 255
