"""Disentanglement scores: pure functions of codes and factors, never of a model, all listed in METRICS.

A new metric is one function in one file and one line in METRICS.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.lanes import fetch, mesh_of, split_lanes, spread
from jaxvae.metrics.active_units import count_active_units
from jaxvae.metrics.beta_vae import beta_vae_score
from jaxvae.metrics.dependence import gaussian_total_correlation, mutual_information_score
from jaxvae.metrics.explicitness import explicitness_score
from jaxvae.metrics.factor_vae import factor_vae_score
from jaxvae.metrics.irs import interventional_robustness
from jaxvae.metrics.mig import mutual_information_gap
from jaxvae.metrics.modularity import modularity_score
from jaxvae.metrics.rows import group_rows
from jaxvae.metrics.sap import separated_attribute_predictability
from jaxvae.types import Factors, InputError, Metric, look_up

METRICS: dict[str, Metric] = {
    "beta_vae": Metric(beta_vae_score, ("beta_vae",), needs_factors=True, reference="Higgins et al. 2017"),
    "factor_vae": Metric(factor_vae_score, ("factor_vae",), needs_factors=True, reference="Kim & Mnih 2018"),
    "mig": Metric(mutual_information_gap, ("mig",), needs_factors=True, reference="Chen et al. 2018"),
    "sap": Metric(
        separated_attribute_predictability, ("sap", "sap_continuous"), needs_factors=True, reference="Kumar et al. 2018"
    ),
    "modularity": Metric(modularity_score, ("modularity",), needs_factors=True, reference="Ridgeway & Mozer 2018"),
    "explicitness": Metric(
        explicitness_score, ("explicitness",), needs_factors=True, reference="Ridgeway & Mozer 2018"
    ),
    "irs": Metric(interventional_robustness, ("irs",), needs_factors=True, reference="Suter et al. 2019"),
    "gaussian_tc": Metric(gaussian_total_correlation, ("gaussian_tc",), needs_factors=False, reference="Watanabe 1960"),
    "mutual_information": Metric(
        mutual_information_score, ("mutual_information",), needs_factors=False, reference="Locatello et al. 2019"
    ),
    "active_units": Metric(count_active_units, ("active_units",), needs_factors=False, reference="Burda et al. 2016"),
}

MAX_VALUES = 16_384  # of all factors together; contingency tables hold a column for each


def score(
    codes,
    factors=None,
    *,
    names: Sequence[str] | str | None = None,
    test_codes=None,
    test_factors=None,
    factor_names: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Score one model's codes against the factors its data was made from.

    Args:
        codes: [N, D] finite numbers, posterior means; N >= 2. Taken as float32.
        factors: [N, K] integers or booleans, the classes of each row in any numbering; None when nothing is known.
        names: metrics to compute, see METRICS; None for all that can be.
        test_codes: [M, D] held-out codes, for metrics that fit a predictor. By default those draw their evaluation
            points from `codes`, as disentanglement_lib does.
        test_factors: [M, K] factors of the held-out codes, in the same numbering.
        factor_names: K names, for error messages.
        seed: of the points that metrics draw. Every metric starts from the same seed, so that its score does not
            depend on which others are asked for.

    Returns:
        One number for every key of every metric asked for.

    Raises:
        InputError: an argument is not as above, a name is unknown, or a metric needs factors and there are none.
    """
    codes = _checked_codes("codes", codes)
    if (test_codes is None) != (test_factors is None):
        given, missing = ("test_codes", "test_factors") if test_factors is None else ("test_factors", "test_codes")
        raise InputError(f"{given} was given without {missing}: held-out points need both")
    values = np.zeros((len(codes), 0), np.int32) if factors is None else _checked_factors("factors", factors, codes)
    columns = _column_names(values.shape[1], factor_names)
    names = _checked_names(names, values.shape[1])

    every_value = values
    if test_codes is not None:
        test_codes = _checked_codes("test_codes", test_codes)
        if test_codes.shape[1] != codes.shape[1]:
            raise InputError(f"test_codes has {test_codes.shape[1]} latents, codes has {codes.shape[1]}")
        test_values = _checked_factors("test_factors", test_factors, test_codes)
        if test_values.shape[1] != values.shape[1]:
            raise InputError(f"test_factors has {test_values.shape[1]} factors, factors has {values.shape[1]}")
        every_value = np.concatenate([values, test_values])

    relabelled, sizes = _relabel(every_value)
    if sum(sizes) > MAX_VALUES:
        largest = int(np.argmax(sizes))
        raise InputError(
            f"factor {columns[largest]} takes {sizes[largest]} values and all factors {sum(sizes)}, more than the"
            f" {MAX_VALUES} that can be counted: leave out identifiers, bin continuous quantities"
        )
    test = None
    if test_codes is not None:
        test = (test_codes[None], Factors(jnp.asarray(relabelled[len(codes) :]), sizes))
    known = Factors(jnp.asarray(relabelled[: len(codes)]), sizes)
    return {key: float(lane[0]) for key, lane in score_lanes(codes[None], known, names, seed, test=test).items()}


def score_lanes(
    codes, factors: Factors, names: Sequence[str], seed: int, *, test=None, lanes_at_once: int = 8
) -> dict[str, np.ndarray]:
    """Score the codes of R lanes in one compiled call; every lane sees the same draws, so that lanes compare.

    Codes that lie on several devices are scored there, each device its share of the lanes.

    Args:
        codes: f32[R, N, D], one lane after another.
        factors: of the N rows, which all lanes share.
        names: metrics to compute, see METRICS.
        seed: of the points that metrics draw.
        test: None, or held-out points (codes f32[R, M, D], factors of the M rows).
        lanes_at_once: upper bound on the lanes that a device scores side by side; more need more memory.

    Returns:
        f32[R] for every key of every metric asked for; NaN for lanes whose codes are not finite.

    Raises:
        InputError: shapes do not fit, a name is unknown, or a metric needs factors and there are none.
    """
    if codes.ndim != 3 or 0 in codes.shape or codes.shape[1] < 2:
        raise InputError(f"codes must be [R, N, D] with at least two rows, got {codes.shape}")
    _check_fit(codes.shape[1], factors)
    if test is not None:
        if test[0].ndim != 3 or test[0].shape[::2] != codes.shape[::2] or test[0].shape[1] < 2:
            raise InputError(f"test codes must be [R, M, D] for codes {codes.shape}, got {test[0].shape}")
        _check_fit(test[0].shape[1], test[1])
        if test[1].sizes != factors.sizes:
            raise InputError(f"test factors have sizes {test[1].sizes}, factors have {factors.sizes}")
    names = _checked_names(names, len(factors.sizes))
    num_lanes, mesh = codes.shape[0], mesh_of(codes)
    if mesh is not None:
        codes = spread(codes, mesh)
        test = test and (spread(test[0], mesh), test[1])
    scores = fetch(
        _score_lanes(codes, factors, jax.random.key(seed), test, names=names, lanes_at_once=lanes_at_once, mesh=mesh)
    )
    # Compiled functions hand dicts back in alphabetical order; this is the order that was asked for.
    return {key: scores[key][:num_lanes] for name in names for key in METRICS[name].keys}


@functools.partial(jax.jit, static_argnames=("names", "lanes_at_once", "mesh"))
def _score_lanes(codes, factors, key, test, *, names, lanes_at_once, mesh):
    if any(METRICS[name].needs_factors for name in names):
        factors = group_rows(factors)  # sorting the rows once serves every metric and every lane
        test = test and (test[0], group_rows(test[1]))
    shared = (factors, key, test and test[1])
    every_lane = (codes, test and test[0])

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
    """Return every score of one lane, from what all lanes share (factors, key, test factors or None)."""
    factors, key, test_factors = shared
    codes, test_codes = lane
    finite = jnp.isfinite(codes).all()
    test = None
    if test_factors is not None:
        finite &= jnp.isfinite(test_codes).all()
        test = (test_codes.astype(jnp.float32), test_factors)
    scores = {}
    for name in names:
        scores |= METRICS[name].function(codes.astype(jnp.float32), factors, key, test=test)
    return {key: jnp.where(finite, value, jnp.nan) for key, value in scores.items()}


def _checked_names(names, num_factors: int) -> tuple[str, ...]:
    """Return the metrics to compute, each once."""
    if names is None:
        return tuple(name for name, metric in METRICS.items() if num_factors or not metric.needs_factors)
    names = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in names:
        if look_up("metric", name, METRICS).needs_factors and not num_factors:
            free = ", ".join(name for name, metric in METRICS.items() if not metric.needs_factors)
            raise InputError(f"metric {name!r} needs factors and none were given; without factors there is {free}")
    return names


def _checked_codes(argument: str, codes) -> np.ndarray:
    """Return f32[N, D] on the host."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] < 1:
        raise InputError(f"{argument} must be [N, D] with at least two rows and one latent, got shape {codes.shape}")
    if not (jnp.issubdtype(codes.dtype, jnp.floating) or jnp.issubdtype(codes.dtype, jnp.integer)):
        raise InputError(f"{argument} must be real numbers, got {codes.dtype}")
    with np.errstate(over="ignore"):  # what overflows float32 is reported as not finite just below
        codes = codes.astype(np.float32)
    bad = ~np.isfinite(codes)
    if bad.any():
        row, latent = np.argwhere(bad)[0]
        raise InputError(
            f"{argument} must be finite in float32: {bad.sum()} are not, the first in row {row}, latent {latent}"
        )
    return codes


def _checked_factors(argument: str, factors, codes: np.ndarray) -> np.ndarray:
    """Return integers or booleans [N, K] on the host, a row for every row of codes."""
    factors = np.asarray(factors)
    if factors.ndim != 2:
        raise InputError(f"{argument} must be [N, K], a column for each factor, got shape {factors.shape}")
    if not (np.issubdtype(factors.dtype, np.integer) or factors.dtype == bool):
        raise InputError(f"{argument} must be integer classes, got {factors.dtype}: number the values of each column")
    if len(factors) != len(codes):
        raise InputError(f"{argument} has {len(factors)} rows for {len(codes)} rows of codes")
    return factors


def _column_names(num_factors: int, names) -> tuple[str, ...]:
    """Return what to call the factors in a message."""
    if names is None:
        return tuple(str(column) for column in range(num_factors))
    if len(names) != num_factors:
        raise InputError(f"factor_names has {len(names)} names for {num_factors} factors")
    return tuple(repr(name) for name in names)


def _relabel(values: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return values i32[N, K] numbered 0, 1, 2, … without gaps in each column, and how many there are."""
    relabelled, sizes = np.zeros(values.shape, np.int32), []
    for column in range(values.shape[1]):
        distinct, relabelled[:, column] = np.unique(values[:, column], return_inverse=True)
        sizes.append(len(distinct))
    return relabelled, tuple(sizes)


def _check_fit(num_rows: int, factors: Factors) -> None:
    if factors.values.shape != (num_rows, len(factors.sizes)):
        raise InputError(
            f"factors {factors.values.shape} do not fit {num_rows} rows of codes and {len(factors.sizes)} sizes"
        )
