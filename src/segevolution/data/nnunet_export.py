"""Cases of stores written in nnU-Net's raw layout, with the split of a study.

    nnUNet_raw/<dataset>/dataset.json
    nnUNet_raw/<dataset>/imagesTr/<case>_0000.nii.gz
    nnUNet_raw/<dataset>/labelsTr/<case>.nii.gz
    nnUNet_preprocessed/<dataset>/splits_final.json

Source: nnU-Net's documentation, "dataset format" (version 2). The signal is written as measured; nnU-Net normalises it
by the channel's name, "CT" or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from ..files import replacing, write_json
from ..imaging.case import Case
from ..imaging.formats import write_mask, write_volume
from ..imaging.volume import Volume
from ..vocabulary import Modality
from .store import Store

ENDING = ".nii.gz"
SPLITS = "splits_final.json"


@dataclass(frozen=True)
class ExportedCase:
    """A case of a store, and what nnU-Net calls it."""

    store: Store
    case: str
    name: str


def export_nnunet(cases: Sequence[ExportedCase], structures: Sequence[str], folder: Path) -> None:
    """Write cases as one dataset of nnU-Net, whole or not at all.

    Args:
        cases: labelled alike, of CT alone or without any.
        structures: label 1 + i is structure i.
        folder: of the dataset, such as nnUNet_raw/Dataset500_study; it is replaced.

    Raises:
        StoreError: there is no case, some are CT and others are not, or a case lacks the labels of a structure.
        OutputError: the folder cannot be written.
    """
    if not cases:
        raise StoreError("no case is there to be exported to nnU-Net.")
    are_ct = {entry.store.record(entry.case).modality is Modality.CT for entry in cases}
    if len(are_ct) > 1:
        raise StoreError("nnU-Net normalises a channel in one way, so a dataset of CT and MRI cannot be exported.")
    for entry in cases:
        record = entry.store.record(entry.case)
        lacking = sorted(set(structures) - entry.store.labelled(record.dataset, record.modality))
        if lacking:
            raise StoreError(
                f"{entry.case} comes from a dataset that does not label {', '.join(lacking)}, which nnU-Net would "
                "learn as background; export data that are labelled alike."
            )
    with replacing(folder) as temporary:
        for part in ("imagesTr", "labelsTr"):
            (temporary / part).mkdir(parents=True)
        for entry in cases:
            case = entry.store.read(entry.case)
            write_scan(case.volume, temporary / "imagesTr", entry.name)
            write_mask(label_map(case, structures), case.volume, temporary / "labelsTr" / f"{entry.name}{ENDING}")
        labels = {"background": 0, **{name: number for number, name in enumerate(structures, start=1)}}
        channel = "CT" if are_ct == {True} else "MRI"
        description = {
            "channel_names": {"0": channel},
            "labels": labels,
            "numTraining": len(cases),
            "file_ending": ENDING,
        }
        write_json(temporary / "dataset.json", description)


def write_scan(volume: Volume, folder: Path, name: str) -> Path:
    """Write the one channel of a scan as nnU-Net names it; returns the file."""
    path = folder / f"{name}_0000{ENDING}"
    write_volume(volume, path)
    return path


def label_map(case: Case, structures: Sequence[str]) -> npt.NDArray[np.uint16]:
    """(X, Y, Z): 1 + i is structure i; a later one covers an earlier one."""
    labels = np.zeros(case.labels.shape, np.uint16)
    for number, name in enumerate(structures, start=1):
        if name in case.structures:
            labels[case.mask(name)] = number
    return labels


def write_splits(folder: Path, train: Sequence[str], validation: Sequence[str]) -> None:
    """Write the one fold that nnU-Net is to train, into its folder of preprocessed data of the dataset.

    Where nobody validates, those who train stand there, too: nnU-Net needs some to compute its pseudo Dice, by which
    it chooses nothing that is used here.
    """
    write_json(folder / SPLITS, [{"train": list(train), "val": list(validation or train)}])
