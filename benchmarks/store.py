"""A random training window out of the store, against the files of M3D-Seg. Goals: 20 times faster, 4 times smaller.

The case: a noisy CT of 512x512x120 voxels with 13 classes, made here, the same at every run; or with `--ct FOLDER` a
real CT with a `labels.nii.gz` beside its slices, brought to the same height by mirrored copies of itself. The window:
32x256x256 (D, H, W), at random places that are the same for everyone, signal and labels.

Baseline, in the same run: M3D-Seg's layout as the study's preparation wrote it, the image as float32 `.npy`
(1, X, Y, Z) and the masks as one compressed sparse row a class (`.npz`, scipy, int32), read whole and cut, as its
loaders do. "M3D-Seg at best" is the kindest reading of that layout: the `.npy` through a memory map, masks of uint8.
The store gives a label map, which says as much as its masks and is what training needs, one structure a sample; "store,
masks" makes all 13 of it, as the baseline does. One thread decompresses, as in a loader's worker, but for "store, 2
threads". All files lie in the operating system's cache, so that the disk is not what is measured. Needs some 3 GB of
memory, which is the baseline's.

"faster" is the median over rounds; "at best" compares the fastest round of each, which on a busy machine is nearest to
the truth; "cpu faster" compares processor time.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measuring import Work, arguments, begin, in_turns, median, ratio, show
from scipy import ndimage, sparse

from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.formats import read, read_labels
from segevolution.imaging.grid import Array, Grid, Triple
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import STRUCTURES, Modality

SHAPE: Triple = (512, 512, 120)
WINDOW: Triple = (256, 256, 32)  # (X, Y, Z); 32x256x256 for the network
CLASSES = 13
BASELINE, AT_BEST = "M3D-Seg", "M3D-Seg at best"
Reader = Callable[[Triple, Triple], object]
NOISE = 25  # HU, standard deviation


@dataclass(frozen=True)
class Row:
    """One layout; "faster", "at best" and "smaller" are ratios to M3D-Seg's: goals 20 and 4."""

    layout: str
    milliseconds: float
    fastest: float
    megabytes: float
    faster: float
    at_best: float
    cpu_faster: float
    smaller: float


def noisy_case(shape: Triple = SHAPE, classes: int = CLASSES) -> Case:
    """An elliptic body with one ellipsoid a class, in HU with noise as a scanner's: correlated, whole numbers."""
    chance = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij", sparse=True)
    labels = np.zeros(shape, np.uint8)
    body = axes[0] ** 2 / 0.8 + axes[1] ** 2 / 0.5 + 0 * axes[2] < 1
    signal = np.where(body, np.float32(40), np.float32(-1000))
    for label in range(1, classes + 1):
        centre, radii = chance.uniform(-0.5, 0.5, 3), chance.uniform(0.08, 0.35, 3)
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)) < 1
        labels[inside & body] = label
        signal[inside & body] = chance.uniform(-20, 150)
    noise = ndimage.gaussian_filter(chance.standard_normal(shape, np.float32), (0.6, 0.6, 0))
    signal = signal + noise * (NOISE / noise.std())
    structures = {STRUCTURES[label - 1]: (label,) for label in range(1, classes + 1)}
    grid = Grid(shape, np.diag([0.75, 0.75, 2.5, 1.0]))
    volume = Volume(np.rint(signal).clip(-1024).astype(np.int16), grid, Modality.CT, "noisy")
    return Case("noisy", "noisy", "benchmark", volume, labels, structures)


def real_case(folder: Path, height: int = SHAPE[2], classes: int = CLASSES) -> Case:
    """A DICOM series with its `labels.nii.gz`: mirrored copies up to `height` slices, the largest classes kept."""
    volume, _ = read(folder, modality=Modality.CT).canonical()
    labels = read_labels(folder / "labels.nii.gz").canonical()[0].array
    largest = np.argsort(np.bincount(labels.ravel())[1:])[::-1][:classes] + 1
    table = np.zeros(int(labels.max()) + 1, np.uint8)
    table[largest] = np.arange(1, len(largest) + 1)
    copies = -(-height // labels.shape[2])
    signal, labels = (
        # Turned as well, so that no copy is a repetition to a codec.
        np.concatenate([array[::-1, :, ::-1] if copy % 2 else array for copy in range(copies)], 2)[..., :height]
        for array in (volume.array, table[labels])
    )
    structures = {STRUCTURES[label - 1]: (label,) for label in range(1, len(largest) + 1)}
    tall = Volume(np.ascontiguousarray(signal), Grid(signal.shape, volume.grid.affine), Modality.CT, "real")
    return Case("real", "real", "benchmark", tall, np.ascontiguousarray(labels), structures)


def write_m3d_seg(case: Case, folder: Path, masks: npt.DTypeLike = np.int32) -> Path:
    """image.npy, float32 in [0, 1], and mask.npz, one row a class, into a new folder."""
    folder.mkdir()
    array = case.volume.array.astype(np.float32)
    np.save(folder / "image.npy", ((array - array.min()) / np.ptp(array))[None])
    flat = case.labels.reshape(-1)
    columns = [np.flatnonzero(flat == values[0]) for values in case.structures.values()]
    indices = np.concatenate(columns).astype(np.int32)
    starts = np.cumsum([0, *map(len, columns)]).astype(np.int32)
    rows = sparse.csr_matrix((np.ones(len(indices), masks), indices, starts), (len(columns), flat.size))
    sparse.save_npz(folder / "mask.npz", rows)
    return folder


def read_m3d_seg(
    folder: Path, start: Triple, stop: Triple, *, mapped: bool = False
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.integer]]:
    """Image (X, Y, Z) and masks (classes, X, Y, Z) of the voxels [start, stop)."""
    part = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
    image = np.load(folder / "image.npy", mmap_mode="r" if mapped else None)
    shape = image.shape[1:]
    masks = sparse.load_npz(folder / "mask.npz").toarray().reshape(-1, *shape)
    return np.ascontiguousarray(image[(0, *part)]), np.ascontiguousarray(masks[(slice(None), *part)])


def read_masks(store: Store, name: str, start: Triple, stop: Triple) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The same from the store: signal (X, Y, Z) and masks (classes, X, Y, Z), where classes do not overlap."""
    signal, labels = store.read_window(name, start, stop)
    values = np.array([value for (value,) in store.record(name).structures.values()], labels.dtype)
    return signal, labels[None] == values[:, None, None, None]


def measure(case: Case, folder: Path, window: Triple, *, rounds: int) -> list[Row]:
    """Both layouts written into `folder` and read, in turns, at the same random places."""
    store = Store.create(folder / "store")
    store.add(case)
    threaded = Store(store.path, threads=2)
    other = write_m3d_seg(case, folder / BASELINE)
    best = write_m3d_seg(case, folder / AT_BEST, np.uint8)

    chance = np.random.default_rng(1)
    room = np.subtract(case.labels.shape, window) + 1
    places = [chance.integers(0, room) for _ in range(rounds + 1)]

    def at(read: Reader) -> Work:
        queue = iter(places)

        def work() -> None:
            start = next(queue)
            read(_triple(start), _triple(start + window))

        return work

    works: dict[str, Work] = {
        BASELINE: at(lambda start, stop: read_m3d_seg(other, start, stop)),
        AT_BEST: at(lambda start, stop: read_m3d_seg(best, start, stop, mapped=True)),
        "store": at(lambda start, stop: store.read_window(case.name, start, stop)),
        "store, 2 threads": at(lambda start, stop: threaded.read_window(case.name, start, stop)),
        "store, masks": at(lambda start, stop: read_masks(store, case.name, start, stop)),
    }
    spent = in_turns(works, rounds)
    sizes = dict.fromkeys(works, _size(store.path / "cases")) | {BASELINE: _size(other), AT_BEST: _size(best)}
    base = spent[BASELINE]
    fastest = {name: min(one.wall for one in rounds_of) for name, rounds_of in spent.items()}
    return [
        Row(
            name,
            1000 * median(spent[name]),
            1000 * fastest[name],
            sizes[name] / 1e6,
            1 / ratio(spent[name], base),
            fastest[BASELINE] / fastest[name],
            1 / ratio(spent[name], base, "cpu"),
            sizes[BASELINE] / sizes[name],
        )
        for name in works
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _triple(values: npt.NDArray[np.int64]) -> Triple:
    x, y, z = (int(value) for value in values)
    return x, y, z


def main() -> None:
    """Make the case and measure, in a temporary folder."""
    parser = arguments(__doc__, toy=False)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="of the case, X Y Z")
    parser.add_argument("--window", type=int, nargs=3, default=WINDOW, help="X Y Z")
    parser.add_argument("--ct", type=Path, help="a real CT in place of the made one: folder of DICOM and labels.nii.gz")
    options = parser.parse_args()
    begin(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        case = real_case(options.ct, options.shape[2]) if options.ct else noisy_case(tuple(options.shape))
        rows = measure(case, Path(folder), tuple(options.window), rounds=options.rounds)
    show(rows, as_json=options.json, title="A random window with its labels (goals: 20 times faster, 4 times smaller)")


if __name__ == "__main__":
    main()
