"""Our text tower is CLIP's as transformers has it: the same numbers, gradients, names and random start, bit for bit."""

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from segevolution.models.segvol.text_tower import TextTower

END = 3


def pair(seed: int, layers: int = 2) -> tuple[CLIPTextModel, TextTower]:
    torch.manual_seed(seed)
    theirs = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=50,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=layers,
            num_attention_heads=3,
            max_position_embeddings=12,
            eos_token_id=END,
            bos_token_id=None,
            pad_token_id=None,
        )
    )
    torch.manual_seed(seed)
    ours = TextTower(vocabulary=50, width=24, mlp=40, layers=layers, heads=3, positions=12, end=END)
    return theirs, ours


def sentences() -> torch.Tensor:
    """Five texts of several lengths, filled with zeros behind their end."""
    ids = torch.zeros(5, 9, dtype=torch.int64)
    for row, length in enumerate((8, 1, 4, 6, 3)):
        ids[row, :length] = torch.arange(4 + row, 4 + row + length)
        ids[row, length] = END
    return ids


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_fresh_tower_is_drawn_as_the_librarys_is(layers):
    theirs, ours = pair(7, layers)
    drawn = theirs.state_dict()
    assert list(drawn) == list(ours.state_dict())
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in drawn.items())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_texts_have_the_same_vectors(precision):
    theirs, ours = pair(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16), torch.no_grad():
        assert torch.equal(ours(sentences()), theirs(input_ids=sentences()).pooler_output)


def test_texts_have_the_same_gradients():
    theirs, ours = pair(0)
    theirs(input_ids=sentences()).pooler_output.square().sum().backward()
    ours(sentences()).square().sum().backward()
    other = dict(theirs.named_parameters())
    assert all(torch.equal(parameter.grad, other[name].grad) for name, parameter in ours.named_parameters())


def test_what_stands_behind_the_end_of_a_text_changes_nothing():
    _, ours = pair(0)
    ids = sentences()
    changed = ids.clone()
    changed[1, 2:] = 9
    assert torch.equal(ours(ids), ours(changed))
