"""SAP, separated attribute predictability: one latent foretells a factor, and the second best does not."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners import svm
from jaxvae.learners.moments import scaling_of, standardise
from jaxvae.metrics.points import NUM_TEST, NUM_TRAIN, draw_train_and_test
from jaxvae.types import Factors

COST = 0.01  # of LinearSVC, as in disentanglement_lib
LEAST_VARIANCE = 1e-12
DECISIONS_AT_ONCE = 2**20


def separated_attribute_predictability(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
) -> dict[str, jax.Array]:
    """Score by how much the latent that foretells a factor best is ahead of the second best.

    SAP = mean_k (S_(1)k - S_(2)k), S_(1)k ≥ S_(2)k the two largest of the scores S_dk of factor k from latent d alone.
    `sap` takes factors as classes: S_dk is the accuracy on held-out points of a linear support vector machine on the
    one number z_d, one class against the rest. Class c against the rest minimises
    ½ (w² + b²) + 0.01 [Σ_(n in c) (N / (C N_c)) max(0, 1 - w z_n - b)² + Σ_(n not in c) max(0, 1 + w z_n + b)²].
    `sap_continuous` takes factors as numbers: S_dk is the squared correlation of z_d and the factor's values as they
    were given, 0, 45 and 315 for 0, 45 and 315. Where a factor is continuous, that is its S_dk in `sap` as well.

    Range 0 … 1. Chance level about 0: the share that guessing gets right cancels. The classes of a line are intervals
    that a linear machine cannot all name, so `sap` stays well below 1 for perfect codes of factors with many values;
    `sap_continuous` reaches 1 there.

    Args:
        codes: f32[N, D]. `sap` looks at their scale, because w and b are penalised; with one latent the second best is
            a constant.
        factors: N rows of K factors. The mean is over those that vary among the points fitted; 0 when none does.
        key: draws the points.
        test: None, or held-out (codes, factors) that the accuracy is taken on.
        num_train: 10,000 points to fit as in disentanglement_lib, no row twice; every row once where there are no more.
        num_test: 5,000 points to report as in disentanglement_lib, likewise; without `test` rows that are not fitted,
            and fitted ones only where those do not suffice (see `draw_train_and_test`).

    Differs from: Kumar et al. use the squared correlation for continuous factors and a classifier for the others, in
    one score, as `sap` does. disentanglement_lib has one or the other for all, with LinearSVC(C=0.01,
    class_weight="balanced"), as here. The optimum is reached here; scikit-learn stops at a tolerance and differs by
    that. A code whose variance is below 10⁻¹² has squared correlation 0, as there. disentanglement_lib fails with one
    latent and for factors of one value.

    References:
        Kumar, Sattigeri, Balakrishnan, "Variational Inference of Disentangled Latent Concepts from Unlabeled
        Observations", ICLR 2018, section 3, https://openreview.net/forum?id=H1kG7GZAW
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/sap_score.py)
    """
    train, held_out = draw_train_and_test(codes, factors, key, test, num_train, num_test)
    correlated = correlations(*train)
    foretold = correlated
    if not factors.continuous or not all(factors.continuous):
        is_number = np.array(factors.continuous or [False] * len(factors.sizes))
        foretold = jnp.where(is_number, correlated, accuracies(train, held_out))
    return {"sap": mean_gap(foretold, train[1]), "sap_continuous": mean_gap(correlated, train[1])}


def mean_gap(scores: jax.Array, factors: Factors) -> jax.Array:
    """Return f32[], the mean over factors that vary of the best minus the second best of scores f32[D, K], D >= 2."""
    best, second = jax.lax.top_k(scores.T, 2)[0].T
    varies = factors.values.max(0) > factors.values.min(0)
    return jnp.where(varies, best - second, 0.0).sum() / jnp.maximum(varies.sum(), 1)


@jax.jit
def correlations(codes: jax.Array, factors: Factors) -> jax.Array:
    """Return f32[max(D, 2), K], the squared correlations of codes f32[N, D] and the factors as numbers."""
    codes = _two_at_least(codes)
    scaling = scaling_of(codes)
    unit = standardise(codes, scaling)
    numbers = factors.values.astype(jnp.float32) if factors.numbers is None else factors.numbers
    numbers = standardise(numbers, scaling_of(numbers))
    squared = jnp.square(jnp.matmul(unit.T, numbers, precision=jax.lax.Precision.HIGHEST) / len(codes))
    unbiased = len(codes) / max(len(codes) - 1, 1)
    deviation = 2 * scaling.deviation * scaling.spread * np.float32(unbiased**0.5)
    return jnp.where((deviation > LEAST_VARIANCE**0.5)[:, None], squared, 0.0)


@jax.jit
def accuracies(train: tuple[jax.Array, Factors], test: tuple[jax.Array, Factors]) -> jax.Array:
    """Return f32[max(D, 2), K], the test accuracies of support vector machines, each fitted to one latent and factor.

    Args:
        train: codes f32[N, D] and their factors.
        test: codes f32[M, D] and their factors, of the same sizes.
    """
    machines = svm.fit(_two_at_least(train[0]), train[1], cost=COST)
    sizes = train[1].sizes

    def right(point):
        codes, values = point
        return svm.decide(machines, codes[None], sizes)[0] == values  # [D, K]

    # All points at once would take M * D * V decisions: 23 MB for ten latents and dSprites, more with more classes.
    num_points = len(test[0])
    batches = -(-num_points // max(1, DECISIONS_AT_ONCE // machines.slope.size))
    padding = -num_points % batches  # in equal batches: a rest would compile again
    points = (_two_at_least(test[0]), test[1].values)
    points = jax.tree.map(lambda rows: jnp.pad(rows, ((0, padding), (0, 0))), points)
    found = jax.lax.map(right, points, batch_size=(num_points + padding) // batches)[:num_points]
    return found.mean(0, dtype=jnp.float32)


def _two_at_least(codes: jax.Array) -> jax.Array:
    """Return codes f32[N, D] with D >= 2: a single latent is joined by one that tells nothing."""
    return jnp.pad(codes, ((0, 0), (0, max(0, 2 - codes.shape[1]))))
