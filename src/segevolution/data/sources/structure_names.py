"""From the names that a dataset gives its labels to ours, with everything that was renamed, merged or joined on record.

A name stays what its author wrote (in small letters, words parted by spaces) unless its meaning is certain: the
dataset is known and its words with it, another spelling means one structure anywhere (`vocabulary.SYNONYMS`), or an
abbreviation (`vocabulary.ABBREVIATIONS`) stands among names of its own region only. Two names never become one
structure, and a union such as `prostate` is made only where no other label could be part of it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from ...vocabulary import ABBREVIATIONS, STRUCTURES, canonical, tidied
from .base import Decision
from .headers import LabelValue

# A union exists where a dataset labels all the parts of one of its recipes.
UNIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "prostate": (("prostate peripheral zone", "prostate transition zone"),),
    "hippocampus": (("anterior hippocampus", "posterior hippocampus"),),
    "brain tumour": (
        ("brain tumour oedema", "brain tumour enhancing", "brain tumour non-enhancing core"),
        ("brain tumour oedema", "brain tumour enhancing", "brain tumour necrotic core"),
    ),
}
# Further names of parts of a whole: where they are labelled, they belong to the union.
_FURTHER_PARTS: dict[str, frozenset[str]] = {
    "prostate": frozenset(
        ("afs", "anterior fibromuscular stroma", "fibromuscular stroma", "anterior stroma", "cz", "central zone")
    ),
    "hippocampus": frozenset(("hippocampus body", "body of hippocampus")),
    "brain tumour": frozenset(("brain tumour non-enhancing core", "brain tumour necrotic core")),
}
# Names that are no part of the whole although they are no structures of ours.
_NO_PARTS: dict[str, frozenset[str]] = {
    "prostate": frozenset(("rectum", "seminal vesicles", "seminal vesicle", "obturator internus")),
    "hippocampus": frozenset(),
    "brain tumour": frozenset(("resection cavity", "rc")),
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


@dataclass(frozen=True)
class _Region:
    """How names of a region are known.

    Attributes:
        title: whole words of a dataset's name that tell the region.
        structures: names that belong to this region and to no other of these.
    """

    title: tuple[str, ...]
    structures: frozenset[str]


_REGIONS: dict[str, _Region] = {
    "abdomen": _Region(
        ("abdomen", "abdominal", "btcv", "amos", "flare", "chaos"),
        _names(
"liver|spleen|kidney|right kidney|left kidney|gallbladder|stomach|pancreas|duodenum|colon|small bowel|"
            "right adrenal gland|left adrenal gland|portal and splenic vein"
),
    ),
    "heart": _Region(
        (
            *("heart", "hearts", "cardiac", "cardio", "atrium", "atria", "atrial", "myocardium", "myocardial"),
            *("acdc", "mnm", "mnms"),
        ),
        _names(
"heart|right ventricle|left ventricle|myocardium|left atrium|right atrium|ra|lcx|rca|lm|pericardium|"
            "pulmonary artery|coronary arteries|left anterior descending artery|aortic valve|mitral valve"
),
    ),
    "prostate": _Region(("prostate", "prostates", "prostatic"), frozenset(("prostate", *_FURTHER_PARTS["prostate"]))),
    "hippocampus": _Region(("hippocampus", "hippocampal", "hippocampi"), frozenset(("hippocampus",))),
    "brain": _Region(
        ("brain", "brains", "neuro", "cerebral", "cerebrum", "iseg", "mrbrains"),
        frozenset(
            (*STRUCTURES[STRUCTURES.index("lateral ventricles") : STRUCTURES.index("hippocampus")],
             "brain", "cerebrospinal fluid", "cerebral white matter", "cerebral cortex", "grey matter", "gray matter")
        ),
    ),
}  # fmt: skip
# Abbreviations that need one of these beside them, since one alone is a word of everyday or of another organ.
_COMPANIONS = {
    "rad": ("lad",),
    "lad": ("rad",),
    "veins": ("rad", "right adrenal gland"),
    "anterior": ("posterior",),
    "posterior": ("anterior",),
    "pz": ("tz", "cg", "central gland"),
    "tz": ("pz",),
    "peripheral zone": ("transition zone", "central gland"),
    "transition zone": ("peripheral zone",),
    "central gland": ("peripheral zone", "pz"),
}
# So many other names of its region make an abbreviation certain where the dataset's name does not.
_SUPPORT = 2
# Zones of a prostate are nowhere else; one beside the other is enough.
_SELF_EVIDENT = frozenset(("pz", "tz", "peripheral zone", "transition zone", "central gland"))


@dataclass(frozen=True)
class StructureNames:
    """What the labels of a dataset are called here.

    Attributes:
        values: structure -> its label values, unions among them.
        decisions: one for each name that is not as it was written, and each union that was or was not made.
    """

    values: Mapping[str, tuple[int, ...]]
    decisions: tuple[Decision, ...] = ()


def structure_names(
    labels: Mapping[str, LabelValue] | None, path: Path, *, names: Mapping[str, str] | None = None, title: str = ""
) -> StructureNames:
    """Structures and their values, from {"1": "liver"} (MSD) or {"liver": 1, "organs": [1, 2]} (nnU-Net).

    Numbers may stand in quotes. Background and "ignore" are no structures.

    Args:
        labels: of a dataset.json or labels.json.
        path: of that file, for the sentence.
        names: this dataset's own words, in small letters -> ours.
        title: of the dataset, which may tell the region of the body.

    Raises:
        StoreError: there are no labels, or one is neither value to name nor name to value.
    """
    if not labels:
        raise StoreError(f'{path} has no "labels" that map values to names; see the layout of this source.')
    written: list[tuple[str, tuple[int, ...]]] = []
    decisions: list[Decision] = []
    for key, value in labels.items():
        name, numbers = _label(key, value, path)
        if not tidied(name):
            raise StoreError(f"{path}: the label {value!r:.60} has no name; give it one.")
        if tidied(name) in ("background", "ignore"):
            if tidied(name) == "background" and 0 not in numbers:
                numbers_text = ", ".join(map(str, numbers))
                raise StoreError(
                    f"{path} calls {numbers_text} the background, which is 0 in a label map; mend labels or files."
                )
            continue
        if numbers == (0,):
            decisions.append(Decision("background", f'the label 0, "{name}", is taken for the background'))
            continue
        written.append((name, tuple(number for number in numbers if number)))
        twin = next((other for other, same in written[:-1] if same == written[-1][1]), None)
        if twin is not None:
            decisions.append(Decision("same label", f'"{twin}" and "{name}" have one label, {numbers}: both are it'))
    meanings = name_meanings((name for name, _ in written), names=names, title=title)
    values: dict[str, tuple[int, ...]] = {}
    for name, numbers in written:
        structure = meanings.of[name]
        if structure in values:
            decisions.append(Decision("merged", f'several labels named "{structure}" are taken as one structure'))
        values[structure] = tuple(sorted({*values.get(structure, ()), *numbers}))
    unions, joined = unions_of(values)
    return StructureNames(values | unions, (*meanings.decisions, *dict.fromkeys(decisions), *joined))


@dataclass(frozen=True)
class Meanings:
    """What names mean.

    Attributes:
        of: name as it was written -> structure.
        decisions: see StructureNames.
    """

    of: Mapping[str, str]
    decisions: tuple[Decision, ...]


def name_meanings(written: Iterable[str], *, names: Mapping[str, str] | None = None, title: str = "") -> Meanings:
    """What each of a dataset's names means among the others; see the module.

    Args:
        written: as the dataset writes them.
        names, title: see `structure_names`.
    """
    given_meanings = {tidied(key): tidied(meaning) for key, meaning in (names or {}).items()}
    texts = list(dict.fromkeys(written))
    tidy = {text: tidied(text) for text in texts}
    everyone = {canonical(name) for name in tidy.values()}
    meanings = {
        name: given_meanings.get(name)
        or given_meanings.get(canonical(name))
        or _in_context(canonical(name), everyone, title)
        for name in dict.fromkeys(tidy.values())
    }
    counts = Counter(meanings.values())
    decisions: list[Decision] = []
    for structure, count in counts.items():
        alike = [name for name, meaning in meanings.items() if meaning == structure]
        if count > 1 and not all(name in given_meanings for name in alike):
            quoted = " and ".join(f'"{name}"' for name in alike)
            text = f"{quoted} may both be {structure}: they stay apart as they are written"
            decisions.append(Decision("kept apart", f"{text}; to join them, give both one name"))
            meanings |= {name: name for name in alike}
        elif count > 1:
            quoted = " and ".join(f'"{name}"' for name in alike)
            decisions.append(Decision("merged", f"{quoted} are both {structure} in this dataset, and one structure"))
    for text in texts:
        if meanings[tidy[text]] != tidy[text]:
            decisions.append(Decision("renamed", f'"{text}" is called {meanings[tidy[text]]}'))
    return Meanings({text: meanings[tidy[text]] for text in texts}, tuple(decisions))


def unions_of(
    structures: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, tuple[int, ...]], tuple[Decision, ...]]:
    """The unions that a dataset's structures allow and that it does not label itself, and what was decided."""
    unions: dict[str, tuple[int, ...]] = {}
    decisions: list[Decision] = []
    for union, recipes in UNIONS.items():
        recipe = next((parts for parts in recipes if set(parts) <= structures.keys()), None)
        if union in structures or recipe is None:
            continue
        parts = [*recipe, *sorted(_FURTHER_PARTS[union] & structures.keys() - set(recipe))]
        inside = {value for part in parts for value in structures[part]}
        doubtful = [
            name
            for name, values in structures.items()
            if name not in parts and not set(values) <= inside and not _is_outside(name, union)
        ]
        if doubtful:
            text = f'no union "{union}" of {", ".join(parts)} is made, since {" and ".join(doubtful)} may be part of it'
            decisions.append(Decision("no union", text))
        else:
            unions[union] = tuple(sorted(inside))
            decisions.append(Decision("union", f'"{union}" is added, the union of {", ".join(parts)}'))
    return unions, tuple(decisions)


def _is_outside(name: str, union: str) -> bool:
    """Whether a structure is certainly no part of a whole: another organ of ours, or one that is known to be beside."""
    known = name in STRUCTURES and not name.startswith(union) and "tumour" not in name
    return known or name in _NO_PARTS[union]


def _in_context(name: str, everyone: set[str], title: str) -> str:
    """What an abbreviation means among all names of its dataset; the name itself where that is not certain."""
    if name not in ABBREVIATIONS:
        return name
    structure, region = ABBREVIATIONS[name]
    others = everyone - {name}
    if not _accompanied(name, everyone):
        return name
    support = {place: sum(_speaks_of(place, other, everyone) for other in others) for place in _REGIONS}
    elsewhere = any(count for place, count in support.items() if place != region)
    title_names_region = _regions_of(title) in ({region}, {region, "brain"} if region == "hippocampus" else {region})
    certain = title_names_region or support[region] >= _SUPPORT or name in _SELF_EVIDENT
    return structure if certain and not elsewhere else name


def _regions_of(title: str) -> set[str]:
    """The regions that a title names: "Task05_ProstateZones" -> {"prostate"}; "pediatric" speaks of no atrium."""
    text = title.replace("&", "n")  # M&Ms
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}
    words |= {word.lower() for word in re.findall(r"[A-Za-z]+", text)}
    return {place for place, region in _REGIONS.items() if words & set(region.title)}


def _speaks_of(region: str, name: str, everyone: set[str]) -> bool:
    """Whether a name belongs to a region, as a structure of it or as an abbreviation that stands among its like."""
    abbreviation = ABBREVIATIONS.get(name, ("", ""))[1] == region and _accompanied(name, everyone)
    return abbreviation or name in _REGIONS[region].structures


def _accompanied(name: str, everyone: set[str]) -> bool:
    """Whether an abbreviation has the neighbour that it needs, if it needs one."""
    return name not in _COMPANIONS or bool(everyone & set(_COMPANIONS[name]))


def _label(key: str, value: LabelValue, path: Path) -> tuple[str, tuple[int, ...]]:
    """Name and values of one item of "labels"."""
    number = _whole(key)
    if number is not None and isinstance(value, str):
        return value, (number,)
    numbers = [_whole(item) for item in (value if isinstance(value, list) else [value])]
    values = {number for number in numbers if number is not None}
    if not numbers or None in numbers:
        raise StoreError(
            f'{path}: the label "{key[:60]}": {value!r:.60} is neither value to name nor name to value; '
            'write "1": "liver" or "liver": 1.'
        )
    return key, tuple(sorted(values))


def _whole(item: int | float | str) -> int | None:
    """A label's value, if that is what it is: 1, 1.0 or "1"."""
    if isinstance(item, str):
        text = item.strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
    return int(item) if float(item).is_integer() and 0 <= item < 2**32 else None
