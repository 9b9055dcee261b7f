"""disentanglement_lib's sampled scores in NumPy and scikit-learn, of any rows. Knows no model.

tests/reference restates them for a complete grid, where the rows that share a factor are computed. Held-out rows are no
grid: here such rows are looked up, all votes of a batch at once.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression


class Rows:
    """Rows by the values of their factors.

    Args:
        factors: integers [N, K] from 0.
    """

    def __init__(self, factors: np.ndarray):
        self.factors = factors
        self.order = [np.argsort(column, kind="stable") for column in factors.T]
        self.counts = [np.bincount(column) for column in factors.T]

    def sharing(self, random: np.random.Generator, held: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
        """Return rows [P, size], each with the value that rows [P] or [P, size] have of the factors held [P]."""
        found = np.empty((len(held), size), int)
        for k, (order, counts) in enumerate(zip(self.order, self.counts, strict=True)):
            starts, here = np.cumsum(counts) - counts, held == k
            value = np.broadcast_to(self.factors[rows[here], k].reshape(here.sum(), -1), (here.sum(), size))
            found[here] = order[starts[value] + (random.random(value.shape) * counts[value]).astype(int)]
        return found


def factor_vae(codes, factors, random, size=64, num_train=10_000, num_eval=5_000, num_variance=10_000):
    """Return the FactorVAE score of codes [N, D] and factors [N, K] (Kim & Mnih 2018)."""
    scale = codes[random.permutation(len(codes))[:num_variance]].astype(np.float64).var(axis=0, ddof=1)
    active = np.sqrt(scale) >= 0.05
    if not active.any():
        return 0.0

    known = Rows(factors)

    def votes(number):
        table = np.zeros((factors.shape[1], codes.shape[1]), int)
        for _ in range(number // 500):
            held = random.integers(factors.shape[1], size=500)
            rows = known.sharing(random, held, random.integers(len(codes), size=500), size)
            local = codes[rows].astype(np.float64).var(axis=1, ddof=1)
            np.add.at(table, (held, np.argmin(local[:, active] / scale[active], axis=1)), 1)
        return table

    classifier, evaluation = np.argmax(votes(num_train), axis=0), votes(num_eval)
    return evaluation[classifier, np.arange(codes.shape[1])].sum() / evaluation.sum()


def beta_vae(codes, factors, random, size=64, num_train=10_000, num_eval=5_000):
    """Return the beta-VAE score of codes [N, D] and factors [N, K] (Higgins et al. 2017)."""

    known = Rows(factors)

    def drawn(number):
        features, labels = [], []
        for _ in range(number // 500):
            held = random.integers(factors.shape[1], size=500)
            first = random.integers(len(codes), size=(500, size))
            second = known.sharing(random, held, first, size)
            features.append(np.abs(codes[first] - codes[second]).mean(axis=1))
            labels.append(held)
        return np.concatenate(features), np.concatenate(labels)

    return LogisticRegression().fit(*drawn(num_train)).score(*drawn(num_eval))
