"""The words of the field: modalities, structures and their synonyms, and the sentences a text prompt becomes.

Datasets disagree about names ("arota", "postcava", "inferior vena cava"); inside the package every structure has
one canonical name, so that what two datasets call differently is trained and reported as one.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .errors import VocabularyError


class Modality(StrEnum):
    """How a volume was acquired; DICOM's Modality tag (0008,0060) maps onto it."""

    CT = "CT"
    MRI = "MRI"
    PET = "PET"
    US = "US"

    @classmethod
    def parse(cls, text: str) -> "Modality":
        """Read "ct", "MR", "mri", "PT", "ultrasound" ...; raises VocabularyError for anything else."""
        modality = _MODALITY_NAMES.get(text.strip().lower())
        if modality is None:
            raise VocabularyError(f'"{_shown(text)}" is not a modality; known are {", ".join(cls)}.')
        return modality


_MODALITY_NAMES = {
    "ct": Modality.CT,
    "mr": Modality.MRI,
    "mri": Modality.MRI,
    "pet": Modality.PET,
    "pt": Modality.PET,
    "us": Modality.US,
    "ultrasound": Modality.US,
}


@dataclass(frozen=True)
class Context:
    """What an adapter may know beside the pixels; None means not known (a study has an arm that withholds it)."""

    modality: Modality | None = None
    structure: str | None = None


@dataclass(frozen=True)
class Wording:
    """How one text prompt is put; None is the network's own way.

    Attributes:
        name: what the structure is called, such as one of `other_names`.
        template: a key of TEMPLATES.
    """

    name: str | None = None
    template: str | None = None


TEMPLATES: dict[str, dict[Modality | None, str]] = {
    # The only sentence the published weights ever saw (SegVol, Du et al. 2024).
    "ct": {None: "A computerized tomography of a {}."},
    "neutral": {None: "A scan of a {}."},
    "modality": {
        None: "A scan of a {}.",
        Modality.CT: "A computerized tomography (CT) scan of a {}.",
        Modality.MRI: "A magnetic resonance imaging (MRI) scan of a {}.",
        Modality.PET: "A positron emission tomography (PET) scan of a {}.",
        Modality.US: "An ultrasound (US) scan of a {}.",
    },
}


def sentence(structure: str, modality: Modality | None, template: str = "ct") -> str:
    """The sentence that a text encoder reads for a structure, by one of TEMPLATES."""
    forms = TEMPLATES[template]
    return forms.get(modality, forms[None]).format(structure)


STRUCTURES: tuple[str, ...] = (
    "liver",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate/uterus",
    "prostate",
    "prostate peripheral zone",
    "prostate transition zone",
    "kidney",
    "kidney tumour",
    "liver tumour",
    "pancreas tumour",
    "colon cancer",
    "lung tumour",
    "colon",
    "small bowel",
    "lung",
    "right lung",
    "left lung",
    "heart",
    "right ventricle",
    "left ventricle",
    "myocardium",
    "left atrium",
    "spine",
    "vertebrae",
    "ribs",
    "sacrum",
    "right hip",
    "left hip",
    "right femur",
    "left femur",
    "spinal cord",
    "muscle",
    "right autochthon",
    "left autochthon",
    "right iliopsoas",
    "left iliopsoas",
    "right gluteus maximus",
    "left gluteus maximus",
    "right gluteus medius",
    "left gluteus medius",
    "right gluteus minimus",
    "left gluteus minimus",
    "body fat",
    "body",
    "hepatic vessels",
    "uterus",
    "intervertebral discs",
    "spinal canal",
    "costal cartilage",
    "sternum",
    "skin",
    "renal arteries",
    "renal veins",
    "renal pelvis",
    "mesenteric vessels",
    "iliac arteries",
    "iliac veins",
    "brain",
    "skull",
    "eyes",
    "sinuses",
    "cerebrospinal fluid",
    "cerebral white matter",
    "cerebral cortex",
    "grey matter",
    "lateral ventricles",
    "third ventricle",
    "fourth ventricle",
    "cerebellum",
    "thalamus",
    "caudate",
    "putamen",
    "pallidum",
    "brain stem",
    "hippocampus",
    "anterior hippocampus",
    "posterior hippocampus",
    "amygdala",
    "brain tumour",
    "brain tumour necrotic core",
    "brain tumour oedema",
    "brain tumour enhancing",
    "brain tumour non-enhancing core",
)

# Other names that mean one structure wherever they stand.
SYNONYMS: dict[str, str] = {
    "kidney right": "right kidney",
    "kidney left": "left kidney",
    "rkid": "right kidney",
    "lkid": "left kidney",
    "gall bladder": "gallbladder",
    "oesophagus": "esophagus",
    "arota": "aorta",
    "postcava": "inferior vena cava",
    "ivc": "inferior vena cava",
    "portal vein and splenic vein": "portal and splenic vein",
    "portal/splenic vein": "portal and splenic vein",
    "adrenal gland right": "right adrenal gland",
    "adrenal gland left": "left adrenal gland",
    "right adrenal": "right adrenal gland",
    "left adrenal": "left adrenal gland",
    "urinary bladder": "bladder",
    "prostate or uterus": "prostate/uterus",
    "prostate uterus": "prostate/uterus",
    "kidneys": "kidney",
    "heart ventricle right": "right ventricle",
    "right ventricle cavity": "right ventricle",
    "heart ventricle left": "left ventricle",
    "left ventricle cavity": "left ventricle",
    "heart myocardium": "myocardium",
    "left ventricular myocardium": "myocardium",
    "heart atrium left": "left atrium",
    "hippocampus anterior": "anterior hippocampus",
    "hippocampus posterior": "posterior hippocampus",
    "brainstem": "brain stem",
    "lungs": "lung",
    "lung right": "right lung",
    "lung left": "left lung",
    "liver tumor": "liver tumour",
    "kidney tumor": "kidney tumour",
    "pancreas tumor": "pancreas tumour",
    "lung tumor": "lung tumour",
    "hepatic vessel": "hepatic vessels",
}

# Names that mean a structure only where everything around them speaks of one region: LAD is an adrenal gland beside
# liver and spleen, and a coronary artery beside the ventricles. Name -> (structure, region).
ABBREVIATIONS: dict[str, tuple[str, str]] = {
    "vena cava": ("inferior vena cava", "abdomen"),
    "veins": ("portal and splenic vein", "abdomen"),
    "rad": ("right adrenal gland", "abdomen"),
    "lad": ("left adrenal gland", "abdomen"),
    "peripheral zone": ("prostate peripheral zone", "prostate"),
    "pz": ("prostate peripheral zone", "prostate"),
    "transition zone": ("prostate transition zone", "prostate"),
    "tz": ("prostate transition zone", "prostate"),
    "central gland": ("prostate transition zone", "prostate"),
    "rv": ("right ventricle", "heart"),
    "lv": ("left ventricle", "heart"),
    "myo": ("myocardium", "heart"),
    "la": ("left atrium", "heart"),
    "anterior": ("anterior hippocampus", "hippocampus"),
    "posterior": ("posterior hippocampus", "hippocampus"),
    "white matter": ("cerebral white matter", "brain"),
    "cortex": ("cerebral cortex", "brain"),
    "csf": ("cerebrospinal fluid", "brain"),
    "ventricles": ("lateral ventricles", "brain"),
}

# Words that say a side of the body.
SIDES = frozenset({"right", "left", "r", "l", "rt", "lt", "rh", "lh", "dexter", "sinister", "dextra", "sinistra"})


def canonical(name: str) -> str:
    """One name a structure: lower case, single spaces, synonyms joined. Other names pass through tidied.

    "Arota" -> "aorta", "kidney_right" -> "right kidney", "left_ventricle" -> "left ventricle"; "LAD" -> "lad", since an
    abbreviation means a structure only among others (see ABBREVIATIONS).
    """
    tidy = tidied(name)
    return SYNONYMS.get(tidy, tidy)


def tidied(name: str) -> str:
    """A name in small letters, its words parted by single spaces: "Kidney_Right" -> "kidney right"."""
    return re.sub(r"[\s_]+", " ", name).strip().lower()


def synonyms(structure: str) -> list[str]:
    """The names that mean a canonical name wherever they stand, in alphabetical order."""
    return sorted(name for name, meant in SYNONYMS.items() if meant == structure)


def other_names(structure: str) -> list[str]:
    """The synonyms and abbreviations of a canonical name, in alphabetical order."""
    return sorted([*synonyms(structure), *(name for name, (meant, _) in ABBREVIATIONS.items() if meant == structure)])


def has_side(structure: str) -> bool:
    """Whether the name says right or left, in whole or by a letter: "left kidney", "Kidney_R", "lh-cortex"."""
    return not SIDES.isdisjoint(re.findall(r"[^\W_]+", structure.lower()))


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest in spelling, or None when nothing is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """The end of a sentence on an unknown name: the nearest known one, after `prefix`, or what `otherwise` says."""
    nearest = closest(name, known)
    return f'did you mean "{prefix}{nearest}"?' if nearest else otherwise


def require_known(name: str, known: Iterable[str]) -> str:
    """The canonical name, if it is among `known`.

    Raises:
        VocabularyError: it is not; the sentence names the closest known structure. An abbreviation, or a part of a name
            (LAD, cortex), stands alone here, so that nothing says which structure it means.
    """
    names = list(known)
    structure = canonical(name)
    if structure in names:
        return structure
    meant, _ = ABBREVIATIONS.get(structure, ("", ""))
    if meant in names:
        raise VocabularyError(f'"{_shown(name)}" alone may mean several structures; did you mean "{meant}"?')
    hint = did_you_mean(structure, names, f"known are {', '.join(sorted(names))}.")
    raise VocabularyError(f'"{_shown(name)}" is not a structure that this model knows; {hint}')


def pairs_by_side(names: Sequence[str]) -> list[str]:
    """The names without those whose left and right are there, too: a voxel of a label map has one label."""
    return [name for name in names if not {f"left {name}", f"right {name}"} <= set(names)]


def _shown(text: str) -> str:
    """A person's words in a sentence: short, and on one line."""
    return (text if text.isprintable() else text.encode("unicode_escape").decode())[:60]
