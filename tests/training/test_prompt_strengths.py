"""Each augmentation of prompts has its own strength, does what it says, and is off unless asked for."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from segevolution.imaging.simulated_prompts import PromptSettings, draw_wording
from segevolution.imaging.simulated_prompts.boxes import draw_box
from segevolution.imaging.simulated_prompts.points import draw_points
from segevolution.models.backbone import PromptBatch
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.training.batches import SampleSettings, StepDataset
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Context, Modality, Wording, canonical


@pytest.fixture
def mask():
    mask = np.zeros((16, 40, 40), bool)
    mask[4:12, 8:30, 10:32] = True
    return mask


def drawn(what, mask, **changes):
    return [what(mask, np.random.default_rng(seed), PromptSettings(**changes)) for seed in range(60)]


@pytest.mark.parametrize(
    "off",
    [
        {"few": 0.0, "many": 0.0, "crowd": 7},
        {"border": 0.0, "wrong": 0.0},
        {"box_larger": 0.0, "box_smaller": 0.0},
        {"templates": {}, "synonyms": 0.0},
    ],
)
def test_what_is_off_changes_no_draw(mask, off):
    for one, other in zip(drawn(draw_points, mask), drawn(draw_points, mask, **off), strict=True):
        assert one == other
    assert drawn(draw_box, mask) == drawn(draw_box, mask, **off)
    assert draw_wording("liver", np.random.default_rng(0), PromptSettings(**off)) is None


def volumes(boxes):
    return np.array([np.prod(np.array(box.high) - np.array(box.low) + 1) for box in boxes])


def test_boxes_grow_and_shrink_about_the_structure(mask):
    tight = float(mask.sum())
    still = {"exact_boxes": 0.0, "box_jitter": 0.0}
    assert set(volumes(drawn(draw_box, mask, **still))) == {tight}
    assert min(volumes(drawn(draw_box, mask, **still, box_larger=0.3))) >= tight
    assert max(volumes(drawn(draw_box, mask, **still, box_larger=0.3))) > 1.3 * tight
    assert max(volumes(drawn(draw_box, mask, **still, box_smaller=0.3))) <= tight
    assert min(volumes(drawn(draw_box, mask, **still, box_smaller=0.3))) < 0.7 * tight
    for box in drawn(draw_box, mask, **still, box_larger=0.3):
        assert np.allclose((np.array(box.low) + np.array(box.high)) / 2, [7.5, 18.5, 20.5], atol=1)


def test_boxes_are_never_inverted_however_much_they_shrink_and_move(mask):
    speck = np.zeros_like(mask)
    speck[3, 17, 21] = True
    for what in (mask, speck):
        for box in drawn(draw_box, what, exact_boxes=0.0, box_jitter=1.0, box_smaller=0.99, box_larger=2.0):
            assert (np.array(box.low) <= box.high).all()
            assert (np.array(box.low) >= 0).all()
            assert (np.array(box.high) < what.shape).all()


def test_points_are_few_or_many(mask):
    assert all(labels == (1,) for _, labels in drawn(draw_points, mask, few=1.0))
    for _, labels in drawn(draw_points, mask, many=1.0, crowd=30):
        assert 6 <= labels.count(1) <= 30
        assert 4 <= labels.count(0) <= 30
    assert max(len(labels) for _, labels in drawn(draw_points, mask, many=1.0, crowd=30)) > 30
    counts = [len(labels) for _, labels in drawn(draw_points, mask, few=0.5)]
    assert 15 < counts.count(1) < 50


def test_points_lie_near_the_border(mask):
    inner = np.zeros_like(mask)
    inner[6:10, 10:28, 12:30] = True
    outer = np.zeros_like(mask)
    outer[2:14, 6:32, 8:34] = True
    for points, labels in drawn(draw_points, mask, border=1.0):
        places = tuple(np.array(points, int).T)
        assert not inner[places].any()
        assert outer[places].all()
        assert mask[places].tolist() == [label == 1 for label in labels]


def test_a_share_of_points_is_wrong_but_never_the_first(mask):
    right = []
    for points, labels in drawn(draw_points, mask, wrong=0.3):
        truth = mask[tuple(np.array(points, int).T)]
        assert labels[0] == 1
        assert truth[0]
        right += [inside == (label == 1) for inside, label in zip(truth[1:], labels[1:], strict=True)]
    assert 0.55 < np.mean(right) < 0.85


def test_texts_are_put_in_several_forms_and_names():
    settings = PromptSettings(templates={"ct": 1, "modality": 1, "neutral": 0}, synonyms=0.5)
    rng = np.random.default_rng(0)
    wordings = [draw_wording("right kidney", rng, settings) for _ in range(80)]
    assert {wording.template for wording in wordings} == {"ct", "modality"}
    names = [wording.name for wording in wordings]
    assert 20 < names.count(None) < 60
    assert {canonical(name) for name in names if name} == {"right kidney"}
    assert draw_wording("body fat", rng, PromptSettings(synonyms=1.0)) is None  # it has no other name


def test_every_text_of_a_step_is_worded_and_nothing_else(toy):
    sample = SampleSettings(views=1, structures=2, all_combinations=True, absent=1.0, unnamed=0.0)
    prompt = PromptSettings(templates={"neutral": 1})
    batch = StepDataset(toy.groups(), toy.model().spec, 4, seed=0, sample=sample, prompt=prompt)[0]
    for structure, wording in zip(batch.prompts.structures, batch.prompts.wordings, strict=True):
        assert wording == (None if structure is None else Wording(None, "neutral"))
    assert StepDataset(toy.groups(), toy.model().spec, 4, seed=0, sample=sample)[0].prompts.wordings is None


def test_the_network_reads_the_words_it_knows():
    words = WordTokenizer.of_vocabulary()
    text = TextConfig("words", words.size, 16, 1, 2, 16, 24, train_tower=True)
    sizes = {"window": (8, 16, 16), "patch": (4, 8, 8), "width": 32, "depth": 1, "heads": 2, "mlp": 32}
    network = SegVol.fresh(SegVolConfig(**sizes, decoder_heads=2, decoder_mlp=32, text=text), 0, words)
    read = []
    encode = network.text_encoder.encode
    network.text_encoder.encode = lambda texts: read.extend(texts) or encode(texts)
    wordings = (None, Wording(None, "modality"), Wording("kidney right", "neutral"), Wording("rkid", None))
    prompts = PromptBatch(torch.zeros(4, dtype=torch.int64), ("right kidney",) * 4, wordings=wordings)
    network.text_tokens(prompts, [Context(Modality.MRI, "right kidney")] * 4)
    assert read == [
        "A computerized tomography of a right kidney.",
        "A magnetic resonance imaging (MRI) scan of a right kidney.",
        "A scan of a kidney right.",
        "A computerized tomography of a right kidney.",  # its word list has no "rkid"
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"templates": {"modalty": 1}}, 'did you mean "modality"'),
        ({"templates": {"ct": 0}}, "one of them above 0"),
        ({"wrong": 1.5}, r"prompt\.wrong\n  Input should be less than or equal to 1"),
        ({"few": 0.6, "many": 0.6}, "few and many are 1.2"),
        ({"box_smaller": 1.0}, r"prompt\.box_smaller\n  Input should be less than 1"),
        ({"bordr": 0.5}, "bordr"),
    ],
)
def test_impossible_strengths_are_refused_by_name(wrong, said):
    with pytest.raises(ValidationError, match=said):
        FitSettings(prompt=wrong)
