"""A scan whose contrast is the other way round is answered from exchanged greys, and no other scan is."""

import numpy as np
import pytest

from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity import NORMALISERS
from segevolution.imaging.table_image import TableImage
from segevolution.imaging.volume import Volume
from segevolution.inference.second_opinion import NOTE, SecondOpinion
from segevolution.inference.strategies.base import Answer
from segevolution.models.spec import Spec
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Context, Modality

MATCHED = NORMALISERS["matched_soft_tissue"]


def test_exchanging_twice_gives_the_greys_back_and_air_stays_air():
    greys = np.linspace(0, 1, 1001, dtype=np.float32).reshape(7, 11, 13)
    once = MATCHED.exchanged(greys)
    inside = (greys > 0.05) & (greys < 0.6)
    assert np.all(np.diff(once[greys > 0.01]) <= 1e-6)  # what was brighter is darker
    assert once.ravel()[0] == 0
    assert np.abs(MATCHED.exchanged(once) - greys)[inside].max() < 0.02


def test_the_body_keeps_the_profile():
    profile = MATCHED.profile.values
    body = np.interp(np.linspace(8, 92, 20_000), np.linspace(0.5, 99.5, 100), profile)
    image = MATCHED.function(body.astype(np.float32), Modality.CT, body).reshape(20, 100, 10)
    for share in (20, 50, 80):
        assert np.percentile(MATCHED.exchanged(image), share) == pytest.approx(np.percentile(image, share), abs=0.04)


def test_a_recipe_without_a_profile_exchanges_nothing():
    with pytest.raises(ValueError, match="there is none"):
        NORMALISERS["soft_tissue"].exchanged(np.zeros((2, 2, 2), np.float32))


def test_a_looked_up_image_is_exchanged_like_a_whole_one():
    signal = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    table = TableImage(signal, np.linspace(0, 1, 24, dtype=np.float32), 0)
    assert np.array_equal(np.asarray(table.mapped(MATCHED.exchanged)), MATCHED.exchanged(np.asarray(table)))


def volume(modality):
    array = np.random.default_rng(0).uniform(0, 100, (12, 12, 12)).astype(np.float32)
    return Volume(array, Grid((12, 12, 12), np.eye(4)), modality, "scan")


@pytest.mark.parametrize(
    ("modality", "changes", "due"),
    [
        (Modality.MRI, {}, True),
        (None, {}, True),
        (Modality.CT, {}, False),
        (Modality.MRI, {"intensity": "soft_tissue"}, False),
        (Modality.MRI, {"estimates_overlap": False}, False),
        (Modality.MRI, {"framing": "sliding"}, False),
        (Modality.MRI, {"exchanged_greys": False}, False),
    ],
)
def test_who_gets_a_second_opinion(modality, changes, due):
    tiny = TinyBackbone(TinyConfig(window=(8, 32, 32)))
    spec = Spec(**{**vars(tiny.spec), "intensity": "matched_soft_tissue", **changes})
    opinion = SecondOpinion.where_due(volume(modality), spec, np.zeros((2, 2, 2), np.float32), lambda image: None)
    assert (opinion is not None) == due


class Opened:
    """In place of an opened image: it is as sure as it is told."""

    def __init__(self, iou):
        self.iou, self.asked = iou, 0

    def answers(self, prompts, contexts):
        self.asked += 1
        yield Answer(np.zeros((1, 1, 1), np.float32), self.iou, 0)


@pytest.mark.parametrize(
    ("own", "glance", "close", "asked", "given"),
    [(0.5, 0.5, 0.9, (1, 0), 0.5), (0.5, 0.6, 0.54, (1, 1), 0.5), (0.3, 0.6, 0.7, (1, 1), 0.7)],
)
def test_the_surer_answer_is_given_and_the_closer_look_is_spared_where_the_glance_is_not_surer(
    own, glance, close, asked, given
):
    opinion = SecondOpinion(np.zeros((1, 1, 1), np.float32), MATCHED.exchanged, lambda image: None)
    opinion._opened = Opened(glance), Opened(close)
    answer = opinion.surer(Answer(np.zeros((1, 1, 1), np.float32), own, 0), None, Context())
    assert tuple(one.asked for one in opinion._opened) == asked
    assert answer.iou == given
    assert (NOTE in answer.notes) == (given != own)
