"""One expert of a mixture, taken out as a LoRA folder."""

import copy

import pytest
import torch

from segevolution.adapters import create, describe, load_adapter, save_adapter
from segevolution.adapters.mixture import extract
from segevolution.errors import AdapterError
from segevolution.models.checkpoints import save_model
from segevolution.vocabulary import Modality


@pytest.fixture
def mixture_folder(tiny, tmp_path):
    """A trained mixture of two experts, and its base as a model folder."""
    save_model(tiny, tmp_path / "base")
    network = copy.deepcopy(tiny)
    mixture = create("mixture", {"experts": ["MRI", "PET"], "rank": 2})
    mixture.attach(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in mixture.trainable_parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    card = {"base": "tiny", "title": "two experts", "data": ["somewhere/patient_1"], "licences": {"somewhere": "CC0"}}
    save_adapter(mixture, network, tmp_path / "mixture", card)
    return tmp_path


def test_the_lora_answers_every_modality_as_its_expert_answered_its_own(tiny, mixture_folder):
    extract(mixture_folder / "mixture", "MRI", mixture_folder / "mri", base=str(mixture_folder / "base"))
    both, alone = copy.deepcopy(tiny), copy.deepcopy(tiny)
    load_adapter(mixture_folder / "mixture", both)
    load_adapter(mixture_folder / "mri", alone)
    images = torch.rand(1, 1, *tiny.spec.window, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = both.encode(images, [Modality.MRI]).tokens
        for modality in (Modality.MRI, Modality.CT, None):
            assert torch.equal(alone.encode(images, [modality]).tokens, expected)


def test_the_card_still_says_who_taught_it(mixture_folder):
    extract(mixture_folder / "mixture", "PET", mixture_folder / "pet", base=str(mixture_folder / "base"))
    about = describe(mixture_folder / "pet")
    assert about["method"] == "lora"
    assert about["card"]["data"] == ["somewhere/patient_1"]
    assert about["card"]["title"] == "PET of two experts"


def test_an_expert_that_is_not_there_or_no_mixture_is_refused_and_nothing_is_written(mixture_folder):
    base = str(mixture_folder / "base")
    with pytest.raises(AdapterError, match="known are MRI, PET"):
        extract(mixture_folder / "mixture", "US", mixture_folder / "us", base=base)
    extract(mixture_folder / "mixture", "MRI", mixture_folder / "mri", base=base)
    with pytest.raises(AdapterError, match="only a mixture"):
        extract(mixture_folder / "mri", "MRI", mixture_folder / "us", base=base)
    assert not (mixture_folder / "us").exists()
