"""A name to a model folder: a path, what ships with the package, what was pulled before; and pulling itself.

Pulled models lie in `$SEGEVOLUTION_HOME/models/<organisation>--<name>`, by default under `~/.cache/segevolution`.
"""

import importlib.resources
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import huggingface_hub

from ..documents import Document, read_json
from ..errors import CheckpointError, OutputError
from ..files import replacing, sha256, write_json, write_text
from ..on_use import ModuleOnUse
from .checkpoints import CARD, CONFIG, WEIGHTS, check_replaceable, read_config
from .sam.published import LITEMEDSAM, PACKAGE, VERSION, pull_litemedsam
from .segvol.published import HUB_FILES, convert_published, published_file
from .systems import SYSTEMS, system_named, system_of
from .tensor_files import read_headers

if TYPE_CHECKING:
    from huggingface_hub import errors as hub_errors
else:
    hub_errors = ModuleOnUse("huggingface_hub.errors")  # brings a client of HTTP

DEFAULT = "segvol-mini"
VERSIONS = {"segvol-mini@1": "segvol-mini", "segvol-mini@2": "segvol-mini-2", "segvol-mini@3": "segvol-mini-3"}
"""The small model that ships, by the number of its version -> the name under which it lies."""
PUBLISHED = "BAAI/SegVol"
ORIGIN, RECORD = "pulled_from.txt", "pulled.json"
REVISIONS = {PUBLISHED: "main"}
"""The revision that is fetched where nobody names one; of another repository, `main`.

A branch moves, so it is turned into its commit before anything is fetched, and that commit is the model's from then on:
it is recorded, shown, and fetched again by `force`, until `revision` names another.
"""
_COMMIT = re.compile("[0-9a-f]{40}")
# What a model needs from a repository; code files are never fetched.
PATTERNS = (*HUB_FILES, "*.json", "*.txt", CARD)


@dataclass(frozen=True)
class ModelEntry:
    """A model that `find` knows by name.

    Attributes:
        name: "segvol-mini", or "<organisation>/<name>" for a pulled one.
        folder: where it lies.
        origin: whether it ships with the package or was pulled.
        network: its type, as config.json has it.
        size: of its weights, bytes.
    """

    name: str
    folder: Path
    origin: Literal["packaged", "pulled"]
    network: str
    size: int


def find(name: str | Path) -> Path:
    """The model folder behind a path or a name.

    Raises:
        CheckpointError: nothing of that name is here (the sentence says what is, and how to get more), or the
            path is a folder but not a model.
    """
    if not str(name):
        raise CheckpointError("the name of a model is empty; give a model folder or a name.")
    path = Path(name).expanduser()
    if (path / CONFIG).is_file():
        read_config(path)
        return path
    for root in (packaged_root(), pulled_root()):
        folder = root / _folder_name(VERSIONS.get(str(name), str(name)))
        if (folder / CONFIG).is_file():
            read_config(folder)
            return folder
    if path.exists():
        read_config(path)
    known = ", ".join(entry.name for entry in list_models()) or "none"
    raise CheckpointError(
        f'no model is called "{name}"; known here: {known}. Give a model folder, or fetch one with: '
        f"segevolution models pull {PUBLISHED}."
    )


def list_models() -> list[ModelEntry]:
    """Every model that ships or was pulled, packaged ones first; folders that are no models are passed over."""
    return [*_entries(packaged_root(), "packaged"), *_entries(pulled_root(), "pulled")]


def pull(source: str | Path, revision: str | None = None, *, force: bool = False) -> Path:
    """Fetch a model from the Hugging Face hub, convert it if it is in the published form, and keep it.

    A second call finds it there and does nothing, even where the source has changed since; `force` fetches anew.

    Args:
        source: a repository such as "BAAI/SegVol" or "blueyo0/SAM-Med3D", "litemedsam" (from a package, by pip), or a
            local folder in SegVol's layout, which is kept under the folder's own name.
        revision: branch, tag or commit; kept apart from the others. None takes the commit that was recorded when this
            model was pulled first, then REVISIONS.
        force: fetch and convert again.

    Returns:
        Its model folder.

    Raises:
        CheckpointError: it cannot be reached, or holds no model that we know.
        OutputError: the cache cannot be written, or holds a model of this name from another source.
    """
    local = Path(source).expanduser()
    is_local = local.is_dir()
    name = local.resolve().name if is_local else str(source)
    target = pulled_root() / _folder_name(name if revision is None else f"{name}@{revision}")
    if name == LITEMEDSAM and not is_local:
        if force or not (target / CONFIG).is_file():
            with replacing(target) as temporary:
                pull_litemedsam(temporary)
                write_text(temporary / ORIGIN, f"{PACKAGE} {VERSION}\n")
        return target
    if is_local and not _is_ours(local):
        published_file(local)
    origin = str(local.resolve()) if is_local else name
    if (target / CONFIG).is_file() and not force:
        before = pulled_from(target)
        if before != origin:
            raise OutputError(f"{target} holds a model from {before or 'elsewhere'}; use --force to replace it.")
        read_config(target)
        return target
    check_replaceable(target, force=True)
    record = pulled_record(target)
    requested_revision = revision or (record.commit if record else None) or REVISIONS.get(name, "main")
    system = None if is_local else system_of(name)
    patterns = PATTERNS if system is None else SYSTEMS[system].files
    folder = local if is_local else _download(name, requested_revision, patterns)
    # huggingface_hub turns a revision into its commit first, and keeps a snapshot under that.
    commit = folder.name if not is_local and _COMMIT.fullmatch(folder.name) else None
    model_files = folder.iterdir() if is_local else folder.rglob("*")
    names = [path.relative_to(folder).as_posix() for path in sorted(model_files) if path.is_file()]
    hashes = {each: sha256(folder / each) for each in names if any(fnmatch(each, pattern) for pattern in patterns)}
    with replacing(target) as temporary:
        convert(folder, temporary, system=system)
        write_text(temporary / ORIGIN, origin + "\n")
        pulled = PullRecord(
            source=origin, revision=None if is_local else requested_revision, commit=commit, sha256=hashes
        )
        write_json(temporary / RECORD, pulled.model_dump())
    return target


class PullRecord(Document):
    """What was pulled, in a model folder's `pulled.json`.

    Attributes:
        source: repository or folder.
        revision: that was asked for; None of a folder.
        commit: that it was; None of a folder.
        sha256: file -> digest of what was fetched, before it was converted.
    """

    source: str
    revision: str | None
    commit: str | None
    sha256: dict[str, str]


def pulled_record(folder: Path) -> PullRecord | None:
    """What was pulled into a model folder; None for models of another origin, or pulled by an earlier version.

    Raises:
        CheckpointError: the record is damaged.
    """
    path = folder / RECORD
    return read_json(path, PullRecord, error=CheckpointError) if path.is_file() else None


def pulled_from(folder: Path) -> str | None:
    """The repository or folder that a pulled model came from; None for models of another origin."""
    path = folder / ORIGIN
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None


def convert(source: Path, target: Path, *, system: str | None = None, force: bool = True) -> None:
    """A published checkpoint or hub-layout folder, or a model folder of ours, to a model folder.

    Args:
        system: whose file it is, where it is none of SegVol's: a key of `systems.SYSTEMS`.

    Raises:
        CheckpointError: the source is none of these, or does not fit the published network.
        OutputError: the target cannot be written, exists and `force` is False, or holds the source.
    """
    if source.resolve().is_relative_to(target.resolve()):
        raise OutputError(f"{target} would take the place of {source}, which it is made from; choose another name.")
    if system is not None:
        system_named(system).convert(source, target, force)
        return
    if _is_ours(source):
        read_config(source)
        read_headers(source / WEIGHTS, CheckpointError)
        check_replaceable(target, force=force)
        with replacing(target) as temporary:
            shutil.copytree(source, temporary)
        return
    card = published_file(source).parent / CARD
    convert_published(
        source,
        target,
        card.read_text(encoding="utf-8", errors="replace") if card.is_file() else PUBLISHED_CARD,
        force=force,
    )


PUBLISHED_CARD = f"""# SegVol, as published

Weights of {PUBLISHED} (SegVol, Du et al., NeurIPS 2024, arXiv:2311.13385), converted by segevolution; their licence
is their publisher's. Trained on CT only.

For research only; not a medical device.
"""


def packaged_root() -> Path:
    """Where the models that ship lie."""
    return Path(str(importlib.resources.files("segevolution"))) / "weights"


def pulled_root() -> Path:
    """Where pulled models lie."""
    home = os.environ.get("SEGEVOLUTION_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache" / "segevolution") / "models"


def _download(repository: str, revision: str, patterns: Sequence[str]) -> Path:
    try:
        folder = huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(patterns))
    except hub_errors.HFValidationError as error:
        raise CheckpointError(
            f'"{repository}" is neither a folder here nor a repository such as {PUBLISHED}; check the name.'
        ) from error
    except hub_errors.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} asks you to accept its terms first: do that on huggingface.co, then run: hf auth login."
        ) from error
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError) as error:
        raise CheckpointError(
            f"the hub has no {repository} at {revision} that you may read; check the name."
        ) from error
    except (hub_errors.HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{repository} cannot be fetched: the hub is out of reach from here ({type(error).__name__}). Try again "
            "with a network, or fetch it elsewhere and give the folder: segevolution models pull FOLDER."
        ) from error
    return Path(str(folder))


def _is_ours(source: Path) -> bool:
    if not (source / CONFIG).is_file():
        return False
    return '"network"' in (source / CONFIG).read_text(encoding="utf-8", errors="replace")


def _folder_name(name: str) -> str:
    return name.strip("/").replace("/", "--")


def _entries(root: Path, origin: Literal["packaged", "pulled"]) -> Iterator[ModelEntry]:
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            config = read_config(folder)
        except CheckpointError:
            continue
        name = folder.name.replace("--", "/", 1)
        yield ModelEntry(name, folder, origin, str(config["network"]), (folder / WEIGHTS).stat().st_size)
