"""Measure a gate on held-out data for the adapter's card: confusion of modality and expert, load, abstentions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ...errors import AdapterError
from ...vocabulary import Context, Modality
from .adapter import MixtureAdapter
from .decision import Routing, by_table, target

UNKNOWN = "unknown"
NOT_MEASURED = "Not measured."


class GateInputs(Protocol):
    """Held-out images; a batch of training is one."""

    @property
    def images(self) -> Tensor | None:
        """(B, 1, D, H, W) as `encode` takes them; only a learned gate looks at them."""
        ...

    @property
    def modalities(self) -> Sequence[Modality | None]:
        """One an image: the truth, which only a gate that may know it is told."""
        ...

    @property
    def contexts(self) -> Sequence[Context]:
        """One a prompt; a task gate is asked for these, images do not concern it."""
        ...


def gate_report(adapter: MixtureAdapter, batches: Iterable[GateInputs]) -> dict[str, Any]:
    """Ask the gate about held-out data, in eval mode; nothing is trained or counted.

    Args:
        adapter: attached.
        batches: of patients that did not train it.

    Returns:
        Plain values for a card: "gate"; "asked" (images, or prompts under "task"); "confusion", modality (structure
        under "task") -> choice -> how often it was the first choice; "load", choice -> mean weight; "abstained";
        "confidence", the mean; "agreement", the share of those with an expert to expect, by table, that got it, or
        None without any.

    Raises:
        AdapterError: it is not attached, or a learned gate gets no images to look at.
    """
    config, backbone = adapter.config, adapter.backbone
    confusion: dict[str, Counter[str]] = {}
    weights, confidence = torch.zeros(len(config.choices), dtype=torch.float64), 0.0
    image_count = abstained_count = expected_count = agreed_count = 0
    training = backbone.training
    backbone.eval()
    try:
        for batch in batches:
            keys, true_experts, routing = _asked(adapter, batch)
            weights += routing.weights.double().sum(dim=0).cpu()
            confidence += float(routing.confidence.sum())
            abstained_count += int(routing.abstained.sum())
            image_count += len(keys)
            for key, want, place in zip(keys, true_experts, routing.weights.argmax(dim=1).tolist(), strict=True):
                confusion.setdefault(key or UNKNOWN, Counter())[config.choices[place]] += 1
                expected_count += want is not None
                agreed_count += want is not None and want == place
    finally:
        backbone.train(training)
    return {
        "gate": config.gate,
        "asked": image_count,
        "confusion": {
            key: {choice: counts[choice] for choice in config.choices} for key, counts in sorted(confusion.items())
        },
        "load": dict(zip(config.choices, (weights / max(image_count, 1)).tolist(), strict=True)),
        "abstained": abstained_count,
        "confidence": confidence / max(image_count, 1),
        "agreement": agreed_count / expected_count if expected_count else None,
    }


def gate_card(report: Mapping[str, Any], ct_retention: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Entries for a model card: what `gate_report` gave, and how much of CT is left, by evaluation.

    Args:
        report: of the gate on held-out data.
        ct_retention: difference of Dice on CT to the base with its interval, in the evaluation's own words.
    """
    return {"gate": dict(report), "ct_retention": NOT_MEASURED if ct_retention is None else dict(ct_retention)}


def _asked(adapter: MixtureAdapter, batch: GateInputs) -> tuple[list[str | None], list[int | None], Routing]:
    """What each row is called, the choice that is expected for it, and what the gate says."""
    config = adapter.config
    if config.gate == "task":
        structures = [context.structure for context in batch.contexts]
        routing = by_table(config, structures, torch.device("cpu"))
        expected = [None if name is None else config.choices.index(config.route(name)) for name in structures]
        return structures, list(expected), routing
    if not config.learned:
        routing = by_table(config, batch.modalities, torch.device("cpu"))
    elif batch.images is None:
        raise AdapterError("a learned gate decides by images, and these batches hold none; give images, not encodings.")
    else:
        routing = adapter.route(batch.images.to(adapter.backbone.device), batch.modalities)
    keys = [None if modality is None else modality.value for modality in batch.modalities]
    return list(keys), [target(config, modality) for modality in batch.modalities], routing
