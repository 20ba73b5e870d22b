"""Cases that are read from disk by part are trained on exactly as those in memory, whatever the cache holds."""

import errno
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from segevolution.data import framed_copies
from segevolution.data.framed_copies import FramedCopies
from segevolution.data.label_index import LabelIndex
from segevolution.data.store import Store
from segevolution.data.streaming import ArrayCache, StreamedArray, planes_of
from segevolution.data.windows import PUBLISHED_VIEWS, FramedCase, ViewSettings, draw_click, draw_view
from segevolution.errors import OutputError, StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.strategies import strategy_of
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, StepDataset
from segevolution.training.case_groups import framed, load_group
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings, decisive
from segevolution.vocabulary import Modality

SHAPE = (44, 40, 14)  # X, Y, Z
CACHES = {"none": 0, "some": 120_000, "all": 10**9}


def scan(seed: int, modality: Modality = Modality.CT) -> Case:
    """A bright body in air with a liver, a spleen, and on some a kidney; axes of a file that is no RAS+."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    x, y, z = rng.integers((4, 4, 1), (14, 14, 4))
    labels[x : x + 12, y : y + 10, z : z + 6] = 1
    labels[x + 14 : x + 22, y + 10 : y + 18, z + 2 : z + 8] = 2
    if seed % 2:
        labels[30:36, 4:10, 9:12] = 5
    body = np.zeros(SHAPE, bool)
    body[3:-3, 2:-2] = True
    signal = np.where(body, 40, -1000) + 60 * labels + rng.integers(-9, 9, SHAPE)
    volume = Volume(signal.astype(np.int16), Grid(SHAPE, np.diag([-1.5, 1.5, 3.0, 1.0])), modality, f"scan{seed}")
    structures = {"liver": (1,), "spleen": (2,), "left kidney": (5,)}
    return Case(f"scan{seed}", f"patient{seed}", "scans", volume, labels, structures)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = Store.create(tmp_path_factory.mktemp("streaming") / "store")
    for seed in range(4):
        made.add(scan(seed))
    return made


def network(framing: str = "zoom") -> TinyBackbone:
    window = (1, 32, 32) if framing == "slices" else (8, 16, 16)
    return TinyBackbone(TinyConfig(window=window, seed=1, framing=framing))


def in_memory(store: Store, spec) -> CaseGroup:
    """As trainings had their cases before they streamed."""
    strategy = strategy_of(spec)
    return CaseGroup(tuple(framed(store, store.names, lambda volume: strategy.prepare(volume, spec), spec.structures)))


@pytest.mark.parametrize("framing", ["zoom", "click", "slices", "sliding"])
def test_a_streamed_case_is_the_case_in_memory(store, framing):
    spec = network(framing).spec
    pairs = zip(in_memory(store, spec).cases, load_group(store, store.names, spec).cases, strict=True)
    for memory, streamed in pairs:
        for name in ("image", "labels"):
            one, other = getattr(memory, name), getattr(streamed, name)
            assert isinstance(other, StreamedArray)
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            np.testing.assert_array_equal(one, np.asarray(other))
        for name in ("name", "modality", "structures", "absent", "pad", "bounds", "dataset"):
            assert getattr(memory, name) == getattr(streamed, name), name
        for structure in memory.structures:
            np.testing.assert_array_equal(memory.extent(structure), streamed.extent(structure))
            np.testing.assert_array_equal(memory.mask(structure), streamed.mask(structure))


@pytest.mark.parametrize("cache", CACHES)
def test_a_streamed_view_is_the_view_of_the_case_in_memory_bit_for_bit(store, cache):
    spec = network().spec
    group, kept = load_group(store, store.names, spec), ArrayCache(CACHES[cache])
    pairs = list(zip(in_memory(store, spec).cases, group.kept_in(kept).cases, strict=True))
    chosen = (ViewSettings(), ViewSettings(focus=1, rotation=40), PUBLISHED_VIEWS["hub"])
    for seed in range(12):
        for memory, streamed in pairs:
            for settings_ in chosen:
                for draw in (draw_view, draw_click):
                    one, other = (
                        draw(case, spec.window, np.random.default_rng(seed), settings_) for case in (memory, streamed)
                    )
                    np.testing.assert_array_equal(one.image, other.image)
                    np.testing.assert_array_equal(one.labels, other.labels)
                    assert one.image.strides == other.image.strides  # sums over it run in the same order
    assert kept.size <= kept.limit


@pytest.mark.parametrize("framing", ["zoom", "click", "slices"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_streamed_with_workers_and_without(store, framing, workers):
    spec = network(framing).spec
    group = load_group(store, store.names, spec).kept_in(ArrayCache(CACHES["some"]))
    memory, streamed = (StepDataset([cases], spec, 4, seed=3) for cases in (in_memory(store, spec), group))
    for one, other in zip(memory, DataLoader(streamed, batch_size=None, num_workers=workers), strict=False):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.prompts.boxes.nan_to_num(-9), other.prompts.boxes.nan_to_num(-9))
        assert one.contexts == other.contexts


STOPPING = {
    "steps": 4,
    "warmup": 1,
    "checkpoint_every": 2,
    "validate_every": 2,
    "validation": {"volumes": 4, "prompts": ["text"]},
    "sample": {"views": 1},
    "cache_megabytes": 0.1,
}


def test_a_streamed_training_that_stops_ends_as_one_in_memory(store, tmp_path, monkeypatch):
    whole, parts = network(), network()

    def train(model, cases, folder):
        chosen = FitSettings(**STOPPING)
        return fit(model, [cases], chosen, tmp_path / folder, validation=[cases], device="cpu", quiet=True)

    expected = train(whole, in_memory(store, whole.spec), "memory")
    original = StepDataset.__getitem__

    def stopping(self, index):
        if index == 3 and self.seed == 0:
            raise StoreError("the disk was taken away.")
        return original(self, index)

    cases = load_group(store, store.names, parts.spec)
    with monkeypatch.context() as patched:
        patched.setattr(StepDataset, "__getitem__", stopping)
        with pytest.raises(StoreError):
            train(parts, cases, "streamed")
    result = train(parts, cases, "streamed")
    assert result.finished
    assert result.metrics["validation/score"] == expected.metrics["validation/score"]
    assert all(torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_case_without_room_in_the_cache_is_never_read_whole(store, monkeypatch):
    spec = network().spec
    (case, *_) = load_group(store, store.names, spec).kept_in(ArrayCache(10_000)).cases

    def read(self):
        raise AssertionError(f"{self.path} was read whole")

    monkeypatch.setattr(StreamedArray, "read", read)
    for seed in range(10):
        draw_view(case, spec.window, np.random.default_rng(seed))


def test_what_the_cache_keeps_is_read_once(store, monkeypatch):
    spec = network().spec
    (case, *_) = load_group(store, store.names, spec).kept_in(ArrayCache(10**9)).cases
    reads, original = [], StreamedArray.read
    monkeypatch.setattr(StreamedArray, "read", lambda self: reads.append(self.path.name) or original(self))
    for seed in range(10):
        draw_view(case, spec.window, np.random.default_rng(seed))
    assert sorted(reads) == ["image.b2nd", "labels.b2nd"]


def fresh(tmp_path, *seeds: int) -> Store:
    made = Store.create(tmp_path / "store")
    for seed in seeds:
        made.add(scan(seed))
    return made


def test_a_case_is_framed_once_for_networks_that_frame_alike(tmp_path, monkeypatch):
    store, spec, frames = fresh(tmp_path, 0, 1), network().spec, []
    original = FramedCopies._write
    monkeypatch.setattr(
        FramedCopies, "_write", lambda self, place, case: frames.append(place) or original(self, place, case)
    )
    load_group(store, store.names, spec)
    load_group(store, store.names, replace(spec, window=(4, 8, 8)))
    assert len(frames) == 2
    other = replace(spec, spacing=(3.0, 3.0, 6.0))
    (coarse, *_) = load_group(store, store.names, other).cases
    np.testing.assert_array_equal(in_memory(store, other).cases[0].image, np.asarray(coarse.image))
    assert len(frames) == len(set(frames)) == 4


def test_a_case_that_changed_is_framed_anew(tmp_path):
    store, spec = fresh(tmp_path, 0), network().spec
    before = load_group(store, store.names, spec).cases[0]
    store.add(replace(scan(1), name="scan0"), update=True)
    store.refresh()
    after = load_group(store, store.names, spec).cases[0]
    assert set(after.structures) == set(before.structures) | {"left kidney"}
    np.testing.assert_array_equal(in_memory(store, spec).cases[0].image, np.asarray(after.image))


@pytest.mark.parametrize("name", ["image.b2nd", "labels.b2nd", "index.npy", "framed.json"])
def test_a_copy_that_was_cut_short_is_made_anew(tmp_path, name):
    store, spec = fresh(tmp_path, 0), network().spec
    load_group(store, store.names, spec)
    (path,) = (store.path / "framed").glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:-9])
    case = load_group(store, store.names, spec).cases[0]
    np.testing.assert_array_equal(in_memory(store, spec).cases[0].labels, np.asarray(case.labels))


@pytest.mark.parametrize("name", ["image.b2nd", "index.npy"])
def test_a_damaged_copy_is_named_in_a_sentence(tmp_path, name):
    store, spec = fresh(tmp_path, 0), network().spec
    load_group(store, store.names, spec)
    (path,) = (store.path / "framed").glob(f"*/{name}")
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(StoreError, match=f"{name} is .*damaged; delete .* call again"):
        draw_view(load_group(store, store.names, spec).cases[0], spec.window, np.random.default_rng(0))


def test_a_store_that_may_only_be_read_is_trained_on_in_memory_with_a_warning(tmp_path, monkeypatch, caplog):
    store, spec = fresh(tmp_path, 0), network().spec

    def refused(parent):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(framed_copies, "partial_folder", refused)
    with caplog.at_level(logging.WARNING):
        (case,) = load_group(store, store.names, spec).cases
    assert isinstance(case.image, np.ndarray)
    assert "Read-only file system" in caplog.text


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    store, spec = fresh(tmp_path, 0), network().spec

    def full(path, array, layout):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(framed_copies, "write_array", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        load_group(store, store.names, spec)
    assert not any((store.path / "framed").iterdir())


def test_a_process_that_was_faster_keeps_its_copy(tmp_path, monkeypatch):
    store, spec = fresh(tmp_path, 0), network().spec
    original, places = FramedCopies._write, []

    def overtaken(self, place, case):
        original(self, place, case)
        places.append((place / "image.b2nd").stat().st_ino)
        original(self, place, case)
        places.append((place / "image.b2nd").stat().st_ino)

    monkeypatch.setattr(FramedCopies, "_write", overtaken)
    load_group(store, store.names, spec)
    assert places[0] == places[1]
    assert len(list((store.path / "framed").iterdir())) == 1


def test_the_cache_decides_nothing_so_it_is_no_part_of_a_key():
    assert decisive(FitSettings(cache_megabytes=1)) == decisive(FitSettings())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_index_finds_what_a_scan_of_the_labels_finds(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 1, 2, 9], rng.integers(1, 7, 3)).astype(np.uint8)
    case = FramedCase("a", None, np.zeros(labels.shape, np.float16), labels, {"liver": (1, 9), "spleen": (2, 7)})
    for name, values in case.structures.items():
        mask = np.isin(labels, values)
        if not mask.any():
            continue
        places = np.argwhere(mask)
        np.testing.assert_array_equal(case.planes_with(name), np.unique(places[:, 0]))
        np.testing.assert_array_equal(case.extent(name), (places.min(axis=0), places.max(axis=0) + 1))
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        np.testing.assert_array_equal(case.voxel_of(name, one), places[other.integers(len(places))])
    assert sum(int(counts.sum()) for counts in LabelIndex.of(labels).counts.values()) == labels.size


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_planes_are_the_same_from_a_file_and_from_memory(store, seed):
    rng = np.random.default_rng(seed)
    image = load_group(store, store.names[:1], network().spec).cases[0].image
    depth, height, width = image.shape
    numbers = sorted(rng.choice(depth, rng.integers(1, depth), replace=False).tolist())
    rows, columns = (slice(*np.sort(rng.choice(side + 1, 2, replace=False)).tolist()) for side in (height, width))
    expected = np.asarray(image)[numbers][:, rows, columns]
    for array in (image, np.asarray(image), image.kept_in(ArrayCache(10**9))):
        np.testing.assert_array_equal(planes_of(array, numbers, rows, columns), expected)
