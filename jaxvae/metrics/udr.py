"""UDR, unsupervised disentanglement ranking: how alike the latents of models are that differ in their seed alone."""

import jax
import jax.numpy as jnp

from jaxvae.learners.ranking import shared_ranks
from jaxvae.metrics.rows import draw_distinct

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits
NUM_POINTS = 1_000
MAX_SWEEPS = 1_000


def unsupervised_disentanglement_ranking(
    codes: jax.Array,
    kl: jax.Array,
    key: jax.Array,
    *,
    num_points: int = NUM_POINTS,
    threshold: float = 0.01,
    alpha: float = 0.1,
) -> dict[str, jax.Array]:
    """Score how far the latents of a model are those of its siblings, up to order, sign and scale: no label is needed.

    For models i and j let R_ab >= 0 say how alike latent a of model j and latent b of model i are: |Spearman's rank
    correlation| (udr_spearman), or |W_ab| of the Lasso that predicts latent b of model i from the latents of model j
    (udr_lasso), all latents standardised. Over the d_j and d_i latents in use, those with KL > threshold,

        UDR_ij = [Σ_b (max_a R_ab)² / Σ_a R_ab  +  Σ_a (max_b R_ab)² / Σ_b R_ab] / (d_i + d_j),

    a row or column of zeros adding 0, and UDR_i = median_{j≠i} UDR_ij: 0 when no latent is in use in either model.

    Range 0 … 1; 1 when every latent in use has one likeness in each sibling and no other (with the Lasso 1 - alpha,
    which is what shrinking leaves of a weight). Chance level about 0.02 (Spearman, 1,000 points) and 0 (Lasso):
    unrelated codes. Entangled codes score low as each seed turns them otherwise. It says nothing about factors: models
    that all leave out the same one are not told apart from complete ones.

    Args:
        codes: posterior means f32[S, N, D] of S siblings for the same N images, S >= 2.
        kl: f32[S, D], KL to the prior of each latent in nats, mean over the data.
        key: draws the points.
        num_points: 1,000 as in disentanglement_lib's configuration, drawn without replacement; all rows where there
            are no more.
        threshold: 0.01 nats as in the paper. A latent whose codes are constant is never in use.
        alpha: 0.1, weight of the penalty, min_W |y - X W|² / (2 N) + alpha |W|₁.

    Differs from: disentanglement_lib scores a pair by the mean over columns plus the mean over rows, halved, which is
    the paper's pooled mean only if both models have as many latents in use. This follows the paper. As there, latents
    out of use take no part in the Lasso either. disentanglement_lib counts constant latents as the KL says; it draws
    points from its generators, which here are rows of the data.

    References:
        Duan, Matthey, Saraiva, Watters, Burgess, Lerchner, Higgins, "Unsupervised Model Selection for Variational
        Disentangled Representation Learning", ICLR 2020, https://arxiv.org/abs/1905.12614
        https://github.com/google-research/disentanglement_lib (evaluation/udr/metrics/udr.py)
    """
    codes = codes[:, draw_distinct(key, codes.shape[1], num_points)]
    used = (kl > threshold) & (codes.max(1) > codes.min(1))
    ranks = jax.vmap(jax.vmap(shared_ranks, in_axes=1, out_axes=1))(codes)
    spearman = jnp.abs(_correlations(_standardised(ranks, used)))
    weights = _lasso(_correlations(_standardised(codes, used)), alpha)
    return {"udr_spearman": _scores(spearman, used), "udr_lasso": _scores(jnp.abs(weights), used)}


def _standardised(values: jax.Array, used: jax.Array) -> jax.Array:
    """Return values f32[S, N, D] with mean 0 and variance 1 in each column; zeros where a latent is not used [S, D]."""
    values = values - values[:, :1]  # exact zeros for a constant column, and no large offset to lose digits to
    values = values - values.mean(1, keepdims=True)
    # By the largest first: squares of codes as large as 1e30 would overflow.
    values = values / jnp.maximum(jnp.abs(values).max(1, keepdims=True), jnp.finfo(jnp.float32).tiny)
    scale = jnp.sqrt(jnp.square(values).mean(1, keepdims=True))
    return jnp.where(used[:, None], values / jnp.where(scale > 0, scale, 1.0), 0.0)


def _correlations(values: jax.Array) -> jax.Array:
    """Return f32[S, S, D, D], entry [j, i, a, b] between latent a of model j and latent b of model i."""
    num_models, num_points, num_latents = values.shape
    flat = values.transpose(1, 0, 2).reshape(num_points, -1)
    every = jnp.matmul(flat.T, flat, precision=HIGHEST) / num_points
    return every.reshape(num_models, num_latents, num_models, num_latents).transpose(0, 2, 1, 3)


def _lasso(correlations: jax.Array, alpha: float) -> jax.Array:
    """Return weights f32[S, S, D, D]: [j, i, :, b] predicts latent b of model i from the latents of model j.

    Coordinate descent on all pairs at once, which needs nothing of the data but correlations [j, i, a, b], until the
    weights stand still.
    """
    num_models, _, num_latents, _ = correlations.shape
    models = jnp.arange(num_models)
    gram = correlations[models, models]  # [S, D, D], 0 or 1 on the diagonal

    def update(latent, weights):
        row = jax.lax.dynamic_index_in_dim(gram, latent, 1, keepdims=False)  # [S, D]
        explained = jnp.einsum("ja,jiab->jib", row, weights, precision=HIGHEST)
        own = jax.lax.dynamic_index_in_dim(weights, latent, 2, keepdims=False)  # [S, S, D]
        target = jax.lax.dynamic_index_in_dim(correlations, latent, 2, keepdims=False)
        square = jax.lax.dynamic_index_in_dim(row, latent, 1, keepdims=False)[:, None, None]
        left = target - explained + square * own
        shrunk = jnp.sign(left) * jnp.maximum(jnp.abs(left) - alpha, 0.0)
        new = jnp.where(square > 0, shrunk / jnp.where(square > 0, square, 1.0), 0.0)
        return jax.lax.dynamic_update_index_in_dim(weights, new, latent, 2)

    def sweep(state):
        number, weights, _ = state
        new = jax.lax.fori_loop(0, num_latents, update, weights)
        return number + 1, new, jnp.abs(new - weights).max()

    def moves(state):
        number, _, change = state
        return (number < MAX_SWEEPS) & (change > 1e-6)

    return jax.lax.while_loop(moves, sweep, (0, jnp.zeros_like(correlations), jnp.float32(1.0)))[1]


def _scores(alike: jax.Array, used: jax.Array) -> jax.Array:
    """Return UDR f32[S] from R f32[S, S, D, D], whose rows and columns out of use are zeros, and used bool[S, D]."""

    def strength(axis):  # (max)² / sum, which is 0 where the sum is
        total = alike.sum(axis)
        return (alike.max(axis) ** 2 / jnp.where(total > 0, total, 1.0)).sum(-1)

    in_use = used.sum(1)
    pairs = (strength(2) + strength(3)) / jnp.maximum(in_use[:, None] + in_use, 1)  # [j, i]
    return jnp.median(_without_diagonal(pairs.T), axis=1)


def _without_diagonal(square: jax.Array) -> jax.Array:
    """Return [S, S-1] of square [S, S]: each row without its diagonal entry."""
    size = len(square)
    return square.reshape(-1)[1:].reshape(size - 1, size + 1)[:, :-1].reshape(size, size - 1)
