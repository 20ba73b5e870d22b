"""The loggers that write a run's curves: CSV always works, the others need a package.

Each call of a run logs under a number of its own, since Lightning's CSV logger empties the folder it is given.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers import Logger as LightningLogger

from ..errors import RecipeError
from .settings import FitSettings, Logger


def loggers(settings: FitSettings, folder: Path) -> list[LightningLogger]:
    """The loggers that the settings name.

    Raises:
        RecipeError: the package of one is not installed.
    """
    for name in settings.loggers:
        if name != "csv" and find_spec(name) is None:
            raise RecipeError(f"loggers names {name}, which is not installed; pip install {name}, or leave it out.")
    return [_MAKE[name](folder) for name in settings.loggers]


def _csv(folder: Path) -> LightningLogger:
    return CSVLogger(folder, name="curves", version=_free(folder / "curves"), flush_logs_every_n_steps=10)


def _tensorboard(folder: Path) -> LightningLogger:
    return TensorBoardLogger(folder, name="tensorboard", version=_free(folder / "tensorboard"))


def _wandb(folder: Path) -> LightningLogger:
    return WandbLogger(name=folder.parent.name, save_dir=folder)


def _mlflow(folder: Path) -> LightningLogger:
    return MLFlowLogger(experiment_name=folder.parent.name, tracking_uri=f"file:{folder / 'mlruns'}")


_MAKE: dict[Logger, Callable[[Path], LightningLogger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}


def _free(folder: Path) -> str:
    return str(sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0)
