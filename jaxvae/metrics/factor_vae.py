"""The FactorVAE score: majority votes on which latent moves least while one factor is held."""

import jax
import jax.numpy as jnp

from jaxvae.learners.grouping import group_rows
from jaxvae.learners.moments import deviation, relative_variance
from jaxvae.metrics.rows import draw_distinct, draw_factors, draw_rows, draw_sharing, varying
from jaxvae.types import Factors

VOTES_AT_ONCE = 500


def factor_vae_score(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    num_variance: int = 10_000,
    threshold: float = 0.05,
) -> dict[str, jax.Array]:
    """Score how well the least moving latent tells which factor is held, by majority vote.

    A vote: draw a factor k and a value of it, draw batch_size rows that share the value, and name the latent
    d* = argmin_d Var_batch(z_d) / Var(z_d) over active latents. V_kd counts the votes for latent d under factor k.
    Latent d then stands for factor c(d) = argmax_k V_kd of the training votes, and the score is the share
    Σ_d V_c(d),d / Σ_kd V_kd of the evaluation votes.

    Range 0 … 1. Chance level 1 / (number of factors that vary), so 1 with a single factor; exactly 0 when no latent is
    active or no factor varies.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors. A factor of one value is never drawn. The held value is that of a uniform row.
        key: draws rows for the variances, training votes and evaluation votes.
        test: None, or held-out (codes, factors) that the evaluation votes are drawn from.
        batch_size: 64 as in disentanglement_lib's configuration, like the three counts and the threshold.
        num_train: 10,000 votes to learn c from.
        num_eval: 5,000 votes to report.
        num_variance: 10,000 rows for the Var(z_d), none twice; every row once where there are no more.
        threshold: latents with a standard deviation below 0.05 are not active, whatever that of the others: codes in
            other units than the prior's, where all latents are small, score 0 as in disentanglement_lib.

    Differs from: where the paper leaves room this follows disentanglement_lib: variances from a sample, latents pruned
    by a threshold, separate votes for evaluation.

    References:
        Kim, Mnih, "Disentangling by Factorising", ICML 2018, section 4, https://arxiv.org/abs/1802.05983
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/factor_vae.py)
    """
    key_variance, key_train, key_eval = jax.random.split(key, 3)
    factors = group_rows(factors)
    eval_codes, eval_factors = (codes, factors) if test is None else (test[0], group_rows(test[1]))
    train_varying = varying(factors)
    eval_varying = train_varying & varying(eval_factors)

    scale = deviation(codes[draw_distinct(key_variance, len(codes), num_variance)], ddof=1)
    active = scale >= threshold
    train = _votes(codes, factors, key_train, scale, active, train_varying, (num_train, batch_size))
    evaluation = _votes(eval_codes, eval_factors, key_eval, scale, active, eval_varying, (num_eval, batch_size))

    latents = jnp.arange(codes.shape[1])
    correct = evaluation[jnp.argmax(train, axis=0), latents].sum() / num_eval
    return {"factor_vae": jnp.where(active.any() & eval_varying.any(), correct, 0.0)}


def _votes(codes, factors, key, scale, active, allowed, shape):
    """Return i32[K, D], how often latent d moved least while factor k was held, in shape = (votes, rows of a vote)."""
    num_votes, batch_size = shape
    bits = jax.random.bits(key, (num_votes, 2 + batch_size), jnp.uint32)
    fixed = draw_factors(bits[:, 0], allowed)
    of_value = draw_rows(bits[:, 1], factors)
    rows = draw_sharing(bits[:, 2:], factors, of_value[:, None], fixed[:, None])

    unit = jnp.where(active, scale, 1.0)

    def least_moving(rows):
        return jnp.argmin(jnp.where(active, relative_variance(codes[rows], unit), jnp.inf))

    # All votes at once would gather votes * rows * D numbers: 256 MB for the default counts and ten latents.
    winners = jax.lax.map(least_moving, rows, batch_size=min(VOTES_AT_ONCE, num_votes))
    return jnp.zeros((len(factors.sizes), codes.shape[1]), jnp.int32).at[fixed, winners].add(1)
