import pytest
import torch

from segevolution.adapters import create, load_adapter, save_adapter
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer


@pytest.fixture
def base():
    tokenizer = WordTokenizer.of_vocabulary()
    text = TextConfig(kind="words", vocabulary=tokenizer.size, width=16, layers=1, heads=2, mlp=16, positions=24)
    config = SegVolConfig(
        (8, 16, 16), (4, 8, 8), 32, 1, 2, 32, decoder_heads=2, decoder_mlp=32, text=text, structures=("liver",)
    )
    return SegVol.fresh(config, 0, tokenizer)


def test_a_network_answers_to_what_its_adapter_learned_while_it_is_attached(base, tmp_path):
    adapter = create("lora", {"rank": 2})
    adapter.attach(base)
    adapter.add_structures(["left ventricle"])
    assert base.spec.structures == ("liver", "left ventricle")
    save_adapter(adapter, base, tmp_path / "heart")
    adapter.detach()
    assert base.spec.structures == ("liver",)
    again = load_adapter(tmp_path / "heart", base)
    assert again.structures == ("left ventricle",)
    assert base.spec.structures == ("liver", "left ventricle")


def test_greys_are_not_exchanged_for_an_adapter_that_knows_scans_as_they_are(base, tmp_path):
    adapter = create("lora", {"rank": 2})
    adapter.attach(base)
    assert base.spec.exchanged_greys
    adapter.forgo_exchanged_greys()
    assert not base.spec.exchanged_greys
    save_adapter(adapter, base, tmp_path / "plain")
    adapter.detach()
    assert base.spec.exchanged_greys
    assert not load_adapter(tmp_path / "plain", base).exchanged_greys
    assert not base.spec.exchanged_greys


def test_a_merged_network_keeps_what_its_adapter_learned(base, tmp_path):
    adapter = create("lora", {"rank": 2})
    adapter.attach(base)
    adapter.add_structures(["left ventricle"])
    adapter.forgo_exchanged_greys()
    adapter.merge()
    save_model(base, tmp_path / "merged")
    merged = load_model(tmp_path / "merged", device=torch.device("cpu")).spec
    assert (merged.structures, merged.exchanged_greys) == (("liver", "left ventricle"), False)
