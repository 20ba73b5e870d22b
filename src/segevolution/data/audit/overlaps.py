"""List what base models were trained on, so that no result on these data is called zero-shot.

A dataset is known by its name in the store, so that one prepared under a name of your own escapes; near-duplicates
across stores find such copies where both are there.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import VocabularyError
from ...vocabulary import Modality, did_you_mean
from ..record import CaseRecord
from .entries import AuditedCase
from .findings import Finding

CT, MRI = Modality.CT, Modality.MRI


@dataclass(frozen=True)
class KnownTrainingData:
    """Cases that a base model was trained on.

    Attributes:
        what: in words, with the source of the knowledge.
        pattern: of dataset names, searched in lower case with "_" for every other sign.
        modality: only cases of it, or of no known one; None: of any.
        except_patients: never trained on.
    """

    what: str
    pattern: str
    modality: Modality | None = None
    except_patients: frozenset[str] = frozenset()

    def holds(self, dataset: str, patient: str, modality: Modality | None) -> bool:
        """Whether a case is, or may be, one of these."""
        tidy = re.sub(r"[^a-z0-9]+", "_", dataset.lower())
        return (
            re.search(self.pattern, tidy) is not None
            and (None in (self.modality, modality) or modality is self.modality)
            and patient not in self.except_patients
        )


@dataclass(frozen=True)
class BaseTraining:
    """What a base model was trained on.

    Attributes:
        parts: the known ones; the first that holds a case names it.
        unlisted: what else it learned from and nobody has listed, in words; "" where `parts` are all.
    """

    parts: tuple[KnownTrainingData, ...]
    unlisted: str = ""


_Row = tuple[str, str, Modality | None]  # name, pattern and modality of a part that several lists name
_TOTAL_SEGMENTATOR: _Row = ("TotalSegmentator", r"total_?seg(?!.*mr)|ct_torso|ct_abdomen_dicom", CT)
_CT_ORG: _Row = ("CT-ORG", r"ct_?org", CT)


def _m3d(code: str, name: str, pattern: str, modality: Modality | None = CT) -> KnownTrainingData:
    return KnownTrainingData(f"{name} (M3D-Seg {code})", pattern, modality)


# M3D-Seg's own list (Bai et al. 2024, arXiv:2404.00578; dataset_info.txt of GoodBaiBai88/M3D-Seg on Hugging Face),
# on which SegVol was trained (Du et al. 2023, arXiv:2311.13385); which patients were held out cannot be told by name.
_M3D_SEG = (
    _m3d("0000", "CHAOS, its CT", r"chaos"),
    _m3d("0001", "HaN-Seg", r"han_?seg"),
    _m3d("0002", "AMOS22, its CT", r"amos"),
    KnownTrainingData("AMOS22 (M3D-Seg 0002 counts 39 of its MRIs as CT, and does not say which)", r"amos", MRI),
    _m3d("0003", "AbdomenCT-1K", r"abdomen_?ct_?1k"),
    _m3d("0004", "KiTS23", r"kits"),
    _m3d("0005", "KiPA22", r"kipa"),
    _m3d("0007", "BTCV", r"btcv|bcv|synapse"),
    _m3d("0008", "Pancreas-CT", r"pancreas_?ct|nih_?pancreas"),
    _m3d("0009", "3D-IRCADb", r"ircad"),
    _m3d("0010", "FLARE22", r"flare|abdomenct_12"),
    _m3d("0011", *_TOTAL_SEGMENTATOR),
    _m3d("0012", *_CT_ORG),
    _m3d("0013", "WORD", r"(^|_)word(_|$)"),
    _m3d("0014, 0015", "VerSe19 and VerSe20", r"verse"),
    _m3d("0016", "SLIVER07", r"sliver"),
    _m3d("0017", "QUBIQ", r"qubiq", None),
    _m3d("0018", "MSD colon", r"task_?10|(^|_)colon(_|$)"),
    _m3d("0019", "MSD hepatic vessels", r"task_?0?8|hepatic_?vessel"),
    _m3d("0020", "MSD liver", r"task_?0?3|lits|(^|_)liver(_|$)"),
    _m3d("0021", "MSD lung", r"task_?0?6|(^|_)lung(_|$)"),
    _m3d("0022", "MSD pancreas", r"task_?0?7|(^|_)pancreas(_|$)"),
    _m3d("0023", "MSD spleen", r"task_?0?9|(^|_)spleen(_|$)"),
    _m3d("0024", "LUNA16", r"luna|lidc"),
    KnownTrainingData("M3D-Seg", r"m3d_?seg|^m3d|^00(0\d|1\d|2[0-4])$"),
)

# Its model card, and `pretraining/trainings/segvol_mini.yaml`, which a test compares with this.
MINI_HELD_OUT = frozenset({"btcv_04", "btcv_11", "btcv_12", "btcv_21", "btcv_29"})
_MINI = (
    KnownTrainingData("BTCV, but for five patients", r"btcv|bcv|synapse", CT, MINI_HELD_OUT),
    KnownTrainingData("TotalSegmentator's torso CT", r"ct_torso"),
    KnownTrainingData("simulated torsos", r"^sim_torso$", CT),
    KnownTrainingData("simulated heads", r"^sim_head$", CT),
    KnownTrainingData("SynthSeg's head label maps, as made CT", r"^labels_head$", CT),
    KnownTrainingData("the SPL abdominal atlas, as made CT", r"^labels_abdomen$", CT),
    KnownTrainingData("KiTS19's label maps, as made CT", r"^labels_kidney$", CT),
    KnownTrainingData("label maps of the Decathlon's prostates, as made CT", r"^labels_prostate$", CT),
)


def _listed(where: str, *rows: _Row) -> tuple[KnownTrainingData, ...]:
    """Parts that one list names, each by its name, pattern and modality."""
    return tuple(KnownTrainingData(f"{name} ({where})", pattern, modality) for name, pattern, modality in rows)


_AMOS: _Row = ("AMOS22, its CT and its MRI", r"amos", None)

# LiteMedSAM "was trained on this medical image dataset", the CVPR 2024 challenge's (its author, bowang-lab/MedSAM issue
# 255). These are its CT and MRI sets, by the names of the challenge's files as two entrants' public code lists them.
_LITEMEDSAM = _listed(
    "the CVPR 2024 challenge's training set",
    _AMOS,
    ("tumours: the Decathlon's colon, liver, pancreas and hepatic vessels", r"task_?(10|0?[378])", CT),
    ("AbdomenCT-1K, which holds LiTS, KiTS, Pancreas-CT and the Decathlon's spleens",
     r"abdomen_?ct_?1k|lits|kits|pancreas|task_?0?9|(^|_)(liver|spleen|colon)(_|$)", CT),
    _CT_ORG,
    ("COVID-19-20", r"covid", CT),
    ("lungs (LIDC-IDRI, LCTSC and others)", r"lidc|luna|lctsc|lung", CT),
    _TOTAL_SEGMENTATOR,
    ("BraTS", r"brats", MRI),
    ("CervicalCancer", r"cervi", MRI),
    ("crossMoDA", r"cross_?moda", MRI),
    ("the Decathlon's left atria", r"task_?0?2", MRI),
    ("ISLES22", r"isles", MRI),
    ("WMH", r"(^|_)wmh", MRI),
    ("a set of spines", r"spine", MRI),
    ("prostates of several sets, ProstateX, NCI-ISBI, QIN-PROSTATE and the Decathlon's among them",
     r"prostat|promise|saml|nci_?isbi|task_?0?5", MRI),
)  # fmt: skip

# The 44 sets of SAM-Med3D-turbo as its authors list them (uni-medical/SAM-Med3D issue 2, again in 39).
_SAM_MED3D = _listed(
    "SAM-Med3D-turbo's list",
    ("CHAOS, task 4, its CT and its MRI", r"chaos", None),
    _AMOS,
    ("BraTS 2020 and 2021, and the Decathlon's brain tumours", r"brats|task_?0?1(_|$)|brain_?tumou?r", MRI),
    ("PROMISE12 and PROMISE09", r"promise", MRI),
    ("Prostate MRI Segmentation Dataset (SAML)", r"saml|prostate_mri_seg", MRI),
    ("the Decathlon's prostates", r"task_?0?5", MRI),
    ("left atria (LAScarQS22, STACOM SLAWT, Heart_Seg_MRI)", r"scarqs|slawt|left_?atri|task_?0?2|heart_?seg", MRI),
    ("MM-WHS", r"mm_?whs", None),
    ("ISLES, SISS and SPES", r"isles", MRI),
    ("COSMOS2022", r"cosmos", MRI),
    ("Brain PTM", r"brain_?ptm", MRI),
    ("CAUSE07", r"cause_?07", MRI),
    ("BTCV, its cervix part alone", r"cervi", CT),
    ("AbdomenCT-1K, FLARE21 and FLARE22", r"abdomen_?ct_?1k|flare", CT),
    ("LiTS and the Decathlon's livers", r"lits|task_?0?3|(^|_)liver(_|$)", CT),
    ("KiTS and KiTS21", r"kits", CT),
    ("KiPA22", r"kipa", CT),
    ("the Decathlon's pancreas, hepatic vessels, spleens and colons",
     r"task_?(0?[789]|10)|hepatic_?vessel|(^|_)(pancreas|spleen|colon)(_|$)", CT),
    _TOTAL_SEGMENTATOR,
    ("WORD", r"(^|_)word(_|$)", CT),
    _CT_ORG,
    ("CTPelvic1K", r"pelvic", CT),
    ("SegTHOR", r"segthor", CT),
    ("SLIVER07", r"sliver", CT),
    ("VerSe19 and VerSe20", r"verse", CT),
    ("lungs (ATM22, Parse22, VESSEL12, COVID-19)", r"(^|_)atm|parse_?22|vessel_?(20)?12|covid", CT),
)  # fmt: skip

_MEDSAM_TABLES = "MedSAM's own training sets stand in a supplement that has not been held against these names"

# segvol-mini-2, its expert and segvol-mini-3 went on with part of segvol-mini's data, and kept the same patients aside.
BASES: dict[str, BaseTraining] = {
    "segvol": BaseTraining(_M3D_SEG),
    "segvol-mini": BaseTraining(_MINI),
    "segvol-mini-2": BaseTraining(_MINI),
    "segvol-mini-3": BaseTraining(_MINI),
    "segvol-mini-mri": BaseTraining(_MINI),
    "litemedsam": BaseTraining(_LITEMEDSAM, f"its encoder was distilled from MedSAM, and {_MEDSAM_TABLES}"),
    "medsam": BaseTraining((), _MEDSAM_TABLES),
    "sam-med3d": BaseTraining(_SAM_MED3D, "its authors list its important training sets, not all"),
}


def base_of(name: str) -> str | None:
    """The base of BASES that a model's name, such as "BAAI/SegVol", or its folder says; None where it says none."""
    last = re.split(r"[/\\]", name.rstrip("/"))[-1].lower().replace("_", "-").partition("@")[0]
    return last if last in BASES else None


def require_base(name: str) -> str:
    """The base, if its training data are known here; VocabularyError otherwise."""
    base = base_of(name)
    if base is None:
        hint = did_you_mean(name.lower(), BASES, f"known are {', '.join(BASES)}.")
        raise VocabularyError(f'what "{name}" was trained on is not known; {hint}')
    return base


def seen_by(base: str, dataset: str, record: CaseRecord) -> str | None:
    """What part of a base's training data a case is, in words; None where it is none, or the base is not known.

    Args:
        dataset: the name to go by beside the record's own, such as a study's.
    """
    for part in BASES[base].parts if base in BASES else ():
        if any(part.holds(name, record.patient, record.modality) for name in {dataset, record.dataset}):
            return part.what
    return None


def check_overlaps(entries: Iterable[AuditedCase], base: str) -> list[Finding]:
    """One finding for each part of a base's training data that the stores hold, and one if not all of it is known.

    Raises:
        VocabularyError: nobody has said what the base was trained on.
    """
    base = require_base(base)
    parts: dict[tuple[str, str], list[str]] = defaultdict(list)
    everyone: Sequence[AuditedCase] = tuple(entries)
    for entry in everyone:
        known_data = seen_by(base, entry.record.dataset, entry.record)
        if known_data is not None:
            parts[entry.record.dataset, known_data].append(entry.name)
    findings = []
    for (dataset, known_data), cases in parts.items():
        of = sum(entry.record.dataset == dataset for entry in everyone)
        message = (
            f"{len(cases)} of {of} cases of {dataset} were, or may have been, in the training of {base}: {known_data}."
        )
        remedy = f"Call no result of {base} on them zero-shot; show what it learned on other data."
        findings.append(Finding("overlap", "warning", tuple(cases), message, remedy))
    if unlisted := BASES[base].unlisted:
        message = f"What {base} was trained on is known in part: {unlisted}."
        findings.append(Finding("overlap", "note", (), message, f"Call no result of {base} zero-shot."))
    return findings
