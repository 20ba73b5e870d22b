"""The layout of M3D-Seg (Bai et al. 2024, arXiv:2404.00578), which SegVol's own code reads: one item in, one item out.

    ROOT/<code>/<code>.json                   labels, and lists of {image, label} with paths below ROOT
    ROOT/<code>/<case>/image.npy              float32 (1, X, Y, Z), normalised
    ROOT/<code>/<case>/mask_(K, X, Y, Z).npz  a scipy CSR matrix, K structures x voxels (C order); its shape is its name

Row r of the masks is the label r + 1 of the json. Nothing tells where the voxels lie: neither spacing nor orientation.
"""

import ast
import re
import zipfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy import sparse

from ..errors import OutputError, StoreError
from ..files import replacing
from ..imaging.case import Part
from ..imaging.grid import Array, Triple

IMAGE = "image.npy"
# A sparse matrix has at most an index of 8 bytes and a value of 8 bytes for each voxel of each row.
_BYTES_A_VOXEL, _MOST_ROWS, _HEADERS_BYTES = 16, 256, 2**20
# The parts of a dataset by the names of their lists: the published files say train and test, AMS's readers training.
PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


class M3DItem(BaseModel):
    """One item of a list; what our export knows beside the two paths is optional."""

    image: Annotated[str, Field(min_length=1, max_length=250)]
    label: Annotated[str, Field(min_length=1, max_length=250)]
    patient: str | int | None = None
    sequence: str | None = None
    site: str | None = None
    modality: str | int | None = None
    affine: list[list[float]] | None = None


class M3DHeader(BaseModel):
    """The json of a dataset."""

    licence: str | None = None
    license: str | None = None
    modality: str | dict[str, str] | None = None
    labels: dict[str, int | float | str | list[int | float | str]] | None = None
    train: list[M3DItem] | None = None
    training: list[M3DItem] | None = None
    validation: list[M3DItem] | None = None
    val: list[M3DItem] | None = None
    test: list[M3DItem] | None = None


Places = npt.NDArray[np.integer]


def read_image(path: Path) -> Array:
    """The image of an item, (X, Y, Z), its dtype as it is in the file.

    Raises:
        StoreError: it is missing, is no `.npy` of numbers, or has not one channel.
    """
    try:
        # Mapped first: a header that promises more than the file holds allocates nothing.
        array: Array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, EOFError, ValueError) as error:
        raise StoreError(f"{path} is missing or cannot be read as an .npy of numbers; copy it again.") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise StoreError(f"{path} holds no array of numbers; copy it again.")
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3:
        raise StoreError(f"{path} has shape {array.shape}; an image of M3D-Seg is (1, X, Y, Z).")
    return array


def read_masks(path: Path, shape: Triple) -> tuple[Places, ...]:
    """The voxels of each row, as flat indices (C order) of an image of shape (X, Y, Z); an empty row has none.

    Raises:
        StoreError: the file is missing or no sparse matrix, or its shape is not that of its name and of the image.
    """
    shape_in_name = shape_of_name(path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if (
            size
            > _BYTES_A_VOXEL * int(np.prod(shape)) * (shape_in_name[0] if shape_in_name else _MOST_ROWS)
            + _HEADERS_BYTES
        ):
            raise StoreError(f"{path} unpacks to {size:,} bytes, more than masks of its image can have.")
        matrix = sparse.csr_matrix(sparse.load_npz(path))  # never unpickles
        matrix.check_format(full_check=True)
    except (OSError, EOFError, ValueError, TypeError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} is missing or is no sparse matrix of scipy; copy it again.") from error
    rows, voxels = (int(side) for side in matrix.shape)
    shape_in_name = shape_in_name or (rows, *shape)
    if shape_in_name[1:] != shape:
        raise StoreError(
            f"{path} has masks of shape {shape_in_name[1:]}, its image {shape}; they do not belong together."
        )
    if (rows, voxels) != (shape_in_name[0], int(np.prod(shape))):
        raise StoreError(f"{path} holds a matrix of {rows} x {voxels}, which is not the shape of its name and image.")
    starts = matrix.indptr
    return tuple(matrix.indices[low:high][matrix.data[low:high] != 0] for low, high in pairwise(starts.tolist()))


def shape_of_name(name: str) -> tuple[int, int, int, int] | None:
    """(K, X, Y, Z) from "mask_(13, 512, 512, 96).npz"; None where a name tells none."""
    match = re.search(r"\(\s*\d+(?:\s*,\s*\d+){3}\s*\)", name)
    return ast.literal_eval(match.group()) if match else None


def mask_name(rows: int, shape: tuple[int, ...]) -> str:
    """The name that tells the shape of masks: "mask_(13, 512, 512, 96).npz"."""
    return f"mask_{(rows, *(int(side) for side in shape))}.npz"


def write_item(folder: Path, image: Array, masks: Iterable[npt.NDArray[np.bool_] | None]) -> tuple[Path, Path]:
    """Write one item into a new folder, which appears whole or not at all, with nothing in it but the two files.

    Args:
        image: (X, Y, Z) of numbers that float32 holds.
        masks: (X, Y, Z) of each structure, in the order of the labels; None for one that the patient lacks.

    Returns:
        The paths of the image and of its masks.

    Raises:
        OutputError: the folder exists, cannot be written, or float32 would lose digits of the image.
    """
    signal = image.astype(np.float32)
    if not np.array_equal(signal, image):
        raise OutputError(f"{folder}: float32, which this layout asks for, cannot hold its numbers of {image.dtype}.")
    places = [np.flatnonzero(mask) if mask is not None else np.zeros(0, np.int64) for mask in masks]
    starts = np.cumsum([0, *(len(row) for row in places)])
    indices = np.concatenate([*places, np.zeros(0, np.int64)])
    matrix = sparse.csr_matrix(
        (np.ones(len(indices), np.uint8), indices, starts), shape=(len(places), int(np.prod(image.shape)))
    )
    label = mask_name(len(places), image.shape)
    with replacing(folder, force=False) as temporary:
        temporary.mkdir()
        np.save(temporary / IMAGE, signal[None])
        sparse.save_npz(temporary / label, matrix)
    return folder / IMAGE, folder / label


def listed(header: M3DHeader, path: Path) -> list[tuple[Part, M3DItem]]:
    """(part, item) of every item that the json of a dataset lists.

    Raises:
        StoreError: it has no such list.
    """
    lists = {name: items for name in PARTS if (items := getattr(header, name)) is not None}
    if not lists:
        raise StoreError(f'{path} is not in the layout of M3D-Seg: it has no list "train", "training" or "test".')
    return [(PARTS[name], item) for name, items in lists.items() for item in items]
