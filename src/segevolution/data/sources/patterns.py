"""Files found by a pattern that a person writes, such as "scans/{patient}/{case}_t2.nii.gz".

{case} and {patient} stand for any characters of one name, "*" for any that do not matter, "**" for any folders.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import StoreError

_LONGEST = 250
GROUPS = ("patient", "case")
_PIECE = re.compile(r"\{[^}]*\}|\*\*/|\*")

# What the groups of a pattern stood for, in the order of GROUPS.
Key = tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths below a folder.

    Attributes:
        text: as it was written.
        groups: those of GROUPS that are in it.
    """

    text: str
    groups: tuple[str, ...]
    _glob: str
    _expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: object, where: Path) -> "Pattern":
        """Take a pattern of the file `where`.

        Raises:
            StoreError: it has neither {case} nor {patient}, or anything else in braces, or leaves the folder.
        """
        if not isinstance(text, str) or PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
            raise StoreError(
                f'{where}: {text!r} is no pattern of files below its folder, such as "scans/{{case}}.nii.gz".'
            )
        if len(text) > _LONGEST or not text.isprintable():
            raise StoreError(f"{where}: a pattern is one line of at most {_LONGEST} characters, not {text[:40]!r} ...")
        field_names: set[str] = set()
        expression, end = "", 0
        for piece in _PIECE.finditer(text):
            expression += re.escape(text[end : piece.start()])
            end = piece.end()
            name = piece.group().strip("{}")
            if piece.group() == "**/":
                expression += "(?:.*/)?"
            elif piece.group() == "*":
                expression += "[^/]*"
            elif name not in GROUPS:
                raise StoreError(f"{where}: {text!r} holds {piece.group()}; known are {{case}} and {{patient}}.")
            else:
                expression += (
                    f"(?P={name})" if name in field_names else f"(?P<{name}>[^/]+{'?' if name == 'patient' else ''})"
                )
                field_names.add(name)
        if not field_names:
            raise StoreError(f"{where}: {text!r} needs {{case}}, which stands for a case's name.")
        glob = re.sub(r"\{[^}]*\}", "*", text)
        return cls(
            text,
            tuple(name for name in GROUPS if name in field_names),
            glob,
            re.compile(expression + re.escape(text[end:])),
        )

    def find(self, root: Path, but: Collection[Path] = ()) -> dict[Key, Path]:
        """What the groups stand for -> the file or folder; strays of archives are left out, and the paths of `but`.

        Raises:
            StoreError: two paths have the same groups.
        """
        path_by_key: dict[Key, Path] = {}
        for path in sorted(root.glob(self._glob)):
            parts = path.relative_to(root).parts
            match = self._expression.fullmatch("/".join(parts))
            if match is None or path in but or any(part.startswith((".", "__MACOSX")) for part in parts):
                continue
            key = tuple(match[name] for name in self.groups)
            if key in path_by_key:
                raise StoreError(
                    f"{path_by_key[key]} and {path} are both {' '.join(key)} by the pattern "
                    f"{self.text!r}; make it narrower."
                )
            path_by_key[key] = path
        return path_by_key

    def fill(self, told: Mapping[str, str], root: Path) -> Path:
        """The path that a case should have; what is not told stays as it was written."""
        text = self.text
        for name, value in told.items():
            text = text.replace(f"{{{name}}}", value)
        return root / text


@dataclass(frozen=True)
class PatternMatch:
    """The files of one case.

    Attributes:
        patient: what {patient} stood for.
        image: where the image is, or should be.
        masks: by the names of their patterns; only those that are there.
    """

    patient: str | None
    image: Path
    masks: Mapping[str, Path]


def find_cases(root: Path, images: Pattern, masks: Mapping[str, Pattern], where: Path) -> dict[str, PatternMatch]:
    """Name of a case -> its files. Masks may tell less than images: several images then share one.

    Masks without an image are cases too, so that they are missed; what is a mask is no image.

    Raises:
        StoreError: a pattern finds nothing or two of one name, or that of masks has a group that the images' has not.
    """
    for pattern in masks.values():
        if not set(pattern.groups) <= set(images.groups):
            raise StoreError(f"{where}: {pattern.text!r} has a group in braces that {images.text!r} has not.")
    mask_paths = {name: pattern.find(root) for name, pattern in masks.items()}
    pictures = images.find(root, but={path for paths in mask_paths.values() for path in paths.values()})
    for pattern, paths in ((images, pictures), *((masks[name], paths) for name, paths in mask_paths.items())):
        if not paths:
            raise StoreError(
                f"{where}: no file is found by {pattern.text!r}; mind capital letters and the file's ending."
            )
    matches: dict[str, PatternMatch] = {}
    used_keys: dict[str, set[Key]] = {name: set() for name in masks}
    for key, image in pictures.items():
        group_values = dict(zip(images.groups, key, strict=True))
        patient_values = {}
        for name, pattern in masks.items():
            pattern_values = tuple(group_values[group] for group in pattern.groups)
            used_keys[name].add(pattern_values)
            if pattern_values in mask_paths[name]:
                patient_values[name] = mask_paths[name][pattern_values]
        _put(matches, key, PatternMatch(group_values.get("patient"), image, patient_values))
    for name, paths in mask_paths.items():
        for key in paths.keys() - used_keys[name]:
            missing = images.fill(dict(zip(masks[name].groups, key, strict=True)), root)
            _put(matches, key, PatternMatch(None, missing, {name: paths[key]}))
    return matches


def _put(matches: dict[str, PatternMatch], key: Key, case: PatternMatch) -> None:
    """Enter a case by a name that a folder of a store may have."""
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", "_".join(key)).lstrip("._+-") or "case"
    other = matches.get(name)
    if other is not None and other.image != case.image:
        raise StoreError(f"{other.image} and {case.image} would both be the case {name}; rename one.")
    matches[name] = case if other is None else PatternMatch(case.patient, case.image, {**other.masks, **case.masks})
