"""Tokenizers and the text tower."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from segevolution.errors import CheckpointError, PromptError, VocabularyError
from segevolution.imaging.prompts import PromptKind
from segevolution.models.backbone import Context, PromptBatch
from segevolution.models.segvol.clip_tokenizer import ClipTokenizer
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.text_encoder import TextEncoder
from segevolution.models.segvol.tokenizer import END, UNKNOWN, WordTokenizer, load_tokenizer
from segevolution.vocabulary import STRUCTURES, TEMPLATES, Modality, sentence


class Recorder:
    """A tokenizer that remembers what it was asked."""

    def __init__(self) -> None:
        self.inner, self.asked = WordTokenizer.of_vocabulary(), []
        self.size = self.inner.size

    def __call__(self, texts: Sequence[str]) -> Tensor:
        self.asked.append(list(texts))
        return self.inner(texts)

    def save(self, folder: Path) -> None:
        self.inner.save(folder)


def text_prompts(*structures: str | None) -> PromptBatch:
    return PromptBatch(torch.zeros(len(structures), dtype=torch.int64), structures)


def test_word_list_knows_every_structure_in_every_template() -> None:
    tokenizer = WordTokenizer.of_vocabulary()
    texts = [
        sentence(structure, modality, template)
        for structure in STRUCTURES
        for template in TEMPLATES
        for modality in (None, *Modality)
    ]
    assert not (tokenizer(texts) == UNKNOWN).any()
    assert (tokenizer(["a liver of zirconium"]) == UNKNOWN).sum() == 1


def test_word_tokenizer_gives_different_structures_different_ids() -> None:
    ids = WordTokenizer.of_vocabulary()(STRUCTURES)
    assert len({tuple(row) for row in ids.tolist()}) == len(STRUCTURES)
    assert ((ids == END).sum(dim=1) == 1).all()


def test_word_tokenizer_survives_a_folder(tmp_path: Path) -> None:
    tokenizer = WordTokenizer.of_vocabulary(["a left kidney", "the spleen"])
    tokenizer.save(tmp_path)
    loaded = load_tokenizer("words", tmp_path)
    assert isinstance(loaded, WordTokenizer)
    assert loaded.words == ("a", "kidney", "left", "spleen", "the")
    assert torch.equal(loaded(["The left SPLEEN."]), tokenizer(["the left spleen"]))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"kind": "clip"}', '{"kind": "words", "words": [1]}'])
def test_a_folder_without_a_word_list_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        WordTokenizer.load(tmp_path)


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """CLIP's tokenizer with letters only: its own class, its own files, no merges."""
    letters = "abcdefghijklmnopqrstuvwxyz."
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[]).save_pretrained(tmp_path)
    return tmp_path


def test_clip_tokenizer_is_read_from_a_folder_and_written_back(clip_folder: Path) -> None:
    tokenizer = load_tokenizer("clip", clip_folder)
    assert isinstance(tokenizer, ClipTokenizer)
    ids = tokenizer(["a liver.", "a"])
    assert tokenizer.size == 56
    assert ids[0, 0] == 54
    assert ids[1].tolist()[:3] == [54, 27, 55]
    copy = clip_folder / "copy"
    tokenizer.save(copy)
    assert torch.equal(ClipTokenizer.load(copy)(["a liver.", "a"]), ids)


def test_clip_tower_pools_at_the_first_end_of_text_whatever_fills_the_rest(clip_folder: Path) -> None:
    tokenizer = ClipTokenizer.load(clip_folder)
    encoder = TextEncoder(TextConfig("clip", tokenizer.size, 16, 1, 2, 32, 77), 24, tokenizer).eval()
    texts = ["a liver.", "a", "spleen of someone"]
    with torch.no_grad():
        together = encoder.encode(texts)
        alone = torch.cat([encoder.encode([text]) for text in texts])
    assert together.shape == (3, 24)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_a_folder_without_clip_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no CLIP tokenizer"):
        ClipTokenizer.load(tmp_path)


def test_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="different models"):
        TextEncoder(TextConfig("words", 10, 16, 1, 2, 32, 24), 24, WordTokenizer.of_vocabulary())


def test_equal_sentences_are_computed_once(mini_config: SegVolConfig) -> None:
    tokenizer = Recorder()
    network = SegVol(mini_config, tokenizer)
    context = Context(Modality.CT)
    tokens = network.text_tokens(text_prompts("liver", None, "spleen", "liver"), [context] * 4)
    assert tokens is not None
    assert [len(texts) for texts in tokenizer.asked] == [2]
    assert torch.equal(tokens[0], tokens[3])
    assert not torch.allclose(tokens[0], tokens[2])


def test_sentence_follows_template_and_the_modality_of_the_context(mini_config: SegVolConfig) -> None:
    contexts = [Context(Modality.MRI), Context(None), Context(Modality.CT)]
    asked = {}
    for template in ("modality", "ct"):
        tokenizer = Recorder()
        network = SegVol(replace(mini_config, template=template), tokenizer)
        network.text_tokens(text_prompts("liver", "liver", "liver"), contexts)
        asked[template] = tokenizer.asked[0]
    assert asked["ct"] == ["A computerized tomography of a liver."]
    assert asked["modality"] == [sentence("liver", context.modality, "modality") for context in contexts]


def test_synonyms_reach_the_tower_as_the_canonical_name(mini_config: SegVolConfig) -> None:
    tokenizer = Recorder()
    SegVol(mini_config, tokenizer).text_tokens(text_prompts("kidney_left"), [Context()])
    assert tokenizer.asked == [["A scan of a left kidney."]]


def test_unknown_structure_is_refused_with_the_closest(mini: SegVol) -> None:
    with pytest.raises(VocabularyError, match='did you mean "spleen"'):
        mini.text_tokens(text_prompts("spleem"), [Context()])


def test_any_text_may_be_tried_where_no_structures_are_listed(mini_config: SegVolConfig) -> None:
    tokenizer = Recorder()
    SegVol(replace(mini_config, structures=()), tokenizer).text_tokens(text_prompts("strange thing"), [Context()])
    assert tokenizer.asked == [["A scan of a strange thing."]]


def test_without_tokenizer_only_text_is_refused(mini_config: SegVolConfig, images: Tensor) -> None:
    network = SegVol(mini_config).eval()
    with torch.no_grad():
        features = network.encode(images, [None, None])
        box = PromptBatch(torch.tensor([0]), (None,), boxes=torch.tensor([[1.0, 1.0, 1.0, 5.0, 9.0, 9.0]]))
        assert network.decode(features, box, [Context()]).logits.isfinite().all()
        with pytest.raises(CheckpointError, match="without its tokenizer"):
            network.decode(features, text_prompts("liver"), [Context()])


def test_network_without_text_tower_says_so(golden_network: SegVol) -> None:
    assert PromptKind.TEXT not in golden_network.spec.accepts
    with pytest.raises(PromptError, match="no text"):
        golden_network.text_tokens(text_prompts("liver"), [Context()])


def test_what_of_the_tower_is_trained_is_a_setting() -> None:
    frozen = TextEncoder(TextConfig("words", 200, 16, 1, 2, 32, 24, train_alignment=False), 24)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    trained = TextEncoder(TextConfig("words", 200, 16, 1, 2, 32, 24, train_tower=True), 24)
    assert all(parameter.requires_grad for parameter in trained.parameters())
