"""Mutated files through the readers: fixed seeds, a process for each, limits of time and memory.

    python tests/fuzz.py --many 5000            # of every kind that is registered
    python tests/fuzz.py --kind nrrd --many 500 --show

A kind of file is a line in KINDS: how a sound file is made, how its bytes are damaged, and what opens it. What may
come of a damaged file is a sentence (a SegevolutionError), or that it opens as before. Anything else is a fault: a
traceback, a crash of the process, no answer within ten seconds, or voxels that changed without a word.

Voxels changed without a word where a checksum guards them and they differ; where two readings of one file differ; and,
as raw voxels have no checksum, where they are others than an independent reader (nibabel, SimpleITK, pydicom) finds in
the same damaged file. Where that reader refuses the file, nothing is compared, and the outcome is "alone". (Of damaged
compressed files SimpleITK may hand out memory that nobody wrote, so it is not asked there.)
"""

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import random
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import dicom_objects
from segevolution.errors import SegevolutionError
from segevolution.imaging.formats import read
from segevolution.imaging.formats.dicom_structures import read_structures

SECONDS = 10.0
MEMORY = 2 << 30  # bytes beyond what the parent process holds
ARRAY = np.random.default_rng(0).integers(0, 900, (9, 10, 11)).astype("<i2")
RAW = ARRAY.tobytes(order="F")
HARMLESS = ("sentence", "opened", "alone")


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        make: (empty folder) -> a sound file or folder in it.
        open: (path) -> anything whose repr tells two contents apart; raises SegevolutionError for a damaged file.
        header: bytes at the file's start that are damaged more often than others.
        checked: whether a checksum guards what follows the header, so that it may not change without a word.
        text: whether numbers and words of the header are replaced too.
        other: an independent reader: (path) -> voxels, in any order where `ordered` is False; raises anything.
        ordered: whether its voxels stand in the order of ours.
    """

    make: Callable[[Path], Path]
    open: Callable[[Path], object]
    header: int
    checked: bool = False
    text: bool = False
    other: Callable[[Path], np.ndarray] | None = None
    ordered: bool = True


@dataclass(frozen=True)
class Outcome:
    """What came of one damaged file: "sentence", "opened", "alone", "traceback", "crash", "hang" or "silent"."""

    kind: str
    seed: int
    word: str
    detail: str
    seconds: float
    megabytes: float


def voxels(path: Path) -> tuple[str, tuple[int, ...]]:
    """Digest and shape of an image, read twice: memory that nobody wrote differs between the two."""
    digests = {hashlib.sha256(np.ascontiguousarray(read(path).array)).hexdigest() for _ in range(2)}
    if len(digests) > 1:
        raise AssertionError("two readings of one file differ")
    return digests.pop(), read(path).array.shape


def structures(path: Path) -> tuple[str, tuple[str, ...]]:
    """Digest and names of the structures of a DICOM file, on the sound series beside it, read twice."""
    image = read(path.parent / "series")
    found = [read_structures(path, image) for _ in range(2)]
    digests = {
        hashlib.sha256(b"".join(places.tobytes() for places in each.places.values())).hexdigest() for each in found
    }
    if len(digests) > 1:
        raise AssertionError("two readings of one file differ")
    return digests.pop(), tuple(name.written for name in found[0].names)


def by_nibabel(path: Path) -> np.ndarray:
    """Voxels (X, Y, Z) of a NIfTI, scaled."""
    return np.asarray(nib.load(path).dataobj)


def by_simpleitk(path: Path) -> np.ndarray:
    """Voxels (X, Y, Z) of an NRRD or MetaImage."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T


def by_pydicom(path: Path) -> np.ndarray:
    """The voxels of every slice, scaled."""
    slices = [pydicom.dcmread(file) for file in sorted(path.iterdir())]
    return np.stack([each.pixel_array * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in slices])


def compared(kind: "Kind", path: Path) -> str:
    """How an independent reader's voxels agree with ours: "opened", "alone" or "silent"."""
    volume = read(path)
    ours = volume.array
    if volume.remarks:
        return "opened"  # with a word: voxels of DICOM's padding value, for instance, were changed and counted
    try:
        theirs = kind.other(path) if kind.other is not None else ours
        theirs = theirs if kind.ordered else np.sort(theirs, axis=None)
    except BaseException:  # whatever it does not read, and however it says so
        return "alone"
    ours = ours if kind.ordered else np.sort(ours, axis=None)
    same = ours.shape == theirs.shape and np.allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=1e-6)
    return "opened" if same else "silent"


def _nifti(folder: Path, name: str) -> Path:
    image = nib.Nifti1Image(ARRAY, np.diag([1.0, 2, 3, 1]))
    nib.save(image, folder / name)
    return folder / name


def _nrrd(folder: Path, encoding: str) -> Path:
    head = (
        "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 10 11\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (0,0,0)\nendian: little\nencoding: "
    )
    data = RAW if encoding == "raw" else gzip.compress(RAW, mtime=0)
    (folder / "image.nrrd").write_bytes(f"{head}{encoding}\n\n".encode() + data)
    return folder / "image.nrrd"


def _meta(folder: Path, packed: bool) -> Path:
    data = zlib.compress(RAW) if packed else RAW
    size = f"CompressedDataSize = {len(data)}\n" if packed else ""
    head = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {packed}\n"
        f"{size}TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 2 3\nDimSize = 9 10 11\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (folder / "image.mha").write_bytes(head.encode() + data)
    return folder / "image.mha"


def _dicom(folder: Path) -> Path:
    series = folder / "series"
    series.mkdir()
    for number in range(3):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, pydicom.uid.UID(f"1.2.{number}")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, f"1.2.{number}", "CT"
        data.SeriesInstanceUID, data.PixelPaddingValue = "1.2.9", 65535
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 0.75]
        data.ImagePositionPatient = [0, 0, 2 * number]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 10, 9, 16, 16, 15
        data.PixelRepresentation, data.RescaleSlope, data.RescaleIntercept = 0, 1, -1024
        data.PixelData = ARRAY[..., number].tobytes(order="F")
        data.save_as(series / f"{number}.dcm", enforce_file_format=True)
    return series


def _dicom_seg(folder: Path, kind: str) -> Path:
    stack = dicom_objects.Stack(cosines=dicom_objects.OBLIQUE)
    dicom_objects.series(folder / "series", stack)
    draw = np.random.default_rng(0)
    numbers = [None, None] if kind == "LABELMAP" else [1, 2]
    frames = [(number, place, draw.integers(0, 2, (9, 7))) for number in numbers for place in (3, 0, 1)]
    named = [
        dicom_objects.segment(1, "liver", dicom_objects.code("10200004")),
        dicom_objects.segment(2, "my lesion", dicom_objects.code("85756007")),
    ]
    return dicom_objects.segmentation(folder / "seg.dcm", named, frames, stack, kind=kind)


def _rtstruct(folder: Path) -> Path:
    stack = dicom_objects.Stack(cosines=dicom_objects.OBLIQUE)
    dicom_objects.series(folder / "series", stack)
    block = [(0.5, 1.5), (4.5, 1.5), (4.5, 6.5), (0.5, 6.5)]
    hole = [(1.5, 2.5), (3.5, 2.5), (3.5, 4.5), (1.5, 4.5)]
    contours = {"Liver": [(1, block), (1, hole), (2, block)], "GTV": [(place, hole) for place in range(5)]}
    return dicom_objects.structure_set(folder / "rt.dcm", contours, stack)


KINDS: dict[str, Kind] = {
    "nifti": Kind(lambda folder: _nifti(folder, "image.nii"), voxels, 352, other=by_nibabel),
    "nifti.gz": Kind(lambda folder: _nifti(folder, "image.nii.gz"), voxels, 20, checked=True),
    "nrrd": Kind(lambda folder: _nrrd(folder, "raw"), voxels, 200, text=True, other=by_simpleitk),
    "nrrd.gz": Kind(lambda folder: _nrrd(folder, "gzip"), voxels, 200, checked=True, text=True),
    "metaimage": Kind(lambda folder: _meta(folder, packed=False), voxels, 260, text=True, other=by_simpleitk),
    "metaimage.z": Kind(lambda folder: _meta(folder, packed=True), voxels, 300, checked=True, text=True),
    "dicom": Kind(_dicom, voxels, 900, other=by_pydicom, ordered=False),
    "dicom seg": Kind(lambda folder: _dicom_seg(folder, "BINARY"), structures, 2400),
    "dicom label map": Kind(lambda folder: _dicom_seg(folder, "LABELMAP"), structures, 2400),
    "rtstruct": Kind(_rtstruct, structures, 2400, text=True),
}


def mutate(data: bytes, kind: Kind, draw: random.Random) -> bytes:
    """Damage bytes in one to three ways."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        if not changed:
            break
        end = min(kind.header, len(changed)) if draw.random() < 0.7 else len(changed)
        place = draw.randrange(end)
        way = draw.choice(
            ("bit", "byte", "word", "cut", "insert", "drop", "copy", *(("number",) * 4 if kind.text else ()))
        )
        if way == "bit":
            changed[place] ^= 1 << draw.randrange(8)
        elif way == "byte":
            changed[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        elif way == "word":
            word = draw.choice((0, 1, -1, 2**31 - 1, -(2**31), draw.randrange(2**32)))
            changed[place : place + 4] = (word % 2**32).to_bytes(4, draw.choice(("little", "big")))
        elif way == "cut":
            del changed[draw.randrange(len(changed)) :]
        elif way == "insert":
            changed[place:place] = draw.randbytes(draw.choice((1, 2, 8, 100)))
        elif way == "drop":
            del changed[place : place + draw.choice((1, 2, 8, 100))]
        elif way == "copy":
            start = draw.randrange(len(changed))
            changed[place:place] = changed[start : start + draw.choice((4, 40))]
        else:
            numbers = list(re.finditer(rb"[0-9.]+|[A-Za-z]+", bytes(changed[:end])))
            if numbers:
                match = draw.choice(numbers)
                words = (
                    b"-1",
                    b"0",
                    b"1e30",
                    b"nan",
                    b"inf",
                    b"%n",
                    b"999999999999",
                    b"1e3",
                    b"",
                    b"LIST",
                    b"../x",
                    b"1_0",
                )
                changed[match.start() : match.end()] = draw.choice(words)
    return bytes(changed)


def try_one(name: str, seed: int, folder: Path) -> Outcome:
    """Make, damage and open one file in a process of its own."""
    kind, draw = KINDS[name], random.Random(f"{name} {seed}")
    path = kind.make(folder)
    whole = repr(kind.open(path)) if kind.checked else ""
    file = draw.choice(sorted(path.rglob("*"))) if path.is_dir() else path
    before = file.read_bytes()
    after = mutate(before, kind, draw)
    file.write_bytes(after)
    same_header = before[: kind.header] == after[: kind.header]
    start = time.perf_counter()
    word, detail, megabytes = _in_a_child(lambda: repr(kind.open(path)))
    seconds = time.perf_counter() - start
    if word == "opened" and kind.other is not None:
        # In a process of its own: an independent reader may crash where ours does not.
        said, found, _ = _in_a_child(lambda: compared(kind, path))
        word = found if said == "opened" else "alone"
    if word == "opened" and kind.checked and same_header and detail != whole:
        word = "silent"
    return Outcome(name, seed, word, detail, seconds, megabytes)


def _in_a_child(work: Callable[[], str]) -> tuple[str, str, float]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work_and_leave(work, writer)
    os.close(writer)
    data = b""
    deadline = time.monotonic() + SECONDS
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 16)
        if not piece:
            break
        data += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if not data:
        hang = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return ("hang" if hang else "crash"), f"status {status}", 0.0
    word, detail, megabytes = json.loads(data)
    return word, detail, megabytes


def _work_and_leave(work: Callable[[], str], writer: int) -> None:
    """In the child: report one outcome and end without any clean-up of the parent's."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    try:
        word, detail = "opened", work()
    except SegevolutionError as error:
        word, detail = ("sentence" if "\n" not in str(error) else "traceback"), str(error)
    except AssertionError as error:
        word, detail = "silent", str(error)
    except BaseException:
        word, detail = "traceback", traceback.format_exc()
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    os.write(writer, json.dumps([word, detail[-4000:], megabytes]).encode())
    os._exit(0)


def run(many: int, names: list[str]) -> list[Outcome]:
    """`many` damaged files in all, shared among the kinds."""
    outcomes = []
    for name in names:
        for seed in range(-(-many // len(names))):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(try_one(name, seed, Path(folder)))
    return outcomes


def faults(outcomes: list[Outcome]) -> list[Outcome]:
    """Those that no user should meet."""
    return [outcome for outcome in outcomes if outcome.word not in HARMLESS]


def main() -> int:
    """Print counts by kind and outcome; status 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=500)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS))
    parser.add_argument("--show", action="store_true", help="print every fault in full")
    options = parser.parse_args()
    outcomes = run(options.many, options.kind or list(KINDS))
    for name in dict.fromkeys(outcome.kind for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.kind == name]
        counts = Counter(outcome.word for outcome in own)
        slowest, largest = max(outcome.seconds for outcome in own), max(outcome.megabytes for outcome in own)
        print(f"{name:12} {dict(counts)}  longest {slowest:.2f} s, most memory {largest:.0f} MB")
    for outcome in faults(outcomes):
        print(outcome.kind, outcome.seed, outcome.word, outcome.detail if options.show else outcome.detail[-200:])
    print(f"{len(outcomes)} files, {len(faults(outcomes))} faults")
    return int(bool(faults(outcomes)))


if __name__ == "__main__":
    sys.exit(main())
