"""Maps of vectors on a plane: principal components, and exact t-SNE for the tens of points that a pool has."""

import numpy as np

from ...imaging.grid import Array

_EXAGGERATED, _STEPS = 250, 1000
_EXAGGERATION = 12.0


def principal_components(vectors: Array) -> Array:
    """(S, K) -> (S, 2): the two directions of largest variance, by singular values; signs made unique."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(vectors), 2))
    count = min(2, len(sizes))
    flat[:, :count] = left[:, :count] * sizes[:count]
    strongest = flat[np.abs(flat).argmax(axis=0), (0, 1)]
    return np.asarray(flat * np.where(strongest < 0, -1.0, 1.0))


def tsne(vectors: Array, perplexity: float | None = None) -> Array:
    """(S, K) -> (S, 2): t-distributed stochastic neighbour embedding, exact, without chance.

    It starts from the principal components, so that the same vectors give the same map. Distances between far groups
    mean nothing in such a map. Source: van der Maaten and Hinton 2008.

    Args:
        vectors: S of at least 1; below 4 the principal components are returned, since there is nothing to embed.
        perplexity: effective number of neighbours; None takes (S - 1) / 3, at most 30.
    """
    count = len(vectors)
    start = principal_components(vectors)
    if count < 4 or not start.any():
        return start
    likely = _likely(_squared(vectors), perplexity or min(30.0, (count - 1) / 3))
    flat = 1e-4 * start / start.std(axis=0).max()
    speed, gains = np.zeros_like(flat), np.ones_like(flat)
    rate = max(count / _EXAGGERATION / 4, 50.0)
    for step in range(_STEPS):
        likelihood = likely * (_EXAGGERATION if step < _EXAGGERATED else 1.0)
        affinities = 1 / (1 + _squared(flat))
        np.fill_diagonal(affinities, 0.0)
        pull = (likelihood - affinities / affinities.sum()) * affinities
        gradient = 4 * (pull.sum(axis=1, keepdims=True) * flat - pull @ flat)
        gains = np.where(np.sign(gradient) == np.sign(speed), gains * 0.8, gains + 0.2).clip(0.01)
        speed = (0.5 if step < _EXAGGERATED else 0.8) * speed - rate * gains * gradient
        flat = flat + speed - (flat + speed).mean(axis=0)
    return np.asarray(flat)


def _likely(squared: Array, perplexity: float) -> Array:
    """(S, S) squared distances -> symmetric probabilities of being neighbours, each row at this perplexity."""
    count = len(squared)
    rows = np.zeros((count, count))
    for row in range(count):
        others = np.delete(squared[row], row)
        others = (others - others.min()) / max(float(others.mean()), 1e-12)
        low, high, precision = 0.0, np.inf, 1.0
        for _ in range(60):
            weights = np.exp(-others * precision)
            shares = weights / weights.sum()
            entropy = float(np.log(weights.sum()) + precision * (others * shares).sum())
            if entropy > np.log(perplexity):
                low, precision = precision, precision * 2 if np.isinf(high) else (precision + high) / 2
            else:
                high, precision = precision, (low + precision) / 2
        rows[row] = np.insert(shares, row, 0.0)
    return np.asarray(np.maximum((rows + rows.T) / (2 * count), 1e-12))


def _squared(points: Array) -> Array:
    """(S, K) -> (S, S) squared distances."""
    apart = points[:, None] - points[None]
    return np.asarray((apart**2).sum(axis=-1))
