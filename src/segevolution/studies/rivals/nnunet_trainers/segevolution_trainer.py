"""nnU-Net's own trainer with a seed and a stated number of epochs and iterations.

Two things more are changed, neither of which the weights notice: a training on processors takes as many threads as it
was given processors, and the last prediction of validation cases is left out, because the study measures.

nnU-Net finds it through the variable nnUNet_extTrainer and makes it in its own process, so that the numbers come
through variables, too.
"""

import os
import random
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class SegevolutionTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnU-Net carries no types
    """See nnUNetTrainer, which reads the names of these arguments."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        seed = int(os.environ["SEGEVOLUTION_NNUNET_SEED"])
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self.num_epochs = int(os.environ["SEGEVOLUTION_NNUNET_EPOCHS"])
        self.num_iterations_per_epoch = int(os.environ["SEGEVOLUTION_NNUNET_ITERATIONS"])
        self.num_val_iterations_per_epoch = int(os.environ["SEGEVOLUTION_NNUNET_VALIDATION_ITERATIONS"])
        self.save_every = 1
        if device.type == "cpu":  # nnU-Net takes all of the machine's, however few of them it may use
            torch.set_num_threads(int(os.environ["SEGEVOLUTION_NNUNET_THREADS"]))

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Nothing: the study predicts and measures its own patients."""
