"""The β-VAE score: a linear classifier names the factor that pairs of images share."""

import jax
import jax.numpy as jnp

from jaxvae.learners.grouping import group_rows
from jaxvae.learners.logistic import fit, predict
from jaxvae.metrics.rows import draw_factors, draw_rows, draw_sharing, varying
from jaxvae.types import Factors

POINTS_AT_ONCE = 500


def beta_vae_score(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
) -> dict[str, jax.Array]:
    """Score how well a linear classifier tells which factor pairs of images share, from mean differences of codes.

    A point: draw a factor k, draw batch_size pairs of rows (a, b) that share the value of factor k, each pair its own
    value, and take the features x_d = mean_pairs |z_d(a) - z_d(b)| with label k. A multinomial logistic regression is
    fitted to the training points; the score is its accuracy on the evaluation points.

    Range 0 … 1. Chance level 1 / (number of factors that vary), which a collapsed code gets too; 1 with a single
    factor, 0 when none varies. Saturates near 1, already when all factors but one are captured.

    Args:
        codes: f32[N, D]. Their scale matters, because W is penalised: codes that are all far smaller than 1 score
            chance.
        factors: N rows of K factors. A factor of one value is never drawn.
        key: draws training and evaluation points.
        test: None, or held-out (codes, factors) that the evaluation points are drawn from.
        batch_size: 64 pairs as in disentanglement_lib's configuration, like the two counts.
        num_train: 10,000 points to fit.
        num_eval: 5,000 points to report.

    Differs from: Higgins et al. ask for some linear classifier of low capacity. This follows disentanglement_lib with
    today's default LogisticRegression() of scikit-learn: softmax, penalty ½|W|², intercepts free. The scikit-learn of
    its time fitted one classifier a factor, intercepts penalised. The optimum is reached here; scikit-learn stops after
    100 iterations, short of it where latents differ in scale by orders of magnitude, and scores less there.

    References:
        Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017,
        https://openreview.net/forum?id=Sy2fzU9gl
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/beta_vae.py)
    """
    key_train, key_eval = jax.random.split(key)
    factors = group_rows(factors)
    eval_codes, eval_factors = (codes, factors) if test is None else (test[0], group_rows(test[1]))
    train_varying = varying(factors)
    eval_varying = train_varying & varying(eval_factors)

    features, labels = _points(codes, factors, key_train, train_varying, (num_train, batch_size))
    classifier = fit(features, labels, len(factors.sizes))
    features, labels = _points(eval_codes, eval_factors, key_eval, eval_varying, (num_eval, batch_size))
    accuracy = (predict(classifier, features) == labels).mean()
    return {"beta_vae": jnp.where(eval_varying.any(), accuracy, 0.0)}


def _points(codes, factors, key, allowed, shape):
    """Return features f32[P, D] and labels i32[P] of shape = (points P, pairs of a point)."""
    num_points, batch_size = shape
    bits = jax.random.bits(key, (num_points, 1 + 2 * batch_size), jnp.uint32)
    shared = draw_factors(bits[:, 0], allowed)
    first = draw_rows(bits[:, 1 : 1 + batch_size], factors)
    second = draw_sharing(bits[:, 1 + batch_size :], factors, first, shared[:, None])

    def mean_difference(pairs):
        return jnp.abs(codes[pairs[0]] - codes[pairs[1]]).mean(0)

    # All points at once would gather 2 * points * pairs * D numbers: 512 MB for the default counts and ten latents.
    return jax.lax.map(mean_difference, (first, second), batch_size=min(POINTS_AT_ONCE, num_points)), shared
