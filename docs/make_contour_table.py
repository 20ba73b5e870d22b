"""The table of how exact contours are, in docs/how-to/dicom.md.

    python docs/make_contour_table.py ../shared/data --rt-utils ENVIRONMENT/bin/python

Labels of two real scans become structure sets, by us and by rt-utils, and each is filled again by us, by plastimatch
(where it is installed) and by rt-utils (in an environment of its own: pip install rt-utils==1.2.7).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from segevolution.data.sources.pairs import place_labels
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.formats.dicom_pixels import stored_pixels
from segevolution.imaging.formats.dicom_structures import read_structures
from segevolution.imaging.grid import Array
from segevolution.imaging.legend import legend
from segevolution.imaging.volume import Volume
from segevolution.metrics import dice

_BY_RT_UTILS = """
import sys
import numpy as np
from rt_utils import RTStructBuilder
series, contours, labels, own, filled = sys.argv[1:]
labels = np.load(labels)
theirs = RTStructBuilder.create_from(dicom_series_path=series, rt_struct_path=contours)
names = theirs.get_roi_names()
places = [item.ImagePositionPatient for item in theirs.series_data]
rows, columns = (np.array(theirs.series_data[0].ImageOrientationPatient, float).reshape(2, 3))
heights = [np.dot(place, np.cross(rows, columns)) for place in places]
step = -1 if heights[0] > heights[-1] else 1
np.savez(filled, *[theirs.get_roi_mask_by_name(name)[..., ::step] for name in names])
new = RTStructBuilder.create_new(dicom_series_path=series)
for number, name in enumerate(names, 1):
    new.add_roi(mask=np.ascontiguousarray((labels == number)[..., ::step]), name=name)
new.save(own)
"""


def main() -> None:
    """Print a row for each scan, writer and filler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rt-utils", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, series, labels in scans(options.data, Path(folder)):
            place = Path(folder) / f"results_{name}"
            place.mkdir()
            for row in rows(place, series, labels, options.rt_utils):
                print(f"{name}: {row}", flush=True)


def scans(data: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, series and label map of each scan; the CT gets the UIDs that its copy lacks, and plain pixels."""
    ct = folder / "ct"
    ct.mkdir()
    for file in sorted((data / "ct_abdomen_dicom").glob("*.dcm")):
        header = pydicom.dcmread(file)
        header.PixelData = stored_pixels(header, file).tobytes()
        header["PixelData"].VR, header["PixelData"].is_undefined_length = "OW", False
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID
        header.StudyInstanceUID, header.SeriesInstanceUID, header.SeriesNumber = "1.2.3.4", "1.2.3.5", 1
        header.save_as(ct / file.name)
    yield "CT", ct, data / "ct_abdomen_dicom" / "labels.nii.gz"
    prostate = data / "mr_prostate_prostatex" / "ProstateX-0000"
    yield "oblique MRI", prostate / "dicom", prostate / "zones.nii.gz"


def rows(place: Path, series: Path, labels: Path, rt_utils: Path | None) -> Iterator[str]:
    """Who wrote, who filled, and the mean and worst Dice of all structures of one scan."""
    image = read(series)
    placed = place_labels(image, read_labels(labels))
    values = [int(value) for value in np.unique(placed) if value]
    array = np.zeros(int(placed.max()) + 1, np.uint8)
    array[values] = np.arange(1, len(values) + 1)
    array = array[placed]
    names = [f"structure{number:02d}" for number in range(1, len(values) + 1)]
    ours = place / "ours.rtstruct.dcm"
    write_mask(array, image, ours, labels=legend(names))
    yield f"us, filled by us: {_figures(_filled(ours, image), array)}"
    if (plastimatch := shutil.which("plastimatch")) is not None:
        words = [plastimatch, "convert", "--input", ours, "--referenced-ct", series, "--prefix-format", "nii.gz"]
        subprocess.run([*words, "--output-prefix", place / "filled"], check=True, capture_output=True)
        masks = [place_labels(image, read_labels(place / "filled" / f"{name}.nii.gz")) > 0 for name in names]
        yield f"us, filled by plastimatch: {_figures(masks, array)}"
    if rt_utils is None:
        return
    np.save(place / "labels.npy", array.transpose(1, 0, 2))
    paths = [series, ours, place / "labels.npy", place / "theirs.dcm", place / "theirs.npz"]
    subprocess.run([rt_utils, "-c", _BY_RT_UTILS, *paths], check=True, stdout=sys.stderr)
    with np.load(place / "theirs.npz") as theirs:
        masks = [theirs[key].transpose(1, 0, 2) for key in theirs.files]
    yield f"us, filled by rt-utils: {_figures(masks, array)}"
    yield f"rt-utils, filled by us: {_figures(_filled(place / 'theirs.dcm', image), array)}"


def _filled(path: Path, image: Volume) -> list[Array]:
    structures = read_structures(path, image)
    masks = []
    for name in structures.names:
        mask = np.zeros(image.array.size, np.bool_)
        mask[structures.places[name.number]] = True
        masks.append(mask.reshape(image.grid.shape))
    return masks


def _figures(masks: list[Array], array: Array) -> str:
    scores = [dice(mask, array == number) for number, mask in enumerate(masks, start=1)]
    return f"mean {np.mean(scores):.4f}, worst {min(scores):.4f} of {len(scores)}"


if __name__ == "__main__":
    main()
