"""How much latents tell of each other, whatever the factors: mutual information in bins, Gaussian total correlation."""

import functools

import jax
import jax.numpy as jnp

from jaxvae.learners.moments import scaling_of, standardise
from jaxvae.metrics.information import NUM_BINS, discretise
from jaxvae.metrics.information import mutual_information as information_of
from jaxvae.metrics.points import NUM_TRAIN, draw_points
from jaxvae.types import Factors

LEAST = 1e-5  # of the square roots of eigenvalues: float32 knows them to a few times 10⁻⁷


def mutual_information_score(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
    num_bins: int = NUM_BINS,
) -> dict[str, jax.Array]:
    """Measure how much two latents tell of each other, MI = mean_(d ≠ e) I(z_d; z_e), in nats, on points drawn.

    Range 0 … log num_bins, that is 3.0; 0 for independent latents, and lower is better. Chance level about 0.02 nats:
    with 20 bins and 10,000 points the estimate is up to 19² / 20,000 too high. Constant latents tell nothing and are
    averaged in, so that a collapsed code scores 0. With one latent there are no pairs: 0.

    Args:
        codes: f32[N, D].
        factors: only the number of rows is looked at.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 10,000 as in disentanglement_lib, no row twice; every row once where there are no more.
        num_bins: 20 as in disentanglement_lib.

    Differs from: nothing but that disentanglement_lib, whose "mutual_info_score" this is, divides by zero with one
    latent.

    References:
        Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
        ICML 2019, https://github.com/google-research/disentanglement_lib (evaluation/metrics/unsupervised_metrics.py)
    """
    del test
    points, _ = draw_points(codes, factors, key, num_points)
    return {"mutual_information": mean_information(points, num_bins=num_bins)}


@functools.partial(jax.jit, static_argnames="num_bins")
def mean_information(codes: jax.Array, *, num_bins: int = NUM_BINS) -> jax.Array:
    """Return f32[] in nats, the mean mutual information of two latents over exactly the points given, f32[N, D]."""
    num_latents = codes.shape[1]
    bins = discretise(codes, num_bins)
    pairs = information_of(bins, num_bins, bins, (num_bins,) * num_latents)  # [D, D]
    pairs = jnp.where(jnp.eye(num_latents, dtype=bool), 0.0, pairs)
    return pairs.sum() / max(num_latents * (num_latents - 1), 1)


def gaussian_total_correlation(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
) -> dict[str, jax.Array]:
    """Measure how far latents are from uncorrelated, TC = ½ (Σ_d log Σ_dd - log det Σ), in nats, on points drawn.

    Σ is the covariance of the codes; TC is the KL divergence of the Gaussian that has it from the product of that
    Gaussian's margins, and depends on the correlations alone: TC = -½ Σ_i log λ_i with λ_i their matrix's eigenvalues.

    Range 0 … 11.5 (D - 1); 0 for uncorrelated latents, and lower is better. Chance level D (D - 1) / (4 num_points),
    0.002 for ten latents. Where a latent is a linear function of others the true value is infinite; here λ_i counts as
    10⁻¹⁰ at the least, which is 11.5 nats for each such latent. Constant latents are left out: fewer than two others
    give 0.

    Args:
        codes: f32[N, D].
        factors: only the number of rows is looked at.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 10,000 as in disentanglement_lib, no row twice; every row once where there are no more.

    Differs from: disentanglement_lib takes the determinant as it comes, infinite or not a number where latents are
    constant or repeat each other.

    References:
        Watanabe, "Information theoretical analysis of multivariate correlation", IBM Journal 1960
        Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
        ICML 2019, https://github.com/google-research/disentanglement_lib (evaluation/metrics/unsupervised_metrics.py)
    """
    del test
    return {"gaussian_tc": total_correlation(draw_points(codes, factors, key, num_points)[0])}


@jax.jit
def total_correlation(codes: jax.Array) -> jax.Array:
    """Return f32[] in nats, the Gaussian total correlation of exactly the points given, f32[N, D]."""
    scaling = scaling_of(codes)
    unit = standardise(codes, scaling) * len(codes) ** -0.5
    # A row of its own for each constant latent makes it a direction of length 1, which adds log 1.
    rows = jnp.concatenate([unit, jnp.diag(1.0 - scaling.alive)])
    return jnp.maximum(-jnp.log(jnp.maximum(_singular_values(rows), LEAST)).sum(), 0.0)


@jax.custom_batching.sequential_vmap
def _singular_values(rows: jax.Array) -> jax.Array:
    """Return the square roots of the eigenvalues of rows^T rows, without it: squares would leave half of the digits.

    One lane after another: a batch of factorisations is split over the threads that run the program itself on CPU, and
    on several CPU devices at once (jaxlib 0.10) they wait for each other for ever.
    """
    return jnp.linalg.svd(jnp.linalg.qr(rows, mode="r"), compute_uv=False)
