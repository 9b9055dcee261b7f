"""DCI restated with scikit-learn: one GradientBoostingClassifier a factor, the scores from their importances.

Written from the definitions and from disentanglement_lib's configuration, for reading and not for speed: minutes for
10,000 points of a factor of 40 values.
"""

import numpy as np
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from reference.disentanglement import encode, sample_factors


def boosted(codes, factors, test_codes, test_factors, **settings):
    """Return the importances [D, K] and the test accuracy [K] of one classifier a factor, each factor varying.

    Args:
        codes: [N, D].
        factors: integers [N, K].
        test_codes: [M, D].
        test_factors: integers [M, K].
        **settings: of GradientBoostingClassifier; none is what disentanglement_lib uses.
    """
    importances, accuracy = np.zeros((codes.shape[1], factors.shape[1])), np.zeros(factors.shape[1])
    for column in range(factors.shape[1]):
        model = GradientBoostingClassifier(random_state=0, **settings).fit(codes, factors[:, column])
        importances[:, column] = np.abs(model.feature_importances_)
        accuracy[column] = np.mean(model.predict(test_codes) == test_factors[:, column])
    return importances, accuracy


def scores(importances, accuracy):
    """Return disentanglement, completeness, informativeness of importances [D, K], D and K at least 2."""

    def concentration(table):  # rows of a table: how little each is spread, weighed by its share of the whole
        spread = entropy(table.T + 1e-11, base=table.shape[1])
        if table.sum() == 0:
            table = np.ones_like(table)
        return np.sum((1 - spread) * table.sum(axis=1) / table.sum())

    return {
        "dci_disentanglement": concentration(importances),
        "dci_completeness": concentration(importances.T),
        "dci_informativeness": np.mean(accuracy),
    }


def dci_of_points(codes, factors, test_codes, test_factors, **settings):
    """Return the three scores of exactly these points."""
    return scores(*boosted(codes, factors, test_codes, test_factors, **settings))


def dci(codes, sizes, random, num_train=10_000, num_test=5_000, **settings):
    """Return the three scores of codes of a complete grid, points drawn as disentanglement_lib draws them."""
    factors, test_factors = (sample_factors(random, sizes, (number,)) for number in (num_train, num_test))
    points, test_points = encode(codes, factors, sizes), encode(codes, test_factors, sizes)
    return dci_of_points(points, factors, test_points, test_factors, **settings)
