"""The known name that is nearest to an unknown one: by the network's text encoder, else by spelling."""

from collections.abc import Sequence

from torch.nn import functional

from ...models.backbone import BackboneModule
from ...vocabulary import closest


def nearest(name: str, known: Sequence[str], backbone: BackboneModule) -> str | None:
    """The nearest of `known`; None where nothing is known, or, without a text encoder, where no spelling is near.

    Args:
        name: a structure or modality.
        known: of the same kind.
        backbone: its text encoder decides, where it has one that can read, see `BackboneModule.name_vectors`.
    """
    vectors = backbone.name_vectors((name, *known)) if known else None
    if vectors is None:
        return closest(name, known)
    return known[int(functional.cosine_similarity(vectors[:1].float(), vectors[1:].float()).argmax())]
