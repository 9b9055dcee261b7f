"""The doors: scores of one model, of all lanes of a sweep in one compiled call, and of siblings."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.arguments import as_array
from jaxvae.learners.grouping import group_rows_on_host
from jaxvae.metrics.checking import (
    as_names,
    check_fit,
    checked_codes,
    checked_factors,
    checked_names,
    checked_seed,
    column_names,
    number_values,
)
from jaxvae.metrics.rows import draw_distinct
from jaxvae.metrics.table import METRICS
from jaxvae.metrics.udr import NUM_POINTS
from jaxvae.parallel.lanes import fetch, mesh_of, split_lanes, spread
from jaxvae.types import Factors, InputError, in_32_bits, look_up

LANES_AT_ONCE = 8  # that a device scores side by side

MAX_VALUES = 16_384  # of all factors together; contingency tables hold a column for each


@in_32_bits
def score(
    codes,
    factors=None,
    *,
    names: Sequence[str] | str | None = None,
    test_codes=None,
    test_factors=None,
    factor_names: Sequence[str] | None = None,
    seed: int = 0,
    logvar=None,
) -> dict[str, float]:
    """Score one model's codes against the factors its data was made from.

    Metrics that compare several models are not among them: see `score_siblings`.

    Args:
        codes: [N, D] finite numbers, posterior means; N >= 2. Taken as float32.
        factors: [N, K] finite numbers or booleans, what is known of each row; None when nothing is. A column is of
            classes, in any numbering, unless it is continuous: not all whole numbers, and fewer than five rows share a
            value on average. Metrics of classes refuse continuous columns; the others cut them into bins or read them
            as numbers, as their docstrings say.
        names: metrics to compute, see METRICS; None for all that the other arguments allow.
        test_codes: [M, D] held-out codes, for metrics that fit a predictor. By default those draw their evaluation
            points from `codes`, as disentanglement_lib does.
        test_factors: [M, K] factors of the held-out codes, in the same numbering.
        factor_names: K names, for error messages.
        seed: of the points that metrics draw. Every metric starts from the same seed, so that its score does not
            depend on which others are asked for.
        logvar: [N, D] finite numbers, the log-variances of the posteriors whose means the codes are, for metrics that
            sample from q(z|x).

    Returns:
        One number for every key of every metric asked for.

    Raises:
        InputError: an argument is not as above, a name is unknown, or a metric needs what was not given.
    """
    seed = checked_seed(seed)
    codes = checked_codes("codes", codes)
    if logvar is not None:
        logvar = checked_codes("logvar", logvar)
        if logvar.shape != codes.shape:
            raise InputError(f"logvar has shape {logvar.shape}, codes has {codes.shape}: it holds one for each code")
    if (test_codes is None) != (test_factors is None):
        given, missing = ("test_codes", "test_factors") if test_factors is None else ("test_factors", "test_codes")
        raise InputError(f"{given} was given without {missing}: held-out points need both")
    values = np.zeros((len(codes), 0), np.int32) if factors is None else checked_factors("factors", factors, codes)
    columns = column_names(values.shape[1], factor_names)
    every_value = values
    if test_codes is not None:
        test_codes = checked_codes("test_codes", test_codes)
        if test_codes.shape[1] != codes.shape[1]:
            raise InputError(f"test_codes has {test_codes.shape[1]} latents, codes has {codes.shape[1]}")
        test_values = checked_factors("test_factors", test_factors, test_codes)
        if test_values.shape[1] != values.shape[1]:
            raise InputError(f"test_factors has {test_values.shape[1]} factors, factors has {values.shape[1]}")
        every_value = np.concatenate([values, test_values])

    numbered = number_values(every_value)
    sizes = numbered.sizes
    continuous = [name for name, is_so in zip(columns, numbered.continuous, strict=False) if is_so]
    names = checked_names(names, sizes, logvar is not None, continuous)
    if sum(sizes) > MAX_VALUES:
        largest = int(np.argmax(sizes))
        raise InputError(
            f"factor {columns[largest]} takes {sizes[largest]} values and all factors {sum(sizes)}, more than the"
            f" {MAX_VALUES} that can be counted: leave out identifiers, give continuous quantities as fractions"
        )

    def factors_of(rows):
        numbers = None if numbered.numbers is None else jnp.asarray(numbered.numbers[rows])
        return Factors(jnp.asarray(numbered.values[rows]), sizes, numbers=numbers, continuous=numbered.continuous)

    known = factors_of(slice(len(codes)))
    test = None if test_codes is None else (test_codes[None], factors_of(slice(len(codes), None)))
    lane = None if logvar is None else logvar[None]
    scores = score_lanes(codes[None], known, names, seed, test=test, logvar=lane)
    return {key: float(values[0]) for key, values in scores.items()}


@in_32_bits
def score_lanes(
    codes,
    factors: Factors,
    names: Sequence[str],
    seed: int,
    *,
    test=None,
    logvar=None,
    lanes_at_once: int = LANES_AT_ONCE,
) -> dict[str, np.ndarray]:
    """Score the codes of R lanes in one compiled call; every lane sees the same draws, so that lanes compare.

    Codes that lie on several devices are scored there, each device its share of the lanes.

    Args:
        codes: f32[R, N, D], one lane after another.
        factors: of the N rows, which all lanes share.
        names: metrics to compute, see METRICS.
        seed: of the points that metrics draw.
        test: None, or held-out points (codes f32[R, M, D], factors of the M rows).
        logvar: None, or log-variances f32[R, N, D] beside the means; only looked at where a metric needs them.
        lanes_at_once: upper bound on the lanes that a device scores side by side; more need more memory.

    Returns:
        f32[R] for every key of every metric asked for; NaN for lanes whose codes, or whose log-variances where they
        are needed, are not finite.

    Raises:
        InputError: shapes do not fit, a name is unknown, or a metric needs what was not given.
    """
    if codes.ndim != 3 or 0 in codes.shape or codes.shape[1] < 2:
        raise InputError(f"codes must be [R, N, D] with at least two rows, got {codes.shape}")
    check_fit(codes.shape[1], factors)
    if test is not None:
        if test[0].ndim != 3 or test[0].shape[::2] != codes.shape[::2] or test[0].shape[1] < 2:
            raise InputError(f"test codes must be [R, M, D] for codes {codes.shape}, got {test[0].shape}")
        check_fit(test[0].shape[1], test[1])
        if test[1].sizes != factors.sizes:
            raise InputError(f"test factors have sizes {test[1].sizes}, factors have {factors.sizes}")
        if test[1].continuous != factors.continuous or (test[1].numbers is None) != (factors.numbers is None):
            raise InputError("test factors and factors are not numbers alike")
    if logvar is not None and logvar.shape != codes.shape:
        raise InputError(f"logvar must have the shape of codes, {codes.shape}, got {logvar.shape}")
    continuous = [str(column) for column, is_so in enumerate(factors.continuous) if is_so]
    names = checked_names(names, factors.sizes, logvar is not None, continuous)
    if not any(METRICS[name].needs_logvar for name in names):
        logvar = None
    num_lanes, mesh = codes.shape[0], mesh_of(codes)
    if mesh is not None:
        codes = spread(codes, mesh)
        logvar = None if logvar is None else spread(logvar, mesh)
        test = test and (spread(test[0], mesh), test[1])
    every_lane = (codes, logvar, test and test[0])
    if any(METRICS[name].fixes_factors for name in names):
        factors, test = group_rows_on_host(factors), test and (test[0], group_rows_on_host(test[1]))
    shared = (factors, jax.random.key(seed), test and test[1])
    scores = fetch(_score_lanes(shared, every_lane, names=names, lanes_at_once=lanes_at_once, mesh=mesh))
    # Compiled functions hand dicts back in alphabetical order; this is the order that was asked for.
    return {key: scores[key][:num_lanes] for name in names for key in METRICS[name].keys}


@in_32_bits
def score_siblings(codes, kl=None, *, names: Sequence[str] | str | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Compare models of one setting that differ in their seed alone, without any labels.

    Args:
        codes: [S, N, D] finite numbers, the posterior means of S >= 2 models for the same N images in the same order.
            Taken as float32.
        kl: [S, D] each latent's KL to the prior in nats, mean over the data, which tells latents that are in use; None
            to take all as in use.
        names: metrics to compute, those of METRICS that are of siblings; None for all of them.
        seed: of the points that metrics draw.

    Returns:
        f32[S] for every key of every metric asked for, a number for each model.

    Raises:
        InputError: an argument is not as above, or a name is unknown or that of a metric of one model.
    """
    seed = checked_seed(seed)
    if not np.iterable(codes):
        raise InputError(f"codes must be [S, N, D], of two siblings or more for the same images, got {codes!r}")
    models = [checked_codes(f"codes[{model}]", own) for model, own in enumerate(codes)]
    if len(models) < 2 or len({own.shape for own in models}) > 1:
        raise InputError(
            "codes must be [S, N, D], of two siblings or more for the same images, got shapes"
            f" {', '.join(str(own.shape) for own in models) or 'of none'}"
        )
    codes = np.stack(models)
    if kl is None:
        kl = np.full(codes.shape[::2], np.inf, np.float32)
    else:
        kl = as_array("kl", kl)
        if kl.shape != codes.shape[::2]:
            raise InputError(f"kl must be [S, D], here {codes.shape[::2]}, got shape {kl.shape}")
        if not np.isfinite(kl).all():
            raise InputError("kl must be finite: the mean KL of each latent in nats")
    siblings = tuple(name for name, metric in METRICS.items() if metric.of_siblings)
    names = siblings if names is None else as_names(names)
    for name in names:
        if not look_up("metric", name, METRICS).of_siblings:
            raise InputError(f"metric {name!r} is of one model, see score; of siblings there is {', '.join(siblings)}")
    scores = _score_siblings(codes, kl.astype(np.float32), jax.random.key(seed), names=names)
    return {key: np.asarray(scores[key]) for name in names for key in METRICS[name].keys}


@in_32_bits
def sibling_points(num_rows: int, seed: int = 0) -> np.ndarray:
    """Return the rows i32[P] that `score_siblings` looks at; to give it the codes of those alone changes nothing."""
    return np.asarray(draw_distinct(jax.random.key(seed), num_rows, NUM_POINTS))


@functools.partial(jax.jit, static_argnames="names")
def _score_siblings(codes, kl, key, *, names):
    scores = {}
    for name in names:
        scores |= METRICS[name].function(codes, kl, key)
    return scores


@functools.partial(jax.jit, static_argnames=("names", "lanes_at_once", "mesh"))
def _score_lanes(shared, every_lane, *, names, lanes_at_once, mesh):
    """Score lanes, every leaf of every_lane [R, ...], with what they share (factors, key, test factors or None)."""

    def score_every(shared, every_lane):
        # Lanes in equal batches: a remainder would compile everything a second time.
        num_lanes = len(every_lane[0])
        at_once = max(count for count in range(1, max(1, lanes_at_once) + 1) if num_lanes % count == 0)
        score = functools.partial(_score_lane, names, shared)
        if at_once == num_lanes:
            return jax.vmap(score)(every_lane)
        return jax.lax.map(score, every_lane, batch_size=at_once)

    if mesh is None:
        return score_every(shared, every_lane)
    # Left to the partitioner, a loop over lanes would visit the devices one by one.
    return split_lanes(score_every, mesh)(shared, every_lane)


def _score_lane(names, shared, lane):
    """Return every score of one lane (codes, log-variances or None, test codes or None)."""
    factors, key, test_factors = shared
    codes, logvar, test_codes = lane
    finite = jnp.isfinite(codes).all()
    test = None
    if test_factors is not None:
        finite &= jnp.isfinite(test_codes).all()
        test = (test_codes.astype(jnp.float32), test_factors)
    scores = {}
    for name in names:
        metric, known, more = METRICS[name], finite, {}
        if metric.needs_logvar:
            known, more = finite & jnp.isfinite(logvar).all(), {"logvar": logvar.astype(jnp.float32)}
        found = metric.function(codes.astype(jnp.float32), factors, key, test=test, **more)
        scores |= {key: jnp.where(known, value, jnp.nan) for key, value in found.items()}
    return scores
