"""Explicitness: how well a linear classifier of the whole code ranks the points of each class of a factor."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.grouping import count_values
from jaxvae.learners.logistic import fit_each, logits_of
from jaxvae.learners.moments import scaling_of, standardise
from jaxvae.learners.ranking import areas_under_curves
from jaxvae.metrics.points import NUM_TEST, NUM_TRAIN, draw_train_and_test
from jaxvae.types import Factors


def explicitness_score(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
) -> dict[str, jax.Array]:
    """Score how well a multinomial logistic regression of all latents tells each factor, by the area under ROC curves.

    explicitness = mean_k mean_(v of k) AUC_kv on held-out points. AUC_kv is the probability that a random point with
    v_k = v gets a higher predicted probability of v than a random point without, ties counting one half.

    Range 0 … 1. Chance level 1/2, which a constant code gets; 1 when every class is told by linear means. 0 when no
    factor varies.

    Args:
        codes: f32[N, D]. Standardised here by the points to fit, so units do not matter; latents that are constant
            among them are left out.
        factors: N rows of K factors. The means are over factors that vary among the points to report, and over the
            classes that occur there. A class that was not among the points to fit cannot be told: 1/2.
        key: draws the points.
        test: None, or held-out (codes, factors) that the points to report are drawn from.
        num_train: 10,000 points to fit as in disentanglement_lib, no row twice; every row once where there are no more.
        num_test: 5,000 points to report as in disentanglement_lib, likewise; without `test` rows that are not fitted,
            and fitted ones only where those do not suffice (see `draw_train_and_test`).

    Differs from: Ridgeway and Mozer fit one classifier a class and norm the area to 0 … 1 from 1/2 … 1. This follows
    disentanglement_lib's "explicitness_score_test" with today's default LogisticRegression() of scikit-learn: softmax,
    penalty ½|W|², intercepts free; the scikit-learn of its time fitted one classifier a class, intercepts penalised.
    disentanglement_lib fails on constant latents and factors.

    References:
        Ridgeway, Mozer, "Learning Deep Disentangled Embeddings With the F-Statistic Loss", NeurIPS 2018, section 3,
        https://arxiv.org/abs/1802.05312
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/modularity_explicitness.py)
    """
    return {"explicitness": explicitness(*draw_train_and_test(codes, factors, key, test, num_train, num_test))}


@jax.jit
def explicitness(train: tuple[jax.Array, Factors], test: tuple[jax.Array, Factors]) -> jax.Array:
    """Return explicitness f32[] on exactly the points given.

    Args:
        train: codes f32[N, D] and their factors.
        test: codes f32[M, D] and their factors, of the same sizes.
    """
    scaling = scaling_of(train[0])
    sizes, values = train[1].sizes, test[1].values
    classifier = fit_each(standardise(train[0], scaling), train[1].values, sizes)
    logits = logits_of(classifier, standardise(test[0], scaling))  # [V, M]
    factors = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    told = [(column == jnp.arange(size)[:, None]) for column, size in zip(values.T, sizes, strict=True)]
    odds = jnp.concatenate([log_odds(logits[classes]) for classes in factors])
    areas = areas_under_curves(odds, jnp.concatenate(told).astype(jnp.uint32))

    counts = count_values(values, sizes)
    means = [jnp.where(counts[c] > 0, areas[c], 0.0).sum() / (counts[c] > 0).sum() for c in factors]
    varies = jnp.stack([counts[classes].max() < len(values) for classes in factors])
    return jnp.where(varies, jnp.stack(means), 0.0).sum() / jnp.maximum(varies.sum(), 1)


def log_odds(logits: jax.Array) -> jax.Array:
    """Return f32[C, N], log p / (1 - p) of every class: in the order of p, also where float32 has p round to 1."""
    best = jnp.arange(len(logits))[:, None] == jnp.argmax(logits, axis=0)
    others = jax.nn.logsumexp(jnp.where(best, -jnp.inf, logits), axis=0)
    log_share = jax.nn.log_softmax(logits, axis=0)
    return jnp.where(best, logits - others, log_share - jnp.log1p(-jnp.exp(jnp.where(best, -jnp.inf, log_share))))
