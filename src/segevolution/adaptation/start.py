"""Where an adaptation begins: at the bare base, or at an adapter that has learned the modality already.

A model that ships may be answered for by a shipped expert on scans of some modality (`adapters.shipped`). Patients of
that modality are then learned from where the expert stands, and "before" in the report is that expert, since it is
what `segment` answers with today.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..adapters import describe
from ..adapters.mixture import extract
from ..adapters.shipped import expert_for, find_adapter
from ..errors import AdapterError
from ..models import hub
from ..models.backbone import Spec
from ..vocabulary import Modality

BARE = "none"
CONTINUED = ("lora", "mixture")  # methods that can go on from an expert
EXTRACTED = "start"  # folder in the work folder


@dataclass(frozen=True)
class Beginning:
    """Where an adaptation begins.

    Attributes:
        base: the model that is adapted.
        before: the adapter that answers in the rows called before, a folder or a name that ships; None = the bare base.
        kind: of `before`, such as "mixture".
        start: the adapter whose weights the training begins with, of the trained method's kind; None = from nothing.
        sentence: what was decided, for the person and the report; empty where there was nothing to decide.
        goes_on: whether the trained method goes on from what answers such scans today, the base by itself or `start`,
            so that a share of it is worth keeping.
    """

    base: str
    before: str | None = None
    kind: str = ""
    start: str | None = None
    sentence: str = ""
    goes_on: bool = False


def choose_beginning(
    base: str,
    start: str | None,
    method: str,
    modalities: Sequence[Modality | None],
    structures: Sequence[str],
    spec: Spec,
    work: Path,
) -> Beginning:
    """Where to begin.

    Args:
        base: the model as it was asked for.
        start: an adapter as it was asked for, BARE, or None for the expert that ships for these scans, if one does.
        method: of the adaptation.
        modalities: of the patients that are learned from.
        structures: that are learned.
        spec: of the base.
        work: a folder in which one expert of a mixture is put as a LoRA, where that is what LoRA begins with.

    Raises:
        AdapterError: the adapter cannot be begun with.
    """
    kinds = set(modalities)
    modality = kinds.pop() if len(kinds) == 1 else None
    if start == BARE:
        return Beginning(base)
    if start is None:
        return _shipped(base, method, modality, structures, spec, work)
    folder = find_adapter(start)
    description = describe(folder)
    kind = str(description["method"])
    model = str(description["base"]["name"]) if base == hub.DEFAULT else base
    trained_from = _trained_from(start, method, modality, model, work)
    return Beginning(model, start, kind, trained_from, f"Begun with {start}.", goes_on=True)


def _shipped(
    base: str, method: str, modality: Modality | None, structures: Sequence[str], spec: Spec, work: Path
) -> Beginning:
    expert = expert_for(base, modality)
    if expert is None:
        return Beginning(base)
    is_known = set(structures) <= set(spec.structures)
    goes_on = method in CONTINUED and is_known
    if expert.adapter is None:
        return Beginning(
            expert.model,
            sentence=f"{modality} is answered by {expert}, so that is adapted; --start {BARE} adapts {base}.",
            goes_on=goes_on,
        )
    if not goes_on:
        why = "" if is_known else f" Training does not begin with {expert.adapter}, whose text knows no new names."
        return Beginning(
            expert.model,
            expert.adapter,
            "mixture",
            None,
            f"{modality} is answered by {expert}, so {expert.model} is adapted and compared with the two together; "
            f"--start {BARE} adapts {base}.{why}",
        )
    start = _trained_from(expert.adapter, method, modality, expert.model, work)
    return Beginning(
        expert.model,
        expert.adapter,
        "mixture",
        start,
        f"{modality} is answered by {expert}, so the adaptation begins there and is compared with it; --start {BARE} "
        f"begins at {base} as it is.",
        goes_on=True,
    )


def _trained_from(start: str, method: str, modality: Modality | None, model: str, work: Path) -> str:
    """An adapter of the method's kind: the given one, or one expert of a mixture as a LoRA."""
    folder = find_adapter(start)
    description = describe(folder)
    kind, settings = description["method"], description["settings"]
    if kind == method and method in CONTINUED:
        return start
    if kind != "mixture" or method != "lora":
        raise AdapterError(f"{start} is a {kind} adapter, and --method {method} cannot begin with one.")
    experts = list(settings["experts"])
    if modality is None or modality.value not in experts:
        raise AdapterError(
            f"{start} has experts for {', '.join(experts)}, and the patients are {modality or 'of no one modality'}; "
            f"take another adapter, or --start {BARE}."
        )
    extracted = work / EXTRACTED
    extract(folder, modality.value, extracted, base=model, force=True)
    return str(extracted.resolve())
