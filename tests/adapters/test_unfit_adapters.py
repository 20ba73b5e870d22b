"""An adapter folder is a stranger's: what is of the wrong kind is refused in a sentence, before memory is taken."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segevolution.adapters import create, describe, load_adapter, save_adapter
from segevolution.adapters.artifact import copy_with_card
from segevolution.adapters.base import attached
from segevolution.errors import AdapterError

METHODS = {
    "lora": {"rank": 2},
    "full": {},
    "mixture": {"rank": 2, "gate": "learned", "hidden": 4},
    "context_prior": {"lora_rank": 2},
}


@pytest.fixture
def folder(tiny, disturb, tmp_path, request) -> Path:
    method = getattr(request, "param", "lora")
    adapter = create(method, METHODS[method])
    adapter.add_structures(["liver"])
    adapter.attach(tiny)
    disturb(tiny)
    save_adapter(adapter, tiny, tmp_path / "adapter")
    adapter.detach()
    return tmp_path / "adapter"


def change(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["segevolution"] |= changes
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("folder", METHODS, indirect=True)
@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "NaN"), (math.inf, "up to inf"), (-math.inf, "up to inf"), (1e38, "up to 1e+38"), (-1e12, "1e+12")],
)
def test_one_value_that_no_training_gives_is_refused_at_load(folder, tiny, value, words) -> None:
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    name = sorted(state)[0]
    state[name].view(-1)[-1] = value
    save_file(state, path)
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder, tiny)
    assert "adapter_model.safetensors holds" in str(caught.value)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert attached(tiny) is None


@pytest.mark.parametrize("folder", METHODS, indirect=True)
@pytest.mark.parametrize("kind", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_numbers_that_are_no_fractions_are_refused_at_load(folder, tiny, kind) -> None:
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    name = sorted(state)[-1]
    state[name] = state[name].to(kind)
    save_file(state, path)
    with pytest.raises(AdapterError, match=r"numbers in .*, which are no weights"):
        load_adapter(folder, tiny)


def test_weights_that_are_not_finite_are_not_saved(tiny, tmp_path) -> None:
    adapter = create("lora")
    adapter.attach(tiny)
    with torch.no_grad():
        adapter.trainable_parameters()[0].fill_(math.nan)
    with pytest.raises(AdapterError, match="that was to be saved holds NaN"):
        save_adapter(adapter, tiny, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"settings": {"rank": 10**9}}, "rank 1,000,000,000 is not possible; an adapter has 4,096 at most"),
        ({"settings": {"rank": 2000}}, "asks for rank 2,000, and no tensor in adapter_model.safetensors"),
        ({"settings": {"rank": "2"}}, 'rank must be a whole number, not "2"'),
        ({"settings": {"rank": True}}, "rank must be a whole number"),
        ({"settings": {"alpha": 1e300}}, "alpha"),
        ({"settings": {"dora": 1}}, "dora must be true or false"),
        ({"settings": {"targets": [None]}}, "targets.0 must be a text"),
        ({"settings": None}, "segevolution.settings must be an object"),
        ({"settings": {"ranc": 2}}, 'did you mean "rank"'),
        ({"base": "tiny"}, "segevolution.base must be an object"),
        ({"base": {"name": "tiny"}}, '"fingerprint" is missing in segevolution.base'),
        ({"base": {"name": 1, "fingerprint": "x"}}, "segevolution.base.name must be a text"),
        ({"trained": -1}, "segevolution.trained"),
        ({"structures": {"liver": 1}}, "segevolution.structures must be a list"),
        ({"structures": [3]}, "segevolution.structures.0 must be a text"),
        ({"card": []}, "segevolution.card must be an object"),
        ({"format": "1"}, "update segevolution"),
        ({"method": ["lora"]}, "update segevolution"),
        ({"more": 1}, '"more" means nothing in segevolution'),
    ],
)
def test_a_config_of_the_wrong_kind_is_refused(folder, tiny, changes, sentence, within_memory) -> None:
    change(folder, **changes)
    with within_memory(200e6), pytest.raises(AdapterError) as caught:
        load_adapter(folder, tiny, force=True)
    assert sentence.replace('"', "") in str(caught.value).replace('"', "")
    assert "adapter_config.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert attached(tiny) is None


@pytest.mark.parametrize(
    ("folder", "settings"),
    [
        ("mixture", {"hidden": 10**9}),
        ("mixture", {"experts": [f"e{number}" for number in range(1000)], "gate": "learned"}),
        ("mixture", {"table": {"MRI": ["a"]}}),
        ("mixture", {"table": 3}),
        ("context_prior", {"width": 10**9}),
        ("context_prior", {"blocks": 10**9}),
        ("context_prior", {"mlp": 60_000}),
        ("context_prior", {"structure_tokens": 10**9}),
        ("context_prior", {"preset": 3}),
        ("context_prior", {"modalities": [1]}),
    ],
    indirect=["folder"],
)
def test_no_method_takes_memory_for_sizes_that_it_has_not(folder, tiny, settings, within_memory) -> None:
    change(folder, settings=settings)
    with within_memory(200e6), pytest.raises(AdapterError):
        load_adapter(folder, tiny)
    assert attached(tiny) is None


def test_what_json_has_not_becomes_null_in_a_card(folder, tmp_path) -> None:
    copy_with_card(folder, tmp_path / "copy", {"metrics": {"dice": math.nan, "hd95": math.inf}})
    text = (tmp_path / "copy" / "adapter_config.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["segevolution"]["card"] == {
        "metrics": {"dice": None, "hd95": None}
    }
    assert describe(tmp_path / "copy")["card"]["metrics"]["dice"] is None
