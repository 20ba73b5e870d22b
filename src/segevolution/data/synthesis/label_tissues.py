"""What the labels of other people's label maps are: names to structures and tissues, and FreeSurfer's numbers."""

import re
from collections.abc import Mapping

from ...errors import VocabularyError
from ...vocabulary import canonical

# Pattern in the tidied name -> (structure or None to keep the name, tissue). The first that fits counts.
_RULES: tuple[tuple[str, str | None, str], ...] = (
    (r"^(body|background|air)$", None, "air"),
    (r"tumou?r necrotic|necrosis", None, "necrosis"),
    (r"enhancing", None, "enhancing tumour"),
    (r"oedema|edema", None, "oedema"),
    (r"tumou?r|lesion|cancer|cyst", None, "tumour"),
    (r"iliac art", "iliac arteries", "arterial blood"),
    (r"iliac ve", "iliac veins", "cava blood"),
    (r"intervertebral|\bdiscs?\b", "intervertebral discs", "disc"),
    (r"^(vertebra|lumbar ?\d|thoracic ?\d|cervical ?\d|atlas$|axis$)", "vertebrae", "bone"),
    (r"costal cartilage", "costal cartilage", "cartilage"),
    (r"(meniscus|cartilage|ligament|tendon|labrum)", None, "cartilage"),
    (r"\bribs?\b|^rib", "ribs", "bone"),
    (r"spinal cord", "spinal cord", "cord"),
    (r"spinal canal", "spinal canal", "csf"),
    (r"(muscle|gluteus|autochthon|iliopsoas|psoas|iliacus|erector|oblique|abdominis|diaphragm)", None, "muscle"),
    (r"(biceps|gastrocnemius|sartorius|gracilis|vastus|semimem|semitend|popliteus|plantaris)", None, "muscle"),
    (r"(portal|splenic vein|hepatic vein|mesenteric vein|mesenteric vessel|hepatic vessel)", None, "portal blood"),
    (r"(pulmonary|heart atrium|left atrium|right atrium|ventricle left|ventricle right)", None, "heart blood"),
    (r"^(left ventricle|right ventricle)$", None, "heart blood"),
    (r"(vein|vena|veins|jugular|cava|sinus$)", None, "cava blood"),
    (r"(aorta|artery|arteries|arteria|carotid|celiac|trunk)", None, "arterial blood"),
    (r"myocardium|^heart$", None, "myocardium"),
    (
        r"(sacrum|hip|femur|sternum|clavicula|clavicle|scapula|humerus|pelvis$|skull|mandible|hyoid|tibia|fibula|patella|bone)",
        None,
        "bone",
    ),
    (r"lung.*left|left lung", "left lung", "lung"),
    (r"lung.*right|right lung", "right lung", "lung"),
    (r"lung", "lung", "lung"),
    (r"trachea|bronch|airway|sinuses", None, "gas"),
    (r"^liver", None, "liver"),
    (r"^spleen", None, "spleen"),
    (r"kidney", None, "kidney"),
    (r"renal pelvis|ureter", None, "urine"),
    (r"pancreas", None, "pancreas"),
    (r"gallbladder|bile", None, "bile"),
    (r"adrenal|thyroid gland|parotid|gland$", None, "adrenal"),
    (r"bladder", None, "urine"),
    (r"prostate peripheral", None, "prostate peripheral"),
    (r"prostate", None, "prostate transition"),
    (r"uterus", None, "uterus"),
    (r"colon|rectum|cecum", None, "stool"),
    (r"stomach|duodenum|small bowel|bowel|esophagus|ileum|jejunum", None, "chyme"),
    (r"white matter|brain stem|corpus callosum|optic", None, "white matter"),
    (r"thalamus|caudate|putamen|pallidum|accumbens|ventral dc", None, "deep grey matter"),
    (r"cortex|grey matter|gray matter|hippocampus|amygdala|cerebellum|^brain$|choroid", None, "grey matter"),
    (r"ventricle|cerebrospinal|csf", None, "csf"),
    (r"eye", None, "eye"),
    (r"skin", None, "skin"),
    (r"fat", None, "fat"),
)

# Number -> (structure, tissue). 0 to 99: FreeSurfer's table, left and right joined where our vocabulary knows one
# structure; 136, 137, 163 and 164 lie along the ventricles and are taken as choroid plexus; 500s: the tissues
# outside the brain of the CHARM atlas (SimNIBS, Puonti et al. 2020).
FREESURFER: dict[int, tuple[str | None, str]] = {
    **dict.fromkeys((2, 41), ("cerebral white matter", "white matter")),
    **dict.fromkeys((3, 42), ("cerebral cortex", "grey matter")),
    **dict.fromkeys((4, 5, 43, 44), ("lateral ventricles", "csf")),
    **dict.fromkeys((7, 46), ("cerebellum", "white matter")),
    **dict.fromkeys((8, 47), ("cerebellum", "grey matter")),
    **dict.fromkeys((10, 49), ("thalamus", "deep grey matter")),
    **dict.fromkeys((11, 50), ("caudate", "deep grey matter")),
    **dict.fromkeys((12, 51), ("putamen", "deep grey matter")),
    **dict.fromkeys((13, 52), ("pallidum", "deep grey matter")),
    14: ("third ventricle", "csf"),
    15: ("fourth ventricle", "csf"),
    16: ("brain stem", "white matter"),
    **dict.fromkeys((17, 53), ("hippocampus", "grey matter")),
    **dict.fromkeys((18, 54), ("amygdala", "grey matter")),
    24: ("cerebrospinal fluid", "csf"),
    **dict.fromkeys((25, 57), (None, "oedema")),
    **dict.fromkeys((26, 58, 28, 60), (None, "deep grey matter")),
    **dict.fromkeys((30, 62), (None, "cava blood")),
    72: (None, "csf"),
    **dict.fromkeys((85, 530), (None, "white matter")),
    **dict.fromkeys((136, 137, 163, 164), (None, "grey matter")),
    502: (None, "arterial blood"),
    506: ("eyes", "eye"),
    507: (None, "muscle"),
    508: (None, "muscle"),
    509: (None, "gut wall"),
    511: ("skin", "skin"),
    512: ("spinal cord", "cord"),
    514: (None, "cava blood"),
    515: ("skull", "cortical bone"),
    516: ("skull", "bone"),
}


# Read first by `describe_any`, where the rules above mistake a word; these stay as they are, since stores were made by
# them.
_CORRECTIONS: tuple[tuple[str, str | None, str], ...] = (
    (r"renal pelvis|ureter|urethra", None, "urine"),
    (r"fat (body|pad)|adipose|subcutaneous", None, "fat"),
    (r"chiasm|optic", None, "white matter"),
    (r"basal gangli", None, "deep grey matter"),
    (r"nerve|(?<!choroid )plexus|ganglion", None, "cord"),
    (r"iliotibial|fascia|aponeurosis|retinaculum", None, "cartilage"),
    (r"white matter|corpus callosum|fornix", None, "white matter"),
    (r"lateral ventricle", "lateral ventricles", "csf"),
    (r"inf(erior)? lat(eral)? vent", "lateral ventricles", "csf"),
    (r"(3rd|third) ventricle", "third ventricle", "csf"),
    (r"(4th|fourth) ventricle", "fourth ventricle", "csf"),
    (r"tongue|masseter|pharynx|larynx", None, "muscle"),
    (r"seminal vesicle|ovary|testis|testicle", None, "prostate peripheral"),
    (r"lymph|thymus", None, "adrenal"),
)
UNKNOWN_TISSUE = "gut wall"  # soft, neither muscle nor fat: what a name that no rule knows is imaged as

# FreeSurfer's numbers that the map above leaves out.
_MORE_NUMBERS: dict[int, tuple[str | None, str]] = {
    **dict.fromkeys((31, 63), (None, "grey matter")),  # choroid plexus
    **dict.fromkeys((77, 78, 79), ("cerebral white matter", "white matter")),  # hypointensities
    **dict.fromkeys((80, 81, 82), (None, "deep grey matter")),
    **dict.fromkeys((251, 252, 253, 254, 255), ("cerebral white matter", "white matter")),  # corpus callosum
    **dict.fromkeys((5001, 5002), ("cerebral white matter", "white matter")),
    165: ("skull", "bone"),
    258: (None, "muscle"),
}


def describe(name: str) -> tuple[str, str]:
    """Structure and tissue of a label's name: "vertebrae_L5" -> ("vertebrae", "bone").

    Raises:
        VocabularyError: no rule knows the name; the caller has to give its tissue.
    """
    tidy = canonical(re.sub(r"[_\s]+", " ", name))
    sided = re.fullmatch(r"(.+) (left|right)", tidy)
    if sided:
        tidy = canonical(f"{sided[2]} {sided[1]}")
    for pattern, structure, tissue in _RULES:
        if re.search(pattern, tidy):
            return structure or tidy, tissue
    raise VocabularyError(f'no tissue is known for "{name}"; give it in `tissues`, such as {{"{name}": "muscle"}}.')


def describe_any(name: str) -> tuple[str, str, bool]:
    """Structure and tissue of any name, and whether a rule knows it; one that none knows is UNKNOWN_TISSUE."""
    spaced = re.sub(r"[-_.\s]+", " ", name).strip()
    tidy = canonical(spaced)
    for pattern, structure, tissue in _CORRECTIONS:
        if re.search(pattern, tidy):
            return structure or tidy, tissue, True
    for spelling in (name, spaced):
        try:
            return *describe(spelling), True
        except VocabularyError:
            continue
    return tidy or name, UNKNOWN_TISSUE, False


def freesurfer_parcel(value: int) -> tuple[str | None, str] | None:
    """Structure and tissue of the numbers that FREESURFER leaves out: parcels of the cortex, the callosum ..."""
    if 1000 <= value < 3000 or 11100 <= value < 13000:
        return "cerebral cortex", "grey matter"
    if 3000 <= value < 5000 or 13100 <= value < 15000:
        return "cerebral white matter", "white matter"
    return _MORE_NUMBERS.get(value)


def freesurfer_names(values: Mapping[int, object] | set[int]) -> dict[int, str]:
    """The structures of those FreeSurfer numbers that have one here."""
    names = {value: FREESURFER[value][0] for value in sorted(values) if value in FREESURFER}
    return {value: name for value, name in names.items() if name is not None}
