"""Codes of many latents laid into a plane: t-SNE and principal components. Knows no matplotlib."""

import numpy as np

ITERATIONS = 500
PERPLEXITY = 30


def principal(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes [P, D] along their first two principal components, [P, 2], and the shares [2] of the variance.

    A code of one latent has 0 along the second. Shares are 0 where the codes do not vary.
    """
    centred = np.pad(_in_one_unit(means), ((0, 0), (0, max(0, 2 - means.shape[1]))))
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    # Of an axis and its opposite the one whose largest entry is positive, so that a figure is the same every time.
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(2)])
    return centred @ axes, variances[::-1][:2] / max(variances.sum(), np.finfo(float).tiny)


def t_sne(means: np.ndarray, *, iterations: int = ITERATIONS, perplexity: float = PERPLEXITY) -> np.ndarray:
    """Return [P, 2], scikit-learn's t-SNE of codes [P, D] begun at their principal components; those for a few points.

    Distances are those of the codes as they are, in one unit for all latents.

    References:
        van der Maaten, Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008
        Kobak, Linderman, "Initialization is critical for preserving global data structure in both t-SNE and UMAP",
        Nature Biotechnology 39, 2021
    """
    from sklearn.manifold import TSNE  # takes a second to import
    from threadpoolctl import threadpool_limits

    codes = _in_one_unit(means)
    if len(codes) < 10 or len(np.unique(codes, axis=0)) < 3:
        return principal(means)[0]
    options = {"perplexity": min(perplexity, (len(codes) - 1) / 3), "init": "pca", "random_state": 0}
    with threadpool_limits(1):  # its threads wait for each other: on a busy machine ten times as long
        return TSNE(max_iter=iterations, **options).fit_transform(codes)


def _in_one_unit(means: np.ndarray) -> np.ndarray:
    """Return f64[P, D], codes about their mean, whose largest entry is 1 in size."""
    centred = np.asarray(means, float) - np.mean(means, axis=0, dtype=float)
    return centred / max(np.abs(centred).max(initial=0.0), np.finfo(float).tiny)
