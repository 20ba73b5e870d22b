"""Explain what an adapter of context priors has learned from its file alone: which structures its tokens put together.

Tokens start at random, each by its name, and this start is known; so beside the tokens themselves it is told how
they moved, which is what the data taught.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AdapterError
from ..files import replacing
from ..imaging.grid import Array
from ..vocabulary import canonical
from .artifact import WEIGHTS, describe
from .prior import ContextPriorAdapter, ContextPriorConfig
from .prior.adapter import POOL
from .prior.figures import draw_maps, draw_similarity
from .prior.maps import principal_components, tsne
from .prior.token_pool import first, key, names_in
from .state_checks import read_state

STUDY_QUESTION = ("left adrenal gland", "right adrenal gland", "right kidney", "left kidney")
"""The study asked: left adrenal - right adrenal + right kidney, is that near to left kidney? It found -0.11."""


@dataclass(frozen=True)
class Analogy:
    """One word2vec-like question (Mikolov et al. 2013): is a - b + c near to d?

    Attributes:
        terms: a, b, c, d.
        cosine: between a - b + c and d.
        rank: of d by this cosine among all structures but a, b and c; 1 is the nearest.
        among: how many these are.
    """

    terms: tuple[str, str, str, str]
    cosine: float
    rank: int
    among: int


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the tokens of structures say, S of them.

    Attributes:
        structures: in the adapter's order.
        similarity: (S, S) cosines of the tokens; of a structure with several tokens, all of them in a row.
        moved_similarity: (S, S) cosines of how they moved from their start; 0 where one did not move.
        moved: (S,) length of the move over length of the start (over 1 where the start is zero).
        pca, tsne: (S, 2) maps of the tokens.
        analogies: the study's question first, then for every other pair of sided structures; empty without such.
        moved_analogies: the same of the moves.
        added: by structure, length of the additive part over length of the mask tokens, where it was measured.
    """

    structures: tuple[str, ...]
    similarity: Array
    moved_similarity: Array
    moved: Array
    pca: Array
    tsne: Array
    analogies: tuple[Analogy, ...]
    moved_analogies: tuple[Analogy, ...]
    added: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "structures": list(self.structures),
            "similarity": self.similarity.round(6).tolist(),
            "moved_similarity": self.moved_similarity.round(6).tolist(),
            "moved": self.moved.round(6).tolist(),
            "pca": self.pca.round(6).tolist(),
            "tsne": self.tsne.round(6).tolist(),
            "analogies": [_analogy_values(each) for each in self.analogies],
            "moved_analogies": [_analogy_values(each) for each in self.moved_analogies],
            "added": dict(self.added),
        }


def explain(folder: Path) -> Explanation:
    """Read an adapter's tokens and compare them; no network is needed.

    Raises:
        AdapterError: the folder is no whole adapter, not one of context priors, or holds no structure.
    """
    described = describe(folder)
    if described["method"] != ContextPriorAdapter.method:
        raise AdapterError(
            f"{folder} is a {described['method']} adapter; only {ContextPriorAdapter.method} has tokens to explain."
        )
    config = ContextPriorConfig.from_dict(described["settings"])
    state = read_state(Path(folder) / WEIGHTS)
    stored = names_in(state, POOL, "structures")
    taught = dict.fromkeys(canonical(name) for name in described.get("structures", ()))
    names = (*(name for name in taught if name in stored), *(name for name in stored if name not in taught))
    if not names:
        raise AdapterError(f"{folder} was taught no structure, so there is nothing to explain.")
    tokens = np.stack([_numbers(state[f"{POOL}structures.{key(name)}"]) for name in names])
    count = config.structure_tokens
    width = tokens.shape[1] // count
    starts = np.stack(
        [_numbers(first("structures", name, count, width, config.token_init, config.seed)) for name in names]
    )
    lengths = np.linalg.norm(starts, axis=1)
    moves = tokens - starts
    return Explanation(
        structures=names,
        similarity=cosines(tokens, tokens),
        moved_similarity=cosines(moves, moves),
        moved=np.linalg.norm(moves, axis=1) / np.where(lengths > 0, lengths, 1.0),
        pca=principal_components(tokens),
        tsne=tsne(tokens),
        analogies=analogies(names, tokens),
        moved_analogies=analogies(names, moves),
    )


def write_explanation(explanation: Explanation, folder: Path, *, force: bool = False) -> None:
    """Write tables (structures.csv, similarity.csv, analogies.csv) and figures (similarity.png, map.png).

    Args:
        explanation: of one adapter.
        folder: written whole or not at all.
        force: replace it where it exists.

    Raises:
        OutputError: the folder exists and `force` is False, or cannot be written.
    """
    names = explanation.structures
    places = np.concatenate([explanation.pca, explanation.tsne], axis=1)
    structures: list[list[Any]] = [["structure", "moved", "added", "pca_1", "pca_2", "tsne_1", "tsne_2"]]
    for name, moved, place in zip(names, explanation.moved, places, strict=True):
        structures.append([name, moved, explanation.added.get(name, ""), *place])
    similarity: list[list[Any]] = [["structure", *names]]
    similarity += [[name, *row] for name, row in zip(names, explanation.similarity, strict=True)]
    analogy_rows: list[list[Any]] = [["of", "question", "cosine", "rank", "among"]]
    for of, analogies in (("tokens", explanation.analogies), ("moves", explanation.moved_analogies)):
        analogy_rows += [[of, *_analogy_values(each).values()] for each in analogies]
    with replacing(Path(folder), force=force) as temporary:
        temporary.mkdir()
        for name, rows in (("structures", structures), ("similarity", similarity), ("analogies", analogy_rows)):
            with (temporary / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        matrices = {"tokens": explanation.similarity, "how they moved": explanation.moved_similarity}
        (temporary / "similarity.png").write_bytes(draw_similarity(names, matrices))
        maps = {"principal components": explanation.pca, "t-SNE": explanation.tsne}
        (temporary / "map.png").write_bytes(draw_maps(names, maps))


def analogies(names: tuple[str, ...], tokens: Array) -> tuple[Analogy, ...]:
    """The study's question, then left x - right x + right y against left y for every other pair of sides.

    Args:
        names: S structures.
        tokens: (S, K).
    """
    sided = [name.removeprefix("left ") for name in names if name.startswith("left ")]
    sided = [plain for plain in sided if f"right {plain}" in names]
    questions = [(f"left {x}", f"right {x}", f"right {y}", f"left {y}") for x in sided for y in sided if x != y]
    questions.sort(key=lambda terms: terms != STUDY_QUESTION)
    return tuple(_ask(terms, names, tokens) for terms in questions)


def cosines(one: Array, other: Array) -> Array:
    """(A, K) and (B, K) -> (A, B); 0 where a vector is zero."""
    lengths = np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1))
    return np.asarray(np.where(lengths > 0, one @ other.T / np.where(lengths > 0, lengths, 1.0), 0.0))


def _ask(terms: tuple[str, str, str, str], names: tuple[str, ...], tokens: Array) -> Analogy:
    a, b, c, d = (names.index(term) for term in terms)
    similarities = cosines((tokens[a] - tokens[b] + tokens[c])[None], tokens)[0]
    others = [place for place in range(len(names)) if place not in (a, b, c)]
    rank = 1 + sum(bool(similarities[place] > similarities[d]) for place in others)
    return Analogy(terms, float(similarities[d]), rank, len(others))


def _analogy_values(analogy: Analogy) -> dict[str, Any]:
    a, b, c, d = analogy.terms
    question = f"{a} - {b} + {c} = {d}"
    return {"question": question, "cosine": round(analogy.cosine, 6), "rank": analogy.rank, "among": analogy.among}


def _numbers(tensor: Any) -> Array:
    return np.asarray(tensor.double().numpy())
