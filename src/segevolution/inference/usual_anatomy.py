"""How large structures of adults usually are, which lie under the skin, which are one piece, and which lie in a head.

The ranges are wide on purpose: what lies outside one is worth a look, not proof of an error. For the abdomen they lie
about what 26 BTCV and 14 CHAOS patients with manual labels show, by half on either side, but for a spleen of 3077 ml
and two kidneys of 10 ml; for the rest they are round numbers about textbook volumes of adults. A range is of the whole
structure, and only its upper end counts where a scan cuts it off.
"""

USUAL_MILLILITRES: dict[str, tuple[float, float]] = {
    "liver": (600, 3500),
    "spleen": (45, 1500),
    "right kidney": (40, 450),
    "left kidney": (40, 450),
    "kidney": (80, 900),
    "gallbladder": (2, 150),
    "esophagus": (3, 90),
    "stomach": (60, 2000),
    "aorta": (20, 500),
    "inferior vena cava": (15, 270),
    "portal and splenic vein": (6, 200),
    "pancreas": (20, 220),
    "right adrenal gland": (0.6, 15),
    "left adrenal gland": (0.8, 18),
    "duodenum": (15, 250),
    "bladder": (15, 1200),
    "prostate": (8, 300),
    "prostate transition zone": (3, 250),
    "prostate peripheral zone": (3, 80),
    "uterus": (15, 500),
    "lung": (1000, 9000),
    "right lung": (500, 5000),
    "left lung": (400, 4500),
    "heart": (250, 1500),
    "right ventricle": (50, 450),
    "left ventricle": (30, 450),
    "myocardium": (40, 350),
    "left atrium": (20, 300),
    "spinal cord": (5, 80),
    "brain": (800, 1900),
    "cerebellum": (80, 220),
    "brain stem": (12, 50),
    "thalamus": (6, 25),
    "caudate": (3, 18),
    "putamen": (4, 20),
    "pallidum": (1.5, 8),
    "hippocampus": (1.5, 14),
    "amygdala": (0.8, 7),
    "lateral ventricles": (3, 200),
    "third ventricle": (0.3, 8),
    "fourth ventricle": (0.5, 8),
}
"""Structure -> (least, most) millilitres."""

DEEP_ORGANS = frozenset(USUAL_MILLILITRES) - {"lung", "right lung", "left lung"}
"""Structures of which half of the volume lies further than LEAST_DEPTH_MM from the skin."""

LEAST_DEPTH_MM = 15.0
"""Of the middle voxel of a deep organ; the least of the same 40 patients is 37 mm (a liver)."""

ONE_PIECE = frozenset(
    {
        "liver",
        "spleen",
        "right kidney",
        "left kidney",
        "gallbladder",
        "stomach",
        "pancreas",
        "bladder",
        "prostate",
        "heart",
    }
)
"""Solid organs of one connected piece; not vessels and other thin tubes, which an answer may lose in places."""

OF_THE_HEAD = frozenset(
    {
        *("brain", "skull", "eyes", "sinuses", "cerebrospinal fluid", "cerebral white matter", "cerebral cortex"),
        *("grey matter", "lateral ventricles", "third ventricle", "fourth ventricle", "cerebellum", "thalamus"),
        *("caudate", "putamen", "pallidum", "brain stem", "hippocampus", "anterior hippocampus"),
        *("posterior hippocampus", "amygdala", "brain tumour", "brain tumour necrotic core", "brain tumour oedema"),
        *("brain tumour enhancing", "brain tumour non-enhancing core"),
    }
)

LARGEST_HEAD_CM2 = 350.0
"""Across the axis of the body: a head of 21 x 17 cm has 280; the smallest trunk of the same 40 patients has 401."""
