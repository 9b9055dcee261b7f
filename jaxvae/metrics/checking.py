"""What is given to the scores, checked at the door: before anything is compiled. On the host."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae.arguments import as_array
from jaxvae.metrics.information import NUM_BINS
from jaxvae.metrics.table import METRICS, missing_input
from jaxvae.types import Factors, InputError, look_up

ROWS_PER_VALUE = 5
LARGEST = 2**24  # above it float32 knows whole numbers only


class Numbered(NamedTuple):
    """Columns of factors as metrics take them."""

    values: np.ndarray  # i32[N, K] in 0 … sizes[k]-1, without gaps; bins where a column is continuous
    sizes: tuple[int, ...]
    numbers: np.ndarray | None  # f32[N, K], the values as given up to offset and unit; None where `values` are those
    continuous: tuple[bool, ...]  # () where no column is


def checked_names(names, sizes: Sequence[int], has_logvar: bool, continuous: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the metrics of one model to compute, each once.

    Args:
        names: those asked for; None for all that are possible.
        sizes: of the factors, how many values each has.
        has_logvar: whether log-variances were given.
        continuous: the names of factors that are so.
    """

    def missing_from(name):
        return missing_input(name, len(sizes) > 0, has_logvar, has_binary=2 in sizes)

    def takes(name):
        return METRICS[name].takes_numbers or not METRICS[name].needs_factors or not continuous

    def possible(name):
        return METRICS[name].of_codes and missing_from(name) is None and takes(name)

    if names is None:
        return tuple(filter(possible, METRICS))
    names = as_names(names)
    for name in names:
        if look_up("metric", name, METRICS).of_siblings:
            raise InputError(
                f"metric {name!r} compares models that differ in their seed alone: give the codes of all of them to"
                " jaxvae.metrics.score_siblings"
            )
        if METRICS[name].of_clusters:
            raise InputError(f"metric {name!r} scores clusters of images, not codes: see jaxvae.metrics.{name}")
        if missing := missing_from(name):
            argument = {"log-variances": "logvar="}.get(missing, "factors=")
            raise InputError(
                f"metric {name!r} needs {missing} and none were given ({argument}); without them there is"
                f" {', '.join(filter(possible, METRICS))}"
            )
        if not takes(name):
            raise InputError(
                f"metric {name!r} needs factors that are classes, and factor {continuous[0]} is continuous: cut it into"
                f" classes 0, 1, 2, … or leave it out; with it there is {', '.join(filter(possible, METRICS))}"
            )
    return names


def as_names(names) -> tuple[str, ...]:
    """Return the names of metrics, each once; raises InputError for what is no sequence of them."""
    try:
        return tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    except TypeError:
        raise InputError(f"names must be names of metrics, got {names!r}; see jaxvae.metrics.METRICS") from None


def checked_seed(seed) -> int:
    """Return the seed of the points that metrics draw; raises InputError for what is none."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise InputError(f"seed must be a whole number in 0 … 2^32 - 1, got {seed!r}")
    return int(seed)


def checked_codes(argument: str, codes) -> np.ndarray:
    """Return f32[N, D] on the host."""
    codes = as_array(argument, codes)
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


def checked_factors(argument: str, factors, codes: np.ndarray) -> np.ndarray:
    """Return finite numbers or booleans [N, K] on the host, a row for every row of codes."""
    factors = as_array(argument, factors)
    if factors.ndim != 2:
        raise InputError(f"{argument} must be [N, K], a column for each factor, got shape {factors.shape}")
    is_real = jnp.issubdtype(factors.dtype, jnp.floating)  # NumPy does not know bfloat16
    if not (np.issubdtype(factors.dtype, np.integer) or is_real or factors.dtype == bool):
        raise InputError(f"{argument} must be numbers, got {factors.dtype}: number the classes of each column")
    if len(factors) != len(codes):
        raise InputError(f"{argument} has {len(factors)} rows for {len(codes)} rows of codes")
    if is_real:
        factors = factors.astype(np.float64)
        bad = ~np.isfinite(factors)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{argument} must be finite: {bad.sum()} are not, the first in row {row}, factor {column}; leave out"
                " rows whose factors are not known"
            )
    return factors


def column_names(num_factors: int, names) -> tuple[str, ...]:
    """Return what to call the factors in a message."""
    if names is None:
        return tuple(str(column) for column in range(num_factors))
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise InputError(f"factor_names must be {num_factors} names, got {names!r}")
    if len(names) != num_factors:
        raise InputError(f"factor_names has {len(names)} names for {num_factors} factors")
    return tuple(repr(name) for name in names)


def number_values(given: np.ndarray) -> Numbered:
    """Number the values of each column [N, K] 0, 1, 2, … without gaps, in ascending order.

    A column is continuous when not all of its values are whole numbers and fewer than ROWS_PER_VALUE rows share one on
    average: its values are then bins of equal width, those of `discretise`. 0.5, 0.6 … 1 in all rows are classes.
    """
    values, numbers = np.zeros(given.shape, np.int32), np.zeros(given.shape, np.float32)
    sizes, continuous = [], []
    for column, own in enumerate(given.T):
        distinct, values[:, column] = np.unique(own, return_inverse=True)
        few = len(distinct) * ROWS_PER_VALUE > len(own)
        whole = not np.issubdtype(own.dtype, np.floating) or ((own == np.floor(own)) & (np.abs(own) < LARGEST)).all()
        continuous.append(bool(few and not whole))
        # In float64 and units of its own, so that neither large ids nor a unit leave float32's digits or range.
        own = own.astype(np.float64)
        own = own / max(np.abs(own).max(initial=0), np.finfo(np.float64).tiny)
        own -= own.min(initial=np.inf)
        own /= max(own.max(initial=0), np.finfo(np.float64).tiny)
        numbers[:, column] = own
        sizes.append(NUM_BINS if continuous[-1] else len(distinct))
        if continuous[-1]:
            values[:, column] = np.minimum(np.floor(own * NUM_BINS), NUM_BINS - 1)
    plain = not any(continuous) and all(
        (values[:, column] == own.astype(np.float64) - own.astype(np.float64).min(initial=np.inf)).all()
        for column, own in enumerate(given.T)
    )
    return Numbered(values, tuple(sizes), None if plain else numbers, tuple(continuous) if any(continuous) else ())


def check_fit(num_rows: int, factors: Factors) -> None:
    if factors.values.shape != (num_rows, len(factors.sizes)):
        raise InputError(
            f"factors {factors.values.shape} do not fit {num_rows} rows of codes and {len(factors.sizes)} sizes"
        )
