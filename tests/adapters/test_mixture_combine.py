"""LoRAs trained apart, combined: each answers as it did alone, and only the gate trains."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from segevolution.adapters import LoraAdapter, LoraConfig, create, describe, load_adapter, save_adapter, trainable
from segevolution.adapters.mixture import combine, gate_card, gate_report
from segevolution.errors import AdapterError
from segevolution.models.backbone import BackboneModule
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Context, Modality

CT, MRI, PET = Modality.CT, Modality.MRI, Modality.PET


def trained(base: BackboneModule, folder: Path, seed: int, config: LoraConfig | None = None) -> Path:
    """A LoRA folder whose weights hang on the seed; the base stays bare."""
    network = copy.deepcopy(base)
    adapter = LoraAdapter(config or LoraConfig(rank=2))
    adapter.attach(network)
    adapter.add_structures([f"structure {seed}"])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    save_adapter(adapter, network, folder, {"base": "tiny-ct", "data": [f"patients of {seed}"], "steps": seed})
    return folder


@pytest.fixture
def pair(tiny, tmp_path) -> dict[str, Path]:
    return {"CT": trained(tiny, tmp_path / "ct", 1), "MRI": trained(tiny, tmp_path / "mri", 2)}


def tokens(network: BackboneModule, modality: Modality | None) -> torch.Tensor:
    images = torch.rand(1, 1, *network.spec.window, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return network.encode(images, [modality]).tokens


def test_each_expert_answers_as_its_folder_does_alone(tiny, pair):
    base = copy.deepcopy(tiny)
    mixture, card = combine(pair, tiny)
    for name, folder in pair.items():
        alone = copy.deepcopy(base)
        load_adapter(folder, alone)
        assert torch.equal(tokens(tiny, Modality(name)), tokens(alone, None))
        assert not torch.allclose(tokens(tiny, Modality(name)), tokens(base, None), atol=1e-3)
    assert torch.equal(tokens(tiny, PET), tokens(base, None))
    assert mixture.structures == ("structure 1", "structure 2")
    assert card["data"] == {"CT": ["patients of 1"], "MRI": ["patients of 2"]}
    assert card["experts"] == {name: str(folder) for name, folder in pair.items()}


def test_an_expert_taken_out_again_is_the_folder_it_came_from(tiny, pair, tmp_path):
    mixture, _ = combine(pair, tiny)
    lora = mixture.expert("MRI")
    mixture.detach()
    lora.attach(tiny)
    save_adapter(lora, tiny, tmp_path / "again", {"base": "tiny-ct"})
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (pair["MRI"], tmp_path / "again")]
    assert weights[0] == weights[1]


def test_under_a_learned_gate_only_the_gate_trains(tiny, pair, tmp_path):
    base = copy.deepcopy(tiny)
    mixture, _ = combine(pair, tiny, {"gate": "learned", "confidence": 0.4})
    assert set(trainable(tiny)) == {name for name in dict(tiny.named_parameters()) if name.startswith("mixture_gate.")}
    assert torch.equal(tokens(tiny, MRI), tokens(base, None))  # it has learned nothing, and is not sure
    before = mixture.state()
    tiny.train()
    optimiser = torch.optim.AdamW(mixture.trainable_parameters(), lr=0.03)
    dark, bright = 0.1 * torch.rand(1, 1, 8, 32, 32), 0.9 + 0.1 * torch.rand(1, 1, 8, 32, 32)
    for _ in range(30):
        optimiser.zero_grad()
        tiny.encode(torch.cat([dark, bright]), [MRI, CT])
        loss = mixture.auxiliary_loss()
        assert loss is not None
        loss.backward()
        optimiser.step()
    tiny.eval()
    assert all(torch.equal(before[name], value) for name, value in mixture.state().items() if "experts." in name)
    chosen = mixture.route(torch.cat([dark, bright]), [None, None]).weights.argmax(dim=1)
    assert [mixture.config.choices[place] for place in chosen] == ["MRI", "CT"]
    save_adapter(mixture, tiny, tmp_path / "mixture")
    again = load_adapter(tmp_path / "mixture", base)
    assert again.config == mixture.config
    assert set(trainable(base)) == set(trainable(tiny))


def test_what_does_not_belong_together_is_refused_in_a_sentence(tiny, pair, tmp_path):
    wide = trained(tiny, tmp_path / "wide", 3, LoraConfig(rank=4, targets=("keys",)))
    biased = trained(tiny, tmp_path / "biased", 4, LoraConfig(rank=2, also_train=("biases",)))
    other = trained(TinyBackbone(TinyConfig(seed=5)).eval(), tmp_path / "other", 5)
    full, network = create("full"), copy.deepcopy(tiny)
    full.attach(network)
    save_adapter(full, network, tmp_path / "full")
    for folder, sentence in (
        (wide, "differ in rank, targets"),
        (biased, "also_train"),
        (other, "trained on another base"),
        (tmp_path / "full", "is a full adapter"),
        (tmp_path / "nowhere", "is not a folder"),
    ):
        with pytest.raises(AdapterError, match=sentence):
            combine({"CT": pair["CT"], "MRI": folder}, tiny)
    with pytest.raises(AdapterError, match="at least one"):
        combine({}, tiny)
    with pytest.raises(AdapterError, match="task gate"):
        combine(pair, tiny, {"gate": "task"})
    LoraAdapter().attach(tiny)  # none of these left anything behind


def test_one_lora_is_enough_since_identity_stands_beside_it(tiny, pair):
    lora = load_adapter(pair["MRI"], copy.deepcopy(tiny))
    mixture, card = combine({"MRI": pair["MRI"]}, tiny, {"gate": "learned"})
    assert mixture.config.choices == ("identity", "MRI")
    assert all(torch.equal(value, lora.state()[key]) for key, value in mixture.expert("MRI").state().items())
    assert mixture.config.train == ("gate",)
    assert list(card["experts"]) == ["MRI"]


@dataclasses.dataclass
class Held:
    images: torch.Tensor | None
    modalities: list[Modality | None]
    contexts: list[Context] = dataclasses.field(default_factory=list)


def test_the_report_counts_confusion_load_and_abstentions(tiny, pair, tmp_path):
    mixture, _ = combine(pair, tiny, {"gate": "learned", "confidence": 0.6})
    tiny.train()
    state = mixture.state()
    state["gate.choices.to_MRI.bias"] = torch.tensor([5.0, 0.0])
    mixture.load_state(state)
    images = torch.rand(3, 1, 8, 32, 32)
    report = gate_report(mixture, [Held(images, [CT, MRI, None]), Held(images[:1], [MRI])])
    nobody = {"identity": 0, "CT": 0, "MRI": 0}
    assert report["confusion"] == {
        "CT": {**nobody, "MRI": 1},
        "MRI": {**nobody, "MRI": 2},
        "unknown": {**nobody, "MRI": 1},
    }
    assert report["load"] == {"identity": 0, "CT": 0, "MRI": 1}
    assert report["agreement"] == pytest.approx(2 / 3)
    assert (report["asked"], report["abstained"], report["gate"]) == (4, 0, "learned")
    assert tiny.training
    with pytest.raises(AdapterError, match="give images"):
        gate_report(mixture, [Held(None, [CT])])
    state["gate.choices.to_MRI.bias"].zero_()
    mixture.load_state(state)
    unsure = gate_report(mixture, [Held(images, [CT, MRI, None])])
    assert unsure["abstained"] == 3
    assert unsure["load"]["identity"] == 1
    assert unsure["confidence"] == pytest.approx(1 / 3)
    save_adapter(mixture, tiny, tmp_path / "mixture", gate_card(report))
    assert describe(tmp_path / "mixture")["card"] == {"gate": report, "ct_retention": "Not measured."}
    assert "| confusion | CT identity 0" in (tmp_path / "mixture" / "README.md").read_text("utf-8")


def test_the_report_of_a_table_needs_no_network_and_is_always_sure(tiny, pair):
    mixture, _ = combine(pair, tiny, {"table": {"PET": "MRI"}})
    report = gate_report(mixture, [Held(None, [CT, MRI, PET, None])])
    assert report["confusion"]["PET"] == {"identity": 0, "CT": 0, "MRI": 1}
    assert report["confusion"]["unknown"]["identity"] == 1
    assert report["agreement"] == 1
    assert report["load"] == {"identity": 0.25, "CT": 0.25, "MRI": 0.5}


def test_the_report_of_a_task_gate_is_about_structures(tiny):
    task = create("mixture", {"gate": "task", "experts": ["liver"]})
    task.attach(tiny)
    contexts = [Context(CT, "liver"), Context(CT, "spleen"), Context(CT, None)]
    report = gate_report(task, [Held(torch.zeros(1, 1, 8, 32, 32), [CT], contexts)])
    assert report["confusion"]["liver"] == {"identity": 0, "liver": 1}
    assert report["confusion"]["spleen"] == {"identity": 1, "liver": 0}
    assert report["asked"] == 3
    with pytest.raises(AdapterError, match="by the structure"):
        task.route(torch.zeros(1, 1, 8, 32, 32), [CT])
