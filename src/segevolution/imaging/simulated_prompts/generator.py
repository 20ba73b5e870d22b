"""The one generator from which the prompts about a structure are drawn."""

import hashlib

import numpy as np


def prompt_generator(
    seed: int, dataset: str, case: str, structure: str, purpose: str | None = None
) -> np.random.Generator:
    """The generator of the prompts about one structure of one case.

    The same four values give the same prompts on any machine and for every model; another value of any of them gives
    others. Kinds of prompt that came later have a generator of their own (`purpose`), so that asking for them
    changes none of the earlier kinds.

    Args:
        seed: the prompt seed of a study.
        dataset, case, structure: names.
        purpose: such as "scribble".
    """
    words = [str(seed), dataset, case, structure, *([] if purpose is None else [purpose])]
    return np.random.default_rng(int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:8], "big"))
