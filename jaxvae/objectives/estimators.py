"""Estimates of the aggregate posterior q(z) = 1/N sum_n q(z|x_n) from one batch. Knows no term and no hyper.

Letters: in a pairwise array [B, B, …] the first axis is the sample j, z_j ~ q(z|x_j), the second the component i,
q(z|x_i). Nats.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxvae.types import Posterior

LOGVAR_RANGE = (-20.0, 20.0)
"""Log-variances are clipped to this inside densities: exp(-logvar) overflows float32 beyond 88, and its product with a
squared distance well before. At the lower end the standard deviation is 5e-5; trained encoders stay above 1e-3."""

LEAST_LOG_DENSITY = -1e30
"""Log-densities are no less than this, so that a sample that runs off to 1e15 leaves no infinity behind."""


def log_normal(z: jax.Array, mean: jax.Array | float, logvar: jax.Array | float) -> jax.Array:
    """log N(z; mean, exp(logvar)) elementwise, nats; log-variances clipped to LOGVAR_RANGE, LEAST_LOG_DENSITY at least.

    Clipped, a log-variance has no gradient from here; the KL beside it still draws it back.
    """
    logvar = jnp.clip(logvar, *LOGVAR_RANGE)
    log_density = -0.5 * (math.log(2.0 * math.pi) + logvar + (z - mean) ** 2 * jnp.exp(-logvar))
    return jnp.maximum(log_density, LEAST_LOG_DENSITY)


def pairwise_log_density(q: Posterior) -> jax.Array:
    """log q(z_jd | x_i), [B, B, D]: every sample of the batch under every posterior of the batch."""
    return log_normal(q.z[:, None], q.mean[None], q.logvar[None])


def uniform_log_weights(batch_size: int, num_images: jax.Array | int) -> jax.Array:
    """Minibatch-weighted sampling: log 1/(B N) for each pair, f32[B, B] (Chen et al. 2018, eq. 3 and appendix C.1).

    Rows sum to 1/N and not to 1: log q(z) comes out too low, by log N where the posteriors of the batch coincide and by
    log B where they do not touch. The total correlation of D latents is therefore too high, by up to D log N - log B;
    of that (D-1) log(B N) is a constant, without gradient, so minimising it is sound and its value is not.
    """
    return jnp.full((batch_size, batch_size), -math.log(batch_size) - _log(num_images))


def stratified_log_weights(batch_size: int, num_images: jax.Array | int) -> jax.Array:
    """Minibatch stratified sampling: log weights f32[B, B] whose rows sum to 1 (Chen et al. 2018, appendix C.2).

    With M = B - 1 others in the batch: 1/N on the diagonal, where the sample meets its own posterior; (N-M)/(N M) for
    one of the others, here the next of the batch; 1/M for the rest. Takes 2 <= B; an N below B is taken to be B.

    Differs from: the authors' code, which fills the first two columns in place of the diagonal and the next, and adds
    the logarithm once for log q(z), as here; disentangling-vae adds it to each latent before latents are summed, so
    that log q(z) has it D times there.
    """
    others = batch_size - 1
    own = jnp.eye(batch_size, dtype=bool)
    following = jnp.roll(own, 1, axis=1)
    num_images = jnp.maximum(num_images, batch_size)
    stratum = _log(num_images - others) - _log(num_images) - math.log(others)
    return jnp.where(own, -_log(num_images), jnp.where(following, stratum, -math.log(others)))


def own_and_others_log_weights(batch_size: int, num_images: jax.Array | int) -> jax.Array:
    """1/N on the diagonal, (N-1)/(N (B-1)) off it: log weights f32[B, B] (Esmaeili et al. 2019, their code).

    The stratified weights with the odd one out averaged over the others. Rows sum to 1, and when the batch is the whole
    data set every weight is 1/N: q(z) is then exact. Takes 2 <= B; an N below B is taken to be B.

    Differs from: that code, which leaves out a constant.
    """
    num_images = jnp.maximum(num_images, batch_size)
    off = _log(num_images - 1) - _log(num_images) - math.log(batch_size - 1)
    return jnp.where(jnp.eye(batch_size, dtype=bool), -_log(num_images), off)


def _log(count: jax.Array | int) -> jax.Array:
    return jnp.log(jnp.asarray(count, jnp.float32))


class Decomposition(NamedTuple):
    """The batch mean of log q(z|x) - log p(z) in parts, each f32[], nats; their sum is the Monte-Carlo KL exactly."""

    information: jax.Array  # log q(z|x) - log q(z): mutual information of image and code, at most log N
    between: jax.Array  # log q(z) - sum_g log q(z_g): total correlation between groups of latents
    within: jax.Array  # sum_g log q(z_g) - sum_d log q(z_d): total correlation inside groups, 0 for groups of one
    dimension_wise: jax.Array  # sum_d log q(z_d) - log p(z_d), p = N(0, 1)


def decompose(q: Posterior, log_weights: jax.Array, groups: jax.Array | None = None) -> Decomposition:
    """Split the Monte-Carlo KL to N(0, I) into information, correlation between and inside groups, and the rest.

    log q(z_j) = log sum_i W_ji prod_d q(z_jd | x_i), and the same over the latents of a group or over one latent: each
    weight enters once, whatever the number of latents.

    Args:
        q: B posteriors with one sample each.
        log_weights: [B, B], log W.
        groups: i32[D], the group of each latent, 0 … D-1, may be traced; None: each latent is a group of its own.
    """
    log_pairs = pairwise_log_density(q)
    log_own = log_normal(q.z, q.mean, q.logvar).sum(-1)
    log_joint = jax.nn.logsumexp(log_weights + log_pairs.sum(-1), axis=1)
    log_latents = jax.nn.logsumexp(log_weights[..., None] + log_pairs, axis=1).sum(-1)
    log_groups = log_latents
    if groups is not None:
        member = jax.nn.one_hot(groups, q.z.shape[1], dtype=log_pairs.dtype)  # [D, D], latent and group
        # Not a segment sum: scatters are slow on accelerators. Highest precision: tensor cores would round to 10 bits.
        log_group_pairs = jnp.matmul(log_pairs, member, precision="highest")
        per_group = jax.nn.logsumexp(log_weights[..., None] + log_group_pairs, axis=1)
        log_groups = jnp.where(member.any(0), per_group, 0.0).sum(-1)  # of the D possible groups some are empty
    log_prior = log_normal(q.z, 0.0, 0.0).sum(-1)
    steps = (log_own, log_joint, log_groups, log_latents, log_prior)
    return Decomposition(*((above - below).mean() for above, below in itertools.pairwise(steps)))


def covariance(mean: jax.Array) -> jax.Array:
    """Biased covariance [D, D] of rows [B, D]: divided by B, as the expectation over the data is."""
    centred = mean - mean.mean(0)
    return jnp.matmul(centred.T, centred, precision="highest") / len(mean)


KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Scales s of the inverse multiquadratic kernels C / (C + (a-b)^2), C = 2 s, in units of the prior's variance (Mathieu
et al. 2019, their code)."""


def per_latent_mmd(z: jax.Array, prior: jax.Array) -> jax.Array:
    """Squared maximum mean discrepancy of z and prior samples, each [B, D], summed over latents and kernels, f32[].

    mean_{i!=j} k(z_i, z_j) + mean_{i!=j} k(p_i, p_j) - 2 mean_ij k(z_i, p_j) for each latent and each of KERNEL_SCALES
    (Gretton et al. 2012, lemma 6): unbiased, so 0 in expectation when the distributions agree, and then below 0 as
    often as above. Correlation between latents is not seen. Takes B >= 2.
    """
    batch_size = len(z)

    def kernel(a, b):  # [B, B, D], summed over scales
        squared = (a[:, None] - b[None]) ** 2
        return sum(2.0 * s / (2.0 * s + squared) for s in KERNEL_SCALES)

    # Each point is at no distance from itself, so the diagonal is 1 for each kernel: taken off the sum.
    pairs = batch_size * (batch_size - 1)
    itself = batch_size * len(KERNEL_SCALES)
    within = (kernel(z, z).sum((0, 1)) - itself + kernel(prior, prior).sum((0, 1)) - itself) / pairs
    return (within - 2.0 * kernel(z, prior).mean((0, 1))).sum()
