"""What is given to the scores, checked at the door: before anything is compiled. On the host."""

import jax.numpy as jnp
import numpy as np

from jaxvae.metrics.table import METRICS, missing_input
from jaxvae.types import Factors, InputError, look_up


def checked_names(names, has_factors: bool, has_logvar: bool) -> tuple[str, ...]:
    """Return the metrics of one model to compute, each once."""

    def possible(name):
        return METRICS[name].of_codes and missing_input(name, has_factors, has_logvar) is None

    if names is None:
        return tuple(filter(possible, METRICS))
    names = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in names:
        if look_up("metric", name, METRICS).of_siblings:
            raise InputError(
                f"metric {name!r} compares models that differ in their seed alone: give the codes of all of them to"
                " jaxvae.metrics.score_siblings"
            )
        if METRICS[name].of_clusters:
            raise InputError(f"metric {name!r} scores clusters of images, not codes: see jaxvae.metrics.{name}")
        if missing := missing_input(name, has_factors, has_logvar):
            argument = {"factors": "factors=", "log-variances": "logvar="}[missing]
            raise InputError(
                f"metric {name!r} needs {missing} and none were given ({argument}); without them there is"
                f" {', '.join(filter(possible, METRICS))}"
            )
    return names


def checked_codes(argument: str, codes) -> np.ndarray:
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


def checked_factors(argument: str, factors, codes: np.ndarray) -> np.ndarray:
    """Return integers or booleans [N, K] on the host, a row for every row of codes."""
    factors = np.asarray(factors)
    if factors.ndim != 2:
        raise InputError(f"{argument} must be [N, K], a column for each factor, got shape {factors.shape}")
    if not (np.issubdtype(factors.dtype, np.integer) or factors.dtype == bool):
        raise InputError(f"{argument} must be integer classes, got {factors.dtype}: number the values of each column")
    if len(factors) != len(codes):
        raise InputError(f"{argument} has {len(factors)} rows for {len(codes)} rows of codes")
    return factors


def column_names(num_factors: int, names) -> tuple[str, ...]:
    """Return what to call the factors in a message."""
    if names is None:
        return tuple(str(column) for column in range(num_factors))
    if len(names) != num_factors:
        raise InputError(f"factor_names has {len(names)} names for {num_factors} factors")
    return tuple(repr(name) for name in names)


def relabel(values: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return values i32[N, K] numbered 0, 1, 2, … without gaps in each column, and how many there are."""
    relabelled, sizes = np.zeros(values.shape, np.int32), []
    for column in range(values.shape[1]):
        distinct, relabelled[:, column] = np.unique(values[:, column], return_inverse=True)
        sizes.append(len(distinct))
    return relabelled, tuple(sizes)


def check_fit(num_rows: int, factors: Factors) -> None:
    if factors.values.shape != (num_rows, len(factors.sizes)):
        raise InputError(
            f"factors {factors.values.shape} do not fit {num_rows} rows of codes and {len(factors.sizes)} sizes"
        )
