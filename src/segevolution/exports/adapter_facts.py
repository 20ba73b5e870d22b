"""What of an adapter is shared: its card without the names of patients and without the folders of this machine."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..adapters.artifact import NOT_FOR, describe
from ..adapters.card_values import card_licence, card_licences, card_texts
from ..adapters.mixture import MixtureAdapter, MixtureConfig
from ..errors import CheckpointError
from ..inference.calibration import Calibration
from ..models import hub
from ..models.cards import NOT_STATED, parse_card, read_card
from ..vocabulary import Modality
from .model_facts import MODALITY_WORD, calibration_results, modality_limit, with_modality_word
from .shared_card import RESEARCH, SharedCard, public_name

# Places on this machine, and pages beside the adapter that name patients: neither is there elsewhere.
_LEFT_BEHIND = ("started_from", "experts", "report")
_REPLAYED = " (replayed)"


def shareable_values(card: Mapping[str, Any], *, case_names: bool, licence: str | None = None) -> dict[str, Any]:
    """The values of an adapter's card that may be shared.

    Args:
        card: as `describe` gives it.
        case_names: keep the names of the patients that it was trained on; else their number by dataset.
        licence: that its owner states; None keeps what the card says.
    """
    values = {key: value for key, value in card.items() if key not in _LEFT_BEHIND}
    if licence is not None:
        values["licence"] = licence
    if "base" in values:
        values["base"] = public_name(str(values["base"]))
    if "data" in values and not case_names:
        values["data"] = _counted(values["data"])
    if not case_names:
        values.pop("patients", None)  # whose the cases are, and what tells their scans
    return values


def adapter_card(
    folder: Path, text: str, calibration: Calibration, *, base: str, use: tuple[str, ...], licence: str | None = None
) -> SharedCard:
    """What is said of an exported adapter.

    Args:
        folder: of the adapter.
        text: of its own card, as it is shared.
        calibration: of its answers.
        base: public name of its base.
        use: lines of Markdown.
        licence: that its owner states; None = the adapter's own card says none.

    Raises:
        AdapterError: it is not a whole adapter.
    """
    described = describe(folder)
    card = described["card"]
    own = parse_card(text, str(folder))
    base_licence = _licence_of_base(described["base"]["name"])
    stated = licence or card_licence(card)
    if stated is None and base_licence is not None:
        stated = f"none of its own is stated; that of its base {base} and of its data hold: {base_licence}"
    limits = [
        RESEARCH,
        f"It works with the base {base} alone, of the fingerprint {described['base']['fingerprint']}.",
        f"The licence of {base} holds beside its own: {(base_licence or NOT_STATED).rstrip('. ')}.",
        modality_limit(calibration.modalities),
        f"Must not be used for: {'; '.join(card_texts(card.get('not_for'))) or NOT_FOR}",
    ]
    structures = described["structures"]
    if structures:
        limits.insert(2, f"It was trained on {', '.join(structures)}.")
    return SharedCard(
        title=own.title or folder.name,
        own=own,
        licence=stated,
        datasets=card_licences(card.get("licences")),
        base=base,
        results=calibration_results(calibration),
        use=use,
        limits=tuple(limits),
    )


def adapter_use(name: str, described: Mapping[str, Any], base: str) -> tuple[str, ...]:
    """How an adapter folder is used, in lines of Markdown.

    Args:
        name: of the exported folder.
        described: as `describe` gives it.
        base: public name of its base.

    Raises:
        AdapterError: its settings are none of its method.
    """
    modality = MODALITY_WORD
    if described["method"] == MixtureAdapter.method:
        config = MixtureConfig.from_dict(described["settings"])
        changed = [each for each in Modality if not config.leaves_alone(each)]
        modality = changed[0] if len(changed) == 1 else MODALITY_WORD
    return (
        with_modality_word(f"With SegEVOLution installed, the model {base} and this folder here", modality),
        "",
        "```bash",
        f"segevolution segment scan.nii.gz --modality {modality} --model {base} --adapter {name} --text NAME",
        "```",
    )


def _counted(entries: Any) -> Any:
    """Entries such as "chaos/chaos_01" as "chaos: 5 cases"; a combined adapter's hold one list an expert."""
    if isinstance(entries, Mapping):
        return {name: _counted(inner) for name, inner in entries.items()}
    counts: Counter[str] = Counter()
    others = []
    for entry in card_texts(entries):
        dataset, separator, _ = entry.partition("/")
        if separator:
            counts[dataset + (_REPLAYED if entry.endswith(_REPLAYED) else "")] += 1
        else:
            others.append(entry)
    return [*(f"{dataset}: {count} cases" for dataset, count in counts.items()), *others]


def _licence_of_base(name: str) -> str | None:
    """What the base's card says, where that model is here."""
    try:
        return read_card(hub.find(name)).licence
    except CheckpointError:
        return None
