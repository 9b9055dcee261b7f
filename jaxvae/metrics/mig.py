"""MIG, the mutual information gap, with histograms of the posterior means."""

import jax
import jax.numpy as jnp

from jaxvae.metrics.information import NUM_BINS, discretise, entropy, mutual_information
from jaxvae.metrics.points import NUM_TRAIN, draw_points
from jaxvae.types import Factors


def mutual_information_gap(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
    num_bins: int = NUM_BINS,
) -> dict[str, jax.Array]:
    """Score how far one latent alone holds each factor, on points drawn.

    MIG = mean_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k), z_(1) and z_(2) the latents that tell most about factor k.

    Range 0 … 1; 1 when each factor is read off one latent and no other knows of it. Chance level about 0: estimates of
    information are biased upwards, by the same amount for both latents of a gap.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors. The mean is over those that vary among the points drawn; 0 when none does. One
            that is continuous is cut into 20 bins of equal width, as the codes are.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 10,000 as in disentanglement_lib, no row twice; every row once where there are no more.
        num_bins: 20 as in disentanglement_lib.

    Differs from: Chen et al. take information between factors and *samples* of q(z|x), with entropies from the
    aggregate posterior. This follows disentanglement_lib: means, 20 bins of equal width, counts. The two are not
    comparable. disentanglement_lib divides by zero where a factor is constant; with one latent it fails, here the
    second one tells nothing. It knows no continuous factors.

    References:
        Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018,
        https://arxiv.org/abs/1802.04942
        Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
        ICML 2019, https://github.com/google-research/disentanglement_lib (evaluation/metrics/mig.py)
    """
    del test
    return {"mig": gap(*draw_points(codes, factors, key, num_points), num_bins=num_bins)}


def gap(codes: jax.Array, factors: Factors, *, num_bins: int = NUM_BINS) -> jax.Array:
    """Return MIG f32[] of exactly the points given, codes f32[N, D] with their factors."""
    information = mutual_information(discretise(codes, num_bins), num_bins, factors.values, factors.sizes)  # [D, K]
    return mean_gap(information, entropy(factors.values, factors.sizes))


def mean_gap(information: jax.Array, entropies: jax.Array) -> jax.Array:
    """Return f32[], mean over factors that vary of (largest - second largest over latents) / entropy; 0 without one.

    Args:
        information: f32[D, K], about each factor in each latent. A second latent that is not there tells nothing.
        entropies: f32[K], of each factor.
    """
    information = jnp.pad(information, ((0, max(0, 2 - len(information))), (0, 0)))
    best, second = jax.lax.top_k(information.T, 2)[0].T
    varies = entropies > 0
    gaps = jnp.where(varies, best - second, 0.0) / jnp.where(varies, entropies, 1.0)
    return gaps.sum() / jnp.maximum(varies.sum(), 1)
