import pytest
import torch

from segevolution.adapters import create
from segevolution.adapters.prior.nearest import nearest
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone

KNOWN = ("liver", "left kidney", "aorta")


@pytest.fixture
def words():
    tokenizer = WordTokenizer.of_vocabulary()
    text = TextConfig(kind="words", vocabulary=tokenizer.size, width=16, layers=1, heads=2, mlp=16, positions=24)
    config = SegVolConfig((8, 16, 16), (4, 8, 8), 32, 1, 2, 32, decoder_heads=2, decoder_mlp=32, text=text)
    return SegVol.fresh(config, 0, tokenizer)


def test_the_text_encoder_decides_where_there_is_one(words):
    with torch.no_grad():
        said = words.text_encoder.encode([f"A computerized tomography of a {name}." for name in ("kidney", *KNOWN)])
    best = int(torch.nn.functional.cosine_similarity(said[:1], said[1:]).argmax())
    assert nearest("kidney", KNOWN, words) == KNOWN[best]
    with torch.no_grad():  # make another one the nearest: the same vectors for "kidney" and "aorta"
        tokens = words.text_encoder.clip_text_model.embeddings.token_embedding.weight
        (a, b) = (int(words.text_encoder.tokenizer([name])[0, 1]) for name in ("kidney", "aorta"))
        tokens[a] = tokens[b]
    assert nearest("kidney", KNOWN, words) == "aorta"


def test_modalities_are_compared_by_their_own_sentences(words):
    assert nearest("PET", ("MRI",), words) == "MRI"
    assert nearest("PET", (), words) is None


@pytest.mark.parametrize("name", ["kidney left", "left kidneys"])
def test_spelling_decides_without_a_text_encoder_or_its_tokenizer(words, name):
    assert nearest(name, KNOWN, TinyBackbone()) == "left kidney"
    words.text_encoder.tokenizer = None
    assert nearest(name, KNOWN, words) == "left kidney"
    assert nearest("qqq", KNOWN, words) is None


def test_a_point_prompt_on_a_structure_that_text_does_not_know_is_answered(words):
    adapter = create("context_prior")
    adapter.attach(words)
    adapter.add_structures(KNOWN)
    from_text = nearest("kidney", KNOWN, words)
    assert adapter._held("structures", "kidney") == from_text
    assert adapter.stand_ins == {("structures", "kidney"): from_text}
