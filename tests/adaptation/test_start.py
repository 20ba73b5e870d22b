"""Where an adaptation begins: at the bare base, at the expert that ships for these scans, or where a person says."""

from dataclasses import replace

import pytest
import torch

from segevolution.adaptation import start as start_module
from segevolution.adaptation.start import BARE, Beginning, choose_beginning
from segevolution.adapters import create, describe, load_adapter, save_adapter
from segevolution.adapters.shipped import ShippedExpert
from segevolution.errors import AdapterError
from segevolution.inference.load import load
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality

CT, MRI = Modality.CT, Modality.MRI
KNOWN = ("liver", "spleen")


@pytest.fixture
def expert(toy_root, tmp_path, monkeypatch):
    """An expert for MRI on the toy base, as if it shipped."""
    backbone = load(toy_root / "tiny", device="cpu")
    mixture = create("mixture", {"experts": ["MRI"], "rank": 2})
    mixture.attach(backbone)
    mixture.load_state({key: torch.full_like(value, 0.01) for key, value in mixture.state().items()})
    save_adapter(mixture, backbone, tmp_path / "expert", {"base": str(toy_root / "tiny")})
    ships = {("toy", MRI): ShippedExpert(str(toy_root / "tiny"), str(tmp_path / "expert"))}
    monkeypatch.setattr(start_module, "expert_for", lambda model, modality: ships.get((model, modality)))
    return str(tmp_path / "expert")


@pytest.fixture
def begin(tmp_path, toy_root):
    """Choose with the toy base's spec, which knows two structures."""

    def begin(method, modalities, start=None, structures=("liver",), base="toy") -> Beginning:
        spec = replace(TinyBackbone().spec, structures=KNOWN)
        return choose_beginning(base, start, method, modalities, structures, spec, tmp_path / "work")

    return begin


def test_mri_begins_at_the_expert_that_ships_and_is_compared_with_it(begin, expert, toy_root):
    chosen = begin("mixture", [MRI, MRI])
    assert (chosen.base, chosen.before, chosen.start) == (str(toy_root / "tiny"), expert, expert)
    assert chosen.goes_on
    assert "--start none" in chosen.sentence


def test_lora_begins_with_the_weights_of_the_expert(begin, expert, toy_root):
    chosen = begin("lora", [MRI])
    assert describe(chosen.start)["method"] == "lora"
    network, both = load(toy_root / "tiny", device="cpu"), load(toy_root / "tiny", device="cpu")
    load_adapter(chosen.start, network)
    load_adapter(expert, both)
    images = torch.rand(1, 1, *network.spec.window, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network.encode(images, [MRI]).tokens, both.encode(images, [MRI]).tokens)


def test_where_another_model_answers_bare_that_is_adapted(begin, monkeypatch):
    answers = {("toy", CT): ShippedExpert("toy-2")}
    monkeypatch.setattr(start_module, "expert_for", lambda model, modality: answers.get((model, modality)))
    chosen = begin("lora", [CT, CT])
    assert (chosen.base, chosen.before, chosen.start) == ("toy-2", None, None)
    assert "--start none adapts toy" in chosen.sentence
    assert chosen.goes_on
    assert begin("mixture", [CT]).goes_on
    assert not begin("full", [CT]).goes_on
    assert not begin("lora", [CT], structures=("left ventricle",)).goes_on
    assert begin("lora", [CT], BARE) == Beginning("toy")
    assert begin("lora", [CT, MRI]) == Beginning("toy")


@pytest.mark.parametrize("modalities", [[CT], [MRI, CT], [None]])
def test_other_scans_begin_at_the_base_as_it_is(begin, expert, modalities):
    assert begin("lora", modalities) == Beginning("toy")


@pytest.mark.parametrize("method", ["lora", "mixture"])
def test_names_that_the_base_does_not_know_begin_at_the_expert_s_base_and_are_compared_with_the_expert(
    begin, expert, toy_root, method
):
    chosen = begin(method, [MRI], structures=("liver", "left ventricle"))
    assert (chosen.base, chosen.before, chosen.start) == (str(toy_root / "tiny"), expert, None)
    assert "knows no new names" in chosen.sentence
    assert "knows no new names" not in begin("full", [MRI]).sentence
    assert begin(method, [MRI], BARE, structures=("left ventricle",)) == Beginning("toy")
    assert begin(method, [CT], structures=("left ventricle",)) == Beginning("toy")


def test_none_begins_at_the_base_as_it_is(begin, expert):
    assert begin("mixture", [MRI], BARE) == Beginning("toy")


def test_a_method_that_cannot_go_on_from_an_expert_is_still_compared_with_it(begin, expert):
    chosen = begin("decoder", [MRI])
    assert (chosen.before, chosen.start, chosen.goes_on) == (expert, None, False)


def test_an_adapter_of_ones_own_is_begun_with_on_any_scans(begin, expert, toy_root):
    lora = begin("lora", [MRI]).start
    chosen = begin("lora", [CT], start=lora, base=str(toy_root / "tiny"))
    assert (chosen.before, chosen.kind, chosen.start, chosen.goes_on) == (lora, "lora", lora, True)


@pytest.mark.parametrize(
    ("method", "modalities", "sentence"),
    [
        ("full", [MRI], "is a mixture adapter, and --method full cannot begin with one"),
        ("lora", [CT], "has experts for MRI, and the patients are CT"),
    ],
)
def test_an_adapter_that_cannot_be_begun_with_is_refused_in_a_sentence(
    begin, expert, toy_root, method, modalities, sentence
):
    with pytest.raises(AdapterError, match=sentence):
        begin(method, modalities, start=expert, base=str(toy_root / "tiny"))
