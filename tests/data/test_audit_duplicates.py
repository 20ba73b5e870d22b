"""One volume under two names is found, however it was copied; two patients are told apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from segevolution.data.audit import check
from segevolution.data.audit.duplicates import compare
from segevolution.data.audit.signatures import signature, values_digest
from segevolution.data.prepare import prepare
from segevolution.data.sources import open_source
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.formats import read
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SPACING = (2.0, 2.0, 3.0)

Copy = Callable[[np.ndarray], tuple[np.ndarray, tuple[float, float, float]]]


def anatomy(seed: int, shape: tuple[int, int, int] = (72, 60, 40)) -> np.ndarray:
    """Blobs of several sizes in an ellipsoid, int16: as unlike from seed to seed as bodies are."""
    rng = np.random.default_rng(seed)
    signal = sum(
        ndimage.gaussian_filter(rng.normal(size=shape), size) * size**1.5 * weight
        for size, weight in ((2, 150), (4, 200), (8, 250))
    )
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    body = sum(axis**2 for axis in grid) < 0.9
    return np.where(body, 600 + signal, 20 + rng.normal(0, 5, shape)).clip(0).astype(np.int16)


def _resampled(signal: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
    made = ndimage.zoom(signal.astype(np.float32), (0.7, 1.4, 1.0), order=1)
    x, y, z = (step * old / new for step, old, new in zip(SPACING, signal.shape, made.shape, strict=True))
    return made, (x, y, z)


COPIES: dict[str, Copy] = {
    "the same": lambda signal: (signal, SPACING),
    "resampled": _resampled,
    "cut in half": lambda signal: (signal[:36], SPACING),
    "cut all round": lambda signal: (signal[7:-5, 9:-4, 3:-4], SPACING),
    "8 bits": lambda signal: ((signal / signal.max() * 255).astype(np.uint8), SPACING),
    "windowed": lambda signal: (np.clip(signal, *np.percentile(signal, (55, 97))), SPACING),
    "gamma": lambda signal: ((signal / signal.max()) ** 0.7, SPACING),
    "noisy": lambda signal: (signal + np.random.default_rng(0).normal(0, 25, signal.shape), SPACING),
    "mirrored, cut and resampled": lambda signal: _resampled(signal[3:, ::-1, ::-1]),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_known_again(how: str) -> None:
    signal = anatomy(1)
    found = compare(signature(signal, SPACING), signature(*COPIES[how](signal)))
    assert found is not None
    assert found[0] > 0.8
    assert found[1] == ((False, True, True) if "mirrored" in how else (False, False, False))


def test_two_patients_are_told_apart() -> None:
    signatures = [signature(anatomy(seed), SPACING) for seed in range(6)]
    assert all(compare(one, other) is None for i, one in enumerate(signatures) for other in signatures[:i])


def test_voxel_values_are_known_again_turned_and_rescaled() -> None:
    signal = anatomy(3)
    same = values_digest(signal)
    assert values_digest(np.transpose(signal, (2, 0, 1))[::-1]) == same
    assert values_digest((signal - signal.mean()) / signal.std()) == same
    assert values_digest(anatomy(4)) != same
    noise = np.random.default_rng(0).normal(size=(2, 8, 8, 8))
    assert values_digest(noise[0]) != values_digest(noise[1])
    masks = np.array([[[[0, 1]]], [[[0, 2]]]])
    assert values_digest(masks[0]) != values_digest(masks[1])


def case(name: str, signal: np.ndarray, dataset: str, patient: str | None = None) -> Case:
    labels = np.zeros(signal.shape, np.uint8)
    labels[30:34, 30:34, 20:23] = 1
    volume = Volume(signal, Grid(signal.shape, np.diag([*SPACING, 1])), Modality.MRI, name)
    return Case(name, patient or name, dataset, volume, labels, {"prostate": (1,)})


def test_one_person_twice_is_told_only_where_all_voxels_are_the_same(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "toys")
    signal = anatomy(5)
    later = (signal + np.random.default_rng(0).integers(0, 60, signal.shape)).astype(np.int16)
    store.add(case("a_t0", signal, "toy", "a"))
    store.add(case("a_t1", later, "toy", "a"))
    assert check([store]).duplicates == ()
    store.add(case("a_again", signal, "toy", "a"))
    (match,) = check([store]).duplicates
    assert (match.first, match.second, match.same_voxels) == ("toys/a_again", "toys/a_t0", True)
    (finding,) = (finding for finding in check([store]).findings if finding.check == "duplicates")
    assert "one volume of one patient, there twice" in finding.message


def test_datasets_that_share_many_volumes_are_one_finding(tmp_path: Path) -> None:
    first, second = Store.create(tmp_path / "first"), Store.create(tmp_path / "second")
    for number in range(4):
        signal = anatomy(10 + number)
        first.add(case(f"a{number}", signal, "one"))
        second.add(case(f"b{number}", np.clip(signal, 300, 900), "other"))
    audit = check([first, second])
    (finding,) = (finding for finding in audit.findings if finding.check == "duplicates")
    assert finding.message.startswith("4 volumes of one are in other too, for example first/a0 and second/b0")
    assert len(finding.cases) == 8
    assert [(match.first, match.second) for match in audit.duplicates] == [
        (f"first/a{number}", f"second/b{number}") for number in range(4)
    ]


def test_saml_and_promise12_share_patients(tmp_path: Path) -> None:
    """A miniature of the true leak: BIDMC's Case00 is PROMISE12's Case05 with another spacing and window."""
    saml, promise = tmp_path / "Processed_data_nii", tmp_path / "promise12" / "training_data"
    for site, name, seed in (("BIDMC", "Case00", 21), ("HK", "Case01", 22)):
        _write(saml / site / f"{name}.nii.gz", anatomy(seed), SPACING, "segmentation")
    shared = np.clip(anatomy(21)[4:, :-6].astype(np.float32), 150, 1200)
    finer = ndimage.zoom(shared, (1.25, 1.25, 1), order=1).astype(np.int16)
    _write(promise / "Case05.mhd", finer, (1.6, 1.6, 3.0), "segmentation")
    _write(promise / "Case06.mhd", anatomy(23), SPACING, "segmentation")
    stores = []
    for source, folder in (("saml", saml), ("promise12", promise.parent)):
        store = Store.create(tmp_path / f"store_{source}")
        prepare(open_source(source, folder), store)
        assert len(store) == 2
        stores.append(store)
    (match,) = check(stores).duplicates
    assert "BIDMC" in match.first.upper()
    assert "05" in match.second
    assert not match.same_voxels


def _write(path: Path, signal: np.ndarray, spacing: tuple[float, float, float], ending: str) -> None:
    """An image and its mask of one block beside it, in the datasets' layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(signal.shape, np.uint8)
    mask[30:40, 25:35, 15:22] = 1
    stem, suffix = path.name.split(".", 1)
    for array, name in ((signal, path.name), (mask, f"{stem}_{ending}.{suffix}")):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(path.parent / name))


def test_a_resampled_copy_of_a_real_ct_is_found_among_its_peers(shared_data: Path, tmp_path: Path) -> None:
    store, copies = Store.create(tmp_path / "btcv"), Store.create(tmp_path / "mine")
    images = sorted((shared_data / "ct_abdomen_btcv" / "imagesTr").glob("*.nii.gz"))[:3]
    for path in images:
        volume, _ = read(path, modality="CT").canonical()
        small = volume.array[::2, ::2].astype(np.float32)
        x, y, z = volume.grid.spacing
        grid = Grid(small.shape, np.diag([2 * x, 2 * y, z, 1]))
        name = path.name.split(".")[0]
        labels = np.zeros(small.shape, np.uint8)
        whole = Case(name, name, "btcv", Volume(small, grid, Modality.CT, name), labels, {})
        store.add(whole)
    half = ndimage.zoom(np.clip(small[10:], -100, 200), (0.8, 0.8, 0.9), order=1)
    steps = [side * old / new for side, old, new in zip(grid.spacing, small[10:].shape, half.shape, strict=True)]
    copy = Volume(half, Grid(half.shape, np.diag([*steps, 1])), Modality.CT, "mine")
    copies.add(replace(whole, name="mine", patient="someone", dataset="ours", volume=copy, labels=np.zeros(half.shape)))
    (match,) = check([store, copies]).duplicates
    assert (match.first, match.second) == (f"btcv/{name}", "mine/mine")
    assert match.correlation > 0.9
