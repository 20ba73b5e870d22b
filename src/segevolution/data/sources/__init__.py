"""Datasets in their own layouts. A new one is one file here and one line in SOURCES."""

from pathlib import Path

from ...errors import StoreError
from ...vocabulary import did_you_mean
from .amos import AMOSSource
from .base import Decision, Overrides, Source
from .bids import BIDSSource
from .brats import BraTSSource
from .chaos import CHAOSSource
from .dicom import DICOMSource
from .folder import FolderSource, read_folder_header
from .headers import read_dataset_header
from .m3d_seg import M3DSegSource
from .msd import MSDSource
from .naming import contents
from .nnunet import NnUNetSource
from .promise12 import PROMISE12Source
from .saml import SAMLSource
from .single import SingleSource
from .t2w_prostate import T2WProstateSource

__all__ = ["SOURCES", "Decision", "Overrides", "Source", "open_source"]

SOURCES: dict[str, type[Source]] = {
    source.name: source
    for source in (
        CHAOSSource,
        AMOSSource,
        M3DSegSource,
        BraTSSource,
        PROMISE12Source,
        SAMLSource,
        T2WProstateSource,
        MSDSource,
        NnUNetSource,
        BIDSSource,
        FolderSource,
        SingleSource,
        DICOMSource,
    )
}


def open_source(name: str, path: Path, overrides: Overrides | None = None) -> Source:
    """The dataset at a folder.

    Args:
        name: a key of SOURCES, or "auto" for the first that recognises the folder.

    Raises:
        StoreError: no source of that name, nothing recognises the folder, or its layout is not the one named.
    """
    path = Path(path)
    if not path.is_dir():
        raise StoreError(f"{path} is not a folder; give the folder that holds the dataset.")
    if name == "auto":
        name = next((key for key, source in SOURCES.items() if source.recognises(path)), "")
        if not name:
            _read_headers(path)
            raise StoreError(
                f"{path} is in no layout that is known; known are {', '.join(SOURCES)} (see data sources). It holds "
                f"{contents(path)}."
            )
    if name not in SOURCES:
        hint = did_you_mean(name, SOURCES, f"known are {', '.join(SOURCES)}.")
        raise StoreError(f'"{name}" is not a source; {hint}')
    return SOURCES[name](path, overrides)


def _read_headers(path: Path) -> None:
    """Say what is wrong with a description that no layout could read; nothing where there is none."""
    if (path / "dataset.json").is_file():
        read_dataset_header(path / "dataset.json")
    if (path / "labels.json").is_file():
        read_folder_header(path / "labels.json")
