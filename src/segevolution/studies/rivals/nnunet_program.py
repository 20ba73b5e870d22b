"""nnU-Net as another program: its commands, found beside this Python or on the path, in a folder of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import RecipeError
from .nnunet_trainers import __file__ as trainers

NUMBER = 500
DATASET = f"Dataset{NUMBER}_study"
TRAINER = "SegevolutionTrainer"
PLANS = "nnUNetPlans"
LOG = "nnunet.log"
COMMANDS = ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict")
_SHOWN = 300  # characters of what it said last


@dataclass(frozen=True)
class NnUnetProgram:
    """nnU-Net with the three folders that it works in.

    Attributes:
        folder: holds nnUNet_raw, nnUNet_preprocessed, nnUNet_results and the log.
        variables: of its environment beside these.
    """

    folder: Path
    variables: Mapping[str, str]

    @property
    def raw(self) -> Path:
        """The raw dataset."""
        return self.folder / "nnUNet_raw" / DATASET

    @property
    def preprocessed(self) -> Path:
        """The preprocessed dataset."""
        return self.folder / "nnUNet_preprocessed" / DATASET

    def results(self, configuration: str) -> Path:
        """What a training of a configuration leaves."""
        return self.folder / "nnUNet_results" / DATASET / f"{TRAINER}__{PLANS}__{configuration}" / "fold_0"

    def run(self, command: str, *arguments: str) -> None:
        """Run one of its commands to the end.

        Raises:
            RecipeError: nnU-Net is not installed, or the command failed.
        """
        program = find_command(command)
        folders = {name: str(self.folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        environment = {**os.environ, **folders, "nnUNet_extTrainer": str(Path(trainers).parent), **self.variables}
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / LOG
        with log.open("ab") as stream:
            ended = subprocess.run(
                [program, *arguments], env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
            )
        if ended.returncode:
            raise RecipeError(f"{command} failed with status {ended.returncode} ({_last_line(log)}); see {log}.")


def find_command(command: str) -> str:
    """Where a command of nnU-Net lies; RecipeError where it is not installed."""
    beside = Path(sys.executable).with_name(command)
    program = str(beside) if beside.is_file() else shutil.which(command)
    if program is None:
        raise RecipeError(
            f"nnunet needs nnU-Net, which is not installed ({command} is neither beside this Python nor on the path); "
            "pip install 'segevolution[nnunet]', or install nnunetv2 elsewhere and put its commands on the path."
        )
    return program


def require_commands(commands: Sequence[str] = COMMANDS) -> None:
    """Find all of its commands before any work; raises as `find_command`."""
    for command in commands:
        find_command(command)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:_SHOWN] if lines else "it said nothing"
