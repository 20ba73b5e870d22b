"""How far a surface may lie from the true one and still count as right, for each organ: the tolerance of NSD.

Two experts do not draw one outline. The abdominal tolerances are those of the FLARE 2022 challenge (Ma et al. 2024,
arXiv:2308.05862). No challenge states them for all the others; ours follow its scale: 1 mm for what is a few voxels
thick on the usual scans, 2 mm for vessels and small organs, 3 mm for middle-sized organs, 5 mm for large soft ones. A
study that wants one tolerance for all says `surface_tolerance_mm`.
"""

from collections.abc import Mapping
from types import MappingProxyType

DEFAULT_MM = 2.0
"""Of structures that the table does not name."""

FLARE_2022: Mapping[str, float] = MappingProxyType(
    {
        "liver": 5.0,
        "right kidney": 3.0,
        "left kidney": 3.0,
        "spleen": 3.0,
        "pancreas": 5.0,
        "aorta": 2.0,
        "inferior vena cava": 2.0,
        "right adrenal gland": 2.0,
        "left adrenal gland": 2.0,
        "gallbladder": 2.0,
        "esophagus": 3.0,
        "stomach": 5.0,
        "duodenum": 7.0,
    }
)
"""Structure -> millimetres, as the challenge states them."""

OURS: Mapping[str, float] = MappingProxyType(
    {
        "kidney": 3.0,
        "portal and splenic vein": 2.0,
        "hepatic vessels": 2.0,
        "bladder": 3.0,
        "prostate": 3.0,
        "prostate/uterus": 3.0,
        "uterus": 3.0,
        "prostate peripheral zone": 2.0,
        "prostate transition zone": 2.0,
        "colon": 5.0,
        "small bowel": 5.0,
        "lung": 3.0,
        "right lung": 3.0,
        "left lung": 3.0,
        "heart": 3.0,
        "right ventricle": 2.0,
        "left ventricle": 2.0,
        "myocardium": 2.0,
        "left atrium": 2.0,
        "brain": 3.0,
        "cerebellum": 2.0,
        "brain stem": 2.0,
        "lateral ventricles": 1.0,
        "third ventricle": 1.0,
        "fourth ventricle": 1.0,
        "cerebral cortex": 1.0,
        "thalamus": 1.0,
        "caudate": 1.0,
        "putamen": 1.0,
        "pallidum": 1.0,
        "amygdala": 1.0,
        "hippocampus": 1.0,
        "anterior hippocampus": 1.0,
        "posterior hippocampus": 1.0,
    }
)
"""Structure -> millimetres, by the scale above; no source states them."""


def tolerance_mm(structure: str) -> float:
    """The tolerance of a structure by its canonical name, in millimetres; DEFAULT_MM where none is stated."""
    return FLARE_2022.get(structure, OURS.get(structure, DEFAULT_MM))
