"""disentanglement_lib's scores restated in NumPy and scikit-learn, drawing factors as its generators do.

Written from the definitions, for reading and not for speed. Data is a complete grid: row i has the factors of i in
mixed radix, last factor fastest.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score


def sample_factors(random, sizes, shape):
    """Return integers [*shape, K], every factor uniform and independent."""
    return random.integers(np.array(sizes), size=(*shape, len(sizes)))


def encode(codes, factors, sizes):
    """Return codes [..., D] of the rows that have the factors [..., K]."""
    return codes[np.ravel_multi_index(tuple(np.moveaxis(factors, -1, 0)), sizes)]


def discretise(column, num_bins=20):
    return np.digitize(column, np.histogram(column, num_bins)[1][:-1])


def mig_of_points(codes, factors):
    """Return MIG of exactly these points, codes [N, D] and factors [N, K], D >= 2."""
    information = np.array(
        [[mutual_info_score(factor, discretise(column)) for factor in factors.T] for column in codes.T]
    )
    entropies = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    ordered = np.sort(information, axis=0)[::-1]
    return np.mean((ordered[0] - ordered[1]) / entropies)


def mig(codes, sizes, random, num_points=10_000):
    factors = sample_factors(random, sizes, (num_points,))
    return mig_of_points(encode(codes, factors, sizes), factors)


def factor_vae(codes, sizes, random, batch_size=64, num_train=10_000, num_eval=5_000, num_variance=10_000):
    points = encode(codes, sample_factors(random, sizes, (num_variance,)), sizes).astype(np.float64)
    scale = points.var(axis=0, ddof=1)
    active = np.sqrt(scale) >= 0.05
    if not active.any():
        return 0.0

    def votes(num_votes):
        table = np.zeros((len(sizes), codes.shape[1]), int)
        for _ in range(num_votes // 500):
            fixed = random.integers(len(sizes), size=500)
            factors = sample_factors(random, sizes, (500, batch_size))
            for vote, factor in enumerate(fixed):
                factors[vote, :, factor] = factors[vote, 0, factor]
            local = encode(codes, factors, sizes).astype(np.float64).var(axis=1, ddof=1)
            winners = np.argmin(local[:, active] / scale[active], axis=1)
            np.add.at(table, (fixed, winners), 1)
        return table

    classifier = np.argmax(votes(num_train), axis=0)
    evaluation = votes(num_eval)
    return evaluation[classifier, np.arange(codes.shape[1])].sum() / evaluation.sum()


def beta_vae(codes, sizes, random, batch_size=64, num_train=10_000, num_eval=5_000):
    def points(num_points):
        features, labels = [], []
        for _ in range(num_points // 500):
            shared = random.integers(len(sizes), size=500)
            first = sample_factors(random, sizes, (500, batch_size))
            second = sample_factors(random, sizes, (500, batch_size))
            for point, factor in enumerate(shared):
                second[point, :, factor] = first[point, :, factor]
            features.append(np.abs(encode(codes, first, sizes) - encode(codes, second, sizes)).mean(axis=1))
            labels.append(shared)
        return np.concatenate(features), np.concatenate(labels)

    return LogisticRegression().fit(*points(num_train)).score(*points(num_eval))
