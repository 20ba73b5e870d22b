"""An adapter on disk: a folder of a few megabytes that says what it is, and to which base it belongs.

adapter_config.json         ours under "segevolution"; for LoRA peft's settings beside it, so that peft reads it too
adapter_model.safetensors   the adapter's state
README.md                   the model card: data, licences, steps, metrics, what it must not be used for
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from safetensors.torch import save_file

from ..documents import Document, check, read_json
from ..errors import AdapterError, OutputError
from ..files import check_writable, json_text, replacing
from ..markup import markdown_text
from ..models.backbone import BackboneModule
from ..models.cards import hub_licence
from ..models.checkpoints import ADAPTER_CONFIG, check_holds_no_other, fingerprint
from ..models.tensor_files import check_weights, read_headers
from .base import BaseAdapter, trainable
from .card_values import card_licence
from .registry import METHODS, create
from .state_checks import read_state
from .switch import attached, require_network
from .targets import trained_groups

CONFIG, WEIGHTS, CARD = ADAPTER_CONFIG, "adapter_model.safetensors", "README.md"
WORK = ".work"
"""What the folder beside an adapter, where its training keeps its work, has after the adapter's name."""
SECTION = "segevolution"
FORMAT = 1

SECTIONS = {
    "data": "Data",
    "licences": "Licences of the data",
    "steps": "Training",
    "metrics": "Metrics",
    "not_for": "Must not be used for",
}
NOT_FOR = "Any clinical decision: it is for research, not a medical device."
UNKNOWN = "Not stated."

# A size in the settings up to this costs nothing, so it is not held against the weights before they are read.
_SMALL = 1024


Name = Annotated[str, Field(max_length=1000)]


class BaseReference(Document):
    """Which network an adapter belongs to."""

    name: str
    fingerprint: str


class AdapterDescription(Document):
    """Our part of adapter_config.json.

    Attributes:
        format: FORMAT.
        method: a name in METHODS.
        settings: of the method.
        base: the network that it was trained on.
        trained: numbers that were trained.
        trained_groups: the same by what they are; empty in a folder of an earlier version.
        structures: names that it was taught.
        exchanged_greys: whether its network may be asked with bright and dark exchanged; so in folders that do not say.
        card: what README.md says.
    """

    format: int
    method: str
    settings: dict[str, Any]
    base: BaseReference
    trained: Annotated[int, Field(ge=0)]
    trained_groups: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(max_length=100, default_factory=dict)]
    structures: Annotated[list[Name], Field(max_length=10_000, default_factory=list)]
    exchanged_greys: bool = True
    card: dict[str, Any]


class _AdapterFile(Document):
    """adapter_config.json; peft's keys stand beside ours and are not looked at."""

    model_config = ConfigDict(extra="ignore")

    segevolution: AdapterDescription


def save_adapter(
    adapter: BaseAdapter,
    backbone: BackboneModule,
    folder: Path,
    card: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
) -> None:
    """Write an attached adapter as a folder, whole or not at all.

    Args:
        adapter: attached to `backbone`.
        backbone: its base is put back for a moment, to take its fingerprint.
        folder: where; an existing adapter is replaced with `force` only.
        card: plain values for the model card: "base" (a model's name), "licence" (of the weights), the keys of
            SECTIONS, and any others.

    Raises:
        AdapterError: the adapter is not attached to this backbone, or its weights are not finite.
        OutputError: the folder cannot be written, exists and `force` is False, or holds something else.
    """
    folder = Path(folder)
    if attached(backbone) is not adapter:
        raise AdapterError("only an adapter that is attached to the given network can be saved; attach it first.")
    check_replaceable(folder, force=force)
    with adapter.suspended():
        base = fingerprint(backbone)
    card_values = dict(card or {})
    name = str(card_values.get("base", type(backbone).__name__))
    section = {
        "format": FORMAT,
        "method": adapter.method,
        "settings": adapter.config.to_dict(),
        "base": {"name": name, "fingerprint": base},
        "trained": sum(trainable(backbone).values()),
        "trained_groups": trained_groups(backbone, adapter.module),
        "structures": list(adapter.structures),
        **({} if adapter.exchanged_greys else {"exchanged_greys": False}),
        "card": card_values,
    }
    state = {name: tensor.cpu().contiguous() for name, tensor in adapter.state().items()}
    check_weights(state, "the adapter that was to be saved", AdapterError)
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / CONFIG).write_text(json_text({**adapter.peft_settings(name), SECTION: section}), encoding="utf-8")
        save_file(state, temporary / WEIGHTS, metadata={"format": "pt"})
        (temporary / CARD).write_text(_card(folder.name, section), encoding="utf-8")


def copy_with_card(source: Path, target: Path, card: Mapping[str, Any], *, base: str | None = None) -> None:
    """Write an adapter to a path where nothing is, with another card; nothing else of it changes.

    Args:
        source: a whole adapter folder.
        target: such as the temporary path of `files.replacing`, whose name the card carries.
        card: see `save_adapter`.
        base: what its base is called from now on; None keeps the name.

    Raises:
        AdapterError: `source` is not a whole adapter.
    """
    section = {**_section(source).model_dump(), "card": dict(card)}
    config = read_json(source / CONFIG, dict[str, Any], error=AdapterError)
    if base is not None:
        section["base"]["name"] = base
        config.update({key: base for key in ("base_model_name_or_path",) if key in config})
    target.mkdir()
    (target / CONFIG).write_text(json_text({**config, SECTION: section}), encoding="utf-8")
    shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
    (target / CARD).write_text(_card(target.name, section), encoding="utf-8")


def load_adapter(
    folder: Path, backbone: BackboneModule, *, force: bool = False, settings: Mapping[str, Any] | None = None
) -> BaseAdapter:
    """Read an adapter and attach it.

    Args:
        folder: what `save_adapter` wrote.
        backbone: the base it was trained on, carrying no adapter.
        force: attach it to another base as well, as long as the shapes fit.
        settings: those that differ from the folder's own, such as which parts train from here on.

    Raises:
        AdapterError: the folder is not a whole adapter, it belongs to another base, the backbone is taken, or its
            weights do not fit the changed settings.
    """
    folder = Path(folder)
    section = _section(folder)
    require_network(backbone)
    other = attached(backbone)
    if other is not None:
        raise AdapterError(f"the network carries a {other.method} adapter already; detach or merge that one first.")
    base = section.base
    network_fingerprint = "" if force else fingerprint(backbone)
    if not force and network_fingerprint != base.fingerprint:
        raise AdapterError(
            f"{folder} was trained on another base: it needs {base.name} ({base.fingerprint[:12]}), and this network "
            f"({network_fingerprint[:12]}) is another; use it with that base."
        )
    try:
        renewed = METHODS[section.method].config_type.in_new_names
        adapter = create(section.method, {**renewed(section.settings), **renewed(settings or {})})
    except AdapterError as error:
        raise AdapterError(f"{folder / CONFIG} cannot be used: {error}") from error
    _check_sizes(adapter, folder)
    adapter.take_over(section.structures, section.exchanged_greys)
    adapter.load_state(read_state(folder / WEIGHTS))
    adapter.attach(backbone)
    return adapter


def _check_sizes(adapter: BaseAdapter, folder: Path) -> None:
    """Refuse, with an AdapterError, settings that ask for larger tensors than the file holds, before any is made."""
    headers = read_headers(folder / WEIGHTS, AdapterError)
    largest = max((side for header in headers.values() for side in header.shape), default=0)
    for name in adapter.config.sizes:
        size = getattr(adapter.config, name)
        if size is not None and size > max(largest, _SMALL):
            raise AdapterError(
                f"{folder / CONFIG} asks for {name} {size:,}, and no tensor in {WEIGHTS} has a side of that length; "
                "the two do not belong together."
            )


def describe(folder: Path) -> dict[str, Any]:
    """What a folder holds, without any network: plain values.

    Returns:
        folder, method, settings, base (name, fingerprint), trained (values), tensors, bytes (of the weights), card.

    Raises:
        AdapterError: it is not a whole adapter.
    """
    folder = Path(folder)
    section = _section(folder)
    weights = folder / WEIGHTS
    sizes = {"tensors": len(read_headers(weights, AdapterError)), "bytes": weights.stat().st_size}
    return {"folder": str(folder), **section.model_dump(exclude={"format", "card"}), **sizes, "card": section.card}


def find_adapters(folder: Path) -> list[Path]:
    """The folders in `folder`, itself and any depth included, that have an adapter_config.json, sorted.

    What a training keeps beside its adapter, in NAME.work, holds parts of that training and is left out.

    Raises:
        AdapterError: it is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AdapterError(f"{folder} is not a folder; give one that holds adapters.")
    folders = (path.parent for path in folder.rglob(CONFIG))
    return sorted(path for path in folders if not any(p.endswith(WORK) for p in path.relative_to(folder).parts))


def is_adapter(folder: Path) -> bool:
    """Whether a folder looks like one of ours, whole or not."""
    return (Path(folder) / CONFIG).is_file()


def _section(folder: Path) -> AdapterDescription:
    """Our part of adapter_config.json, checked."""
    path = folder / CONFIG
    if not folder.is_dir():
        raise AdapterError(f"{folder} is not a folder; an adapter is a folder with {CONFIG} and {WEIGHTS}.")
    if not path.is_file():
        raise AdapterError(f"{folder} is not an adapter folder: it has no {CONFIG}.")
    config = read_json(path, dict[str, Any], error=AdapterError)
    section = config.get(SECTION)
    if not isinstance(section, dict) or "format" not in section or "base" not in section:
        raise AdapterError(f"{path} was not written by segevolution, so it does not say which base it belongs to.")
    if section["format"] != FORMAT or section.get("method") not in tuple(METHODS):
        raise AdapterError(
            f"{path} has format {section['format']} and method {section.get('method')}; this version reads format "
            f"{FORMAT} and {', '.join(sorted(METHODS))}: update segevolution."
        )
    if not (folder / WEIGHTS).is_file():
        raise AdapterError(f"{folder} is not a whole adapter folder: it has no {WEIGHTS}.")
    return check(config, _AdapterFile, where=str(path), error=AdapterError).segevolution


def check_replaceable(folder: Path, *, force: bool) -> None:
    """Refuse with an OutputError, before any work, where `save_adapter` would."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    check_writable(folder, force=force)
    if folder.exists() and not is_adapter(folder):
        raise OutputError(f"{folder} exists and is not an adapter folder, so it is not replaced; choose another name.")
    check_holds_no_other(folder)


def in_groups(counts: Mapping[str, int]) -> str:
    """What `targets.trained_groups` counted, in words."""
    return ", ".join(f"{group} {count:,}" for group, count in counts.items())


def _card(name: str, section: Mapping[str, Any]) -> str:
    """The text of README.md."""
    card_values = section["card"]
    lines = ["---", f"library_name: {'peft' if section['method'] == 'lora' else SECTION}"]
    identifier, licence_name = hub_licence(card_licence(card_values))
    lines += [f"license: {identifier}", *([f"license_name: {licence_name}"] if licence_name else [])]
    lines += [
        "tags: [segevolution, medical-imaging, segmentation]",
        "---",
        "",
        f"# {_inline(card_values.get('title', name))}",
        "",
    ]
    base = section["base"]
    lines += [
        f"A {section['method']} adapter of {section['trained']:,} trained values for {_inline(base['name'])}.",
        "",
    ]
    if section.get("trained_groups"):
        lines += [f"Trained values by group: {markdown_text(in_groups(section['trained_groups']))}.", ""]
    lines += [f"Base fingerprint: `{base['fingerprint']}`", "", "## Settings", ""]
    lines += [f"- {markdown_text(key)}: {_inline(value)}" for key, value in section["settings"].items()]
    others = {key: key.replace("_", " ").capitalize() for key in card_values if key not in ("base", "title", *SECTIONS)}
    for key, heading in {**SECTIONS, **others}.items():
        lines += ["", f"## {_inline(heading)}", ""]
        if key == "not_for":
            lines += [*_said(card_values[key]), "", NOT_FOR] if key in card_values else [NOT_FOR]
        else:
            lines += _said(card_values.get(key))
    return "\n".join(lines) + "\n"


def _said(value: Any) -> list[str]:
    """Lines of one section: a table of a mapping, a list of a sequence, else the words."""
    if value is None:
        return [UNKNOWN]
    if isinstance(value, Mapping):
        return ["| | |", "|---|---|", *(f"| {_inline(key)} | {_inline(cell)} |" for key, cell in value.items())]
    if isinstance(value, (list, tuple)):
        return [f"- {_inline(item)}" for item in value]
    return [_inline(value)]


def _inline(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_inline(key)} {_inline(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_inline(item) for item in value) or "none"
    return markdown_text(str(value))
