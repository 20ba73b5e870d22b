"""Arrays on nnInteractive's wire: our own, and those that are no arrays."""

import struct

import numpy as np
import pytest

pytest.importorskip("fastapi")

from segevolution.server.faults import BadRequest, TooLarge
from segevolution.server.nninteractive.packed_array import pack_array, unpack_array


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 2, 3, 4), (1,)])
def test_an_array_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape)) % 3).reshape(shape).astype(dtype)
    found = unpack_array(pack_array(array), 10_000)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_zeros_of_any_length_come_back() -> None:
    for length in (1, 7, 706, 70_766):
        assert not unpack_array(pack_array(np.zeros(length, np.uint8)), 10**6).any()


def _header(dtype: bytes = b"uint8", shape: tuple[int, ...] = (2, 2, 2), chunks: int = 1) -> bytes:
    start = struct.pack("<4sBBBB", b"NNIA", 1, 1, len(shape), len(dtype)) + dtype
    return start + struct.pack(f"<{len(shape)}q", *shape) + struct.pack("<I", chunks)


GOOD = pack_array(np.ones((2, 2, 2), np.uint8))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"NNIA", id="short"),
        pytest.param(b"XXXX" + GOOD[4:], id="magic"),
        pytest.param(GOOD[:4] + b"\x02" + GOOD[5:], id="version"),
        pytest.param(GOOD[:5] + b"\x09" + GOOD[6:], id="codec"),
        pytest.param(GOOD[:-3], id="cut"),
        pytest.param(GOOD + b"x", id="bytes left"),
        pytest.param(_header(dtype=b"object"), id="objects"),
        pytest.param(_header(dtype=b"nonsense"), id="dtype"),
        pytest.param(_header(dtype=b"\xff\xfe"), id="no ascii"),
        pytest.param(_header(shape=(2, -2, 2)), id="negative"),
        pytest.param(_header(shape=(1,) * 9), id="dimensions"),
        pytest.param(_header(chunks=2**32 - 1), id="chunks"),
        pytest.param(_header() + struct.pack("<QQ", 8, 2**63), id="far beyond"),
        pytest.param(_header() + struct.pack("<QQ", 8, 40) + b"\0" * 40, id="no frame"),
        pytest.param(_header() + struct.pack("<QQ", 8, 40) + b"\xff" * 40, id="garbage"),
    ],
)
def test_what_is_no_array_is_refused(message: bytes) -> None:
    with pytest.raises(BadRequest):
        unpack_array(message, 10**6)


def test_an_array_that_takes_too_much_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(TooLarge):
        unpack_array(_header(shape=(10**6, 10**6, 10**6)), 10**6)
