"""Masks on the wire to a browser."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("fastapi")

from segevolution.errors import PromptError
from segevolution.inference.segmentation import difference
from segevolution.inference.windows import VoxelBlock
from segevolution.server.runs import decode_mask, encode_mask


@given(arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)))
def test_a_mask_comes_back(mask: np.ndarray) -> None:
    told = encode_mask(mask, difference(mask, None))
    if told is None:
        assert not mask.any()
        return
    np.testing.assert_array_equal(decode_mask(told["box"], told["runs"], mask.shape), mask)


def test_runs_begin_with_voxels_that_are_off_and_x_runs_fastest() -> None:
    mask = np.zeros((3, 2, 1), bool)
    mask[1:, 0, 0] = True
    mask[0, 1, 0] = True
    told = encode_mask(mask, VoxelBlock((0, 0, 0), (3, 2, 1)))
    assert told is not None
    assert np.frombuffer(base64.b64decode(told["runs"]), "<u4").tolist() == [1, 3, 2]
    told = encode_mask(mask, VoxelBlock((1, 0, 0), (3, 1, 1)))
    assert told is not None
    assert told["box"] == [[1, 3], [0, 1], [0, 1]]
    assert np.frombuffer(base64.b64decode(told["runs"]), "<u4").tolist() == [0, 2]


def _runs(*lengths: int) -> str:
    return base64.b64encode(np.array(lengths, "<u4").tobytes()).decode()


@pytest.mark.parametrize(
    ("box", "runs"),
    [
        pytest.param([[0, 3], [0, 2], [0, 2]], _runs(12), id="leaves"),
        pytest.param([[2, 2], [0, 2], [0, 1]], _runs(0), id="empty box"),
        pytest.param([[-1, 2], [0, 2], [0, 1]], _runs(6), id="negative"),
        pytest.param([[0, 3], [0, 2]], _runs(6), id="two axes"),
        pytest.param([[0, 3], [0, 2], [0, 1]], _runs(5), id="too short"),
        pytest.param([[0, 3], [0, 2], [0, 1]], _runs(1, 2**32 - 1, 6), id="overflow"),
        pytest.param([[0, 3], [0, 2], [0, 1]], "AAA", id="no base64"),
        pytest.param([[0, 3], [0, 2], [0, 1]], base64.b64encode(b"12345").decode(), id="no integers"),
    ],
)
def test_what_is_no_mask_is_refused(box: list[list[int]], runs: str) -> None:
    with pytest.raises(PromptError):
        decode_mask(box, runs, (3, 2, 1))
