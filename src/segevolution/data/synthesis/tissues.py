"""What each tissue is to an X-ray and to a magnet.

CT numbers are those of abdominal radiology's textbooks at 120 kV: a native value and what each contrast phase adds;
they vary a good deal between patients, which the deviations stand for.

Relaxation times, at 1.5 and 3 T:
(a) de Bazelaire, Duhamel, Rofsky, Alsop, Radiology 2004, 230:652-659, doi 10.1148/radiol.2303021331: abdominal and
    pelvic organs, marrow, fat. The 3 T values were checked against its abstract, the 1.5 T values against a table that
    quotes it (the XCAT-to-MR scripts of Roy et al.).
(b) Stanisz et al., Magn Reson Med 2005, 54:507-512, doi 10.1002/mrm.20605: blood, muscle, heart, cartilage, cord,
    brain, measured in vitro at 37 degrees. Checked against two public copies of its table 1.
(c) free water: T1 of fluid depends little on the field; Rooney et al., Magn Reson Med 2007, 57:308-318 give 4.3 s.
(~) our approximations, from tissues of like water content.

Where a value departs from its source the line says so. Reports differ by tens of percent for one tissue (Bojorquez et
al., Magn Reson Imaging 2017, 35:69-80: white matter's T1 at 3 T from 699 to 1735 ms), so the numbers set contrast; they
are no measurement. Proton densities are ours, near the water contents of Ernst, Kreis, Ross 1993 (0.65 in white, 0.78
in grey matter, 0.97 in fluid).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """One tissue.

    Attributes:
        hu: native CT number.
        hu_deviation: between patients.
        gain: HU added in the arterial, portal venous and late phase.
        texture: HU deviation within the tissue at millimetre scale.
        t1: milliseconds at 1.5 T and 3 T; of the water.
        t2: milliseconds at 1.5 T and 3 T; of the water.
        density: proton density of water and fat together, 1 for water.
        fat: fat's part of the signal, 0 to 1.
        uptake: how strongly T1 shortens after gadolinium, 1 for liver in the venous phase.
        flow: part of the spin echo signal lost to flow, 0 to 1.
    """

    hu: float
    hu_deviation: float
    gain: tuple[float, float, float]
    texture: float
    t1: tuple[float, float]
    t2: tuple[float, float]
    density: float
    fat: float = 0.0
    uptake: float = 0.0
    flow: float = 0.0


_NONE = (0.0, 0.0, 0.0)
_FLUID_T1 = (3000.0, 3600.0)

TISSUES: dict[str, Tissue] = {
    "air": Tissue(-1000, 0, _NONE, 0, (1000, 1000), (10, 10), 0.0),
    "gas": Tissue(-950, 20, _NONE, 15, (1000, 1000), (10, 10), 0.02),
    "lung": Tissue(-840, 30, (15, 20, 15), 45, (1200, 1300), (25, 20), 0.15, uptake=0.3),  # ~
    "skin": Tissue(5, 15, (5, 10, 10), 10, (850, 950), (30, 28), 0.6, 0.25, 0.3),  # ~
    "fat": Tissue(
        -103, 5, (0, 2, 2), 7, (343, 382), (90, 80), 0.9, 0.97
    ),  # a, T1 at 1.5 T not confirmed; T2 at 3 T there 68: fast spin echo lengthens
    "muscle": Tissue(
        52, 5, (6, 14, 16), 9, (1008, 1412), (36, 32), 0.8, 0.04, 0.25
    ),  # b; T2 between a (29) and b (44, 50)
    "bone": Tissue(165, 45, (10, 25, 25), 45, (549, 586), (49, 49), 0.45, 0.5, 0.3),  # a: marrow, red and yellow
    "cortical bone": Tissue(720, 160, _NONE, 80, (800, 900), (3, 3), 0.08),  # ~
    "cartilage": Tissue(85, 20, (5, 10, 10), 22, (1024, 1168), (30, 27), 0.7, 0.05, 0.1),  # b
    "disc": Tissue(75, 15, (2, 5, 8), 8, (1100, 1300), (75, 65), 0.8, 0.0, 0.1),  # ~
    "cord": Tissue(35, 4, (3, 5, 5), 4, (745, 993), (74, 78), 0.75, 0.0, 0.1),  # b
    "csf": Tissue(8, 4, _NONE, 3, (4000, 4163), (2000, 1800), 1.0),  # c, T2 ~
    "liver": Tissue(57, 8, (18, 52, 42), 6, (586, 809), (46, 34), 0.78, 0.04, 1.0),  # a
    "spleen": Tissue(50, 4, (65, 72, 52), 5, (1057, 1328), (79, 61), 0.85, 0.0, 1.2),  # a
    "kidney": Tissue(
        33, 4, (110, 135, 125), 8, (1100, 1280), (85, 79), 0.88, 0.0, 1.6
    ),  # a: between cortex and medulla, nearer the cortex
    "kidney cortex": Tissue(33, 4, (150, 140, 120), 6, (966, 1142), (87, 76), 0.88, 0.0, 1.8),  # a
    "kidney medulla": Tissue(33, 4, (40, 125, 132), 6, (1412, 1545), (85, 81), 0.88, 0.0, 1.3),  # a
    "pancreas": Tissue(42, 6, (65, 55, 40), 8, (584, 725), (46, 43), 0.78, 0.08, 1.1),  # a
    "adrenal": Tissue(28, 8, (35, 45, 35), 6, (900, 1050), (65, 58), 0.8, 0.1, 1.0),  # ~
    "gut wall": Tissue(42, 6, (35, 52, 45), 9, (900, 1100), (55, 50), 0.8, 0.02, 0.9),  # ~
    "arterial blood": Tissue(
        42, 4, (270, 112, 85), 4, (1441, 1932), (250, 200), 0.9, 0.0, 2.6, 0.85
    ),  # b; T2 there 290, 275
    "cava blood": Tissue(
        42, 4, (40, 88, 85), 5, (1441, 1932), (230, 180), 0.9, 0.0, 2.2, 0.65
    ),  # b; T2 shorter: less oxygen
    "portal blood": Tissue(42, 4, (50, 125, 88), 5, (1441, 1932), (230, 180), 0.9, 0.0, 2.3, 0.25),  # b; T2 as above
    "heart blood": Tissue(
        42, 4, (220, 115, 85), 6, (1441, 1932), (250, 200), 0.9, 0.0, 2.5, 0.75
    ),  # b; T2 there 290, 275
    "myocardium": Tissue(48, 4, (60, 72, 58), 6, (1030, 1471), (40, 47), 0.8, 0.02, 1.0),  # b
    "bile": Tissue(8, 6, _NONE, 3, (2400, 2800), (700, 600), 0.98),  # ~
    "urine": Tissue(6, 5, (0, 5, 60), 3, _FLUID_T1, (1500, 1300), 1.0),  # ~
    "water": Tissue(14, 8, _NONE, 6, (2500, 3000), (900, 800), 0.97),  # ~
    "chyme": Tissue(32, 10, _NONE, 12, (1200, 1400), (180, 160), 0.85, 0.04),  # ~
    "food": Tissue(45, 15, _NONE, 28, (700, 850), (90, 80), 0.75, 0.12),  # ~
    "oral contrast": Tissue(230, 70, _NONE, 22, (1800, 2100), (600, 500), 0.95),  # ~
    "stool": Tissue(25, 20, _NONE, 60, (550, 650), (60, 55), 0.55, 0.12),  # ~
    "prostate peripheral": Tissue(
        40, 4, (20, 32, 30), 6, (1317, 1597), (130, 115), 0.9, 0.0, 0.8
    ),  # a; T2 there 88, 74 for the whole gland
    "prostate transition": Tissue(
        43, 4, (32, 48, 42), 9, (1250, 1500), (82, 72), 0.88, 0.0, 1.0
    ),  # ~ near a (1317, 1597)
    "uterus": Tissue(
        48, 5, (40, 70, 60), 8, (1309, 1514), (100, 79), 0.9, 0.0, 1.2
    ),  # a, myometrium; T2 there 117 at 1.5 T
    "tumour": Tissue(42, 6, (30, 45, 38), 10, (1150, 1450), (95, 85), 0.88, 0.0, 1.2),  # ~
    "white matter": Tissue(
        29, 2, (2, 3, 3), 2, (720, 1000), (72, 69), 0.7, 0.0, 0.05
    ),  # T2 b; T1 below b (884, 1084), towards shorter reports
    "grey matter": Tissue(38, 2, (3, 4, 4), 2, (1180, 1700), (95, 99), 0.82, 0.0, 0.08),  # T2 b; T1 near b (1124, 1820)
    "deep grey matter": Tissue(37, 2, (3, 4, 4), 2, (1000, 1500), (82, 80), 0.8, 0.0, 0.08),  # ~
    "eye": Tissue(12, 4, _NONE, 3, (3500, 4000), (800, 700), 1.0),  # ~
    "oedema": Tissue(22, 3, (2, 3, 3), 3, (1450, 1750), (150, 140), 0.92, 0.0, 0.05),  # ~
    "enhancing tumour": Tissue(38, 4, (25, 35, 40), 4, (1300, 1600), (115, 105), 0.88, 0.0, 2.4),  # ~
    "necrosis": Tissue(18, 4, _NONE, 4, (2200, 2600), (320, 290), 0.96, 0.0, 0.05),  # ~
}
