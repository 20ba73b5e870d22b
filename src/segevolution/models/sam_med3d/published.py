"""SAM-Med3D's published file to a model folder of ours, strictly: exactly its names and shapes."""

import argparse
from pathlib import Path

from ..checkpoints import load_state, save_model
from ..outline import outlined
from ..published_state import read_state
from .config import SAM_MED3D
from .sam_med3d import SamMed3d

REPOSITORY = "blueyo0/SAM-Med3D"
FILE = "sam_med3d_turbo.pth"
CARD = f"""# SAM-Med3D (turbo), as published

license: Apache-2.0

Wang et al. 2023, arXiv:2310.15161; the file {FILE} of {REPOSITORY}. Trained on 44 public datasets of CT, MRI and more,
by clicks alone: a benchmark may hold what it has seen.

For research only; not a medical device.
"""


def convert_sam_med3d(source: Path, folder: Path, *, force: bool = True) -> None:
    """Write the published file as a model folder of ours.

    Args:
        source: the file, or a folder that holds it. Beside tensors it may hold an argparse.Namespace, as torch.save
            wrote the training's arguments; nothing else.
        folder: the model folder to write.

    Raises:
        CheckpointError: the file is not there, is damaged, holds anything else, or is another network's.
        OutputError: see save_model.
    """
    file = source / FILE if source.is_dir() else source
    state = read_state(file, under="model_state_dict", allowed=(argparse.Namespace,))
    with outlined():
        model = SamMed3d(SAM_MED3D)
    load_state(model, state, where=str(file), assign=True)
    save_model(model, folder, card=CARD, force=force)
