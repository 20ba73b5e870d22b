"""BraTS 2021 (Baid et al. 2021, arXiv:2107.02314): four sequences of one patient and one label map for all four.

    BraTS2021_00000/BraTS2021_00000_{flair,t1,t1ce,t2,seg}.nii.gz

The folders lie in the given one or one level below it. Labels: 1 necrotic core, 2 oedema, 4 enhancing tumour; there is
no 3. A patient without `seg` (the validation set) has no cases.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...vocabulary import Modality
from .base import Overrides, Provenance
from .naming import nested_folders
from .paired import PairedSource, kept_once
from .pairs import Pair
from .structure_names import unions_of

_PATIENT = re.compile(r"BraTS2021_\d{5}")
_SEQUENCES = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1-CE", "t2": "T2"}
_LABELS: dict[str, tuple[int, ...]] = {
    "brain tumour necrotic core": (1,),
    "brain tumour oedema": (2,),
    "brain tumour enhancing": (4,),
}


class BraTSSource(PairedSource):
    """A folder of patients' folders; each sequence is a case.

    Raises:
        StoreError: there is no patient's folder; of `index`, a patient has two.
    """

    name: ClassVar[str] = "brats"
    summary: ClassVar[str] = "BraTS 2021: BraTS2021_00000/BraTS2021_00000_{flair,t1,t1ce,t2,seg}.nii.gz"
    provenance: ClassVar[Provenance] = Provenance(
        "the challenge's terms",
        "https://www.synapse.org/brats2021",
        "Register at Synapse, join the challenge, download BraTS2021_Training_Data.tar and unpack it.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._dataset = self.overrides.dataset or "brats2021"
        self._licence = self.provenance.licence
        self._structures = _LABELS | unions_of(_LABELS)[0]
        if not self.recognises(self.path):
            raise StoreError(f"{self.path} is not in BraTS 2021's layout: it holds no folder such as BraTS2021_00000.")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a patient's folder lies here or one level below."""
        return any(_PATIENT.fullmatch(folder.name) for folder in nested_folders(Path(path)))

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        return kept_once(pair for folder in self._files for pair in self._pairs_in(folder))

    def _pairs_in(self, folder: Path) -> Iterable[Pair]:
        """The sequences of a patient, none where there is no label map."""
        files = self._files[folder].by_stem
        label = files.get(f"{folder.name}_seg")
        if label is None:
            return
        for ending, sequence in _SEQUENCES.items():
            stem = f"{folder.name}_{ending}"
            image = files.get(stem, folder / f"{stem}.nii.gz")
            yield Pair(stem, stem, image, label, Modality.MRI, sequence, patient=folder.name)

    @property
    def _folders(self) -> Iterable[Path]:
        return [folder for folder in nested_folders(self.path) if _PATIENT.fullmatch(folder.name)]
