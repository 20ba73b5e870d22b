"""Write draws.json: what training and evaluation drew as prompts at the commit that first wrote it (e9317ca).

python tests/golden/make_draws.py    # only where draws are meant to change, with a word in the changelog
"""

import hashlib
import importlib.util
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segevolution.evaluation.questions import Questions, simulated_prompts
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.training.batches import StepDataset
from segevolution.vocabulary import Modality

FOLDER = Path(__file__).parent
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "published": {"sample": {"views": 1, "structures": 2, "all_combinations": True, "absent": 1.0}},
    "errs": {
        "prompt": {"few": 0.3, "many": 0.3, "border": 0.5, "wrong": 0.2, "coarse": 0.5, "box_larger": 0.4},
        "sample": {"views": 2, "structures": 2, "prompts": 4},
    },
    "words": {"prompt": {"templates": {"ct": 1.0, "neutral": 1.0}, "synonyms": 0.5, "box_smaller": 0.3}},
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "five voxels": {"box_jitter": 5.0, "seed": 2},
    "one point": {"points": 1, "prompts": ("point", "text+box")},
}


def training_draws(toy: Any) -> dict[str, list[str]]:
    """Settings -> digest of each of three batches' prompts, of which no tensor may change by a bit."""
    draws = {}
    for name, changes in SETTINGS.items():
        chosen = toy.settings(**changes)
        spec = toy.model().spec
        parts = {"sample": chosen.sample, "view": chosen.view, "prompt": chosen.prompt, "intensity": chosen.intensity}
        dataset = StepDataset(toy.groups(), spec, 3, seed=5, **parts)
        draws[name] = [_digest(dataset[index]) for index in range(3)]
    return draws


def evaluation_draws() -> dict[str, Any]:
    """Questions -> structure -> kind -> the prompt's own numbers."""
    case, draws = _case(), {}
    for name, changes in QUESTIONS.items():
        questions = Questions(**changes)
        draws[name] = {
            structure: {
                kind: [prompt.text, prompt.points, prompt.labels, prompt.box and [prompt.box.low, prompt.box.high]]
                for kind, prompt in simulated_prompts(case, structure, questions).items()
            }
            for structure in ("liver", "spleen")
        }
    return json.loads(json.dumps(draws))


def _case() -> Case:
    labels = np.zeros((24, 28, 12), np.uint8)
    labels[3:12, 5:15, 2:9], labels[16:21, 14:20, 4:9] = 1, 2
    grid = Grid((24, 28, 12), np.diag([2.0, 2.0, 3.0, 1.0]))
    signal = labels.astype(np.float32)
    return Case(
        "toy", "patient", "toys", Volume(signal, grid, Modality.MRI, "toy"), labels, {"liver": (1,), "spleen": (2,)}
    )


def _digest(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in ("prompts", "contexts", "targets", "multimask"):
        _feed(digest, getattr(value, part))
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(str((value.dtype, tuple(value.shape))).encode() + value.numpy().tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            inside = getattr(value, part.name)
            if inside is not None:  # so that a field added later changes nothing until it is filled
                digest.update(part.name.encode())
                _feed(digest, inside)
    elif isinstance(value, tuple):
        for entry in value:
            _feed(digest, entry)
    else:
        digest.update(repr(value).encode())


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("toy", FOLDER.parent / "training" / "toy.py")
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    draws = {"training": training_draws(toy), "evaluation": evaluation_draws()}
    (FOLDER / "draws.json").write_text(json.dumps(draws, indent=1) + "\n", encoding="utf-8")
