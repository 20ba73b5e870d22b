"""Draw docs/images/synthesis_*.png: simulated patients and images made from simulated labels, nothing else.

python docs/make_synthesis_pictures.py [FOLDER]
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segevolution.data.synthesis import mri
from segevolution.data.synthesis.cases import synthesise
from segevolution.data.synthesis.patients import Region, simulate_case
from segevolution.imaging.case import Case
from segevolution.vocabulary import Modality

SEQUENCES = (*mri.PROTOCOLS, "random")
WINDOWS = {"torso": (-160, 240), "head": (-10, 80)}


def main(folder: Path) -> None:
    """Draw every sheet into a folder."""
    for region, seed in (("torso", 5), ("head", 3)):
        cases = [_patient(region, seed, "CT", "portal" if region == "torso" else "native")]
        cases += [_patient(region, seed, "MRI", sequence) for sequence in SEQUENCES]
        _sheet(cases, folder / f"synthesis_{region}.png", WINDOWS[region])
    _from_labels(folder / "synthesis_labels.png")


def _patient(region: Region, seed: int, modality: str, sequence: str) -> Case:
    return simulate_case(
        seed,
        region=region,
        modality=modality,
        sequence=sequence,
        field=1.5 if modality == "MRI" else None,
        detail=True,
        wholes=True,
    )


def _from_labels(path: Path) -> None:
    """Four organs of a simulated patient, alone, and the images that `data synthesise` makes of them."""
    organs = {"liver": 1, "spleen": 2, "right kidney": 3, "left kidney": 4}
    patient = simulate_case(12, modality="CT", spacing=(2.0, 2.0, 4.0))
    labels = np.zeros(patient.labels.shape, np.uint8)
    for name, value in organs.items():
        labels[patient.mask(name)] = value
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "organs.nii.gz"
        nib.save(nib.Nifti1Image(labels, patient.volume.grid.affine), source)
        made = [
            synthesise(
                source,
                seed,
                names={value: name for name, value in organs.items()},
                modality=Modality(modality),
                sequence=sequence,
                lenient=True,
                detail=True,
            ).case
            for seed, modality, sequence in (
                (1, "CT", "portal"),
                (1, "MRI", "T2-SPIR"),
                (2, "MRI", "T1"),
                (3, "MRI", "random"),
                (4, "MRI", "random"),
            )
        ]
    _sheet(made, path, WINDOWS["torso"], outlines=True)


def _sheet(cases: Sequence[Case], path: Path, window: tuple[int, int], outlines: bool = False) -> None:
    """An axial and a coronal slice of each case, the patient's right on the left."""
    columns = min(5, len(cases))
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(2.1 * columns, 3.6 * rows), facecolor="black")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, case in enumerate(cases):
        row, column = divmod(number, columns)
        image, (x, y, z) = case.volume.array, case.volume.grid.spacing
        body = case.labels > 0
        named = np.isin(case.labels, [value for values in case.structures.values() for value in values])
        height = int(named.sum((0, 1)).argmax()) if outlines else int(image.shape[2] * 0.5)
        depth = int(named.sum((0, 2)).argmax()) if outlines else int(np.argwhere(body.any((0, 2))).mean())
        shown = case.mask("brain") if "brain" in case.structures else body  # a scalp's fat outshines every brain
        low, high = window if case.volume.modality is Modality.CT else (0, 1.1 * np.percentile(image[shown], 98.5))
        for axis, cut, step in (
            (axes[2 * row, column], (slice(None, None, -1), slice(None), height), y / x),
            (axes[2 * row + 1, column], (slice(None, None, -1), depth, slice(None)), z / x),
        ):
            axis.imshow(image[cut].T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=step)
            for colour, value in enumerate(np.unique(case.labels[cut][named[cut]])) if outlines else ():
                edge = np.isin(case.labels[cut].T, value)
                axis.contour(edge, [0.5], colors=[mpl.colormaps["tab10"](colour)], linewidths=0.7)
        title = f"{case.volume.modality} {case.sequence or ''}"
        axes[2 * row, column].set_title(title, color="white", fontsize=8, pad=2)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.955, 0.02, 0.1)
    figure.savefig(path, dpi=92, facecolor="black")
    with Image.open(path) as drawn:  # fewer colours, a smaller file
        smaller = drawn.convert("RGB").quantize(128) if outlines else drawn.convert("L")
    smaller.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
