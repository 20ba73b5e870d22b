"""What the values of a label map mean and which colour each has, for files, tables and pictures alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

_COLOURS: dict[str, Colour] = {
    "liver": (221, 130, 101),
    "spleen": (157, 108, 162),
    "right kidney": (110, 184, 209),
    "left kidney": (60, 140, 220),
    "kidney": (85, 160, 215),
    "gallbladder": (139, 190, 75),
    "esophagus": (211, 171, 143),
    "stomach": (120, 220, 150),
    "aorta": (224, 60, 50),
    "inferior vena cava": (70, 100, 205),
    "portal and splenic vein": (0, 170, 190),
    "pancreas": (249, 210, 90),
    "right adrenal gland": (244, 140, 200),
    "left adrenal gland": (200, 90, 190),
    "bladder": (222, 200, 70),
    "prostate": (230, 158, 140),
    "heart": (206, 80, 80),
    "right ventricle": (80, 120, 220),
    "left ventricle": (225, 80, 70),
    "myocardium": (220, 180, 90),
    "brain": (250, 250, 225),
}
# For what has no colour of its own, and where two would have the same: far apart from one another.
_FURTHER: tuple[Colour, ...] = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194)),
    *((188, 189, 34), (23, 190, 207), (174, 199, 232), (255, 187, 120), (152, 223, 138), (255, 152, 150)),
    *((197, 176, 213), (196, 156, 148), (247, 182, 210), (219, 219, 141), (158, 218, 229)),
)


@dataclass(frozen=True)
class Label:
    """One value of a label map.

    Attributes:
        value: in the file, from 1.
        name: of the structure.
        colour: red, green and blue from 0 to 255.
    """

    value: int
    name: str
    colour: Colour


def legend(names: Sequence[str]) -> tuple[Label, ...]:
    """Labels 1, 2, 3 ... of structures; a structure keeps its colour from file to file, and no two share one.

    Beyond the 39 colours that there are, colours repeat.
    """
    colours_taken: set[Colour] = set()
    labels = []
    for value, name in enumerate(names, start=1):
        free = [colour for colour in (*_own(name), *_FURTHER) if colour not in colours_taken]
        colour = free[0] if free else _FURTHER[value % len(_FURTHER)]
        colours_taken.add(colour)
        labels.append(Label(value, name, colour))
    return tuple(labels)


def labels_in(array: npt.NDArray[np.integer], labels: Sequence[Label] = ()) -> list[Label]:
    """The labels of a map in the order of their values: those given, and "label 7" for a value 7 without one."""
    label_of_value = {label.value: label for label in labels}
    nameless = [int(value) for value in np.unique(array) if value and int(value) not in label_of_value]
    unnamed = legend([f"label {value}" for value in nameless])
    label_of_value |= {value: replace(label, value=value) for value, label in zip(nameless, unnamed, strict=True)}
    return [label_of_value[value] for value in sorted(label_of_value)]


def _own(name: str) -> tuple[Colour, ...]:
    return (_COLOURS[name],) if name in _COLOURS else ()
