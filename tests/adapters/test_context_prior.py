import itertools
import logging

import pytest
import torch
from torch.nn import functional

from segevolution.adapters import (
    ContextPriorAdapter,
    ContextPriorConfig,
    attached,
    create,
    load_adapter,
    save_adapter,
    trainable,
)
from segevolution.adapters.prior.network import PriorNetwork
from segevolution.errors import AdapterError
from segevolution.models.backbone import DecoderSizes, PromptBatch
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.vocabulary import Context, Modality

KINDS = list(itertools.product(("joint", "hermes"), ("additive", "multiplicative", "none"), (None, 8)))
MIXED = (
    Context(Modality.MRI, "liver"),
    Context(Modality.CT, "spleen"),
    Context(Modality.MRI, None),
    Context(None, "liver"),
    Context(None, None),
)


def make(fusion="joint", prototype="additive", width=None, **settings):
    adapter = create("context_prior", {"fusion": fusion, "prototype": prototype, "width": width, **settings})
    adapter.add_structures(["liver", "spleen"])
    return adapter


def decode(network, contexts=MIXED, rows=None):
    """Logits of one point prompt for each context, on two seeded images."""
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(2, 1, *network.spec.window, generator=generator)
    count = len(contexts)
    prompts = PromptBatch(
        image_index=torch.arange(count) % 2 if rows is None else torch.tensor(rows),
        structures=(None,) * count,
        points=(torch.tensor(network.spec.window) / 2).repeat(count, 1, 1),
        labels=torch.ones(count, 1, dtype=torch.int64),
    )
    features = network.encode(images, [Modality.MRI, Modality.CT])
    return network.decode(features, prompts, contexts).logits


def train(network, adapter, steps=3, contexts=MIXED):
    """A few steps towards a mask that is nothing like the answer; returns the parameters' gradients of each step."""
    network.train()
    optimiser = torch.optim.Adam(adapter.trainable_parameters(), lr=0.02)
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = functional.softplus(decode(network, contexts)).mean()
        extra = adapter.auxiliary_loss()
        (loss if extra is None else loss + extra).backward()
        seen.append({name: value.grad for name, value in adapter._parameters().items()})
        seen[-1] = {name: None if grad is None else grad.clone() for name, grad in seen[-1].items()}
        optimiser.step()
    network.eval()
    return seen


def reached(gradients):
    return {name for name, grad in gradients.items() if grad is not None and bool((grad != 0).any())}


@pytest.mark.parametrize(("fusion", "prototype", "width"), KINDS)
def test_before_the_first_step_the_adapted_network_is_the_base_bit_for_bit(network, fusion, prototype, width):
    with torch.no_grad():
        base = decode(network)
        make(fusion, prototype, width).attach(network)
        assert torch.equal(decode(network), base)
        network.train()
        assert torch.equal(decode(network), base)


@pytest.mark.parametrize(("fusion", "prototype", "width"), KINDS)
def test_detached_the_base_is_back_bit_for_bit_and_attached_again_the_adapter_is(network, fusion, prototype, width):
    names = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    attributes = set(vars(network))
    adapter = make(fusion, prototype, width, lora_rank=2)
    with torch.no_grad():
        base = decode(network)
    adapter.attach(network)
    train(network, adapter)
    with torch.no_grad():
        adapted = decode(network)
        assert not torch.allclose(adapted, base, atol=1e-3)
        with adapter.suspended():
            assert torch.equal(decode(network), base)
        assert torch.equal(decode(network), adapted)
        adapter.detach()
        assert torch.equal(decode(network), base)
        assert list(network.state_dict()) == list(names)
        assert all(torch.equal(tensor, names[name]) for name, tensor in network.state_dict().items())
        assert set(vars(network)) == attributes
        adapter.attach(network)
        assert torch.equal(decode(network), adapted)


@pytest.mark.parametrize(("fusion", "prototype", "width"), KINDS)
def test_gradients_flow_at_the_first_step_and_reach_every_part_at_the_second(tiny, fusion, prototype, width):
    torch.manual_seed(0)  # a hidden unit that no input wakes has no gradient
    adapter = make(fusion, prototype, width, structure_dropout=0.0, modality_dropout=0.0)
    adapter.attach(tiny)
    first, second = train(tiny, adapter, steps=2)
    opening = {"prior.fusion.up.weight"} | ({f"prior.{prototype}.outer.weight"} if prototype != "none" else set())
    assert opening <= reached(first)
    behind = {name for name in second if not name.endswith("attention.k_proj.bias")}  # softmax does not feel these
    assert behind <= reached(second)


@pytest.mark.parametrize("kind", [("joint", "additive"), ("hermes", "multiplicative")])
def test_a_mixed_batch_answers_as_its_prompts_alone(network, kind):
    adapter = make(*kind, modality_tokens=3)
    adapter.attach(network)
    train(network, adapter)
    with torch.no_grad():
        together = decode(network)
        for row, context in enumerate(MIXED):
            alone = decode(network, [context], rows=[row % 2])
            assert torch.allclose(together[row], alone[0], atol=1e-4)


def test_modality_and_structure_each_change_the_answer_once_trained(tiny):
    adapter = make(lora_rank=0)
    adapter.attach(tiny)
    train(tiny, adapter, steps=5)
    contexts = [Context(Modality.MRI, "liver"), Context(Modality.MRI, "spleen"), Context(Modality.CT, "liver")]
    with torch.no_grad():
        answers = decode(tiny, [*contexts, Context()], rows=[0] * 4)
    for one, other in itertools.combinations(answers, 2):
        assert not torch.allclose(one, other, atol=1e-5)


def test_an_adapter_reads_back_with_its_pool(tiny, tmp_path):
    adapter = make(lora_rank=2, structure_tokens=2)
    adapter.attach(tiny)
    adapter.add(Modality.PET)
    adapter.add("vertebra L5, left.part")
    train(tiny, adapter)
    contexts = [*MIXED, Context(Modality.PET, "vertebra L5, left.part")]
    with torch.no_grad():
        adapted = decode(tiny, contexts)
    save_adapter(adapter, tiny, tmp_path / "prior")
    adapter.detach()
    again = load_adapter(tmp_path / "prior", tiny)
    assert isinstance(again, ContextPriorAdapter)
    assert again.network.pool.names("structures") == ("liver", "spleen", "vertebra l5, left.part")
    assert again.network.pool.names("modalities") == ("CT", "MRI", "PET")
    with torch.no_grad():
        assert torch.equal(decode(tiny, contexts), adapted)
    assert again.stand_ins == {}


def test_a_state_brings_its_names_into_an_adapter_that_was_taught_none(tiny):
    trained = make()
    trained.attach(tiny)
    trained.add(Modality.US)
    state = trained.state()
    trained.detach()
    fresh = create("context_prior")
    fresh.load_state(state)
    fresh.attach(tiny)
    assert fresh.structures == ("liver", "spleen")
    assert fresh.modalities == ("CT", "MRI", "US")
    assert all(torch.equal(tensor, state[name]) for name, tensor in fresh.state().items())


def test_a_structure_taught_while_detached_starts_anew_and_leaves_the_others(tiny):
    adapter = make()
    adapter.attach(tiny)
    train(tiny, adapter)
    before = adapter.state()
    adapter.detach()
    adapter.add_structures(["aorta"])
    adapter.attach(tiny)
    after = adapter.state()
    assert after.keys() - before.keys() == {"prior.pool.structures.[aorta]"}
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_token_starts_by_its_name_whatever_else_is_in_the_pool(tiny, segvol):
    def first(taught, seed=0, kind="random"):
        adapter = create("context_prior", {"seed": seed, "token_init": kind})
        adapter.add_structures(taught)
        adapter.attach(tiny)
        state = adapter.state()
        adapter.detach()
        return state["prior.pool.structures.[liver]"]

    torch.manual_seed(1)
    alone = first(["liver"])
    torch.manual_seed(2)
    assert torch.equal(first(["spleen", "aorta", "Liver"]), alone)
    assert not torch.equal(first(["liver"], seed=1), alone)
    assert 0.2 < float(alone.abs().max()) <= (6 / 17) ** 0.5
    assert not first(["liver"], kind="zero").any()


def test_an_added_name_can_start_from_another(tiny):
    adapter = make()
    adapter.attach(tiny)
    train(tiny, adapter)
    adapter.add("hepatic segment", like="liver")
    adapter.add(Modality.PET, like=Modality.CT)
    state = adapter.state()
    assert torch.equal(state["prior.pool.structures.[hepatic segment]"], state["prior.pool.structures.[liver]"])
    assert torch.equal(state["prior.pool.modalities.[PET]"], state["prior.pool.modalities.[CT]"])
    assert "hepatic segment" in adapter.structures
    with pytest.raises(AdapterError, match='no tokens of "brain"'):
        adapter.add("brain stem", like="brain")


def test_an_unknown_structure_takes_the_nearest_tokens_and_says_so_once(tiny, caplog):
    adapter = make()
    adapter.attach(tiny)
    train(tiny, adapter)
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        known = decode(tiny, [Context(Modality.MRI, "liver")])
        asked = [Context(Modality.MRI, "livers")] * 2
        assert torch.allclose(decode(tiny, asked, rows=[0, 0])[1], known[0], atol=1e-5)
        decode(tiny, asked)
    assert [record.getMessage() for record in caplog.records] == [
        'this adapter has learned no tokens for "livers" and takes those of "liver", the nearest known.'
    ]
    assert adapter.stand_ins == {("structures", "livers"): "liver"}


def test_what_is_near_to_nothing_takes_the_tokens_of_the_unknown(tiny):
    adapter = make()
    adapter.attach(tiny)
    train(tiny, adapter)
    with torch.no_grad():
        unknown = decode(tiny, [Context(None, None)])
        assert torch.equal(decode(tiny, [Context(Modality.PET, "qqq")]), unknown)
    assert adapter.stand_ins == {("structures", "qqq"): None, ("modalities", "PET"): None}


def test_an_adapter_that_was_taught_nothing_still_answers(tiny):
    adapter = create("context_prior", {"modalities": []})
    adapter.attach(tiny)
    with torch.no_grad():
        assert torch.isfinite(decode(tiny)).all()


def test_the_token_of_no_structure_trains_by_dropping(tiny):
    known = [Context(Modality.MRI, "liver"), Context(Modality.CT, "spleen")] * 4
    nobody = ["prior.pool.structures.[]", "prior.pool.modalities.[]"]
    adapter = make(structure_dropout=0.5, modality_dropout=0.5)
    adapter.attach(tiny)
    torch.manual_seed(0)
    *_, last = train(tiny, adapter, steps=2, contexts=known)
    assert set(nobody) <= reached(last)
    adapter.detach()
    adapter = make(structure_dropout=0.0, modality_dropout=0.0)
    adapter.attach(tiny)
    *_, last = train(tiny, adapter, steps=2, contexts=known)
    assert not set(nobody) & reached(last)


def test_nothing_is_dropped_at_inference_and_the_draw_follows_torch_in_training(tiny):
    adapter = make(structure_dropout=0.5)
    adapter.attach(tiny)
    train(tiny, adapter)
    contexts = [Context(Modality.MRI, "liver")] * 6

    def drawn():
        torch.manual_seed(7)
        return decode(tiny, contexts)

    with torch.no_grad():
        calm = decode(tiny, contexts)
        assert torch.equal(decode(tiny, contexts), calm)
        tiny.train()
        noisy = drawn()
        assert torch.equal(drawn(), noisy)
    same = [bool(torch.allclose(one, other, atol=1e-6)) for one, other in zip(noisy, calm, strict=True)]
    assert any(same)
    assert not all(same)


def test_the_base_stays_frozen_and_the_list_of_what_trains_is_whole(tiny):
    adapter = make(lora_rank=2)
    base = {id(parameter) for parameter in tiny.parameters()}
    adapter.attach(tiny)
    assert not any(parameter.requires_grad for parameter in tiny.parameters() if id(parameter) in base)
    assert sum(trainable(tiny).values()) == sum(p.numel() for p in adapter.trainable_parameters())
    assert any("lora_A" in name for name in trainable(tiny))
    adapter.detach()
    assert attached(tiny) is None
    assert all(parameter.requires_grad for parameter in tiny.parameters())


def test_without_lora_only_the_priors_train(tiny):
    adapter = make(lora_rank=0)
    adapter.attach(tiny)
    assert all(name.startswith("context_prior.") for name in trainable(tiny))


def test_the_auxiliary_loss_learns_to_name_the_modality_and_is_off_by_default(tiny):
    adapter = make(auxiliary_weight=0.5, lora_rank=0, modality_dropout=0.0)
    adapter.attach(tiny)
    tiny.train()
    optimiser = torch.optim.Adam(adapter.trainable_parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        decode(tiny)
        loss = adapter.auxiliary_loss()
        losses.append(float(loss.detach()))
        loss.backward()
        optimiser.step()
    assert adapter.auxiliary_loss() is None  # once a decoding
    assert losses[-1] < 0.5 * losses[0]
    decode(tiny, [Context(None, "liver")])
    assert adapter.auxiliary_loss() is None  # no modality is known
    with torch.no_grad():
        decode(tiny)
    assert adapter.auxiliary_loss() is None
    adapter.detach()
    plain = make()
    plain.attach(tiny)
    tiny.train()
    decode(tiny)
    assert plain.auxiliary_loss() is None


def test_merging_is_refused_and_the_adapter_stays(tiny):
    adapter = make()
    adapter.attach(tiny)
    with pytest.raises(AdapterError, match="depend on each prompt"):
        adapter.merge()
    assert attached(tiny) is adapter


@pytest.mark.parametrize("prototype", ["additive", "multiplicative"])
def test_the_size_of_the_addition_is_noted_by_structure(tiny, prototype):
    adapter = make(prototype=prototype)
    adapter.attach(tiny)
    with torch.no_grad(), adapter.measured() as sizes:
        decode(tiny)
    assert sizes == {"liver": [0.0, 0.0], "spleen": [0.0], "": [0.0, 0.0]}
    train(tiny, adapter)
    with torch.no_grad(), adapter.measured() as sizes:
        decode(tiny)
    assert all(size > 0 for values in sizes.values() for size in values)


def test_it_works_under_autocast(segvol):
    adapter = make()
    adapter.attach(segvol)
    with torch.autocast("cpu", torch.bfloat16):
        train(segvol, adapter)
        with torch.no_grad():
            assert torch.isfinite(decode(segvol)).all()


def test_text_prompts_and_three_alternatives_pass_through_the_priors(tiny):
    adapter = make(prototype="multiplicative")
    adapter.attach(tiny)
    train(tiny, adapter)
    images = torch.rand(1, 1, *tiny.spec.window, generator=torch.Generator().manual_seed(0))
    prompts = PromptBatch(torch.zeros(2, dtype=torch.int64), ("liver", "spleen"))
    contexts = [Context(Modality.MRI, "liver"), Context(Modality.MRI, "spleen")]
    with torch.no_grad():
        features = tiny.encode(images, [Modality.MRI])
        three = tiny.decode(features, prompts, contexts, multimask=True).logits
        one = tiny.decode(features, prompts, contexts).logits
    assert three.shape[:2] == (2, 3)
    assert one.shape[:2] == (2, 1)


def test_the_study_has_as_many_values_as_counted_at_full_size():
    with torch.device("meta"):
        network = SegVol(SegVolConfig.published())
    adapter = ContextPriorAdapter(ContextPriorConfig.preset("study"))
    adapter.add_structures(f"structure {number}" for number in range(21))
    adapter.attach(network)
    numbers = adapter.network.numbers()
    assert numbers == {
        "fusion": 2_663_616,
        "prototype": 187_440,
        "pool": 23 * 768,
        "unknown": 2 * 768,  # ours: what is not known
        "start": 768 * 768 + 768,  # ours: the layer that starts at zero
        "head": 0,
    }
    assert numbers["fusion"] + numbers["prototype"] + numbers["pool"] == 2_868_720
    ours = numbers["unknown"] + numbers["start"]
    assert sum(p.numel() for p in adapter.trainable_parameters()) == 4_005_360 + ours


def test_hermes_preset_has_ten_tokens_a_modality_and_heads_of_32_channels():
    network = PriorNetwork(ContextPriorConfig.preset("hermes"), DecoderSizes(256, 4, 32))
    assert network.pool("modalities", [None]).shape[1:] == (10, 192)
    assert network.fusion.blocks[0].to_priors.attention.heads == 6
    assert network.fusion.blocks[0].to_priors.attention.q_proj.bias is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fusion": "hermess"}, 'did you mean "hermes"'),
        ({"prototype": "product"}, "additive"),
        ({"blocks": 0}, "blocks 0"),
        ({"structure_dropout": 1.0}, "structure_dropout 1.0"),
        ({"lora_rank": -1}, "lora_rank -1"),
        ({"lora_rank": 0, "also_train": ["biases"]}, "goes with LoRA"),
        ({"lora_targets": "encoder"}, '"lora_targets" must be a list'),
        ({"preset": "studie"}, "not a preset"),
        ({"structure_token": 1}, 'did you mean "structure_tokens"'),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(AdapterError, match=sentence):
        create("context_prior", settings)


def test_heads_that_do_not_divide_the_width_are_refused_and_the_base_is_left_alone(tiny):
    before = list(tiny.state_dict())
    with pytest.raises(AdapterError, match="5 heads cannot share 16 channels"):
        make(heads=5).attach(tiny)
    assert list(tiny.state_dict()) == before
    assert attached(tiny) is None
