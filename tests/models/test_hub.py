"""Published checkpoints and the names of models: read safely, converted once, found again."""

import dataclasses
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from segevolution.errors import CheckpointError, OutputError
from segevolution.models import hub
from segevolution.models.backbone import PromptBatch
from segevolution.models.checkpoints import fingerprint, load_model, save_model
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.encoder_weights import load_encoder
from segevolution.models.segvol.published import (
    load_published,
    published_name,
    read_published,
    to_published,
)
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Context

SMALL = SegVolConfig(
    window=(8, 32, 32),
    patch=(4, 8, 8),
    width=48,
    depth=1,
    heads=4,
    mlp=96,
    decoder_heads=4,
    decoder_mlp=64,
    iou_hidden=16,
    text=TextConfig(kind="words", vocabulary=200, width=16, layers=1, heads=2, mlp=32, positions=16),
    unused_mask_downscaling=True,
)


def write_clip_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer files with its byte alphabet and no merges."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


@pytest.fixture(scope="module")
def full_names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, ...]]:
    golden = Path(__file__).parents[1] / "golden" / "segvol_state_dict.json"
    return {name: tuple(shape) for name, (shape, _) in json.loads(golden.read_text("utf-8")).items()}


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory, full_names: dict[str, tuple[int, ...]]) -> Iterator[Path]:
    """A folder in the hub's layout with full-size random weights under exactly the published 474 names."""
    folder = tmp_path_factory.mktemp("hub") / "SegVol"
    folder.mkdir()
    noise = torch.rand(50_000, generator=torch.Generator().manual_seed(0)) * 0.02
    state = {}
    for number, (name, shape) in enumerate(full_names.items()):
        size = torch.Size(shape).numel()
        state[name] = noise.roll(number).repeat(size // len(noise) + 1)[:size].reshape(shape).clone()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "config.json").write_text('{"model_type": "segvol", "architectures": ["SegVolModel"]}')
    (folder / "README.md").write_text("# A published card\n")
    write_clip_tokenizer(folder)
    yield folder
    shutil.rmtree(folder)  # pytest would keep 0.7 GB of it


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGEVOLUTION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def small() -> SegVol:
    return SegVol.fresh(SMALL, seed=1, tokenizer=WordTokenizer.of_vocabulary())


def hub_form(model: SegVol) -> dict[str, Tensor]:
    text = "text_encoder.clip_text_model."
    return {
        "model." + (name.replace(text, f"{text}text_model.")): tensor.clone()
        for name, tensor in model.state_dict().items()
    }


def assert_same(state: dict[str, Tensor], model: SegVol) -> None:
    expected = model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


@pytest.mark.long
def test_pulling_the_published_layout_converts_it_and_the_model_loads_strictly(
    full_size: Path, full_names: dict[str, tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGEVOLUTION_HOME", str(tmp_path))
    assert len(full_names) == 474
    folder = hub.pull(full_size)
    assert folder == tmp_path / "models" / "SegVol" == hub.find("SegVol")
    assert not list(folder.glob("*.bin"))
    assert (folder / "README.md").read_text("utf-8") == "# A published card\n"
    model = load_model(folder)
    assert isinstance(model, SegVol)
    assert model.config == SegVolConfig.published()
    published = torch.load(full_size / "pytorch_model.bin", weights_only=True, mmap=True)
    assert len(model.state_dict()) == len(published)
    for name in ("image_encoder.blocks.3.attn.qkv.weight", "mask_decoder.output_upscaling.1.bias"):
        assert torch.equal(model.state_dict()[name], published[f"model.{name}"])
    token = "embeddings.token_embedding.weight"
    ours = model.state_dict()[f"text_encoder.clip_text_model.{token}"]
    assert torch.equal(ours, published[f"model.text_encoder.clip_text_model.text_model.{token}"])
    assert model.text_encoder is not None
    assert model.text_encoder.encode(["A computerized tomography of a liver."]).isfinite().all()
    direct, report = load_published(full_size)
    assert (report.form, report.used, report.dropped) == ("hub", 474, ())
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in direct.state_dict().items())
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert hub.pull(full_size) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [(entry.name, entry.network) for entry in hub.list_models() if entry.origin == "pulled"] == [
        ("SegVol", "segvol")
    ]
    shutil.rmtree(folder)


def test_the_three_published_forms_and_both_naming_levels_give_the_same_names(small: SegVol, tmp_path: Path) -> None:
    text = "model.text_encoder.clip_text_model.text_model."
    old = hub_form(small)
    new = {name.replace(".text_model.", "."): tensor for name, tensor in old.items()}
    buffered = {**old, f"{text}embeddings.position_ids": torch.arange(16)[None]}
    release = {"model": {name.replace("model.", "module.", 1): value for name, value in buffered.items()}, "epoch": 3}
    for number, content in enumerate((old, new, buffered, release)):
        torch.save(content, tmp_path / f"{number}.bin")
        state, report = read_published(tmp_path / f"{number}.bin")
        assert_same(state, small)
        assert report.form == ("release" if content is release else "hub")
        assert len(report.dropped) == (content is buffered or content is release)
    save_file(old, tmp_path / "model.safetensors")
    assert_same(read_published(tmp_path)[0], small)


def test_a_pretrained_encoder_is_taken_and_its_extra_parts_are_reported(small: SegVol, tmp_path: Path) -> None:
    other = SegVol.fresh(SMALL, seed=2, tokenizer=WordTokenizer.of_vocabulary())
    prefix = "image_encoder."
    encoder = {
        "model.encoder." + name.removeprefix(prefix): tensor
        for name, tensor in other.state_dict().items()
        if name.startswith(prefix)
    }
    extra = {"model.mask_token": torch.zeros(1, 1, 48), "model.decoder.weight": torch.zeros(256, 48)}
    path = tmp_path / "vit_pretrain.ckpt"
    torch.save({"state_dict": {**encoder, **extra}, "epoch": 9, "global_step": 1000}, path)
    decoder = small.mask_decoder.iou_token.weight.detach().clone()
    report = load_encoder(small, path)
    assert set(report.dropped) == set(extra)
    assert report.used == len(encoder)
    for name, tensor in small.image_encoder.state_dict().items():
        assert torch.equal(tensor, other.image_encoder.state_dict()[name])
    assert torch.equal(small.mask_decoder.iou_token.weight, decoder)
    with pytest.raises(CheckpointError, match="encoder alone"):
        load_published(path)


def test_an_encoder_of_another_size_is_refused(small: SegVol, tmp_path: Path) -> None:
    torch.save({"state_dict": {"model.encoder.norm.weight": torch.zeros(7)}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"missing: image_encoder.*norm\.weight \(7 where 48"):
        load_encoder(small, tmp_path / "other.ckpt")


def test_weights_go_back_to_the_published_naming(
    small: SegVol, tmp_path: Path, full_names: dict[str, tuple[int, ...]]
) -> None:
    to_published(small, tmp_path / "pytorch_model.bin")
    assert_same(read_published(tmp_path)[0], small)
    with torch.device("meta"):
        names = SegVol(SegVolConfig.published()).state_dict()
    written = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    assert written.keys() == hub_form(small).keys()
    assert {published_name(name) for name in names} == full_names.keys()
    with pytest.raises(OutputError, match="--force"):
        to_published(small, tmp_path / "pytorch_model.bin", force=False)


class Trap:
    """Unpickling it without protection makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", 2, 4])
def test_a_malicious_pickle_is_refused_and_nothing_in_it_runs(tmp_path: Path, form: object) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "SegVol_v1.pth"
    content = {"model": {"module.image_encoder.norm.weight": torch.zeros(3)}, "note": Trap(sprung)}
    if form == "zip":
        torch.save(content, path)
    else:
        assert isinstance(form, int)
        path.write_bytes(pickle.dumps({"note": Trap(sprung)}, protocol=form))
    with pytest.raises(CheckpointError, match=r"more than tensors.*could run code when opened"):
        read_published(path)
    assert not sprung.exists()
    with path.open("rb") as stream:  # the trap is real: what does not guard itself springs it
        if form != "zip":
            pickle.load(stream)
        else:
            torch.load(path, weights_only=False)
    assert sprung.exists()


def test_files_that_are_no_checkpoint_get_a_sentence_each(small: SegVol, tmp_path: Path) -> None:
    def refused(path: Path, said: str) -> None:
        with pytest.raises(CheckpointError, match=said) as caught:
            read_published(path)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nothing.bin", "is not there")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "no published weights")
    (tmp_path / "notes.json").write_text('{"a": 1}')
    refused(tmp_path / "notes.json", "is not a checkpoint")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "is not a checkpoint")
    (tmp_path / "empty.bin").write_bytes(b"")
    refused(tmp_path / "empty.bin", "damaged or cut short")
    torch.save(hub_form(small), tmp_path / "whole.bin")
    whole = (tmp_path / "whole.bin").read_bytes()
    (tmp_path / "half.bin").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "half.bin", "damaged or cut short")
    (tmp_path / "half.safetensors").write_bytes(whole[:100])
    refused(tmp_path / "half.safetensors", "safetensors")
    torch.save([1, 2], tmp_path / "list.bin")
    refused(tmp_path / "list.bin", "no tensors under names")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "resnet.bin")
    refused(tmp_path / "resnet.bin", r"no image encoder.*fc\.weight")


def test_weights_of_another_size_are_refused_by_name(small: SegVol, tmp_path: Path) -> None:
    torch.save(hub_form(small), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"missing: .* and \d+ more; of another shape: .* and \d+ more\.$"):
        load_published(tmp_path)


def test_a_segvol_folder_keeps_its_tokenizer_and_answers_to_text_alike(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "model")
    back = load_model(tmp_path / "model")
    assert isinstance(back, SegVol)
    assert back.config == small.config
    assert fingerprint(back) == fingerprint(small) == fingerprint(tmp_path / "model")
    assert small.text_encoder is not None
    assert back.text_encoder is not None
    sentence = ["A computerized tomography of a liver."]
    assert torch.equal(back.text_encoder.encode(sentence), small.text_encoder.encode(sentence))
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_model(tmp_path / "model")


def test_loading_leaves_the_random_stream_alone(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "model")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_model(tmp_path / "model")
    assert torch.equal(torch.rand(2), expected)


def test_a_version_of_the_small_model_is_one_that_ships() -> None:
    for name, folder in hub.VERSIONS.items():
        assert hub.find(name) == hub.find(folder) == hub.packaged_root() / folder


def test_a_name_is_a_path_a_packaged_model_or_a_pulled_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "packaged_root", lambda: tmp_path / "packaged")
    tiny = TinyBackbone(TinyConfig(window=(4, 16, 16), structures=("liver",)))
    save_model(tiny, tmp_path / "mine")
    save_model(tiny, tmp_path / "packaged" / "segvol-mini")
    save_model(tiny, home / "models" / "lab--net")
    (home / "models" / "rubbish").mkdir()
    assert hub.find(tmp_path / "mine") == tmp_path / "mine"
    assert hub.find("segvol-mini") == tmp_path / "packaged" / "segvol-mini"
    assert hub.find("lab/net") == home / "models" / "lab--net"
    assert [(entry.name, entry.origin, entry.network) for entry in hub.list_models()] == [
        ("segvol-mini", "packaged", "tiny"),
        ("lab/net", "pulled", "tiny"),
    ]
    with pytest.raises(CheckpointError, match=r'"lab/other"; known here: segvol-mini, lab/net\..*models pull'):
        hub.find("lab/other")
    with pytest.raises(CheckpointError, match="not a model folder"):
        hub.find(home / "models" / "rubbish")


def test_a_model_folder_of_ours_is_pulled_as_it_is(home: Path, tmp_path: Path) -> None:
    save_model(TinyBackbone(TinyConfig(window=(4, 16, 16))), tmp_path / "shared-net", card="# Mine\n")
    folder = hub.pull(tmp_path / "shared-net")
    assert fingerprint(folder) == fingerprint(tmp_path / "shared-net")
    assert (folder / "README.md").read_text("utf-8") == "# Mine\n"
    assert hub.pulled_from(folder) == str(tmp_path / "shared-net")


def test_another_model_of_the_same_name_is_not_taken_for_the_one_that_is_there(home: Path, tmp_path: Path) -> None:
    for seed, place in enumerate(("here", "there")):
        save_model(TinyBackbone(TinyConfig(window=(4, 16, 16), seed=seed)), tmp_path / place / "net")
    first = fingerprint(hub.pull(tmp_path / "here" / "net"))
    with pytest.raises(OutputError, match=r"holds a model from .*here.*--force"):
        hub.pull(tmp_path / "there" / "net")
    assert fingerprint(hub.find("net")) == first
    assert fingerprint(hub.pull(tmp_path / "there" / "net", force=True)) != first


def test_without_a_network_pulling_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="BAAI/SegVol-absent cannot be fetched: the hub is out of reach"):
        hub.pull("BAAI/SegVol-absent")
    with pytest.raises(CheckpointError, match="neither a folder here nor a repository"):
        hub.pull("no/such/folder")
    assert not home.exists()


def test_only_weights_and_texts_are_asked_of_the_hub(
    home: Path, small: SegVol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(small, tmp_path / "snapshot")
    asked: dict[str, object] = {}

    def snapshot(repository: str, **settings: object) -> str:
        asked.update(settings, repository=repository)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    folder = hub.pull("lab/net", revision="v2")
    assert folder == home / "models" / "lab--net@v2" == hub.find("lab/net@v2")
    assert asked["repository"] == "lab/net"
    assert asked["revision"] == "v2"
    patterns = asked["allow_patterns"]
    assert isinstance(patterns, list)
    assert not any(pattern.endswith((".py", ".pth", ".ckpt")) or pattern == "*" for pattern in patterns)


def test_a_failed_pull_leaves_nothing(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pytorch_model.bin").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        hub.pull(tmp_path / "broken")
    assert not hub.list_models() or all(entry.origin == "packaged" for entry in hub.list_models())
    assert not (home / "models" / "broken").exists()


def test_without_tokenizer_files_a_model_still_takes_points_and_boxes(tmp_path: Path) -> None:
    clip = TextConfig(vocabulary=300, width=16, layers=1, heads=2, mlp=32)
    save_model(SegVol.fresh(dataclasses.replace(SMALL, text=clip), seed=1), tmp_path / "bare")
    model = load_model(tmp_path / "bare")
    features = model.encode(torch.zeros(1, 1, 8, 32, 32), [None])
    box = PromptBatch(torch.tensor([0]), (None,), boxes=torch.tensor([[1.0, 4, 4, 6, 20, 20]]))
    assert model.decode(features, box, [Context()]).logits.isfinite().all()
    with pytest.raises(CheckpointError, match="without its tokenizer"):
        model.decode(features, PromptBatch(torch.tensor([0]), ("liver",)), [Context()])


def test_a_pulled_model_stays_at_its_commit_until_a_revision_is_named(
    home: Path, small: SegVol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = {"main": "a" * 40, "v2": "b" * 40}
    revisions: list[str] = []

    def snapshot(repository: str, revision: str, **_: object) -> str:
        revisions.append(revision)
        folder = tmp_path / "snapshots" / commits.get(revision, revision)
        if not folder.exists():
            save_model(small, folder)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    folder = hub.pull("lab/net")
    record = hub.pulled_record(folder)
    assert record is not None
    assert (record.source, record.revision, record.commit) == ("lab/net", "main", "a" * 40)
    weights = tmp_path / "snapshots" / ("a" * 40) / "model.safetensors"
    assert record.sha256["model.safetensors"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    commits["main"] = "c" * 40  # the branch moves
    hub.pull("lab/net", force=True)
    hub.pull("lab/net", revision="v2")
    assert revisions == ["main", "a" * 40, "v2"]
    other = hub.pulled_record(hub.find("lab/net@v2"))
    assert other is not None
    assert other.commit == "b" * 40


def test_a_damaged_record_of_what_was_pulled_is_one_sentence(home: Path, small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "net")
    folder = hub.pull(tmp_path / "net")
    assert hub.pulled_record(folder) is not None
    (folder / "pulled.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"pulled\.json must hold an object"):
        hub.pulled_record(folder)
