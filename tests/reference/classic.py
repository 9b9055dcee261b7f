"""disentanglement_lib's deterministic scores of given points restated in NumPy and scikit-learn, in float64.

Written from the definitions, for reading and not for speed. Codes are [N, D], factors integers [N, K] with at least
two values each.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC

from reference.disentanglement import discretise


def information(codes, factors):
    """Return [D, K], the mutual information of binned codes with factors."""
    return np.array([[mutual_info_score(factor, discretise(column)) for factor in factors.T] for column in codes.T])


def modularity(codes, factors):
    squared = information(codes, factors) ** 2
    best = squared.max(axis=1)
    with np.errstate(invalid="ignore"):
        scores = 1 - (squared.sum(axis=1) - best) / (best * (factors.shape[1] - 1))
    return np.where(best == 0, 0.0, scores).mean()


def mutual_information(codes):
    binned = np.stack([discretise(column) for column in codes.T], axis=1)
    pairs = np.array([[mutual_info_score(a, b) for a in binned.T] for b in binned.T])
    np.fill_diagonal(pairs, 0)
    return pairs.sum() / (len(pairs) ** 2 - len(pairs))


def gaussian_tc(codes):
    """Constant columns are left out, where disentanglement_lib would give NaN."""
    codes = codes.astype(np.float64)
    covariance = np.atleast_2d(np.cov(codes[:, codes.var(axis=0) > 0], rowvar=False))
    return 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])


def irs(codes, factors, quantile=0.99, num_bins=20):
    """`num_bins` None holds every value of a factor by itself, as the paper does."""
    codes = codes.astype(np.float64)[:, np.ptp(codes, axis=0) > 0]
    if codes.shape[1] == 0:
        return 0.0
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    strayed = np.zeros((codes.shape[1], factors.shape[1]))
    for k, factor in enumerate(factors.T):
        held = factor if num_bins is None else discretise(factor, num_bins)
        values = np.unique(held)
        for value in values:
            group = codes[held == value]
            strayed[:, k] += np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0) / len(values)
    return np.average((1 - strayed / largest[:, None]).max(axis=1), weights=largest)


def explicitness(codes, factors, test_codes, test_factors):
    mean, deviation = codes.mean(axis=0, dtype=np.float64), codes.std(axis=0, dtype=np.float64)
    alive = deviation > 0  # disentanglement_lib divides by the zero
    train = (codes - mean)[:, alive] / deviation[alive]
    test = (test_codes - mean)[:, alive] / deviation[alive]
    scores = []
    for factor, test_factor in zip(factors.T, test_factors.T, strict=True):
        classifier = LogisticRegression().fit(train, factor)
        told = (test_factor[:, None] == classifier.classes_).astype(int)
        scores.append(roc_auc_score(told, classifier.predict_proba(test)))
    return np.mean(scores)


def gap(scores):
    """Return the mean over columns of the best minus the second best of scores [D, K]."""
    ordered = np.sort(scores, axis=0)
    return (ordered[-1] - ordered[-2]).mean()


def sap(codes, factors, test_codes, test_factors, machine):
    """`machine(numbers [N], labels [N], test numbers [M])` gives the labels foretold."""
    return gap(
        np.array(
            [
                [np.mean(machine(a, v, b) == w) for v, w in zip(factors.T, test_factors.T, strict=True)]
                for a, b in zip(codes.T, test_codes.T, strict=True)
            ]
        )
    )


def scikit_learn_machine(numbers, labels, test_numbers):
    classifier = LinearSVC(C=0.01, class_weight="balanced").fit(numbers[:, None], labels)
    return classifier.predict(test_numbers[:, None])


def exact_machine(numbers, labels, test_numbers, cost=0.01):
    """Return what `scikit_learn_machine` would with its optimisation problem solved to the end."""
    numbers, test_numbers = numbers.astype(np.float64), test_numbers.astype(np.float64)
    classes, counts = np.unique(labels, return_counts=True)
    weight = cost * len(labels) / (len(classes) * counts)
    decisions = []
    for number, label in enumerate(classes):
        inside = labels == label
        elsewhere = weight[1 - number] if len(classes) == 2 else cost  # liblinear weighs the rest only when it is one
        slope, height = minimise(numbers, np.where(inside, 1.0, -1.0), np.where(inside, weight[number], elsewhere))
        decisions.append(slope * test_numbers + height)
    return classes[np.argmax(decisions, axis=0)]


def minimise(numbers, signs, costs):
    """Return the (w, b) that minimise ½ (w² + b²) + Σ costs max(0, 1 - signs (w numbers + b))², by Newton's method."""
    inputs = np.stack([numbers, np.ones_like(numbers)])

    def loss(weights):
        return 0.5 * weights @ weights + costs @ np.maximum(0, 1 - signs * (weights @ inputs)) ** 2

    weights = np.zeros(2)
    for _ in range(100):
        slack = np.maximum(0, 1 - signs * (weights @ inputs))
        gradient = weights - 2 * inputs @ (costs * signs * slack)
        counting = inputs * (costs * (slack > 0))
        step = np.linalg.solve(np.eye(2) + 2 * counting @ inputs.T, gradient)
        if gradient @ step < 1e-18:
            break
        length = 1.0
        while loss(weights - length * step) > loss(weights) and length > 1e-12:
            length /= 2
        weights = weights - length * step
    return weights


def sap_continuous(codes, factors):
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for d, column in enumerate(codes.T.astype(np.float64)):
        for k, factor in enumerate(factors.T):
            covariance = np.cov(column, factor, ddof=1)
            if covariance[0, 0] > 1e-12:
                scores[d, k] = covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
    return gap(scores)
