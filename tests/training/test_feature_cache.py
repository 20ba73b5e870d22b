"""Encodings kept on disk: the same features, and an encoder that is never run again."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from segevolution.adapters import create
from segevolution.errors import OutputError, RecipeError, StoreError
from segevolution.training.batches import StepDataset
from segevolution.training.feature_cache import FeatureCache, encoder_digest
from segevolution.vocabulary import Modality

DECODER = ["queries", "keys", "voxels", "mask_tokens"]


def frozen(toy):
    network = toy.model()
    create("full", {"parts": DECODER}).attach(network)
    return network


def counted(network, calls: list):
    encode = network._encode
    network._encode = lambda images, modalities: calls.append(len(images)) or encode(images, modalities)
    return network


def test_steps_read_what_the_encoder_would_say(toy, tmp_path, monkeypatch):
    seen = []
    original = StepDataset.__getitem__

    def watched(self, index):
        seen.append((self.pool, original(self, index)))
        return seen[-1][1]

    monkeypatch.setattr(StepDataset, "__getitem__", watched)
    network, _ = toy.train(tmp_path, toy.settings(cache_features=2, steps=3), frozen(toy))
    batches = [(pool, batch) for pool, batch in seen if pool is not None]
    assert len(batches) == 3
    for pool, batch in batches:
        assert batch.images is None
        found = []
        for case in toy.groups()[0].cases:
            for number in range(2):
                view, _ = pool.draw(case, number)
                image = torch.from_numpy(view.image)[None, None]
                with torch.no_grad():
                    features = network.encode(image, (case.modality,))
                if torch.allclose(features.tokens, batch.features.tokens, atol=1e-5):
                    torch.testing.assert_close(features.skips[0], batch.features.skips[0])
                    found.append(view)
        assert len(found) == 1
        assert batch.targets.shape[1:] == found[0].labels.shape
        assert all(
            any(torch.equal(target, torch.from_numpy(found[0].labels == value)) for value in (1, 2))
            for target in batch.targets
            if target.any()
        )


def test_a_kept_view_in_another_contrast_is_remembered_as_what_it_was_told(toy, tmp_path):
    contrast = {"share": {"CT": 0.5}, "as_mri": True}
    network, _ = toy.train(tmp_path, toy.settings(cache_features=8, intensity={"recontrast": contrast}), frozen(toy))
    chosen = toy.settings(intensity={"recontrast": contrast})
    digest = encoder_digest(network, chosen.precision, "cpu")
    pool = FeatureCache(
        tmp_path / "features",
        network.spec,
        8,
        chosen.seed,
        digest,
        smallest=chosen.sample.smallest,
        view=chosen.view,
        intensity=chosen.intensity,
    )
    case = toy.groups()[0].cases[0]
    told = [pool.draw(case, number)[1].modality for number in range(8)]
    assert set(told) == {Modality.CT, Modality.MRI}
    assert [pool.read(case, number)[0].modalities[0] for number in range(8)] == told
    data = StepDataset(toy.groups(), network.spec, 20, 0, pool=pool, sample=chosen.sample)
    batches = [data[number] for number in range(20)]
    assert {batch.modalities for batch in batches} == {(Modality.CT,), (Modality.MRI,)}
    assert all(context.modality == batch.modalities[0] for batch in batches for context in batch.contexts)


def test_the_encoder_runs_once_a_view_and_never_again(toy, tmp_path):
    calls: list = []
    chosen = toy.settings(cache_features=2, ema_decay=0.0)
    network, _ = toy.train(tmp_path, chosen, counted(frozen(toy), calls))
    before = toy.weights(toy.model())
    assert any(not torch.equal(before[name], value) for name, value in toy.weights(network).items())
    validations = 16  # batches of the one validation at the end
    assert sum(calls[1:]) == 3 * 2 + validations  # the first call asked whether the encoder is frozen
    files = sorted((tmp_path / "features").iterdir())
    assert len(files) == 6
    stamps = [file.stat().st_mtime_ns for file in files]
    (tmp_path / "last.ckpt").unlink()
    again, _ = toy.train(tmp_path, chosen, frozen(toy))
    assert [file.stat().st_mtime_ns for file in files] == stamps
    assert sorted((tmp_path / "features").iterdir()) == files
    for name, value in toy.weights(network).items():
        assert torch.equal(value, toy.weights(again)[name])


def test_another_base_or_another_drawing_is_encoded_anew(toy, tmp_path):
    network = frozen(toy)
    toy.train(tmp_path / "a", toy.settings(cache_features=1, steps=1), network)
    names = {file.name for file in (tmp_path / "a" / "features").iterdir()}
    other = frozen(toy)
    with torch.no_grad():
        other.patches.weight += 1
    toy.train(tmp_path / "b", toy.settings(cache_features=1, steps=1), other)
    toy.train(tmp_path / "c", toy.settings(cache_features=1, steps=1, view={"whole": 1.0}), frozen(toy))
    for place in ("b", "c"):
        assert not names & {file.name for file in (tmp_path / place / "features").iterdir()}


def test_a_trained_encoder_is_refused_by_the_name_of_what_trains(toy, tmp_path):
    with pytest.raises(RecipeError, match=r"trains what makes them \(.* more\); set cache_features to 0"):
        toy.train(tmp_path, toy.settings(cache_features=2))
    network = toy.model()
    create("lora", {"targets": ["patches"], "rank": 2}).attach(network)
    with pytest.raises(RecipeError, match=r"patches\.lora_"):
        toy.train(tmp_path, toy.settings(cache_features=2), network)


def test_half_precision_halves_the_files_and_is_near(toy, tmp_path):
    sizes, losses = [], []
    for dtype in ("exact", "float16"):
        chosen = toy.settings(cache_features=1, cache_dtype=dtype, steps=2)
        _, result = toy.train(tmp_path / dtype, chosen, frozen(toy))
        losses.append(result.metrics["validation/score"])
        sizes.append(sum(file.stat().st_size for file in (tmp_path / dtype / "features").iterdir()))
    assert sizes[1] < 0.75 * sizes[0]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)


def test_a_damaged_file_is_one_sentence_and_is_made_again_once_deleted(toy, tmp_path):
    chosen = toy.settings(cache_features=1)
    toy.train(tmp_path, chosen, frozen(toy))
    (tmp_path / "last.ckpt").unlink()
    for file in (tmp_path / "features").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"kept features of case.*delete it and call again"):
        toy.train(tmp_path, chosen, frozen(toy))
    for file in (tmp_path / "features").iterdir():
        file.unlink()
    assert toy.train(tmp_path, chosen, frozen(toy))[1].finished


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("tokens", None, "lack tokens"),
        ("labels", None, "lack labels"),
        ("tokens", lambda tokens: tokens.index_fill(1, torch.tensor([0]), torch.nan), "cannot be read"),
        ("tokens", lambda tokens: tokens[:, :-1], "do not fit their grid"),
        ("grid", lambda grid: grid.float(), "do not fit their grid"),
        ("labels", lambda labels: labels[1:], "in place of"),
        ("modality", lambda modality: modality + 90, "no known modality"),
        ("skip.0", lambda skip: skip[0], "maps of another shape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "changed",
)
def test_kept_features_that_do_not_fit_are_one_sentence(toy, tmp_path, name, change, reason):
    network, case = toy.model(), toy.groups()[0].cases[0]
    settings = toy.settings()
    pool = FeatureCache(tmp_path, network.spec, 1, 0, "x", smallest=8, view=settings.view, intensity=settings.intensity)
    pool.fill([case], network, torch.no_grad())
    (file,) = tmp_path.iterdir()
    tensors = load_file(file)
    kept = tensors.pop(name)
    save_file(tensors if change is None else {**tensors, name: change(kept).contiguous()}, file)
    with pytest.raises(StoreError, match=f"kept features of {case.name}.*{reason}.*delete it and call again") as caught:
        pool.read(case, 0)
    assert "\n" not in str(caught.value)


def test_balanced_steps_choose_views_that_show_the_structure(toy, tmp_path):
    chosen = toy.settings(
        cache_features=4, sample={"views": 1, "structures": 1, "prompts": 1, "balance": ["structure"]}
    )
    assert toy.train(tmp_path, chosen, frozen(toy))[1].finished


def test_a_folder_that_cannot_be_written_is_named(toy, tmp_path):
    network = toy.model()
    (tmp_path / "features").write_text("in the way")
    pool = FeatureCache(
        tmp_path / "features",
        network.spec,
        1,
        0,
        "x",
        smallest=8,
        view=toy.settings().view,
        intensity=toy.settings().intensity,
    )
    with pytest.raises(OutputError, match="features is not a folder"):
        pool.fill(toy.groups()[0].cases, network, torch.no_grad())
