"""SimMIM: what is hidden stays hidden, only that is learned from, and a run that was stopped goes on."""

import csv
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segevolution.adapters import LoraAdapter, LoraConfig, create, load_adapter, save_adapter
from segevolution.data.store import Store
from segevolution.data.streaming import ArrayCache
from segevolution.data.windows import FramedCase, ViewSettings
from segevolution.errors import AdapterError, CheckpointError, RecipeError, StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.segvol.config import SegVolConfig, StemConfig
from segevolution.models.segvol.image_encoder import Patches
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone
from segevolution.training.batches import SampleSettings
from segevolution.training.case_groups import load_group
from segevolution.training.masking import MaskedDataset, MaskSettings, UnlabelledImages, draw_mask
from segevolution.training.settings import FitSettings
from segevolution.training.simmim import MaskedPrediction, learn
from segevolution.vocabulary import Modality

WINDOW, PATCH, GRID = (8, 32, 32), (4, 8, 8), (2, 4, 4)
SETTINGS = FitSettings(
    steps=5, warmup=2, learning_rate=5e-3, checkpoint_every=2, validation_steps=2, sample=SampleSettings(views=2)
)


def network(stem: bool = False, seed: int = 0) -> SegVol:
    config = SegVolConfig(
        window=WINDOW,
        patch=PATCH,
        width=32,
        depth=2,
        heads=2,
        mlp=48,
        decoder_heads=2,
        decoder_mlp=32,
        iou_hidden=8,
        stem=StemConfig((4, 8, 8)) if stem else None,
        high_resolution=stem,
    )
    return SegVol.fresh(config, seed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four scans without any label, brighter towards one side each."""
    found = Store.create(tmp_path_factory.mktemp("stores") / "images")
    for number in range(4):
        rng = np.random.default_rng(number)
        x, y, _ = np.meshgrid(*(np.linspace(-1, 1, side) for side in (40, 36, 12)), indexing="ij")
        signal = 500 + (150 - 100 * (number % 2)) * x + 100 * (number - 1) * y + rng.normal(0, 4, x.shape)
        volume = Volume(signal.astype(np.int16), Grid(x.shape, np.diag([2.0, 2.0, 5.0, 1.0])), Modality.MRI, "scan")
        found.add(Case(f"scan{number}", f"p{number}", "images", volume, np.zeros(x.shape, np.uint8)))
    return found


@pytest.fixture
def pools(store: Store) -> list[UnlabelledImages]:
    return [UnlabelledImages(store, store.names[:3], "foreground")]


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((2, 1, *WINDOW), dtype=np.float32))
    hidden = torch.from_numpy(np.stack([draw_mask(GRID, rng, MaskSettings()) for _ in range(2)]))
    return images, hidden


def state(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_segvols_own_ratio_hides_1228_of_2048_tokens() -> None:
    mask = draw_mask((8, 16, 16), np.random.default_rng(0), MaskSettings())
    assert mask.shape == (2048,)
    assert mask.sum() == 1228


@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.75])
def test_the_ratio_is_exact_and_units_are_hidden_whole(ratio: float) -> None:
    settings = MaskSettings(ratio=ratio, unit=(1, 2, 4))
    masks = [draw_mask((4, 8, 8), np.random.default_rng(seed), settings) for seed in range(5)]
    for mask in masks:
        units = mask.reshape(4, 1, 4, 2, 2, 4).transpose(0, 2, 4, 1, 3, 5).reshape(32, 8)
        assert (units.all(1) | ~units.any(1)).all()
        assert units.all(1).sum() == int(ratio * 32)
    assert len({mask.tobytes() for mask in masks}) > 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ratio": 1.5}, "share between 0 and 1"),
        ({"unit": [2, 2]}, "three whole numbers"),
        ({"fill": "noise"}, "zero or learned"),
        ({"rato": 0.5}, 'did you mean "ratio"'),
        ({"unit": [2, 3, 4]}, "does not fill"),
        ({"ratio": 0.01}, "hides 0 of 32 units"),
    ],
)
def test_impossible_masks_are_refused_in_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        MaskSettings.from_dict(values).hidden_units(GRID)


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("fill", ["zero", "learned"])
@torch.no_grad()
def test_hidden_voxels_change_nothing_in_the_prediction(stem: bool, fill: str) -> None:
    model, images, hidden = network(stem).eval(), *batch()
    prediction = MaskedPrediction(32, PATCH, MaskSettings(fill=fill))  # type: ignore[arg-type]
    if prediction.fill is not None:
        prediction.fill.fill_(0.3)
    before = prediction(model.image_encoder, images, hidden)
    other = prediction.painted(Patches(PATCH)(torch.rand_like(images)) * 9 - 4, images, hidden)
    assert not torch.equal(images, other)
    assert torch.equal(prediction(model.image_encoder, other, hidden), before)
    seen = prediction.painted(Patches(PATCH)(torch.rand_like(images)), images, ~hidden)
    assert not torch.equal(prediction(model.image_encoder, seen, hidden), before)


@pytest.mark.parametrize("stem", [False, True])
def test_no_gradient_reaches_hidden_voxels_through_the_prediction(stem: bool) -> None:
    model, images, hidden = network(stem), *batch()
    images.requires_grad_()
    prediction = MaskedPrediction(32, PATCH, MaskSettings())
    prediction(model.image_encoder, images, hidden).square().sum().backward()
    assert images.grad is not None
    gradient = Patches(PATCH)(images.grad)
    assert not gradient[hidden].any()
    assert gradient[~hidden].any(-1).all()


def test_the_loss_is_the_mean_over_hidden_voxels_alone() -> None:
    images, hidden = batch()
    prediction = MaskedPrediction(32, PATCH, MaskSettings())
    truth = Patches(PATCH)(images)
    wrong = torch.where(hidden[..., None], truth + 0.25, truth + 7.0)
    assert prediction.loss(wrong, images, hidden).item() == pytest.approx(0.25, abs=1e-6)
    one = truth.clone()
    token = torch.nonzero(hidden[0])[0, 0]
    one[0, token, 5] += 3.0
    expected = 3.0 / (int(hidden.sum()) * truth.shape[-1])
    assert prediction.loss(one, images, hidden).item() == pytest.approx(expected, rel=1e-5)
    given = truth.clone().requires_grad_()
    prediction.loss(given + 0.1, images, hidden).backward()
    assert given.grad is not None
    assert not given.grad[~hidden].any()


def test_painting_puts_predicted_patches_where_they_belong() -> None:
    images, hidden = batch()
    prediction = MaskedPrediction(32, PATCH, MaskSettings())
    assert torch.equal(prediction.painted(Patches(PATCH)(images), torch.zeros_like(images), hidden | True), images)
    kept = prediction.painted(torch.full((2, 32, 256), 5.0), images, hidden)
    assert (Patches(PATCH)(kept)[hidden] == 5).all()
    assert torch.equal(Patches(PATCH)(kept)[~hidden], Patches(PATCH)(images)[~hidden])


@torch.no_grad()
def test_the_final_norm_is_used_only_where_asked() -> None:
    model, images, hidden = network(), *batch()
    answers = []
    for final in (False, True):
        prediction = MaskedPrediction(32, PATCH, MaskSettings(final_norm=final))
        model.image_encoder.norm.weight.fill_(1)
        before = prediction(model.image_encoder, images, hidden)
        model.image_encoder.norm.weight.fill_(2)
        answers.append(torch.equal(prediction(model.image_encoder, images, hidden), before))
    assert answers == [True, False]


def test_a_batch_is_drawn_from_its_number_alone_and_shows_all_of_an_image(pools: list[UnlabelledImages]) -> None:
    views = ViewSettings(whole=0, native=1.0, still=1.0)
    one, other = (MaskedDataset(pools, (8, 16, 16), (2, 2, 2), MaskSettings(), 9, 3, view=views) for _ in range(2))
    other[2]
    assert torch.equal(one[7].images, other[7].images)
    assert torch.equal(one[7].hidden, other[7].hidden)
    assert not torch.equal(one[7].images, one[6].images)
    second = MaskedDataset(pools, (8, 16, 16), (2, 2, 2), MaskSettings(), 9, 3, view=views, rank=1, world=2)
    accumulated = MaskedDataset(pools, (8, 16, 16), (2, 2, 2), MaskSettings(), 18, 3, view=views, accumulate=2)
    assert torch.equal(second[4].images, accumulated[9].images)
    assert torch.equal(one[4].images, accumulated[8].images)


def in_memory(store: Store) -> list[FramedCase]:
    """As images were framed and kept before they were read by part."""
    cases = []
    for name in store.names:
        case = store.read(name)
        bare = replace(case, labels=np.zeros(case.labels.shape, np.uint8), structures={})
        cases.append(FramedCase.make(bare, frame(bare.volume, "foreground")))
    return cases


@pytest.mark.parametrize("limit", [0, 60_000, 10**9])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_images_in_memory_bit_for_bit_whatever_the_cache_holds(
    store: Store, limit: int, workers: int
) -> None:
    class Kept(UnlabelledImages):
        def __getitem__(self, place: int) -> FramedCase:
            return cases[place]

    cases, cache = in_memory(store), ArrayCache(limit)
    streamed = UnlabelledImages(store, store.names, "foreground").kept_in(cache)
    one, other = (
        MaskedDataset([pool], (8, 16, 16), (2, 2, 2), MaskSettings(), 12, 3)
        for pool in (Kept(store, store.names, "foreground"), streamed)
    )
    for number, batch in enumerate(DataLoader(other, batch_size=None, num_workers=workers)):
        assert torch.equal(one[number].images, batch.images)
        assert torch.equal(one[number].hidden, batch.hidden)
    assert cache.size <= limit


def test_images_beyond_the_cache_take_no_memory(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "many")
    rng = np.random.default_rng(0)
    for number in range(9):
        signal = rng.integers(0, 900, (48, 48, 32)).astype(np.int16)
        volume = Volume(signal, Grid(signal.shape, np.eye(4)), Modality.MRI, "scan")
        store.add(Case(f"scan{number}", f"p{number}", "images", volume, np.zeros(signal.shape, np.uint8)))
    each = 2 * signal.size
    cache = ArrayCache(3 * each)
    pool = UnlabelledImages(store, store.names, "foreground").kept_in(cache)
    for place in range(len(pool)):
        pool[place]  # framed once
    dataset = MaskedDataset([pool], (8, 16, 16), (2, 2, 2), MaskSettings(), 30, 3)
    tracemalloc.start()
    for index in range(len(dataset)):
        dataset[index]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cache.size == 3 * each
    assert peak < 6 * each < len(pool) * each


def test_images_with_labels_are_drawn_from_the_copies_that_training_with_labels_made(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "labelled")
    signal = np.random.default_rng(0).integers(0, 900, (20, 18, 9)).astype(np.int16)
    volume = Volume(signal, Grid(signal.shape, np.eye(4)), Modality.MRI, "scan")
    store.add(Case("scan", "p", "images", volume, (signal > 700).astype(np.uint8), {"liver": (1,)}))
    group = load_group(store, store.names, network().spec)
    copies = sorted((store.path / "framed").iterdir())
    image = UnlabelledImages(store, store.names, network().spec.intensity)[0]
    assert sorted((store.path / "framed").iterdir()) == copies
    np.testing.assert_array_equal(np.asarray(image.image), np.asarray(group.cases[0].image))
    assert not image.structures
    assert not np.asarray(image.labels).any()


def test_training_with_labels_refuses_images_without(store: Store) -> None:
    with pytest.raises(StoreError, match="scan0 carries no structure"):
        load_group(store, ["scan0"], network().spec)


@pytest.mark.parametrize("stem", [False, True])
def test_only_the_encoder_learns_and_flags_are_as_before(
    pools: list[UnlabelledImages], tmp_path: Path, stem: bool
) -> None:
    model = network(stem)
    before = state(model)
    result, _ = learn(model, pools, SETTINGS, MaskSettings(), tmp_path, device="cpu", quiet=True)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    encoder = {name for name, _ in model.image_encoder.named_parameters(prefix="image_encoder")}
    assert changed == {name for name in encoder if not name.startswith("image_encoder.norm.")}
    assert result.trained_parameters == sum(model.get_parameter(name).numel() for name in changed)
    assert result.finished
    assert all(value.requires_grad for value in model.parameters() if value.is_leaf)


def test_a_run_that_was_stopped_ends_with_the_same_weights_bit_for_bit(
    pools: list[UnlabelledImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = network()
    learn(whole, pools, SETTINGS, MaskSettings(), tmp_path / "whole", device="cpu", quiet=True)

    class Killed(Exception):
        pass

    original = MaskedDataset.__getitem__

    def dying(self: MaskedDataset, index: int) -> object:
        if index == 3:
            raise Killed
        return original(self, index)

    monkeypatch.setattr(MaskedDataset, "__getitem__", dying)
    with pytest.raises(Killed):
        learn(network(), pools, SETTINGS, MaskSettings(), tmp_path / "broken", device="cpu", quiet=True)
    monkeypatch.setattr(MaskedDataset, "__getitem__", original)
    assert (tmp_path / "broken" / "last.ckpt").is_file()
    again = network()
    learn(again, pools, SETTINGS, MaskSettings(), tmp_path / "broken", device="cpu", quiet=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_training_paints_hidden_voxels_better_than_a_guess(pools: list[UnlabelledImages], tmp_path: Path) -> None:
    settings = FitSettings(
        steps=60, warmup=5, learning_rate=5e-3, validation_steps=4, validate_every=30, sample=SampleSettings(views=4)
    )
    model = network()
    result, _ = learn(model, pools, settings, MaskSettings(), tmp_path, validation=pools, device="cpu", quiet=True)
    assert result.metrics["validation/l1"] < 0.85 * result.metrics["validation/guess"]
    curve = list(csv.DictReader((tmp_path / "curves" / "0" / "metrics.csv").open()))
    measured = [float(row["validation/l1"]) for row in curve if row.get("validation/l1")]
    assert len(measured) == 2
    assert measured[1] == pytest.approx(result.metrics["validation/l1"], abs=1e-6)


def test_a_network_without_such_an_encoder_is_refused(pools: list[UnlabelledImages], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="SimMIM needs one"):
        learn(TinyBackbone(), pools, SETTINGS, MaskSettings(), tmp_path, device="cpu", quiet=True)


def test_lora_in_the_encoder_learns_without_labels_and_the_base_stays(
    pools: list[UnlabelledImages], tmp_path: Path
) -> None:
    model = network(stem=True)
    base = state(model)
    adapter = LoraAdapter(LoraConfig(rank=2, targets=("encoder", "stem"), dropout=0.1))
    adapter.attach(model)
    result, prediction = learn(model, pools, SETTINGS, MaskSettings(), tmp_path / "fit", device="cpu", quiet=True)
    learned = adapter.state()
    assert result.trained_parameters == sum(value.numel() for value in learned.values())
    assert all(value.any() for name, value in learned.items() if ".lora_B." in name)
    assert all(value.requires_grad for value in adapter.trainable_parameters())
    images, hidden = batch()
    with torch.no_grad():
        adapted = prediction(model.image_encoder, images, hidden)
    save_adapter(adapter, model, tmp_path / "adapter")
    adapter.detach()
    for name, value in model.state_dict().items():
        assert torch.equal(value, base[name]), name
    loaded = load_adapter(tmp_path / "adapter", model)
    with torch.no_grad():
        torch.testing.assert_close(prediction(model.image_encoder, images, hidden), adapted)
    assert loaded.state().keys() == learned.keys()


@pytest.mark.parametrize(("method", "settings"), [("lora", {}), ("full", {}), ("decoder", {})])
def test_an_adapter_that_reaches_beyond_the_encoder_is_refused(
    pools: list[UnlabelledImages], tmp_path: Path, method: str, settings: dict[str, object]
) -> None:
    model = network()
    create(method, settings).attach(model)
    with pytest.raises(AdapterError, match="which SimMIM does not run"):
        learn(model, pools, SETTINGS, MaskSettings(), tmp_path, device="cpu", quiet=True)
