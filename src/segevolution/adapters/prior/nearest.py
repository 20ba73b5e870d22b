"""The known name that is nearest to an unknown one: by the network's text encoder, else by spelling."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from ...errors import CheckpointError
from ...models.backbone import BackboneModule
from ...models.segvol.segvol import SegVol
from ...vocabulary import Modality, closest, sentence


def nearest(name: str, known: Sequence[str], backbone: BackboneModule) -> str | None:
    """The nearest of `known`; None where nothing is known, or, without a text encoder, where no spelling is near.

    Args:
        name: a structure or modality.
        known: of the same kind.
        backbone: its text encoder reads the sentences of prompts, where it has one and came with its tokenizer.
    """
    if not known:
        return None
    if isinstance(backbone, SegVol) and backbone.text_encoder is not None:
        try:
            with torch.no_grad():
                said = backbone.text_encoder.encode(
                    [_sentence(each, backbone.config.template) for each in (name, *known)]
                )
        except CheckpointError:
            return closest(name, known)
        return known[int(functional.cosine_similarity(said[:1].float(), said[1:].float()).argmax())]
    return closest(name, known)


def _sentence(name: str, template: str) -> str:
    modality = next((each for each in Modality if each.value == name), None)
    return sentence(name, None, template) if modality is None else sentence("body", modality, "modality")
