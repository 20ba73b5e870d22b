"""Words in file names that tell when and how a person was scanned, and schemes of public datasets that tell who it is.

Each scheme was looked up in the dataset's own description; the comment names it.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The first group is the person.
SCHEMES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^(sub-[a-z0-9]+)(?=_|$)",  # BIDS: sub-01_ses-pre_run-1_T1w
        r"^(brats-[a-z]+(?:-rt)?-\d+)-\d+",  # BraTS 2023 and later: BraTS-GLI-00017-001, the last number a time point
        r"^(oas\d_\d{4}|oas\d{5})(?=_|$)",  # OASIS: OAS1_0066_MR1, OAS30001_MR_d0129
        r"^(?:adni_)?(\d{3}_s_\d{4})(?=_|$)",  # ADNI: 002_S_0295, then date and series
        r"^(tcga-[a-z0-9]{2}-[a-z0-9]{4})",  # TCGA: TCGA-02-0003, then sample and date
        r"^(c3[ln]-\d{5})",  # CPTAC
        r"^(upenn-gbm-\d{5})(?=_|$)",  # UPENN-GBM-00001_11: 11 is the first scan, 21 a follow-up
        r"^(ucsf-pdgm-\d{3,4})(?=_|-|$)",  # UCSF-PDGM-0004_FU003d is a follow-up
        r"^(ixi\d{3})-",  # IXI: IXI002-Guys-0828-T1
        r"^(\d{5})_\d{7}(?=_|$)",  # PI-CAI: patient and study, 10000_1000000_t2w
        r"^((?:prostatex|lidc-idri|ispy\d|acrin-[a-z-]*\d*)[-_]\d{3,})(?=[-_]|$)",  # TCIA
        r"^(patient\d{3})_(?:frame\d+|4d|es|ed)",  # ACDC: patient001_frame12
    )
)

# BIDS entities that are no part of who it is: a word that follows one with "-" belongs to it.
ENTITIES = _words(
    "ses task acq ce trc rec dir run mod echo flip inv mt part proc hemi space split recording chunk seg res den "
    "label desc atlas"
)
# Words that a number follows: frame12, visit_2, week-003.
NUMBERED = _words(
    "frame fr volume vol img image phase ph time timepoint tp ses sess session visit vis scan run acq acquisition "
    "echo series ser rep repeat day week wk month mo year yr followup fu exam study stack seq bed dyn dynamic "
    "gate cycle baseline bl stage resp"
)
# One letter with a number: v2, m06, y1, b1000, d0129, w12.
LETTER_NUMBER = re.compile(r"[vmybdwft]\d{1,4}[a-z]?")
DATE = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")

TIMES = _words(
    "pre post mid baseline bl followup fu before after initial preop postop prert midrt postrt pretreatment "
    "posttreatment intraop diagnosis progression recurrence ed es systole diastole inhale exhale insp expi "
    "inspiration expiration early late delayed delay arterial venous portal native nephrographic corticomedullary "
    "equilibrium excretory noncontrast contrast enhanced unenhanced nc ce rest stress test retest"
)
SEQUENCES = _words(
    "t1w t2w pdw t1 t2 pd t1c t1n t1ce t1gd t1post t1pre t1km cet1 hrt2 t2f flair t2flair t2star t2starw adc dwi "
    "dti swi swan bold cine stir tse fse gre spgr mprage mp2rage space dixon inphase outphase oppphase opp in out "
    "water fat fatsat fs spir spair dual t1dual t2spir lge de bssfp truefisp perfusion dce dsc cbf cbv fgatir "
    "inv1 inv2 uni unit1 mra tof hbv asl sa la sax lax 4ch 2ch 3ch"
)
# Those that may stand in front of the rest: T1_P01, pre_P01.
LEADING = _words("t1w t2w t1 t2 t1c t1ce t1gd flair adc dwi swi pre post baseline followup preop postop")
MODALITIES = _words("ct cta cbct ldct ncct mr mri mrt pet petct suv us usg spect xr xray")
VIEWS = _words("ax axial tra trans transversal transverse sag sagittal cor coronal l r left right lh rh lt rt")
FILES = _words(
    "img image images im vol volume raw orig original nii seg label labels labelmap mask masks gt scan dicom dcm "
    "crop cropped resampled res reg registered norm normalized normalised n4 bias corrected bet brain stripped "
    "skullstripped defaced deface preprocessed proc processed warped hr lr iso 3d 4d"
)

# Words that name no person although no number stands beside them.
GENERIC = _words(
    "case cases patient patients pat subject subjects subj person id train training tr test testing ts val "
    "validation data dataset sample samples file study head abdomen thorax chest pelvis spine knee brain heart "
    "liver kidney kidneys spleen lung lungs pancreas prostate hippocampus colon la hepaticvessel tumor tumour "
    "lesion"
)
