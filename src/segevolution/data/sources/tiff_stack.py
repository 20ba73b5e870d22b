"""A multi-page TIFF as a stack of slices, and what its tags say of the size of voxels; it says nothing of a patient."""

import contextlib
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import FormatError
from ...imaging.grid import Array

Spacing = tuple[float | None, float | None, float | None]
UNKNOWN: Spacing = (None, None, None)

_ONE_VALUE = {"1", "L", "P", "I", "F"}
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_MILLIMETRES = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "m": 1000.0}
# Dots an inch that programs write when they know of none; 25.4 is a spacing of 1 mm that nobody set.
_MEANINGLESS = (1.0, 25.4, 72.0, 96.0, 100.0, 150.0, 200.0, 300.0, 600.0, 1200.0)


def read_stack(path: Path) -> Array:
    """The pages of a TIFF as (X, Y, Z): columns, rows and pages; integers stay integers.

    Raises:
        FormatError: no TIFF, damaged, of one page, of unequal pages, or with several values a pixel.
    """
    with _opened(path) as image:
        pages = [_page(image, number, path) for number in range(getattr(image, "n_frames", 1))]
    if len(pages) < 2:
        raise FormatError(f"{path} has one page; a volume needs several, one a slice.")
    if len({(page.shape, page.dtype) for page in pages}) > 1:
        raise FormatError(f"{path} has pages of different sizes or number types, so they are no stack of slices.")
    return np.stack(pages).transpose(2, 1, 0)


def spacing_of(path: Path) -> Spacing:
    """Spacing x, y, z in millimetres by the tags; None where they do not say, or say what any program writes.

    ImageJ says all three; a resolution in dots an inch or a centimetre says two.

    Raises:
        FormatError: no TIFF, or damaged.
    """
    with _opened(path) as image:
        return _spacing(image)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, on odd tags; what cannot be decoded raises
            with Image.open(path, formats=("TIFF",)) as image:
                yield image
    except UnidentifiedImageError as error:
        raise FormatError(f"{path} is not a TIFF image; it may be another kind of file under that name.") from error
    except (OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, struct.error) as error:
        raise FormatError(f"{path} cannot be read: it is truncated or damaged; copy it again.") from error


def _page(image: Image.Image, number: int, path: Path) -> Array:
    """One page (rows, columns)."""
    image.seek(number)
    if image.mode.split(";")[0] not in _ONE_VALUE:
        raise FormatError(f"{path} holds colours ({image.mode}); a volume needs one grey value a voxel.")
    page = np.asarray(image)
    return page.astype(np.uint8) if page.dtype == np.bool_ else page.astype(page.dtype.newbyteorder("="))


def _spacing(image: Image.Image) -> Spacing:
    tags = getattr(image, "tag_v2", {})
    tag_values = dict(re.findall(r"^(\w+)=(.*?)\s*$", str(tags.get(_DESCRIPTION, "")), re.MULTILINE))
    dots = [_number(tags.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    unit = tag_values.get("unit", "").replace("\\u00B5", "µ").lower()
    if "ImageJ" in tag_values and unit in _MILLIMETRES:
        x, y = (_MILLIMETRES[unit] / dot if dot else None for dot in dots)
        step = _number(tag_values.get("spacing"))
        return x, y, step * _MILLIMETRES[unit] if step else None
    inches = {2: 1.0, 3: 2.54}.get(tags.get(_RESOLUTION_UNIT, 2))
    if inches is None or any(not dot or np.isclose(dot * inches, _MEANINGLESS, rtol=0.01).any() for dot in dots):
        return UNKNOWN
    x, y = (25.4 / (dot * inches) if dot else None for dot in dots)
    return x, y, None


def _number(value: object) -> float | None:
    """A number above zero, or None."""
    try:
        number = float(str(value)) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) and number > 0 else None
