"""What structures are called in SNOMED CT, for files that name a segment by codes (DICOM PS3.16, CID 7150 and 7166).

Only codes that DICOM's own tables list are here. A structure without one gets a private code that says its name.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..on_use import ModuleOnUse
from ..vocabulary import STRUCTURES, canonical

if TYPE_CHECKING:
    from pydicom.sr import coding
else:
    coding = ModuleOnUse("pydicom.sr.coding")  # brings DICOM's tables of codes

PRIVATE_SCHEME = "99SEGEVOLUTION"
_LONGEST_MEANING = 64  # characters, of DICOM's LO


@dataclass(frozen=True)
class CodedTerm:
    """One coded concept: its value, what it means, and the scheme that the value is of ("SCT" is SNOMED CT)."""

    value: str
    meaning: str
    scheme: str = "SCT"


@dataclass(frozen=True)
class StructureCode:
    """What a segment is, in codes.

    Attributes:
        category: the kind of thing, such as an anatomical structure.
        kind: the thing itself, such as the kidney, or a neoplasm.
        side: right or left, of a paired structure.
        region: where it is, of what is no anatomy of its own, such as a neoplasm's organ.
    """

    category: CodedTerm
    kind: CodedTerm
    side: CodedTerm | None = None
    region: CodedTerm | None = None


_ANATOMY = CodedTerm("123037004", "Anatomical Structure")
_ALTERED = CodedTerm("49755003", "Morphologically Abnormal Structure")
_PLACE = CodedTerm("309825002", "Spatial and Relational Concept")
_SIDES = {"right": CodedTerm("24028007", "Right"), "left": CodedTerm("7771000", "Left")}
_NEOPLASM = CodedTerm("108369006", "Neoplasm")
_BOTH_SIDES = "51440002"

# Without the side, which is a code of its own.
_ORGANS: dict[str, CodedTerm] = {
    "liver": CodedTerm("10200004", "Liver"),
    "spleen": CodedTerm("78961009", "Spleen"),
    "kidney": CodedTerm("64033007", "Kidney"),
    "gallbladder": CodedTerm("28231008", "Gallbladder"),
    "esophagus": CodedTerm("32849002", "Esophagus"),
    "stomach": CodedTerm("69695003", "Stomach"),
    "aorta": CodedTerm("15825003", "Aorta"),
    "inferior vena cava": CodedTerm("64131007", "Inferior vena cava"),
    "pancreas": CodedTerm("15776009", "Pancreas"),
    "adrenal gland": CodedTerm("23451007", "Adrenal gland"),
    "duodenum": CodedTerm("38848004", "Duodenum"),
    "bladder": CodedTerm("89837001", "Urinary bladder"),
    "prostate": CodedTerm("41216001", "Prostate"),
    "colon": CodedTerm("71854001", "Colon"),
    "small bowel": CodedTerm("30315005", "Small intestine"),
    "lung": CodedTerm("39607008", "Lung"),
    "heart": CodedTerm("80891009", "Heart"),
    "right ventricle": CodedTerm("53085002", "Right ventricle of heart"),
    "left ventricle": CodedTerm("87878005", "Left ventricle of heart"),
    "left atrium": CodedTerm("82471001", "Left atrium of heart"),
    "spine": CodedTerm("421060004", "Vertebral column"),
    "vertebrae": CodedTerm("51282000", "Vertebra"),
    "ribs": CodedTerm("113197003", "Rib"),
    "sacrum": CodedTerm("54735007", "Sacrum"),
    "femur": CodedTerm("71341001", "Femur"),
    "spinal cord": CodedTerm("2748008", "Spinal cord"),
    "uterus": CodedTerm("35039007", "Uterus"),
    "spinal canal": CodedTerm("61853006", "Vertebral canal"),
    "costal cartilage": CodedTerm("50016007", "Costal cartilage"),
    "sternum": CodedTerm("56873002", "Sternum"),
    "skin": CodedTerm("39937001", "Skin"),
    "renal arteries": CodedTerm("2841007", "Renal artery"),
    "renal veins": CodedTerm("56400007", "Renal vein"),
    "renal pelvis": CodedTerm("25990002", "Renal pelvis"),
    "iliac arteries": CodedTerm("10293006", "Iliac artery"),
    "iliac veins": CodedTerm("244411005", "Iliac vein"),
    "brain": CodedTerm("12738006", "Brain"),
    "skull": CodedTerm("89546000", "Skull"),
    "eyes": CodedTerm("40638003", "Both eyes"),
    "sinuses": CodedTerm("2095001", "Paranasal sinus"),
    "cerebrospinal fluid": CodedTerm("65216001", "Cerebrospinal fluid"),
    "cerebral white matter": CodedTerm("68523003", "Cerebral white matter"),
    "cerebral cortex": CodedTerm("40146001", "Cerebral cortex"),
    "lateral ventricles": CodedTerm("66720007", "Lateral ventricle of brain"),
    "third ventricle": CodedTerm("49841001", "Third ventricle of brain"),
    "fourth ventricle": CodedTerm("35918002", "Fourth ventricle of brain"),
    "cerebellum": CodedTerm("113305005", "Cerebellum"),
    "thalamus": CodedTerm("42695009", "Thalamus"),
    "caudate": CodedTerm("11000004", "Caudate nucleus"),
    "putamen": CodedTerm("89278009", "Putamen"),
    "pallidum": CodedTerm("14738005", "Globus pallidus"),
    "hippocampus": CodedTerm("5366008", "Hippocampus"),
    "amygdala": CodedTerm("4958002", "Amygdala"),
}

# Structure -> the organ that it grows in.
_TUMOURS = {
    "kidney tumour": "kidney",
    "liver tumour": "liver",
    "pancreas tumour": "pancreas",
    "colon cancer": "colon",
    "lung tumour": "lung",
    "brain tumour": "brain",
}


def structure_code(name: str) -> StructureCode:
    """The codes of a structure, by any of its names; "left kidney" is the kidney, and its side a code of its own.

    What has no code is told by a private one: scheme 99SEGEVOLUTION, its value made from the name, its meaning the
    name itself.
    """
    structure = canonical(name)
    if structure in _ORGANS:
        return StructureCode(_ANATOMY, _ORGANS[structure])
    if structure in _TUMOURS:
        return StructureCode(_ALTERED, _NEOPLASM, region=_ORGANS[_TUMOURS[structure]])
    first, _, rest = structure.partition(" ")
    side = _SIDES.get(first)
    if side is not None and rest in _ORGANS:
        return StructureCode(_ANATOMY, _ORGANS[rest], side)
    value = hashlib.sha256(structure.encode()).hexdigest()[:16].upper()
    private = CodedTerm(value, structure[:_LONGEST_MEANING] or "unnamed", PRIVATE_SCHEME)
    if structure not in STRUCTURES:
        return StructureCode(_PLACE, private)
    return StructureCode(_ALTERED if "tumour" in structure else _ANATOMY, private)


def structure_of(kind: CodedTerm, side: CodedTerm | None = None, region: CodedTerm | None = None) -> str | None:
    """The structure that codes stand for, the way back from `structure_code`; None where they are not among ours.

    A code of SNOMED's older spelling (scheme "SRT", such as T-62000) is read as the one that took its place.
    """
    if kind.scheme == PRIVATE_SCHEME:
        return canonical(kind.meaning) or None
    organ = _organ(kind)
    if organ is None:
        grown_in = _organ(region) if region is not None and _is(kind, _NEOPLASM) else None
        return next((tumour for tumour, host in _TUMOURS.items() if host == grown_in), None)
    if side is None or _is(side, CodedTerm(_BOTH_SIDES, "")):
        return organ
    word = next((word for word, term in _SIDES.items() if _is(side, term)), None)
    return None if word is None else f"{word} {organ}"


def _organ(code: CodedTerm) -> str | None:
    return next((name for name, term in _ORGANS.items() if _is(code, term)), None)


def _is(one: CodedTerm, other: CodedTerm) -> bool:
    """Whether two codes mean one thing, whatever they call it."""
    return bool(coding.Code(one.value, one.scheme, "") == coding.Code(other.value, other.scheme, ""))
