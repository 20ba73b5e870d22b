import copy
import json
from pathlib import Path

import pytest
import torch

from segevolution.adapters import FullAdapter, LoraAdapter, LoraConfig, create, describe, load_adapter, save_adapter
from segevolution.errors import AdapterError, OutputError
from segevolution.models.checkpoints import fingerprint
from segevolution.models.tiny import TinyBackbone, TinyConfig

CARD = {
    "title": "Tiny for MRI",
    "base": "tiny-ct",
    "data": ["CHAOS, 5 patients"],
    "licences": {"CHAOS": "CC BY-NC-SA 4.0"},
    "steps": 300,
    "metrics": {"dice text MRI": 0.81234567, "dice text CT": 0.9},
    "not_for": "Children: none were in the data.",
    "trained_by": "a test",
}


@pytest.fixture
def saved(tiny, disturb, tmp_path) -> Path:
    """A LoRA folder, trained on a copy of `tiny`."""
    network = copy.deepcopy(tiny)
    adapter = LoraAdapter(LoraConfig(rank=2, also_train=("mask_tokens",)))
    adapter.attach(network)
    disturb(network)
    save_adapter(adapter, network, tmp_path / "mri", CARD)
    return tmp_path / "mri"


@pytest.mark.parametrize("method", ["lora", "full", "bias", "decoder"])
def test_saved_and_loaded_answers_are_the_same_bit_for_bit(method, segvol, answer, disturb, tmp_path):
    other = copy.deepcopy(segvol)
    adapter = create(method)
    with torch.no_grad():
        adapter.attach(segvol)
        disturb(segvol)
        adapted = answer(segvol)
        save_adapter(adapter, segvol, tmp_path / method)
        assert torch.equal(answer(segvol), adapted)  # saving changed nothing
        loaded = load_adapter(tmp_path / method, other)
        assert torch.equal(answer(other), adapted)
    assert (loaded.method, loaded.config) == (adapter.method, adapter.config)


def test_the_folder_holds_three_files_and_the_fingerprint_of_the_bare_base(saved, tiny):
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((saved / "adapter_config.json").read_text("utf-8"))
    assert config["peft_type"] == "LORA"
    assert config["segevolution"]["base"] == {"name": "tiny-ct", "fingerprint": fingerprint(tiny)}


def test_another_base_is_refused_with_both_names_unless_forced(saved):
    other = TinyBackbone(TinyConfig(seed=5)).eval()
    with pytest.raises(AdapterError, match=r"needs tiny-ct \(\w+\), and this network \(\w+\) is another"):
        load_adapter(saved, other)
    assert load_adapter(saved, other, force=True).method == "lora"


def test_a_base_of_another_size_is_refused_even_when_forced(saved):
    wide = TinyBackbone(TinyConfig(width=32))
    with pytest.raises(AdapterError, match="of another shape"):
        load_adapter(saved, wide, force=True)
    load_adapter_free = LoraAdapter()
    load_adapter_free.attach(wide)


def test_a_network_that_carries_an_adapter_takes_no_second_one(saved, tiny):
    LoraAdapter().attach(tiny)
    with pytest.raises(AdapterError, match="carries a lora adapter already"):
        load_adapter(saved, tiny)


def test_what_is_not_an_adapter_folder_is_refused_in_a_sentence(saved, tiny, tmp_path):
    with pytest.raises(AdapterError, match="is not a folder"):
        load_adapter(tmp_path / "nowhere", tiny)
    with pytest.raises(AdapterError, match=r"it has no adapter_config\.json"):
        load_adapter(tmp_path, tiny)
    (saved / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(AdapterError, match="cut short"):
        load_adapter(saved, tiny)
    with pytest.raises(AdapterError, match="cut short"):
        describe(saved)
    (saved / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"it has no adapter_model\.safetensors"):
        load_adapter(saved, tiny)
    (saved / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(AdapterError, match="was not written by segevolution"):
        load_adapter(saved, tiny)
    (saved / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="is not JSON"):
        load_adapter(saved, tiny)


def test_a_method_of_a_later_version_is_refused(saved, tiny):
    path = saved / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["segevolution"]["method"] = "telepathy"
    path.write_text(json.dumps(config))
    with pytest.raises(AdapterError, match="update segevolution"):
        load_adapter(saved, tiny)


def test_only_what_is_attached_can_be_saved(tiny, segvol, tmp_path):
    adapter = FullAdapter()
    with pytest.raises(AdapterError, match="attach it first"):
        save_adapter(adapter, tiny, tmp_path / "a")
    adapter.attach(tiny)
    with pytest.raises(AdapterError, match="attach it first"):
        save_adapter(adapter, segvol, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_adapter_is_replaced_with_force_only_and_anything_else_never(tiny, tmp_path):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    save_adapter(adapter, tiny, tmp_path / "a")
    with pytest.raises(OutputError, match="exists already"):
        save_adapter(adapter, tiny, tmp_path / "a")
    save_adapter(adapter, tiny, tmp_path / "a", force=True)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("years of work")
    with pytest.raises(OutputError, match="not an adapter folder"):
        save_adapter(adapter, tiny, other, force=True)
    assert (other / "chapter.tex").read_text("utf-8") == "years of work"
    save_adapter(adapter, tiny, tmp_path / "a" / "second")
    with pytest.raises(OutputError, match="it also holds second"):
        save_adapter(adapter, tiny, tmp_path / "a", force=True)
    assert (tmp_path / "a" / "second" / "adapter_config.json").is_file()


def test_a_failed_write_leaves_nothing_and_the_adapter_attached(tiny, tmp_path):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    with pytest.raises(TypeError):
        save_adapter(adapter, tiny, tmp_path / "a", {"data": object()})
    assert list(tmp_path.iterdir()) == []
    save_adapter(adapter, tiny, tmp_path / "a")


def test_describe_says_what_the_folder_holds_without_a_network(saved):
    found = describe(saved)
    assert (found["method"], found["settings"]["rank"]) == ("lora", 2)
    assert found["base"]["name"] == "tiny-ct"
    assert found["bytes"] == (saved / "adapter_model.safetensors").stat().st_size
    assert found["tensors"] == 2 * 6 + 1
    assert found["card"] == CARD
    json.dumps(found)


def test_the_model_card_says_data_licences_metrics_and_what_it_is_not_for(saved):
    card = (saved / "README.md").read_text("utf-8")
    for said in (
        "# Tiny for MRI",
        "tiny-ct",
        "CHAOS, 5 patients",
        "CC BY-NC-SA 4.0",
        "300",
        "| dice text MRI | 0.8123 |",
    ):
        assert said in card
    assert "Children: none were in the data." in card
    assert "not a medical device" in card
    assert "## Trained by\n\na test" in card


def test_a_card_without_facts_says_that_they_are_not_stated(tiny, tmp_path):
    adapter = LoraAdapter()
    adapter.attach(tiny)
    save_adapter(adapter, tiny, tmp_path / "a")
    card = (tmp_path / "a" / "README.md").read_text("utf-8")
    assert card.count("Not stated.") == 4
    assert "Any clinical decision" in card
