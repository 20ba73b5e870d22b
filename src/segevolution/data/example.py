"""A folder to try everything on: simulated patients, whom the package makes itself, with labels.

    FOLDER/ct.nii.gz            a torso in CT, portal venous phase
    FOLDER/mr.nii.gz            the same torso in MRI, T2-SPIR
    FOLDER/truth.nii.gz         its labels, on the grid of both; truth.json names them
    FOLDER/my_mri/images, labels, labels.json
                                five other patients in MRI, T2, in the layout that `data prepare folder` reads

Nothing is downloaded. The same version writes the same files, voxel by voxel.
"""

from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..files import check_writable, replacing, write_json
from ..imaging.case import Case
from ..imaging.formats import write_mask, write_volume
from ..imaging.grid import Array
from ..imaging.legend import legend
from ..vocabulary import Modality
from .synthesis.patients import simulate_case

SEED = 20260
PATIENTS = 5
SPACING = (3.0, 3.0, 5.0)
SHOWN = ("liver", "spleen", "right kidney", "left kidney", "stomach", "aorta", "pancreas", "gallbladder")
TAUGHT = ("liver", "spleen")


def write_example(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the example; takes about ten seconds.

    Args:
        folder: is made; where it exists, `force` replaces it if it is an example.

    Returns:
        The files of the torso that both scanners see, then the folder of the five.

    Raises:
        OutputError: the folder cannot be written, exists already, or is something else.
    """
    check_writable(folder, force=force)
    if folder.exists() and not (folder / "truth.json").is_file():
        raise OutputError(f"{folder} is no example of this package, so it is not replaced; choose another name.")
    with replacing(folder, force=force) as temporary:
        temporary.mkdir()
        ct = simulate_case(SEED, modality=Modality.CT, sequence="portal", spacing=SPACING, detail=True)
        mr = simulate_case(SEED, modality=Modality.MRI, sequence="T2-SPIR", spacing=SPACING, detail=True)
        write_volume(ct.volume, temporary / "ct.nii.gz")
        write_volume(mr.volume, temporary / "mr.nii.gz")
        names = [name for name in SHOWN if name in ct.structures]
        write_mask(_labels(ct, names), ct.volume, temporary / "truth.nii.gz", labels=legend(names))
        write_json(temporary / "truth.json", {str(label.value): label.name for label in legend(names)})
        images, labels = temporary / "my_mri" / "images", temporary / "my_mri" / "labels"
        images.mkdir(parents=True)
        labels.mkdir()
        for number in range(1, PATIENTS + 1):
            case = simulate_case(SEED + number, modality=Modality.MRI, sequence="T2", spacing=SPACING, detail=True)
            write_volume(case.volume, images / f"patient{number}.nii.gz")
            write_mask(_labels(case, TAUGHT), case.volume, labels / f"patient{number}.nii.gz", labels=legend(TAUGHT))
        write_json(temporary / "my_mri" / "labels.json", {str(label.value): label.name for label in legend(TAUGHT)})
    return [folder / name for name in ("ct.nii.gz", "mr.nii.gz", "truth.nii.gz", "my_mri")]


def _labels(case: Case, names: tuple[str, ...] | list[str]) -> Array:
    """The label map with 1, 2, 3 ... for some structures."""
    renumbered = np.zeros(case.labels.shape, np.uint8)
    for value, name in enumerate(names, start=1):
        renumbered[case.mask(name)] = value
    return renumbered
