"""Whether a label file's own names for its values agree with those of its dataset: else organs would change places."""

from collections.abc import Collection, Mapping
from pathlib import Path

from ...errors import StoreError
from ...imaging.formats.own_label_names import own_label_names
from ...vocabulary import STRUCTURES, canonical


def require_own_names(path: Path, names: Mapping[int, Collection[str]], present: Collection[int]) -> None:
    """Check the values of a label map against the names that its file gives them.

    A name that says nothing ("Segment_1", "organ"), or more or less than the other ("kidney" for "left kidney"),
    contradicts none.

    Args:
        path: of the label file.
        names: value -> what the dataset calls it.
        present: the values that have a voxel.

    Raises:
        StoreError: the file calls a value by the name of another structure.
    """
    own_names = {value: canonical(name) for value, name in own_label_names(path).items()}
    meanings = {value: {canonical(name) for name in given} for value, given in names.items()}
    known_names = {*STRUCTURES, *(name for given in meanings.values() for name in given)}
    for value in sorted(own_names.keys() & meanings.keys() & set(present)):
        own = own_names[value]
        if own not in known_names or own in meanings[value]:
            continue
        elsewhere = any(own in given for other, given in meanings.items() if other != value)
        unlike = [name for name in meanings[value] if name in STRUCTURES and not _says_more_or_less(own, name)]
        if elsewhere or len(unlike) == len(meanings[value]):
            raise StoreError(
                f"{path} itself calls its label {value} {own}, but its dataset calls it "
                f"{' and '.join(sorted(meanings[value]))}; mend the names of one of them."
            )


def names_by_value(structures: Mapping[str, Collection[int]]) -> dict[int, set[str]]:
    """Value -> the structures that it is part of, from structure -> its values."""
    names: dict[int, set[str]] = {}
    for name, values in structures.items():
        for value in values:
            names.setdefault(value, set()).add(name)
    return names


def _says_more_or_less(first: str, second: str) -> bool:
    words, others = set(first.split()), set(second.split())
    return words <= others or others <= words
