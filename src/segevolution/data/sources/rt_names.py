"""How radiotherapy names structures: the names of AAPM's Task Group 263, and the sides as clinics write them.

Mayo et al. 2018, Int. J. Radiation Oncology Biol. Phys. 100:1057. Only names whose meaning is certain wherever they
stand are here; targets (GTV, CTV, PTV) and everything else keep the names that they have.
"""

from ...vocabulary import tidied

_SIDES = {"left": ("l", "lt", "left"), "right": ("r", "rt", "right")}
# Ours -> what clinics call it, without the side.
_PAIRED = {
    "kidney": ("kidney",),
    "lung": ("lung",),
    "femur": ("femur",),
    "adrenal gland": ("glnd adrenal", "adrenal", "adrenal gland"),
    "hip": ("hip",),
}
_SINGLE = {
    "a aorta": "aorta",
    "v venacava i": "inferior vena cava",
    "bowel small": "small bowel",
    "spinalcord": "spinal cord",
    "spinalcanal": "spinal canal",
    "external": "body",
    "atrium l": "left atrium",
    "ventricle l": "left ventricle",
    "ventricle r": "right ventricle",
}
RT_NAMES: dict[str, str] = _SINGLE | {
    spelling: f"{side} {structure}"
    for structure, organs in _PAIRED.items()
    for organ in organs
    for side, words in _SIDES.items()
    for word in words
    for spelling in (f"{organ} {word}", f"{word} {organ}")
}
"""Names in small letters, words parted by spaces -> ours."""


def rt_meaning(name: str) -> str | None:
    """The structure that a radiotherapy name stands for, such as "Kidney_L"; None where it is none of these."""
    return RT_NAMES.get(tidied(name))
