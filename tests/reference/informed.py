"""MIG of samples, InfoMEC and UDR restated in NumPy and scikit-learn from their papers and authors' code.

Written from the definitions, for reading and not for speed.
"""

import warnings

import numpy as np
import scipy.stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.preprocessing import StandardScaler


def log_normal(z, mean, logvar):
    return -0.5 * ((z - mean) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi))


def surprise(samples, means, logvars):
    """Return [S, D], -log q(z_d) at samples [S, D] of the aggregate of all the rows given, means [N, D]."""
    found = [
        np.log(len(means)) - np.logaddexp.reduce(log_normal(z, means, logvars), axis=0)
        for z in samples  # one by one, or they fill the memory
    ]
    return np.array(found)


def sampled_information(means, logvars, factors, random, num_samples=10_000):
    """Return [K, D], H(z_d) - H(z_d | v_k) as rtqichen/beta-tcvae estimates them: one sample of every row, of which
    at most num_samples are looked at, and as many again for each value of each factor."""
    means, logvars = means.astype(np.float64), logvars.astype(np.float64)
    samples = means + np.exp(0.5 * logvars) * random.normal(size=means.shape)

    def entropies(rows):
        chosen = random.permutation(rows)[:num_samples]
        return surprise(samples[chosen], means[rows], logvars[rows]).mean(0)

    marginal = entropies(np.arange(len(means)))
    conditional = []
    for factor in factors.T:
        values, counts = np.unique(factor, return_counts=True)
        of_values = [entropies(np.flatnonzero(factor == value)) for value in values]
        conditional.append(np.average(of_values, axis=0, weights=counts))
    return np.maximum(marginal - np.array(conditional), 0)


def mig_of_information(information, factors):
    """Return MIG from information [K, D] in nats about factors [N, K], D >= 2."""
    entropies = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    ordered = np.sort(information, axis=1)[:, ::-1]
    return np.mean((ordered[:, 0] - ordered[:, 1]) / entropies)


def normalised_information(codes, factors, seed=0):
    """Return [K, D], I(v_k; z_d) / H(v_k) with ten nearest neighbours."""
    latents = StandardScaler().fit_transform(codes.astype(np.float64))
    found = []
    for factor in factors.T:
        information = mutual_info_classif(latents, factor, discrete_features=False, n_neighbors=10, random_state=seed)
        found.append(information / mutual_info_score(factor, factor))
    return np.array(found)


def infomec(codes, factors, seed=0):
    """Return infom, infoe, infoc of kylehkhsu/latent_quantization for continuous latents, all points given."""
    information = normalised_information(codes, factors, seed)
    ranges = np.ptp(codes, axis=0)
    kept = information[:, ranges > ranges.max() / 20]
    num_factors, num_active = kept.shape
    with np.errstate(
        invalid="ignore"
    ):  # no information at all, where the authors' code has 0 / 0, is as even as can be
        modularity = np.nan_to_num(kept.max(0) / kept.sum(0), nan=1 / num_factors).mean()
        compactness = np.nan_to_num(kept.max(1) / kept.sum(1), nan=1 / num_active).mean()
    return {
        "infom": (modularity - 1 / num_factors) / (1 - 1 / num_factors),
        "infoe": explicitness(codes, factors),
        "infoc": (compactness - 1 / num_active) / (1 - 1 / num_active),
    }


def explicitness(codes, factors):
    latents = StandardScaler().fit_transform(codes.astype(np.float64))
    shares = []
    for factor in factors.T:
        null = predictive_entropy(np.zeros_like(latents), factor)
        shares.append((null - predictive_entropy(latents, factor)) / null)
    return np.mean(shares)


def predictive_entropy(latents, factor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        model = LogisticRegression(penalty=None, class_weight="balanced", tol=1e-4, max_iter=100).fit(latents, factor)
    return log_loss(factor, model.predict_proba(latents))


def likeness(first, second, kind):
    """Return [D, E] >= 0 between the latents of two models, codes [N, D] and [N, E] standardised."""
    if kind == "lasso":
        weights = Lasso(alpha=0.1, tol=1e-8, max_iter=100_000).fit(first, second).coef_
        return np.abs(weights).reshape(second.shape[1], first.shape[1]).T
    return np.array([[abs(scipy.stats.spearmanr(one, two)[0]) for two in second.T] for one in first.T])


def udr(codes, kl, kind, *, pooled=True):
    """Return UDR [S] of all the points given, codes [S, N, D], every model with some latent in use.

    Args:
        pooled: the paper's mean over latents of both models; else disentanglement_lib's mean of two means.
    """
    used = kl > 0.01
    codes = [
        StandardScaler().fit_transform(own[:, use].astype(np.float64)) for own, use in zip(codes, used, strict=True)
    ]
    scores = []
    for model in range(len(codes)):
        pairs = []
        for other in range(len(codes)):
            if other == model:
                continue
            alike = likeness(codes[other], codes[model], kind)
            with np.errstate(invalid="ignore"):  # a row or column of zeros counts as 0
                columns, rows = (np.nan_to_num(alike.max(axis) ** 2 / alike.sum(axis)) for axis in (0, 1))
            mean_of_means = (columns.mean() + rows.mean()) / 2
            pairs.append(np.concatenate([columns, rows]).mean() if pooled else mean_of_means)
        scores.append(np.median(pairs))
    return np.array(scores)
