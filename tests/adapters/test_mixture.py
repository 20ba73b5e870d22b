"""The proof of the mixture: what is routed to identity is the base, bit for bit, whatever the experts have learned."""

import copy
import logging
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from segevolution.adapters import LoraAdapter, LoraConfig, create, load_adapter, save_adapter, trainable
from segevolution.adapters.mixture import MixtureAdapter, MixtureConfig
from segevolution.adapters.mixture.gates import Scores, imbalance
from segevolution.adapters.mixture.gates import top as chosen_by
from segevolution.errors import AdapterError
from segevolution.inference.load import load
from segevolution.models.backbone import BackboneModule, Features, Masks, PromptBatch
from segevolution.vocabulary import Context, Modality

CT, MRI, PET = Modality.CT, Modality.MRI, Modality.PET
GATES: dict[str, MixtureConfig] = {
    "modality": MixtureConfig(),
    "task": MixtureConfig(gate="task", experts=("liver",)),
    "learned": MixtureConfig(gate="learned", experts=("MRI", "PET"), confidence=0.0),
    "learned, two at once": MixtureConfig(gate="learned", experts=("MRI", "PET"), top_k=2, confidence=0.0),
    "learned+modality": MixtureConfig(gate="learned+modality", confidence=0.0),
}
gates = pytest.mark.parametrize("config", GATES.values(), ids=GATES)


def images(backbone: BackboneModule, count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 1, *backbone.spec.window, generator=torch.Generator().manual_seed(seed))


def questions(backbone: BackboneModule, image_index: Sequence[int]) -> PromptBatch:
    """A point in the middle of each of these images, and a box for every second prompt."""
    sides, count = torch.tensor(backbone.spec.window), len(image_index)
    boxes = torch.full((count, 6), torch.nan)
    boxes[1::2] = torch.cat([torch.ones(3), sides - 2.0])
    return PromptBatch(
        torch.tensor(image_index),
        (None,) * count,
        (sides / 2).repeat(count, 1, 1),
        torch.ones(count, 1, dtype=torch.int64),
        boxes,
    )


def ask(
    backbone: BackboneModule,
    pictures: Tensor,
    modalities: Sequence[Modality | None],
    image_index: Sequence[int],
    structure: str | None = "liver",
) -> tuple[Features, Masks]:
    features = backbone.encode(pictures, modalities)
    contexts = [Context(modalities[image], structure) for image in image_index]
    return features, backbone.decode(features, questions(backbone, image_index), contexts)


def train(backbone: BackboneModule, adapter: MixtureAdapter, modalities: Sequence[Modality | None], steps: int = 3):
    """Real steps towards answering the opposite; returns the losses of the gate."""
    backbone.train()
    optimiser = torch.optim.AdamW(adapter.trainable_parameters(), lr=0.03)
    said = []
    for step in range(steps):
        optimiser.zero_grad()
        _, masks = ask(backbone, images(backbone, len(modalities), seed=10 + step), modalities, range(len(modalities)))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(masks.logits, (masks.logits < 0).float())
        auxiliary = adapter.auxiliary_loss()
        said.append(auxiliary)
        (loss if auxiliary is None else loss + auxiliary).backward()
        optimiser.step()
    backbone.eval()
    return said


def attach(config: MixtureConfig, backbone: BackboneModule) -> MixtureAdapter:
    torch.manual_seed(0)
    adapter = MixtureAdapter(config)
    adapter.attach(backbone)
    return adapter


@gates
@torch.no_grad()
def test_before_the_first_step_the_adapted_network_is_the_base_bit_for_bit(network, config):
    pictures = images(network, 1)
    for modality in (CT, MRI, None):
        features, masks = ask(network, pictures, [modality], [0, 0])
        adapter = attach(config, network)
        for mode in (True, False):
            network.train(mode)
            ours, answer = ask(network, pictures, [modality], [0, 0])
            assert torch.equal(ours.tokens, features.tokens)
            assert torch.equal(answer.logits, masks.logits)
            assert torch.equal(answer.iou, masks.iou)
        adapter.detach()


def test_after_training_on_mri_ct_is_the_base_to_the_last_bit_alone_and_in_a_batch_with_mri(network):
    base = copy.deepcopy(network)
    adapter = attach(MixtureConfig(), network)
    train(network, adapter, [MRI, MRI])
    pictures = images(network, 3)
    with torch.no_grad():
        features, masks = ask(base, pictures[[0, 2]], [CT, CT], [0, 1, 0])
        alone, answer = ask(network, pictures[[0, 2]], [CT, CT], [0, 1, 0])
        assert torch.equal(alone.tokens, features.tokens)
        assert torch.equal(answer.logits, masks.logits)
        assert torch.equal(answer.iou, masks.iou)

        mixed, answer = ask(network, pictures, [CT, MRI, CT], [0, 1, 2, 1, 0])
        assert torch.equal(mixed.tokens[[0, 2]], features.tokens)
        assert all(torch.equal(ours[[0, 2]], own) for ours, own in zip(mixed.skips, features.skips, strict=True))
        # The CT prompts of the mixed batch, asked of the base as they were grouped: same rows, same order.
        rows = questions(network, [0, 1, 2, 1, 0]).rows([0, 2, 4])
        expected = base.decode(
            features, PromptBatch(torch.tensor([0, 1, 0]), *tuple(vars(rows).values())[1:]), [Context(CT, "liver")] * 3
        )
        assert torch.equal(answer.logits[[0, 2, 4]], expected.logits)
        assert torch.equal(answer.iou[[0, 2, 4]], expected.iou)

        bare, unlike = ask(base, pictures, [CT, MRI, CT], [0, 1, 2, 1, 0])
        assert not torch.allclose(mixed.tokens[1], bare.tokens[1], atol=1e-3)
        assert not torch.allclose(answer.logits[[1, 3]], unlike.logits[[1, 3]], atol=1e-2)


def test_mri_in_a_mixed_batch_gets_what_it_gets_alone(network):
    adapter = attach(MixtureConfig(), network)
    train(network, adapter, [MRI])
    pictures = images(network, 2)
    with torch.no_grad():
        _, alone = ask(network, pictures[1:], [MRI], [0, 0])
        _, mixed = ask(network, pictures, [CT, MRI], [0, 1])
    assert torch.allclose(mixed.logits[1], alone.logits[1], atol=1e-4)


@pytest.mark.parametrize("top", [1, 2])
def test_a_learned_gate_that_says_identity_gives_the_base_to_the_last_bit(network, top):
    base = copy.deepcopy(network)
    adapter = attach(MixtureConfig(gate="learned", experts=("MRI", "PET"), top_k=top, confidence=0.0), network)
    train(network, adapter, [MRI, PET])
    pictures = images(network, 2)
    with torch.no_grad():
        features, masks = ask(base, pictures, [None, None], [0, 1, 1])
        force(adapter, "MRI")
        adapted, _ = ask(network, pictures, [None, None], [0, 1, 1])
        force(adapter, "identity")
        ours, answer = ask(network, pictures, [None, None], [0, 1, 1])
    assert torch.equal(ours.tokens, features.tokens)
    assert torch.equal(answer.logits, masks.logits)
    assert not torch.allclose(adapted.tokens, features.tokens, atol=1e-3)
    assert adapter.tally.routed["identity"] >= 2


def test_the_gates_that_are_used_are_balanced_not_the_probabilities():
    # Two images, two choices, scores nearly alike, almost no noise: the squared variation of (2, 0) is 1, of (1, 1) 0.
    spread = torch.full((2, 2), 1e-4)
    for clean, wanted in (([[0.1, 0.0], [0.1, 0.0]], 2.0), ([[0.1, 0.0], [0.0, 0.1]], 0.0)):
        scores = torch.tensor(clean, requires_grad=True)
        loss = imbalance(Scores(scores, spread), scores, chosen_by(scores, 1), 1)
        assert loss.item() == pytest.approx(wanted, abs=1e-4)  # importance and load, each
    scores = torch.tensor([[0.1, 0.0], [0.1, 0.0]], requires_grad=True)
    imbalance(Scores(scores, spread), scores, chosen_by(scores, 1), 1).backward()
    assert bool((scores.grad[:, 0] > 0).all())  # what all take becomes less likely,
    assert bool((scores.grad[:, 1] < 0).all())  # what nobody takes likelier


def force(adapter: MixtureAdapter, choice: str) -> None:
    """Let a learned gate choose one, for every image, beyond doubt; also with several at once."""
    state = adapter.state()
    for name in adapter.config.choices:
        state[f"gate.choices.to_{name}.weight"].zero_()
        state[f"gate.choices.to_{name}.bias"] = torch.tensor([200.0 if name == choice else -200.0, 0.0])
    adapter.load_state(state)


def test_a_gate_that_is_not_sure_takes_identity_counts_it_and_says_so_once(tiny, caplog):
    base = copy.deepcopy(tiny)
    adapter = attach(MixtureConfig(gate="learned", confidence=0.6), tiny)
    train(tiny, adapter, [MRI, CT], steps=1)
    state = adapter.state()
    state["gate.choices.to_MRI.weight"].zero_()
    state["gate.choices.to_identity.weight"].zero_()
    state["gate.choices.to_MRI.bias"] = torch.tensor([0.3, 0.0])  # a probability of 0.57, were identity at 0
    state["gate.choices.to_identity.bias"].zero_()
    adapter.load_state(state)
    pictures = images(tiny, 2)
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        features, _ = ask(base, pictures, [None] * 2, [0])
        for _ in range(2):
            assert torch.equal(ask(tiny, pictures, [None] * 2, [0])[0].tokens, features.tokens)
    assert adapter.tally.abstained == 4
    assert len([record for record in caplog.records if "not sure" in record.message]) == 1
    assert "0.57" in caplog.text


def test_an_unknown_modality_takes_identity_and_says_so_once(tiny, caplog):
    base = copy.deepcopy(tiny)
    adapter = attach(MixtureConfig(), tiny)
    train(tiny, adapter, [MRI])
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        expected = ask(base, images(tiny, 1), [None], [0])[1].logits
        for _ in range(2):
            assert torch.equal(ask(tiny, images(tiny, 1), [None], [0])[1].logits, expected)
    assert caplog.text.count("modality of an image is not known") == 1
    assert adapter.tally.routed == {"identity": 2}


def test_a_task_gate_adapts_the_decoder_of_its_structures_alone(network):
    base = copy.deepcopy(network)
    adapter = attach(MixtureConfig(gate="task", experts=("organs",), table=(("Arota", "organs"),)), network)
    train_on = [Context(MRI, "aorta")]
    network.train()
    optimiser = torch.optim.AdamW(adapter.trainable_parameters(), lr=0.03)
    for _ in range(3):
        optimiser.zero_grad()
        features = network.encode(images(network, 1), [MRI])
        network.decode(features, questions(network, [0]), train_on).logits.sum().backward()
        optimiser.step()
    network.eval()
    assert all(parameter.grad is not None for parameter in adapter.trainable_parameters())
    pictures = images(network, 1)
    with torch.no_grad():
        features, ours = base.encode(pictures, [MRI]), network.encode(pictures, [MRI])
        assert torch.equal(ours.tokens, features.tokens)
        contexts = [Context(MRI, "aorta"), Context(MRI, "spleen"), Context(MRI, None)]
        answer = network.decode(ours, questions(network, [0, 0, 0]), contexts).logits
        plain = base.decode(features, questions(network, [0, 0, 0]).rows([1, 2]), contexts[1:]).logits
        unlike = base.decode(features, questions(network, [0]), contexts[:1]).logits
    assert torch.equal(answer[1:], plain)
    assert not torch.allclose(answer[:1], unlike, atol=1e-3)


def test_a_task_gate_without_a_layer_of_the_decoder_is_refused(network):
    encoding = network.spec.encoding
    with pytest.raises(AdapterError, match="decoder only"):
        MixtureAdapter(MixtureConfig(gate="task", experts=("liver",), targets=encoding[:1])).attach(network)
    ask(network, images(network, 1), [CT], [0])


@gates
def test_only_the_mixture_trains_and_every_part_of_it(network, config):
    adapter = attach(config, network)
    before = {name: value.clone() for name, value in network.state_dict().items() if "mixture" not in name}
    modalities = [CT, MRI, PET]
    state = adapter.state()
    network.train()
    for _ in range(8):  # noise sends images to every expert
        optimiser = torch.optim.SGD(adapter.trainable_parameters(), lr=0.05)
        optimiser.zero_grad()
        _, masks = ask(network, images(network, 3), modalities, [0, 1, 2])
        auxiliary = adapter.auxiliary_loss()
        (masks.logits.sum() if auxiliary is None else masks.logits.sum() + auxiliary).backward()
        optimiser.step()
    moved = {name for name, value in adapter.state().items() if not torch.equal(value, state[name])}
    kept = {name for name in state if name not in moved}
    assert not {name for name in kept if "lora_B" in name}
    if config.learned:
        assert "gate.inner.weight" in moved
    ours = {name for name, value in network.named_parameters() if value.requires_grad}
    for name, value in network.state_dict().items():
        if name in before and name not in ours:
            assert torch.equal(value, before[name]), name
    assert sum(trainable(network).values()) == sum(p.numel() for p in adapter.trainable_parameters())


def test_a_learned_gate_learns_from_the_segmentation_as_well(segvol):
    """Without its own losses, the weight of an expert still has a gradient, for one at a time and for several."""
    for top in (1, 2):
        config = MixtureConfig(
            gate="learned", experts=("MRI", "PET"), top_k=top, balance_weight=0, supervision_weight=0, train=("gate",)
        )
        adapter = attach(config, segvol)
        state = adapter.state()
        adapter.load_state({name: value + 0.1 * ("lora_B" in name) for name, value in state.items()})
        segvol.train()
        for _ in range(6):
            _, masks = ask(segvol, images(segvol, 2), [MRI, PET], [0, 1])
            nothing = adapter.auxiliary_loss()  # of the gate's own; a zero where both images drew identity
            assert nothing is not None
            assert nothing.item() == 0
            (masks.logits.square().mean() + nothing).backward()
        for name, value in segvol.named_parameters():
            assert value.grad is None or name.startswith("mixture_gate"), name
        gradient = dict(segvol.named_parameters())["mixture_gate.choices.to_MRI.weight"].grad
        assert gradient is not None
        assert bool(gradient.abs().sum() > 0)
        segvol.eval()
        adapter.detach()


def test_a_step_on_identity_alone_has_a_gradient_and_changes_nothing(tiny):
    adapter = attach(MixtureConfig(), tiny)
    state = adapter.state()
    (said,) = train(tiny, adapter, [CT, CT], steps=1)
    assert said is not None
    assert said.item() == 0
    after = adapter.state()
    assert all(torch.equal(after[name], value) for name, value in state.items() if "lora_B" in name)


def test_supervision_teaches_the_gate_the_modality_and_ct_identity(tiny):
    adapter = attach(MixtureConfig(gate="learned", supervision_weight=1.0, balance_weight=0.0, confidence=0.0), tiny)
    bright = torch.ones(1, 1, *tiny.spec.window) * 0.9 + 0.05 * images(tiny, 1)
    dark = 0.1 * images(tiny, 1)
    tiny.train()
    optimiser = torch.optim.AdamW(adapter.trainable_parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        tiny.encode(torch.cat([bright, dark]), [CT, MRI])
        loss = adapter.auxiliary_loss()
        assert loss is not None
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert adapter.auxiliary_loss() is None
    tiny.eval()
    routing = adapter.route(torch.cat([bright, dark]), [None, None])
    assert routing.weights.tolist() == [[1, 0], [0, 1]]
    assert bool((routing.confidence > 0.8).all())
    assert adapter.tally.routed == {}


@gates
@torch.no_grad()
def test_detached_the_base_is_back_bit_for_bit_and_attached_again_the_mixture_is(network, config, answer, disturb):
    names = {name: value.clone() for name, value in network.state_dict().items()}
    attributes = set(vars(network))
    base = answer(network)
    adapter = attach(config, network)
    disturb(network)
    adapted = answer(network)
    with adapter.suspended() as bare:
        assert torch.equal(answer(bare), base)
    assert torch.equal(answer(network), adapted)
    adapter.detach()
    assert torch.equal(answer(network), base)
    assert list(network.state_dict()) == list(names)
    assert all(torch.equal(value, names[name]) for name, value in network.state_dict().items())
    assert set(vars(network)) == attributes
    assert network.hooks == type(network.hooks)()
    adapter.attach(network)
    assert torch.equal(answer(network), adapted)


@gates
@torch.no_grad()
def test_saved_and_loaded_it_answers_the_same(tiny, config, answer, disturb, tmp_path):
    other = copy.deepcopy(tiny)
    adapter = attach(config, tiny)
    disturb(tiny)
    save_adapter(adapter, tiny, tmp_path / "mixture")
    loaded = load_adapter(tmp_path / "mixture", other)
    assert isinstance(loaded, MixtureAdapter)
    assert loaded.config == config
    assert torch.equal(answer(other), answer(tiny))


@gates
def test_it_runs_under_bf16_autocast_with_gradients(segvol, config):
    adapter = attach(config, segvol)
    segvol.train()
    with torch.autocast("cpu", torch.bfloat16):
        _, masks = ask(segvol, images(segvol, 2), [CT, MRI], [0, 1])
        auxiliary = adapter.auxiliary_loss()
    loss = masks.logits.float().mean()
    (loss if auxiliary is None else loss + auxiliary).backward()
    assert all(torch.isfinite(p.grad).all() for p in adapter.trainable_parameters() if p.grad is not None)
    assert any(p.grad is not None for p in adapter.trainable_parameters())


def test_an_expert_of_the_text_tower_changes_texts_on_mri_and_none_on_ct(disturb):
    model = load("segvol-mini", device="cpu")
    text = PromptBatch(torch.tensor([0]), ("liver",), None, None, None)

    def said(modality: Modality) -> Tensor:
        with torch.no_grad():
            features = model.encode(images(model, 1), [modality])
            return model.decode(features, text, [Context(modality, "liver")]).logits

    before = {modality: said(modality) for modality in (CT, MRI)}
    attach(MixtureConfig(targets=("text",)), model)
    assert all(name.startswith("text_encoder.") for name in trainable(model))
    disturb(model)
    assert torch.equal(said(CT), before[CT])
    assert not torch.allclose(said(MRI), before[MRI])


def test_merging_is_refused_and_leaves_it_attached(tiny, answer):
    adapter = attach(MixtureConfig(), tiny)
    with pytest.raises(AdapterError, match="merge one of its experts"):
        adapter.merge()
    adapter.detach()


@torch.no_grad()
def test_features_of_another_time_are_refused_in_a_sentence(tiny):
    features, _ = ask(tiny, images(tiny, 1), [MRI], [0])
    attach(MixtureConfig(), tiny)
    with pytest.raises(AdapterError, match="encode the image again"):
        tiny.decode(features, questions(tiny, [0]), [Context(MRI, None)])


def test_an_expert_alone_is_an_ordinary_lora(network, answer, disturb):
    adapter = attach(MixtureConfig(rank=2, experts=("MRI", "PET")), network)
    disturb(network)
    with torch.no_grad():
        adapted = answer(network)
        adapter.detach()
        lora = adapter.expert("MRI")
        assert lora.config == LoraConfig(rank=2)
        lora.attach(network)
        assert torch.equal(answer(network), adapted)
        lora.merge()
        assert torch.allclose(answer(network), adapted, atol=1e-3)
    with pytest.raises(AdapterError, match="no expert"):
        adapter.expert("US")


def test_an_expert_of_a_task_gate_is_a_lora_of_the_decoder(network):
    adapter = attach(GATES["task"], network)
    adapter.detach()
    adapter.expert("liver").attach(network)
    assert not any(name.startswith(network.spec.encoding) for name in trainable(network))


@gates
@torch.no_grad()
def test_an_expert_added_later_leaves_every_tensor_of_the_others_as_it_is(network, config, answer, disturb):
    adapter = attach(config, network)
    disturb(network)
    before, adapted = adapter.state(), answer(network)
    adapter.add_expert("US", alone=True)
    after = adapter.state()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    new = {name for name in after if name not in before}
    assert all("US" in name for name in new)
    if config.top_k == 1:
        assert torch.equal(answer(network), adapted)
    trains = {id(parameter) for parameter in adapter.trainable_parameters()}
    asking = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trains == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    assert all("expert_US" in name or name.startswith("mixture_gate") for name in asking)
    assert any("expert_US" in name for name in asking)
    adapter.detach()
    adapter.attach(network)
    assert adapter.config.experts[-1] == "US"


def test_only_the_new_expert_moves_when_it_trains_alone(tiny):
    adapter = attach(MixtureConfig(), tiny)
    train(tiny, adapter, [MRI])
    adapter.add_expert("PET", alone=True)
    before = adapter.state()
    train(tiny, adapter, [MRI, PET, CT])
    moved = {name for name, value in adapter.state().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("experts.PET.") for name in moved)


def test_an_expert_that_cannot_be_added_leaves_the_mixture_as_it_was(tiny):
    adapter = attach(MixtureConfig(rank=2), tiny)
    state = set(adapter.state())
    other = LoraAdapter(LoraConfig(rank=4))
    for name, lora in (("PET", other), ("MRI", None), ("fancy", None)):
        with pytest.raises(AdapterError):
            adapter.add_expert(name, lora)
    assert set(adapter.state()) == state
    assert adapter.config.experts == ("MRI",)
    adapter.add_expert("fancy", key="US")
    assert adapter.config.route("us") == "fancy"


Impossible = Callable[[], MixtureConfig]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gate": "lerned"}, 'did you mean "learned"'),
        ({"experts": []}, "at least one expert"),
        ({"experts": "MRI"}, '"experts" must be a list'),
        ({"experts": ["identity"]}, "cannot name an expert"),
        ({"experts": ["a.b"], "gate": "learned"}, "cannot name an expert"),
        ({"experts": ["site"]}, "no modality leads to"),
        ({"experts": ["MR", "MRI"]}, 'no modality leads to the expert "MR"'),
        ({"table": {"MRI": "PET"}}, "is no expert"),
        ({"table": {"liver": "MRI"}}, "begins with modalities"),
        ({"table": ["MRI"]}, "must be a list"),
        ({"top_k": 0}, "whole number"),
        ({"confidence": 1.0}, "share from 0"),
        ({"balance_weight": -1}, "0 or more"),
        ({"train": ["gate"]}, "what can train is MRI"),
        ({"also_train": ["biases"]}, "identity expert"),
        ({"dora": True, "gate": "learned"}, "DoRA"),
        ({"rank": 0}, "rank 0"),
        ({"experst": ["MRI"]}, 'did you mean "experts"'),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(AdapterError, match=sentence):
        MixtureConfig.from_dict(settings)


def test_settings_go_through_json_and_take_presets():
    config = MixtureConfig.from_dict(
        {"preset": "study", "experts": ["body"], "table": {"mr": "body", "CT": "identity"}}
    )
    assert config.targets == LoraConfig.preset("study").targets
    assert config.route("MRI") == "body"
    assert config.route("CT") == "identity"
    assert create("mixture", config.to_dict()).config == config
