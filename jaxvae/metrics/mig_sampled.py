"""MIG, the mutual information gap, with samples of q(z|x) and the aggregate posterior, as it was first defined."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.grouping import group_rows
from jaxvae.metrics.information import entropy
from jaxvae.metrics.mig import mean_gap
from jaxvae.types import Factors

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits
SAMPLES_AT_ONCE = 50
LOGVAR_LIMIT = 80.0  # exp(limit) and exp(-limit) are finite in float32; standard deviations from 4e-18 to 2e17 spreads


def sampled_mutual_information_gap(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    logvar: jax.Array | None = None,
    test: tuple[jax.Array, Factors] | None = None,
    num_samples: int = 10_000,
    num_aggregate: int | None = 2_000,
) -> dict[str, jax.Array]:
    """Score how far one latent alone holds each factor, with the information in samples of q(z|x).

    MIG = mean_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k), z_(1) and z_(2) the latents that tell most about factor k,
    I(z_d; v_k) = max(0, H(z_d) - Σ_v p(v) H(z_d | v_k = v)), each entropy a mean of -log q(z_d) over samples
    z_d ~ q(z_d | x_n), where q(z_d) = 1/N Σ_n q(z_d | x_n) goes over all rows, or over those with v_k = v.

    Range 0 … 1; 1 when each factor is read off one latent without noise and no other knows of it. Chance level 0:
    nothing is binned, so that information is hardly biased. A posterior as wide as the codes' spread tells little, and
    scores little, however well the means are ordered: this MIG and `mig` are not comparable.

    Args:
        codes: posterior means f32[N, D].
        factors: N rows of K factors, no grid needed. The mean is over those that vary; 0 when none does.
        key: draws samples and the aggregate's rows.
        logvar: log-variances of q(z|x), f32[N, D], in nats; taken as within ±80 of that of the latent's spread.
        test: not looked at; nothing is fitted.
        num_samples: 10,000 for H(z_d) as in the authors' code, and as many (theirs: for each value) for each factor,
            from rows spread evenly: none is sampled again before all have been.
        num_aggregate: rows that each set of 50 samples is held against, a sample's own row always among them with its
            exact weight; None for all rows, as in the authors' code. On dSprites' 737,280 rows and ten latents made for
            the purpose 500, 2,000 and 8,000 rows gave 0.5363, 0.5372 and 0.5372 (means of three seeds, whose standard
            deviation was 0.0005; 0.006 for codes in which no latent stands out), in times as 1 to 4 to 12.

    Differs from: the authors' code sums over all N rows for each sample, 7e10 densities for each of six conditions on
    dSprites, and only knows full grids; here the rest of the aggregate is drawn, evenly over the rows. Samples are
    spread evenly over rows and noise, not drawn independently, with noise² / 2 as a control variate, for less noise in
    the means. H(v_k) is that of the rows, which on a grid is log of the number of values, and values weigh as often as
    they occur, on a grid equally. The authors leave out dSprites' shape; here every factor counts.

    References:
        Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018,
        https://arxiv.org/abs/1802.04942
        https://github.com/rtqichen/beta-tcvae (disentanglement_metrics.py)
    """
    del test
    information = sampled_information(codes, logvar, factors, key, num_samples=num_samples, num_aggregate=num_aggregate)
    return {"mig_sampled": mean_gap(information, entropy(factors.values, factors.sizes))}


def sampled_information(
    codes: jax.Array,
    logvar: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    num_samples: int,
    num_aggregate: int | None,
) -> jax.Array:
    """Return f32[D, K] in nats, I(z_d; v_k) = H(z_d) - H(z_d | v_k) of samples of q(z|x), at least 0.

    Args:
        codes: posterior means f32[N, D].
        logvar: log-variances f32[N, D].
        factors: N rows of K factors.
        key: draws samples and the aggregate's rows.
        num_samples: for H(z), and for each factor all its values together; rounded up to whole sets of 50 for each.
        num_aggregate: rows that a set of samples is held against; None for all.
    """
    factors = group_rows(factors)
    # Information sees neither shift nor unit; this keeps the digits of codes that lie far from 0, and squares in range.
    half = 0.5 * codes - 0.5 * codes[0]
    spread = jnp.abs(half).max(0)
    spread = jnp.where(spread > 0, spread, 1.0)
    codes, logvar = half / spread, logvar - 2 * (jnp.log(spread) + np.float32(np.log(2)))
    logvar = jnp.clip(logvar, -LOGVAR_LIMIT, LOGVAR_LIMIT)
    num_rows, num_latents = codes.shape
    num_aggregate = min(num_aggregate or num_rows, num_rows)

    # All rows together are one more factor, of one value: its conditional entropy is H(z).
    sizes = np.array((1, *factors.sizes))
    order = jnp.concatenate([jnp.arange(num_rows), factors.groups.order])
    starts = jnp.concatenate([jnp.zeros(1, jnp.int32), factors.groups.starts + num_rows])
    counts = jnp.concatenate([jnp.full(1, num_rows), factors.groups.counts])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    parts = -(-num_samples // (sizes * SAMPLES_AT_ONCE))  # of SAMPLES_AT_ONCE samples for each value of a factor
    group_of = np.repeat(np.arange(sizes.sum()), parts[owners])
    number_in_group = np.concatenate([np.arange(parts[owner]) for owner in owners])

    def part(item):
        number, group = item
        own_key = jax.random.fold_in(jax.random.fold_in(key, starts[group]), number)  # whatever values never occur
        part_of = (number, jnp.asarray(parts[owners])[group])
        draw = draw_part(own_key, counts[group], num_aggregate, num_latents, part_of)
        rows, others = (order[starts[group] + draw[name]] for name in ("rows", "others"))
        surprise = -log_aggregate(codes, logvar, rows, draw["noise"], others, draw["there"], counts[group])
        control = 0.5 * jnp.square(draw["noise"]) - 0.5
        mean, mean_control = surprise.mean(0), control.mean(0)
        of_both = ((surprise - mean) * (control - mean_control)).mean(0)
        return mean, mean_control, of_both, jnp.square(control - mean_control).mean(0)

    items = (jnp.asarray(number_in_group), jnp.asarray(group_of))
    surprise, control, of_both, of_control = jax.lax.map(part, items)  # [parts, D] each
    occurs = (counts > 0)[group_of, None]
    # Where the density around a sample is its own row's, what is noise in -log q(z) is noise²/2, whose mean is known:
    # taken away as far as it explains the surprise. A collapsed latent is then exactly as surprising in every group.
    explained = (occurs * of_both).sum(0) / (occurs * of_control).sum(0)
    surprise = jnp.where(occurs, surprise - explained * control, 0.0)
    of_group = jax.ops.segment_sum(surprise, group_of, num_segments=len(owners), indices_are_sorted=True)
    weights = counts / num_rows / parts[owners]  # a value counts as often as it occurs
    entropies = jax.ops.segment_sum(
        weights[:, None] * of_group, owners, num_segments=len(sizes), indices_are_sorted=True
    )
    return jnp.maximum(entropies[0] - entropies[1:], 0.0).T


def draw_part(
    key: jax.Array, count: jax.Array, num_aggregate: int, num_latents: int, part: tuple[jax.Array | int, ...] = (0, 1)
) -> dict[str, jax.Array]:
    """Draw SAMPLES_AT_ONCE samples and the rows of the aggregate they are held against, in a group of `count` rows.

    Args:
        key: draws them.
        count: i32[], rows of the group.
        num_aggregate: M.
        num_latents: D.
        part: which of how many parts this is, each of T = SAMPLES_AT_ONCE samples. Together they go once through a
            group of as many rows as they have samples, equally often through each row of a smaller one, and take one
            row from each stretch of a larger one.

    Returns:
        rows: i32[T], places in the group of the rows that are sampled from.
        noise: f32[T, D], standard normal, one from each T-th of its distribution for each latent. Being spread evenly
            leaves each sample's distribution as it is and takes most of the noise out of means.
        others: i32[M], places in the group of the aggregate's rows: all, or one from each M-th of a larger group.
        there: bool[M], false where the group has fewer rows.
    """
    for_rows, for_others, for_order, for_noise = jax.random.split(key, 4)
    number, num_parts = part
    strata = jnp.arange(SAMPLES_AT_ONCE) * num_parts + number

    def spread(place, number):
        return jnp.minimum((place * (count / number)).astype(jnp.int32), jnp.maximum(count - 1, 0))

    rows = spread(strata + jax.random.uniform(for_rows, (SAMPLES_AT_ONCE,), jnp.float32), SAMPLES_AT_ONCE * num_parts)
    places = jnp.arange(num_aggregate)
    drawn = spread(places + jax.random.uniform(for_others, (num_aggregate,), jnp.float32), num_aggregate)
    others = jnp.where(count > num_aggregate, drawn, jnp.minimum(places, jnp.maximum(count - 1, 0)))

    mixed = jnp.argsort(jax.random.bits(for_order, (SAMPLES_AT_ONCE, num_latents), jnp.uint32), axis=0)
    inside = jax.random.uniform(for_noise, mixed.shape, jnp.float32, minval=1e-4, maxval=1 - 1e-4)
    noise = jax.scipy.special.ndtri((mixed + inside) / SAMPLES_AT_ONCE)
    return {"rows": rows, "noise": noise, "others": others, "there": places < count}


def log_aggregate(codes, logvar, rows, noise, others, there, count) -> jax.Array:
    """Return f32[T, D], the estimated log of q(z_d) = 1/n Σ_m q(z_d | x_m) over a group's n rows, at samples of it.

    A sample's own row, where q(z|x) is largest, has its exact share 1/n. The other n - 1 rows share the rest, by the
    mean over those in `others`. So the estimate of q(z) is without bias however few rows are drawn, and exact where
    they are all there.
    """
    scale = jnp.exp(0.5 * logvar[rows])  # [T, D]
    own = -0.5 * noise**2 - 0.5 * logvar[rows]
    mean, half = codes[others].T[:, None], 0.5 * logvar[others].T[:, None]  # [D, 1, M]
    # Differences of means first: adding small noise to large means would round it.
    distance = (codes[rows].T[:, :, None] - mean) + (scale * noise).T[:, :, None]
    peak = (-half).max(-1, keepdims=True)  # [D, 1, 1], no log density is above it
    density = jnp.exp(-0.5 * jnp.square(distance * jnp.exp(-half)) - half - peak)
    is_other = there & (rows[:, None] != others)  # [T, M]
    # A product with ones: fused into a sum, exponentials are not vectorised on CPU.
    total = jnp.matmul(jnp.where(is_other, density, 0.0), jnp.ones(len(others)), precision=HIGHEST).T
    mean_density = total / jnp.maximum(is_other.sum(1), 1)[:, None] * (count - 1)
    tiny = jnp.finfo(jnp.float32).tiny
    of_others = jnp.where(mean_density > 0, jnp.log(jnp.maximum(mean_density, tiny)) + peak[:, :, 0].T, -jnp.inf)
    return jnp.logaddexp(own, of_others) - jnp.log(jnp.maximum(count, 1)) - 0.5 * jnp.log(2 * jnp.pi)
