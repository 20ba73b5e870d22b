import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


@pytest.fixture
def oblique() -> Grid:
    """Slices of 3 mm, pixels of 1.5 mm, tilted, far from the scanner's middle."""
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.1, 0.05, -0.2) @ np.diag([-1.5, 1.5, 3.0]), [70.0, -90.0, 40.0]
    )
    return Grid((40, 36, 18), affine)


@pytest.fixture
def scan(oblique) -> Volume:
    """An MRI as a scanner gives it: int16, air 0, a body with smooth organs."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in oblique.shape), indexing="ij")
    organs = ndimage.gaussian_filter(rng.standard_normal(oblique.shape), (3, 3, 1.5))
    body = (x / 0.8) ** 2 + (y / 0.7) ** 2 + (z / 0.95) ** 2 < 1
    signal = np.where(body, 500 + 250 * organs / organs.std(), 0).clip(0)
    return Volume(signal.astype(np.int16), oblique, Modality.MRI, name="scan")


@pytest.fixture
def ct(oblique) -> Volume:
    """Air, fat and an organ, in HU."""
    array = np.full(oblique.shape, -1000, np.int16)
    array[8:32, 8:28, 2:16] = -100
    array[14:26, 12:24, 5:12] = 60
    return Volume(array, oblique, Modality.CT, name="body.nii.gz")
