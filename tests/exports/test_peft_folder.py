import warnings
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor

from segevolution.errors import AdapterError
from segevolution.exports.peft_folder import export_peft
from segevolution.inference.load import load
from segevolution.models.backbone import PromptBatch
from segevolution.vocabulary import Context, Modality

from .conftest import Lab, everything_in

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")


def logits(network: torch.nn.Module, modality: Modality | None) -> Tensor:
    network.requires_grad_(False)  # torch multiplies in another order where a weight may learn
    sides = torch.tensor(network.spec.window)
    images = torch.rand(1, 1, *network.spec.window, generator=torch.Generator().manual_seed(1))
    prompts = PromptBatch(
        image_index=torch.zeros(1, dtype=torch.int64),
        structures=(None,),
        points=(sides / 2)[None, None],
        labels=torch.ones(1, 1, dtype=torch.int64),
    )
    with torch.no_grad():
        return network.decode(network.encode(images, [modality]), prompts, [Context(modality)]).logits


def test_peft_puts_a_lora_on_the_plain_network_with_equal_logits(lab: Lab, tmp_path: Path) -> None:
    export_peft(lab.lora, tmp_path / "peft", base=str(lab.model))
    ours = logits(load(lab.model, adapter=lab.lora, device="cpu"), None)
    adapted = peft.PeftModel.from_pretrained(load(lab.model, device="cpu"), tmp_path / "peft").eval()
    assert torch.equal(logits(adapted.base_model.model, None), ours)
    assert not torch.allclose(ours, logits(lab.network, None))


def test_an_expert_of_a_mixture_is_a_lora_of_its_own(lab: Lab, tmp_path: Path) -> None:
    ours = load(lab.model, adapter=lab.mixture, device="cpu")
    for name, modality in {"CT": Modality.CT, "MRI": Modality.MRI}.items():
        export_peft(lab.mixture, tmp_path / name, base=str(lab.model), expert=name)
        adapted = peft.PeftModel.from_pretrained(load(lab.model, device="cpu"), tmp_path / name).eval()
        assert torch.equal(logits(adapted.base_model.model, modality), logits(ours, modality))
    assert "the expert MRI as a LoRA" in (tmp_path / "MRI" / "README.md").read_text("utf-8")


def test_peft_finds_nothing_in_the_folder_that_it_does_not_know(lab: Lab, tmp_path: Path) -> None:
    export_peft(lab.lora, tmp_path / "peft", base=str(lab.model))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        peft.PeftModel.from_pretrained(load(lab.model, device="cpu"), tmp_path / "peft")
    assert not [str(each.message) for each in warned if "segevolution" in str(each.message)]
    config = peft.PeftConfig.from_pretrained(tmp_path / "peft")
    assert config.base_model_name_or_path == "model"
    assert "/home/somebody" not in everything_in(tmp_path / "peft")


def test_what_is_no_lora_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="mixture of CT, MRI; name one with --expert"):
        export_peft(lab.mixture, tmp_path / "peft", base=str(lab.model))
    with pytest.raises(AdapterError, match='no expert "PET"'):
        export_peft(lab.mixture, tmp_path / "peft", base=str(lab.model), expert="PET")
    with pytest.raises(AdapterError, match="has no experts"):
        export_peft(lab.lora, tmp_path / "peft", base=str(lab.model), expert="CT")
    with pytest.raises(AdapterError, match="another base"):
        export_peft(lab.lora, tmp_path / "peft", base="segvol-mini")
    assert not (tmp_path / "peft").exists()
