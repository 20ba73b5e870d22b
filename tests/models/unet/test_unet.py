import pytest
import torch

from segevolution.errors import CheckpointError, PromptError, VocabularyError
from segevolution.models.backbone import PromptBatch
from segevolution.models.unet import unet as module
from segevolution.models.unet.config import UnetConfig
from segevolution.models.unet.unet import Unet
from segevolution.vocabulary import Context

SIZES = {
    "window": (4, 8, 8),
    "spacing": (1.0, 1.0, 2.0),
    "structures": ("liver", "spleen", "pancreas"),
    "features": (4, 4, 4),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
}


def asked(*structures):
    return PromptBatch(torch.zeros(len(structures), dtype=torch.int64), structures), [Context()] * len(structures)


def test_a_structure_is_foreground_where_it_is_likelier_than_all_else():
    network = Unet(UnetConfig(**SIZES)).eval()
    image = torch.randn(1, 1, 4, 8, 8)
    with torch.no_grad():
        features = network.encode(image, [None])
        masks = network.decode(features, *asked("spleen", "liver"))
        likely = network.scores(image)[0].softmax(dim=1)[0]
    assert torch.equal(masks.logits[0, 0] > 0, likely[2] > 0.5)
    assert torch.equal(masks.logits[1, 0] > 0, likely[1] > 0.5)


def test_it_is_asked_by_known_names_alone():
    network = Unet(UnetConfig(**SIZES)).eval()
    features = network.encode(torch.randn(1, 1, 4, 8, 8), [None])
    with pytest.raises(PromptError, match="by its name"):
        network.decode(features, *asked(None))
    with pytest.raises(VocabularyError):
        network.decode(features, *asked("aorta"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": (4, 4)}, "3 to 9 stages"),
        ({"features": (0, 4, 4)}, "features"),
        ({"kernels": ((5, 3, 3), (3, 3, 3), (3, 3, 3))}, "kernels"),
        ({"strides": ((2, 2, 2), (1, 2, 2), (2, 2, 2))}, "first stage"),
        ({"window": (3, 8, 8)}, "multiples of"),
        ({"structures": ()}, "at least one"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        UnetConfig(**{**SIZES, **changes})


def test_without_monai_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"segevolution\[unet\]"):
        Unet(UnetConfig(**SIZES))
