"""TAD of given points restated in NumPy and scikit-learn, in float64, as the code of NashAE has it.

Written from the definition, for reading and not for speed. Codes are [N, D], attributes 0 or 1 [N, K] that vary.
"""

import numpy as np
from sklearn.metrics import mutual_info_score, roc_auc_score


def areas(codes, attributes):
    """Return [D, K], the areas under the ROC curves of single latents, the better direction of each."""
    table = np.array([[roc_auc_score(own, column) for own in attributes.T] for column in codes.T])
    return np.maximum(table, 1 - table)


def told_by_another(attributes):
    """Return [K], the largest share of an attribute's entropy that another attribute takes away."""
    information = np.array([[mutual_info_score(a, b) for b in attributes.T] for a in attributes.T])
    entropies = information.diagonal()
    return (information - np.diag(entropies)).max(axis=1) / entropies


def tad(codes, attributes, captured=0.75, shared=0.2):
    """Return the sum over captured attributes of the best area minus the next, and how many are captured."""
    table = np.sort(areas(codes, attributes), axis=0)
    kept = (table[-1] >= captured) & (told_by_another(attributes) <= shared)
    return (table[-1] - table[-2])[kept].sum(), kept.sum()
