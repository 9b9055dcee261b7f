"""How latents answer factors: the mean of a latent at each value of a factor, and how much of the latent that explains.

Knows codes and factors, no model.
"""

import numpy as np

from jaxvae.types import InputError, Responses


def respond(codes: np.ndarray, factors: np.ndarray, sizes: tuple[int, ...]) -> Responses:
    """Return how each latent answers each factor: the curves that Higgins et al. 2017 draw, with their spread.

    With z_d the codes of one latent and v_k the values of one factor, the columns are E[z_d | v_k] and the standard
    deviation of z_d given v_k, and

        eta²_dk = Var(E[z_d | v_k]) / Var(z_d),

    the correlation ratio: 1 where the factor alone settles the latent, whatever the curve's form; 0 where the latent's
    mean is the same for all values. On a grid of independent factors, Σ_k eta²_dk <= 1: what is left is of factors
    together, as of an orientation that a latent shows for one shape alone. A factor of V values that a latent knows
    nothing of explains about (V - 1) / N of it by chance.

    Computed in double precision on the host.

    Args:
        codes: [N, D], finite.
        factors: integers [N, K], column k in 0 … sizes[k]-1.
        sizes: number of values of each factor, at least one factor.

    Returns:
        Means and spread of values that occur, NaN for others. eta² is 0 for a latent that is constant, NaN for a factor
        of one value.

    Raises:
        InputError: shapes do not fit, or a factor is outside its size.

    References:
        Pearson, "On the General Theory of Skew Correlation and Non-linear Regression", 1905 (the correlation ratio).
        Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.shape != (len(codes), len(sizes)) or not len(codes):
        raise InputError(f"expected codes [N, D] and factors [N, {len(sizes)}], got {codes.shape} and {factors.shape}")
    if (factors < 0).any() or (factors >= np.asarray(sizes)).any():
        raise InputError(f"factors reach {factors.min(0)} to {factors.max(0)}; sizes {sizes} allow 0 to one less")
    total = codes - codes.mean(0)  # [N, D]
    whole = (total**2).mean(0)
    # Of a latent that is constant but for rounding there is nothing to explain.
    varies = whole > (1e-7 * np.abs(codes).max(0, initial=0)) ** 2
    means, spread, explained = [], [], []
    for column, size in zip(factors.T, sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        share = np.where(counts > 0, counts, np.nan)[:, None]
        own = _sums(total, column, size) / share  # [size, D]
        within = _sums((total - own[column]) ** 2, column, size) / share
        between = np.nansum(counts[:, None] * own**2, axis=0) / len(codes)
        means.append(own + codes.mean(0))
        spread.append(np.sqrt(within))
        of_all = np.where(varies, between / np.where(varies, whole, 1.0), 0.0)
        explained.append(np.clip(of_all, 0.0, 1.0) if (counts > 0).sum() > 1 else np.full(len(whole), np.nan))
    join = (np.concatenate(means).T, np.concatenate(spread).T, np.stack(explained, axis=1))
    return Responses(*(table.astype(np.float32) for table in join), tuple(sizes))


def _sums(values: np.ndarray, column: np.ndarray, size: int) -> np.ndarray:
    """Return f64[size, D], the sums of rows of values [N, D] that share a value of column i[N]."""
    return np.stack([np.bincount(column, weights=latent, minlength=size) for latent in values.T], axis=1)
