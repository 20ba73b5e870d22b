"""Real scans beside their labels; skipped where ../shared/data is absent."""

from pathlib import Path

import numpy as np

from segevolution.imaging.formats import list_series, read, read_labels, write_mask
from segevolution.vocabulary import Modality


def test_labels_stored_in_another_orientation_meet_the_series_in_patient_space(shared_data: Path) -> None:
    folder = shared_data / "ct_abdomen_dicom"
    image, labels = read(folder), read_labels(folder / "labels.nii.gz")
    assert image.modality is Modality.CT
    assert image.grid.orientation != labels.grid.orientation
    liver = 5
    assert image.array.shape == labels.array.shape
    assert not 60 < image.array[labels.array == liver].mean() < 180  # by index: elsewhere
    canonical, _ = image.canonical()
    turned, _ = labels.canonical()
    assert canonical.grid.close_to(turned.grid)
    assert 60 < canonical.array[turned.array == liver].mean() < 180


def test_an_oblique_series_agrees_with_its_labels(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mr_prostate_prostatex" / "ProstateX-0000"
    image, gland = read(folder / "dicom"), read_labels(folder / "gland.nii.gz")
    assert image.modality is Modality.MRI
    assert len(list_series(folder / "dicom")) == 1
    assert not np.allclose(np.abs(image.grid.affine[:3, :3]).max(axis=0), image.grid.spacing, rtol=1e-2)  # oblique
    assert image.grid.close_to(gland.grid, 0.05)
    voxels = np.argwhere(gland.array > 0)
    inside = image.grid.to_voxel(gland.grid.to_mm(voxels))
    assert image.grid.contains(inside).all()
    # The gland lies near the middle of a scan made for it, on the middle line.
    middle = inside.mean(axis=0) / np.array(image.grid.shape)
    assert (np.abs(middle - 0.5) < 0.15).all()
    write_mask(gland.array > 0, image, tmp_path / "mask.nii.gz")
    assert read_labels(tmp_path / "mask.nii.gz").grid.close_to(gland.grid, 0.05)


def test_an_8_bit_scan_with_a_slope_is_in_hounsfield_units(shared_data: Path) -> None:
    path = sorted((shared_data / "ct_abdomen_btcv" / "imagesTr").glob("[!.]*.nii.gz"))[0]
    image = read(path)
    assert image.array.dtype == np.float32
    assert -126 < image.array.min() < -120
    assert 270 < image.array.max() < 276


def test_a_real_nrrd_and_its_label_lie_on_one_grid(shared_data: Path) -> None:
    folder = shared_data / "mr_brain_nrrd"
    image, label = read(folder / "brain1_image.nrrd"), read_labels(folder / "brain1_label.nrrd")
    assert image.grid.close_to(label.grid, 0.01)
    assert label.array.max() == 1
    # A contrast-enhanced tumour is brighter than the brain round it.
    assert image.array[label.array == 1].mean() > image.array[image.array > image.array.mean()].mean()
