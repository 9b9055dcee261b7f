"""Linear probe: whether classes can be told apart by hyperplanes."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.logistic import fit_each, logits_of
from jaxvae.learners.moments import scaling_of, standardise
from jaxvae.metrics.points import NUM_HELD_OUT, draw_held_out, mean_over_varying
from jaxvae.types import Factors


def linear_probe_accuracy(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_HELD_OUT,
) -> dict[str, jax.Array]:
    """Give the part of held-out points whose class a multinomial logistic regression of the whole code tells.

    Range 0 … 1. Chance level: the largest class's share, which a constant code gets; 1 where hyperplanes part the
    classes. With several labels the mean over those that vary among the points to report; 0 when none does.

    Args:
        codes: f32[N, D]. Standardised here by the points to fit, so units do not matter; latents that are constant
            among them are left out.
        factors: N rows of K labels or factors. A class that was not among the points to fit is never told.
        key: draws the points.
        test: None, or held-out (codes, factors) that the points to report are drawn from.
        num_points: 5,000 to fit and 5,000 to report, none of them in both and no row twice; half of the rows each where
            there are fewer than 10,000.

    Differs from: scikit-learn's LogisticRegression(C=1) on standardised codes in nothing but rounding. Papers fit the
    training set's points, and some choose C.

    References:
        Alain, Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes", 2016,
        https://arxiv.org/abs/1610.01644
    """
    train, test = draw_held_out(codes, factors, key, test, num_points)
    return {"linear_probe": accuracy_of_probe(train, test)}


@jax.jit
def accuracy_of_probe(train: tuple[jax.Array, Factors], test: tuple[jax.Array, Factors]) -> jax.Array:
    """Return the accuracy f32[] on exactly the points given, codes f32[N, D] and f32[M, D] with their factors."""
    scaling, sizes = scaling_of(train[0]), train[1].sizes
    classifier = fit_each(standardise(train[0], scaling), train[1].values, sizes)
    logits = logits_of(classifier, standardise(test[0], scaling))  # [V, M]
    told = [jnp.argmax(own, axis=0) for own in jnp.split(logits, np.cumsum(sizes)[:-1])]
    return mean_over_varying((jnp.stack(told, axis=1) == test[1].values).mean(0, dtype=jnp.float32), test[1].values)
