"""DCI: disentanglement, completeness and informativeness, from what boosted trees look at to tell each factor."""

import jax
import jax.numpy as jnp

from jaxvae.learners.boosting import boost
from jaxvae.metrics.information import entropy
from jaxvae.metrics.points import NUM_TEST, NUM_TRAIN, draw_train_and_test
from jaxvae.types import Factors


def dci_scores(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
    num_rounds: int = 100,
    depth: int = 3,
    learning_rate: float = 0.1,
    num_bins: int = 64,
) -> dict[str, jax.Array]:
    """Score how few factors each latent is needed for, how few latents each factor needs, and how well it is told.

    Gradient-boosted trees are fitted to tell each factor k from all latents. R_dk is the share of latent d in what they
    gain by splitting, Σ_d R_dk = 1. With P_d· = R_d· / Σ_k R_dk, ρ_d = Σ_k R_dk / Σ_dk R_dk and entropies H over K
    factors or D latents:
    disentanglement = Σ_d ρ_d (1 - H(P_d·) / log K), completeness = Σ_k γ_k (1 - H(R_·k) / log D), γ_k = 1 / K, and
    informativeness = mean_k (accuracy on test points).

    Range 0 … 1, each. Chance level about 0 for disentanglement and completeness (codes without information: every
    latent looks equally useful), the mean share of the most frequent value of a factor for informativeness, 1 / size
    on a grid.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors. Those of one value among the points drawn are left out; all scores are 0 when none
            varies. With a single factor that any latent tells of disentanglement is 1, with a single latent
            completeness is.
        key: draws points, and lots between latents that are equally good.
        test: None, or held-out (codes, factors) that the test points are drawn from.
        num_train: 10,000 points to fit as in disentanglement_lib, no row twice; every row once where there are no more.
        num_test: 5,000 points for the accuracy, likewise; without `test` rows that are not fitted, and fitted ones only
            where those do not suffice (see `draw_train_and_test`): trees remember, and with 10,000 rows or fewer give
            `test` for an informativeness to rely on. A value never seen among training points is never right.
        num_rounds: 100 trees for each value of each factor, as scikit-learn's GradientBoostingClassifier().
        depth: 3, likewise.
        learning_rate: 0.1, likewise.
        num_bins: splits are sought between so many groups of points.

    Differs from: Eastwood & Williams fit a lasso or random forests, and their informativeness is a prediction error,
    better when low. This follows disentanglement_lib: boosted trees, accuracy, 10⁻¹¹ added to R inside entropies.
    Importances are those of today's scikit-learn (1.9), where a tree counts by what it gains, not each tree the same.
    Splits are sought between groups of points, where scikit-learn tries them all (see `boosting`): over 16 kinds of
    codes, from perfect to random, scores were within 0.015 of scikit-learn's.
    disentanglement_lib divides by zero with one factor or one latent, and fails where a factor is constant.

    References:
        Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018,
        https://openreview.net/forum?id=By-7dz-AZ
        Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
        ICML 2019, https://github.com/google-research/disentanglement_lib (evaluation/metrics/dci.py)
    """
    key_points, key_trees = jax.random.split(key)
    train, (test_codes, test_factors) = draw_train_and_test(codes, factors, key_points, test, num_train, num_test)
    return dci_of_points(
        *train,
        test_codes,
        test_factors.values,
        key_trees,
        num_rounds=num_rounds,
        depth=depth,
        learning_rate=learning_rate,
        num_bins=num_bins,
    )


def dci_of_points(
    codes: jax.Array, factors: Factors, test_codes: jax.Array, test_values: jax.Array, key: jax.Array, **trees
) -> dict[str, jax.Array]:
    """Return the scores of exactly these points.

    Args:
        codes: f32[N, D] to fit.
        factors: of the N points.
        test_codes: f32[M, D].
        test_values: i32[M, K], factors of the test points.
        key: breaks ties.
        **trees: see `boost`.
    """
    found = boost(codes, factors.values, factors.sizes, test_codes, key, **trees)
    varies = entropy(factors.values, factors.sizes) > 0
    importances = jnp.where(varies, found.importances, 0.0)  # [D, K]
    accuracy = (found.predicted == test_values).mean(0)
    number = varies.sum()
    return {
        "dci_disentanglement": concentration(importances, varies),
        "dci_completeness": concentration(importances.T, jnp.ones(len(importances), bool)),
        "dci_informativeness": jnp.where(varies, accuracy, 0.0).sum() / jnp.maximum(number, 1),
    }


def concentration(table: jax.Array, counted: jax.Array) -> jax.Array:
    """Return f32[], how little the rows of a table are spread over its columns: 0 evenly, 1 all in one column.

    The mean over rows, weighed by their sums, of one minus the entropy of a row, in units of its largest value. 0 for
    a table of zeros. A single column has no spread.

    Args:
        table: f32[A, B], not negative.
        counted: bool[B], columns that are looked at; the others hold zeros.
    """
    share = jnp.where(counted, table + 1e-11, 0.0)  # 10⁻¹¹ as in disentanglement_lib: a row of zeros is evenly spread
    share /= jnp.maximum(share.sum(1, keepdims=True), 1e-30)
    spread = -(share * jnp.log(jnp.where(share > 0, share, 1.0))).sum(1)
    largest = jnp.log(jnp.maximum(counted.sum(), 1).astype(jnp.float32))
    spread = jnp.where(largest > 0, spread / jnp.where(largest > 0, largest, 1.0), 0.0)
    weight = table.sum(1)
    found = (weight * (1.0 - spread)).sum() / jnp.where(weight.sum() > 0, weight.sum(), 1.0)
    return jnp.clip(found, 0.0, 1.0)  # rounding leaves 1e-7 beside a bound
