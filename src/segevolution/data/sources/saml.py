"""SAML's multi-site prostates (Liu et al. 2020, MICCAI, arXiv:2007.02035): T2-weighted, from three public collections.

    Processed_data_nii/{RUNMC,BMC,I2CVB,UCL,BIDMC,HK}/CaseXX.nii.gz
    beside each CaseXX_segmentation.nii.gz, in BMC CaseXX_Segmentation.nii.gz: capitals do not count here, on any disk

Labels 1 and 2 are both prostate. Some sites draw zones with them, but which is which is not said, so they are merged.
Not new patients: BIDMC, HK and UCL are training cases of PROMISE12, RUNMC overlaps the Decathlon's prostate task.
`data check` over the stores finds them by the content of their images.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...vocabulary import Modality
from .base import Overrides, Provenance
from .naming import images_in, matched, nested_folders
from .paired import PairedSource, kept_once
from .pairs import Pair

SITES = ("RUNMC", "BMC", "I2CVB", "UCL", "BIDMC", "HK")
_IMAGE = re.compile(r"(case\d+)", re.IGNORECASE)
_LABEL = re.compile(r"(case\d+)_segmentation", re.IGNORECASE)


class SAMLSource(PairedSource):
    """A folder of sites' folders, or one that holds it.

    Raises:
        StoreError: no site's folder holds a mask; of `index`, a case is there twice.
    """

    name: ClassVar[str] = "saml"
    summary: ClassVar[str] = "SAML: Processed_data_nii/{RUNMC,BMC,I2CVB,UCL,BIDMC,HK}/CaseXX(_segmentation).nii.gz"
    provenance: ClassVar[Provenance] = Provenance(
        "that of its sources",
        "https://liuquande.github.io/SAML/",
        "Download Processed_data_nii.zip from the page and unpack it. BIDMC, HK and UCL are training cases of "
        "PROMISE12, RUNMC overlaps the Decathlon's prostate task: run data check over these stores together.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._dataset = self.overrides.dataset or "saml"
        self._licence = self.provenance.licence
        self._structures = {"prostate": (1, 2)}
        if not self.recognises(self.path):
            raise StoreError(
                f"{self.path} is not in SAML's layout: it holds none of the folders {', '.join(SITES)} with "
                "CaseXX_segmentation.nii.gz; check the folder."
            )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a site's folder with a mask lies here or one level below."""
        return any(_LABEL.fullmatch(stem) for folder in _sites(Path(path)) for stem in images_in(folder))

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        return kept_once(pair for folder in self._files for pair in self._pairs_in(folder))

    def _pairs_in(self, folder: Path) -> Iterable[Pair]:
        """The cases of a site."""
        site, files = folder.name.upper(), self._files[folder].by_stem
        images, labels = (matched(files, pattern, str.capitalize) for pattern in (_IMAGE, _LABEL))
        for case in images.keys() | labels.keys():
            name = f"{site}_{case}"
            image = images.get(case, folder / f"{case}.nii.gz")
            label = labels.get(case, folder / f"{case}_segmentation.nii.gz")
            yield Pair(name, name, image, label, Modality.MRI, "T2", patient=name, site=site)

    @property
    def _folders(self) -> Iterable[Path]:
        return _sites(self.path)


def _sites(path: Path) -> list[Path]:
    return [folder for folder in nested_folders(path) if folder.name.upper() in SITES]
