"""What several studies measure of codes and of what is decoded, where jaxvae has no metric for it. Reads no flag."""

import math
import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

CLIP = 1e-6  # pixels' probabilities stay as far from 0 and 1, so that one that is surely wrong costs 13.8 nats


def sampled(mean, logvar, scale: float = 1.0, seed: int = 7):
    """Return mean + scale * exp(logvar/2) * eps, eps ~ N(0, I): with scale 1 a sample of each posterior, [N, D]."""
    return mean + scale * np.exp(0.5 * logvar) * np.random.default_rng(seed).normal(size=mean.shape)


def standard_kl(mean, logvar):
    """KL(N(mean, exp(logvar)) || N(0, I)) of each image and latent in nats, [N, D]."""
    return 0.5 * (mean**2 + np.exp(logvar) - logvar - 1.0)


def bernoulli_nll(images, decoded) -> float:
    """-log p(x|z) in nats, mean over images [N, H, W, C] in [0, 1], given the decoded means (see CLIP)."""
    p = np.clip(np.asarray(decoded, float), CLIP, 1 - CLIP)
    return float(-(images * np.log(p) + (1 - images) * np.log1p(-p)).sum((1, 2, 3)).mean())


def gaussian_total_correlation(matrix, groups):
    """Total correlation in nats between groups of latents of a Gaussian with this covariance [D, D]."""
    blocks = [np.linalg.slogdet(matrix[np.ix_(group, group)])[1] for group in groups]
    return 0.5 * (sum(blocks) - np.linalg.slogdet(matrix)[1])


def mixture_total_correlation(z, mean, logvar):
    """Total correlation in nats of the mixture of N posteriors, at a sample z [N, D] of each."""
    log_q = log_densities(z, mean, logvar)
    joint, marginals = logsumexp(log_q.sum(-1), axis=1), logsumexp(log_q, axis=1).sum(-1)
    return float((joint - marginals).mean() + (z.shape[1] - 1) * math.log(len(z)))


def log_densities(z, mean, logvar):
    """Return log q(z_nd|x_m) [N, M, D] of codes z [N, D] under M posteriors."""
    return -0.5 * (math.log(2 * math.pi) + logvar + (z[:, None] - mean) ** 2 / np.exp(logvar))


def critic_total_correlation(known, asked, seed: int = 0) -> float:
    """Total correlation in nats by a critic that tells codes from codes with each latent permuted over the images.

    E_q[f] - log E_permuted[exp f] with f the critic's logit (Donsker & Varadhan 1983, as Belghazi et al. 2018 use it):
    a lower bound of the total correlation whatever the critic, but for the sampling of the second mean. The critic, two
    layers of 64, is fitted to codes `known` [N, D], a tenth of them kept to stop at; the value is that of `asked`.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for codes in (known, asked):
        codes = (codes - known.mean(0)) / known.std(0)
        pairs.append((codes, rng.permuted(codes, axis=0)))
    critic = MLPClassifier((64, 64), early_stopping=True, n_iter_no_change=3, max_iter=20, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a critic that could be better is a looser bound
        critic.fit(np.concatenate(pairs[0]), np.repeat([1, 0], len(known)))
    real, permuted = (critic.predict_log_proba(codes) @ (-1, 1) for codes in pairs[1])
    return float(real.mean() - logsumexp(permuted) + math.log(len(permuted)))


def nearest_digit(known, labels, asked, neighbours=10, rows=2000):
    """Return i[M], the commonest digit of the nearest of `known` [N, D], which are `labels`, to `asked` [M, D]."""
    told = []
    for some in np.split(asked, range(rows, len(asked), rows)):
        distance = (some**2).sum(1)[:, None] - 2 * some @ known.T + (known**2).sum(1)
        nearest = np.argpartition(distance, neighbours, axis=1)[:, :neighbours]
        told.append(np.stack([(labels[nearest] == digit).sum(1) for digit in range(10)], 1).argmax(1))
    return np.concatenate(told)


def straight_paths(begin, end, points: int):
    """Return the codes [N, points, D] on straight lines from codes to codes [N, D], both among them."""
    along = np.linspace(0, 1, points)[:, None]
    return begin[:, None] * (1 - along) + end[:, None] * along


def path_measures(images) -> dict[str, float]:
    """Measure how smoothly images [N, T, …] that were decoded along paths change, distances taken between pixels.

    `length` is the length of a path over the distance of its ends, 1 for a cross-fade (the relative length of Michelis
    & Becker 2021, On linear interpolation in the latent space of deep generative models); `largest_step` is its largest
    step over its mean step, 1 for an even one. Means over paths.
    """
    flat = np.asarray(images, float).reshape(*np.shape(images)[:2], -1)
    steps = np.linalg.norm(np.diff(flat, axis=1), axis=-1)
    ends = np.linalg.norm(flat[:, -1] - flat[:, 0], axis=-1)
    there = ends > 1e-6 * math.sqrt(flat.shape[-1])  # two codes that are decoded alike have no path
    if not there.any():
        return {"length": math.nan, "largest_step": math.nan}
    length = steps[there].sum(1)
    largest = steps[there].max(1) / steps[there].mean(1)
    return {"length": float((length / ends[there]).mean()), "largest_step": float(largest.mean())}
