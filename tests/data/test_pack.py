"""Cases packed into one file: what comes back, what is lost on purpose, and what is refused."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segevolution.data.pack import PackEntry, PackLimits, read_pack, thinned, write_pack
from segevolution.data.windows import FramedCase
from segevolution.errors import OutputError, StoreError
from segevolution.vocabulary import Modality

NATIVE = (3.0, 3.0, 5.0)


def case(seed: int = 0, shape: tuple[int, int, int] = (10, 24, 30)) -> FramedCase:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    labels[2:6, 4:12, 5:14], labels[6:9, 12:20, 10:20], labels[0, 0, 0] = 300, 7, 12
    structures = {"kidney": (7, 300), "left kidney": (7,), "right kidney": (300,)}
    image = rng.random(shape).astype(np.float16)
    return FramedCase(f"case{seed}", Modality.CT, image, labels, structures, ("liver",))


def packed(folder, *cases: FramedCase, levels: int = 256):
    entries = [PackEntry("ct", "train", thinned(each, NATIVE, PackLimits()), levels) for each in cases]
    write_pack(folder / "a.pack", entries, {"about": "toys"})
    return read_pack(folder / "a.pack")


@pytest.mark.parametrize("levels", [256, 64])
def test_a_case_at_its_own_resolution_comes_back_but_for_the_rounding_of_its_levels(tmp_path, levels):
    given = case()
    (back,) = packed(tmp_path, given, levels=levels).cases("ct", "train")
    assert (back.name, back.modality, back.absent) == (given.name, given.modality, given.absent)
    assert back.image.dtype == np.float16
    assert back.labels.dtype == np.uint8
    far = np.abs(back.image.astype(float) - given.image.astype(float)).max()
    assert far < 0.5 / (levels - 1) + 1e-3  # half a level, and that of float16
    assert set(back.structures) == set(given.structures)
    for name in given.structures:
        np.testing.assert_array_equal(back.mask(name), given.mask(name))
    assert not back.labels[0, 0, 0]  # a label that is no structure


def test_all_levels_come_back_exactly(tmp_path):
    shape = (4, 16, 16)
    given = replace(case(shape=(10, 24, 30)), labels=np.full(shape, 7, np.uint8), structures={"liver": (7,)})
    given = replace(given, image=(np.random.default_rng(1).integers(0, 256, shape) / 255).astype(np.float16))
    (back,) = packed(tmp_path, given).cases("ct", "train")
    np.testing.assert_array_equal(back.image, given.image)


@given(
    st.tuples(*[st.integers(1, 400)] * 3),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.integers(1000, 2_000_000),
)
def test_no_case_is_larger_or_finer_than_the_limits(size, spacing, voxels):
    limits = PackLimits(voxels=voxels)
    shape = limits.shape(size, spacing)
    assert np.prod(shape) <= voxels
    for side, before, pace, finest in zip(shape, size, spacing[::-1], limits.finest[::-1], strict=True):
        assert 1 <= side <= before
        assert side == 1 or before * pace / side >= finest * (1 - 1e-6)


def test_a_case_that_keeps_the_limits_is_not_resampled():
    assert PackLimits(finest=(1.5, 1.5, 2.5)).shape((40, 60, 70), (1.5, 1.5, 2.5)) == (40, 60, 70)


def test_a_thinned_case_keeps_its_shape_and_forgets_structures_that_lost_their_voxels():
    given = case()
    labels = given.labels.copy()
    labels[4, 20, 25] = 9
    given = replace(given, labels=labels, structures={**given.structures, "gallbladder": (9,)})
    small = thinned(given, NATIVE, PackLimits(voxels=1000))
    assert small.image.shape == small.labels.shape
    assert 500 < small.image.size <= 1000
    assert set(small.structures) == {"kidney", "left kidney", "right kidney"}
    assert small.absent == ("liver",)  # the gallbladder is there, only not seen
    for name in small.structures:
        assert small.mask(name).mean() == pytest.approx(given.mask(name).mean(), rel=0.35)
        low, high = small.extent(name)
        assert (high > low).all()


def test_equal_cases_make_equal_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (packed(tmp_path / name, case(1), case(2)) for name in ("first", "second"))
    assert first.sha256 == second.sha256
    assert first.facts == {"about": "toys"}
    assert first.names("ct", "train") == ["case1", "case2"]
    assert first.names("ct", "validation") == []


def test_a_pack_beyond_its_size_leaves_no_file(tmp_path):
    with pytest.raises(OutputError, match=r"more than 0\.0 MB; lower the voxels[^\n]*\.$"):
        write_pack(tmp_path / "a.pack", [PackEntry("ct", "train", case())], {}, most_bytes=100)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path):
    (tmp_path / "a.pack").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_pack(tmp_path / "a.pack", [], {})
    assert (tmp_path / "a.pack").read_text("utf-8") == "mine"
    write_pack(tmp_path / "a.pack", [], {}, force=True)
    assert read_pack(tmp_path / "a.pack").entries == ()


def test_an_image_beyond_zero_and_one_is_refused(tmp_path):
    wide = replace(case(), image=case().image * 3)
    with pytest.raises(StoreError, match="beyond 0 to 1"):
        packed(tmp_path, wide)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.99])
def test_a_changed_byte_is_one_sentence(tmp_path, place):
    path = packed(tmp_path, case()).path
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"^[^\n]*a\.pack is no packed training set, or damaged[^\n]*\.$"):
        read_pack(path)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_no_pack_is_one_sentence(tmp_path, content):
    path = packed(tmp_path, case()).path
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(StoreError, match="is no packed training set, or damaged"):
        read_pack(path)
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        read_pack(tmp_path / "none.pack")


def test_a_pack_of_a_later_version_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pack", "w") as archive:
        header = {"format": "segevolution pack", "version": 99, "facts": {}, "cases": []}
        archive.writestr("pack.json", json.dumps(header))
    with pytest.raises(StoreError, match="pack of version 99, this package reads 1; update the package"):
        read_pack(tmp_path / "a.pack")
