"""Files that say who is in which part: our own splits, and nnU-Net's `splits_final.json`.

    {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}       ours
    [{"train": ["a", "b"], "val": ["c"]}, ...]                      nnU-Net: one entry a fold; "val" is our validation

Of nnU-Net's folds the first is read, or that of a number behind the path: `splits_final.json:3`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from ..documents import Document, check, read_json
from ..errors import StoreError
from ..imaging.case import Part
from ..imaging.volume import Origin
from .sources.naming import image_stem

Parts = Mapping[Part, tuple[str, ...]]


_FORM = '"train", "validation" and "test"'


class _SplitFile(Document):
    train: list[str]
    validation: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)


class _Fold(Document):
    train: list[str]
    val: list[str]


class FromFile(Protocol):
    """The part of a `CaseRecord` that tells which file a case came from."""

    @property
    def name(self) -> str:
        """Of the case."""
        ...

    @property
    def origin(self) -> Origin | None:
        """The file itself, if it came from one."""
        ...


def read_parts(path: Path) -> Parts:
    """The names in each part, as the file writes them.

    Raises:
        StoreError: it cannot be read, is no such file, or has no fold of that number.
    """
    file, fold = _file_and_fold(Path(path))
    if file.suffix.lower() == ".pkl":
        raise StoreError(f"{file} is a pickle, which is never opened; save it as JSON, as nnU-Net v2 does.")
    value: Any = read_json(file, Any, error=StoreError)
    whole = f"{file} must map {_FORM} to lists of case names"
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        folds = check(value, list[_Fold], where=f"{file}, a list of folds", error=StoreError)
        if fold >= len(folds):
            raise StoreError(f"{file} has no fold {fold}; it has {len(folds)}, numbered from 0.")
        return {"train": tuple(folds[fold].train), "validation": tuple(folds[fold].val), "test": ()}
    if isinstance(value, dict) and fold == 0 and "train" in value:
        parts = check(value, _SplitFile, where=whole, error=StoreError)
        return {"train": tuple(parts.train), "validation": tuple(parts.validation), "test": tuple(parts.test)}
    kind = "" if isinstance(value, dict) else ": it must hold a JSON object, or the list of folds of nnU-Net"
    raise StoreError(f"{whole}{kind}.")


def _file_and_fold(path: Path) -> tuple[Path, int]:
    match = re.fullmatch(r"(.+\.json):(\d{1,3})", str(path))
    return (Path(match[1]), int(match[2])) if match and not path.exists() else (path, 0)


def identifiers(records: Iterable[FromFile]) -> dict[str, tuple[str, ...]]:
    """What other programs call a case, its file's name without the number of a channel -> the cases of that file."""
    cases: dict[str, list[str]] = {}
    for record in records:
        if record.origin is not None:
            stem = image_stem(record.origin.path.name) or record.origin.path.name
            for name in dict.fromkeys((stem, re.sub(r"_\d{4}$", "", stem))):
                cases.setdefault(name, []).append(record.name)
    return {name: tuple(names) for name, names in cases.items()}
