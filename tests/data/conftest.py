"""Datasets of a few voxels in the layouts that sources read."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

AFFINE = np.array([[-1.2, 0, 0, 30], [0, 1.5, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1.0]])
SHAPE = (12, 14, 8)


class Miniature:
    """Writes files and folders; each method says what."""

    def image(
        self, path: Path, seed: int = 0, shape: tuple[int, ...] = SHAPE, scale: float = 1, affine: np.ndarray = AFFINE
    ) -> np.ndarray:
        """A NIfTI of int16 noise, whose voxels are returned."""
        array = (np.random.default_rng(seed).integers(0, 900, shape) * scale).astype(
            np.int16 if scale <= 1 else np.float32
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), path)
        return array

    def labels(
        self, path: Path, values: tuple[int, ...] = (1, 2), shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE
    ) -> np.ndarray:
        """A label map with a block of 2 x 3 x 2 voxels a value."""
        array = np.zeros(shape, np.uint8)
        for number, value in enumerate(values):
            array[2 * number : 2 * number + 2, 1:4, 2:4] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), path)
        return array

    def msd(
        self,
        folder: Path,
        stems: tuple[str, ...],
        *,
        name: str = "Hippocampus",
        modality: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        values: tuple[int, ...] = (1, 2),
        **header: object,
    ) -> Path:
        """A task in MSD layout, 4-D where it has several modalities."""
        modality = modality or {"0": "MRI"}
        labels = labels or {"0": "background", "1": "Anterior", "2": "Posterior"}
        shape = (*SHAPE, len(modality)) if len(modality) > 1 else SHAPE
        for seed, stem in enumerate(stems):
            self.image(folder / "imagesTr" / f"{stem}.nii.gz", seed, shape)
            self.labels(folder / "labelsTr" / f"{stem}.nii.gz", values)
        training = [{"image": f"./imagesTr/{s}.nii.gz", "label": f"./labelsTr/{s}.nii.gz"} for s in stems]
        told = {"name": name, "modality": modality, "labels": labels, "training": training, "test": []} | header
        (folder / "dataset.json").write_text(json.dumps(told))
        return folder


@pytest.fixture(scope="session")
def miniature() -> Miniature:
    """Writes datasets of a few voxels."""
    return Miniature()
