"""InfoMEC: modularity, explicitness and compactness of codes, each from information in nats."""

import jax
import jax.numpy as jnp

from jaxvae.learners.logistic_unpenalised import fit_unpenalised, log_losses
from jaxvae.learners.moments import variance
from jaxvae.metrics.information import entropy
from jaxvae.metrics.neighbours import neighbour_information
from jaxvae.metrics.points import NUM_TRAIN, draw_points
from jaxvae.types import Factors


def infomec_scores(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
    num_neighbours: int = 10,
    min_range: float = 1 / 20,
    num_steps: int = 100,
) -> dict[str, jax.Array]:
    """Score codes by information: InfoM(odularity), InfoE(xplicitness) and InfoC(ompactness).

    With R_dk = I(z_d; v_k) / H(v_k) over the A active latents and the S factors that vary,

        infom = (mean_d max_k R_dk / Σ_k R_dk - 1/S) / (1 - 1/S)        each latent tells of one factor
        infoc = (mean_k max_d R_dk / Σ_d R_dk - 1/A) / (1 - 1/A)        each factor is told by one latent
        infoe = mean_k (H_0(v_k) - H(v_k | z)) / H_0(v_k)               factors are read off by a linear function

    I is the nearest neighbours' estimate of `neighbour_information`. H(v_k | z) is the log-loss, on the points it was
    fitted to, of an unpenalised multinomial logistic regression of standardised codes with classes weighed alike, and
    H_0 that of the same fit to zeros: log of the number of values. A latent is active when its range is above min_range
    times the widest range.

    Range 0 … 1, infoe possibly below 0 where values are very unequally frequent. Chance level: infoe about 0. infom and
    infoc are of shares, in which estimates that are all but 0, and cut off there, may look concentrated: ten latents of
    pure noise and dSprites' factors had infom 0.58 and infoc 0.51, infoe 0.00; and of tied codes, that were four of
    dSprites' factors and knew nothing of the fifth, infoc was 0.80 to 1.00 by the order of ties. Read them beside
    infoe. infom is 0
    when no two factors vary or no latent is active, infoc when no two latents are active or no factor varies; a latent
    or factor without any information adds 0.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors.
        key: draws the points, and breaks ties between equal codes.
        test: not looked at: both estimates are of the points they are made from, as in the paper.
        num_points: 10,000 as in the paper, drawn without replacement; all rows where there are no more. A point that
            came twice would be its own nearest neighbour, and would seem to tell everything.
        num_neighbours: 10 as in the authors' code; scikit-learn's own default is 3.
        min_range: 1/20 as in the authors' code.
        num_steps: 100 steps of L-BFGS at most, as in the authors' code. Where a linear function separates the values
            the log-loss falls for ever, and the score depends on where the fit stops.

    Differs from: the authors' code divides by 0 when S or A is 1, when a latent or factor has no information and when a
    factor is constant; here as said above. It has a second form for quantised codes, with counts for neighbours; here
    ties are broken at random, as scikit-learn does, which tells the same of codes that take few values. A later version
    of theirs takes as active what has a tenth of the widest interquartile range. scikit-learn rounds in ties among 20
    points of a value or fewer and then finds more information than there is entropy; here it is exact.

    References:
        Hsu, Dorrell, Whittington, Wu, Finn, "Disentanglement via Latent Quantization", NeurIPS 2023,
        https://arxiv.org/abs/2305.18378
        https://github.com/kylehkhsu/latent_quantization (disentangle/metrics/infomec.py)
        Ross, "Mutual Information between Discrete and Continuous Data Sets", PLOS ONE 2014
    """
    del test
    key_points, key_ties = jax.random.split(key)
    points, drawn = draw_points(codes, factors, key_points, num_points)
    values, sizes = drawn.values, drawn.sizes

    span = 0.5 * points.max(0) - 0.5 * points.min(0)  # halves: the range itself may overflow
    active = span > span.max() * min_range
    entropies = entropy(values, sizes)
    varies = entropies > 0
    information = neighbour_information(points, values, key_ties, num_neighbours=num_neighbours)
    shares = jnp.where(active[:, None] & varies, information / jnp.where(varies, entropies, 1.0), 0.0)  # [D, S]
    explained = _explained(points, values, sizes, num_steps)
    return {
        "infom": _concentration(shares, active, varies.sum()),
        "infoe": jnp.where(varies, explained, 0.0).sum() / jnp.maximum(varies.sum(), 1),
        "infoc": _concentration(shares.T, varies, active.sum()),
    }


def _concentration(shares: jax.Array, counted: jax.Array, number: jax.Array) -> jax.Array:
    """Return f32[], how far each counted row of shares f32[A, B] lies in one of its `number` columns: 0 … 1.

    (mean_a max_b / Σ_b - 1 / number) / (1 - 1 / number), rows of zeros as even as can be; 0 where there are no two
    columns to choose from, or no row.
    """
    number = jnp.maximum(number, 1)
    total = shares.sum(1)
    largest = jnp.where(total > 0, shares.max(1) / jnp.where(total > 0, total, 1.0), 1 / number)
    mean = jnp.where(counted, largest, 0.0).sum() / jnp.maximum(counted.sum(), 1)
    even = 1 / number
    return jnp.where((number > 1) & counted.any(), (mean - even) / jnp.where(number > 1, 1 - even, 1.0), 0.0)


def _explained(points: jax.Array, values: jax.Array, sizes: tuple[int, ...], num_steps: int) -> jax.Array:
    """Return f32[S], the share of log C that the log-loss of a linear classifier of all latents takes away."""
    centred = points - points[0]
    # By the largest first: squares of codes as large as 1e30 would overflow.
    largest = jnp.abs(centred).max(0)
    centred = centred / jnp.where(largest > 0, largest, 1.0)
    spread = jnp.sqrt(variance(centred))
    features = (centred - centred.mean(0)) / jnp.where(spread > 0, spread, 1.0)

    def of_factor(labels):
        classifier = fit_unpenalised(features, labels, max(sizes), num_steps=num_steps)
        # The same fit to features of zeros takes each class to be as likely as any.
        null = jax.nn.logsumexp(jnp.where(jnp.isfinite(classifier.bias), 0.0, -jnp.inf))
        gains = null - log_losses(classifier, features, labels)  # exact zeros where all latents are constant
        return gains.mean() / jnp.where(null > 0, null, 1.0)

    return jax.lax.map(of_factor, values.T)  # one compile for all
