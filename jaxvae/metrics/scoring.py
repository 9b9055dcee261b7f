"""The doors: scores of one model, of all lanes of a sweep in one compiled call, and of siblings."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvae import ledger
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
from jaxvae.parallel import compiling
from jaxvae.parallel.compiling import Wanted
from jaxvae.parallel.lanes import LANE, fetch, make_mesh, mesh_of, put_everywhere, shapes_on, split_lanes, spread
from jaxvae.parallel.machine import RUN_ONCE
from jaxvae.types import Factors, InputError, in_32_bits, look_up, remember

LANES_AT_ONCE = 8  # that a device which is no CPU scores side by side

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
    lanes_at_once: int | None = None,
) -> dict[str, np.ndarray]:
    """Score the codes of R lanes by compiled programs; every lane sees the same draws, so that lanes compare.

    Codes that lie on several devices are scored there, each device its share of the lanes.

    Args:
        codes: f32[R, N, D], one lane after another.
        factors: of the N rows, which all lanes share.
        names: metrics to compute, see METRICS.
        seed: of the points that metrics draw.
        test: None, or held-out points (codes f32[R, M, D], factors of the M rows).
        logvar: None, or log-variances f32[R, N, D] beside the means; only looked at where a metric needs them.
        lanes_at_once: lanes that a device scores side by side; more need more memory. By default one on a CPU and
            LANES_AT_ONCE elsewhere. What is compiled depends on it, and not on how many lanes there are.

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
    num_lanes, mesh = codes.shape[0], mesh_of(codes) or make_mesh(1)
    every_lane = tuple(
        None if leaf is None else spread(leaf, mesh) for leaf in (codes, logvar, None if test is None else test[0])
    )
    shared = _shared(names, factors, seed, None if test is None else test[1], mesh)
    at_once = 1 if num_lanes == 1 else max(1, lanes_at_once or default_at_once(mesh))
    scores = _score_each(names, mesh, at_once, shared, every_lane)
    return {key: scores[key][:num_lanes] for name in names for key in METRICS[name].keys}


def begin(
    names: Sequence[str], factors: Factors, num_lanes: int, num_latents: int, *, with_logvar: bool
) -> Iterator[None]:
    """Begin to compile what `score_lanes` will need for so many lanes, which lie on all devices, with seed 0.

    A metric at a time.
    """
    mesh, rows = make_mesh(num_lanes), len(factors.values)
    at_once = 1 if num_lanes == 1 else default_at_once(mesh)
    codes = jax.ShapeDtypeStruct((at_once * mesh.shape[LANE], rows, num_latents), np.float32)
    lanes = shapes_on((codes, codes if with_logvar else None, None), mesh, LANE)
    shared = _shared(names, factors, 0, None, mesh)
    for name in names:
        yield compiling.begin(_wanted(_Asked(name, mesh, at_once), shared, lanes))


def _shared(names: Sequence[str], factors: Factors, seed: int, test_factors: Factors | None, mesh: Mesh):
    """Return what all lanes share, on the devices: (factors, the key's data, factors of held-out points or None)."""
    if any(METRICS[name].fixes_factors for name in names):
        factors, test_factors = group_rows_on_host(factors), test_factors and group_rows_on_host(test_factors)
    return put_everywhere((factors, jax.random.key_data(jax.random.key(seed)), test_factors), mesh)


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


class _Asked(NamedTuple):
    """What a metric is compiled for: everything that its program depends on."""

    name: str
    mesh: Mesh
    at_once: int  # lanes that each device scores side by side


def default_at_once(mesh: Mesh) -> int:
    """Return how many lanes a device scores side by side: the same for sweeps of all sizes, so that one compile serves.

    One on a CPU, where side by side is no faster and compiles for longer.
    """
    return 1 if mesh.devices.flat[0].platform == "cpu" else LANES_AT_ONCE


def _score_each(names, mesh, at_once, shared, every_lane) -> dict[str, np.ndarray]:
    """Score lanes, every leaf of every_lane [R, …], by one metric after another; return {key: f32[R]}."""
    taken = _take(mesh, at_once)
    first = taken(every_lane, np.int32(0))
    programs = compiling.together([_wanted(_Asked(name, mesh, at_once), shared, first) for name in names])
    a_device = len(every_lane[0]) // mesh.shape[LANE]
    scores = {}
    for name, program in zip(names, programs, strict=True):
        with ledger.part(ledger.SCORE + name):
            parts = [
                program(shared, first if start == 0 else taken(every_lane, np.int32(start)))
                for start in range(0, a_device, at_once)
            ]
            found = fetch(parts)
        for key in found[0]:
            by_device = np.concatenate([part[key].reshape(-1, at_once) for part in found], axis=1)
            scores[key] = by_device[:, :a_device].reshape(-1)
    return scores


@remember
def _take(mesh: Mesh, at_once: int):
    """Return the jitted (lanes [R, …], start) -> of each device's lanes those from `start` on, at_once of them.

    Past the last one it is repeated.
    """

    def take(start, lanes):
        rows = jnp.minimum(start + jnp.arange(at_once), len(jax.tree.leaves(lanes)[0]) - 1)
        return jax.tree.map(lambda leaf: leaf[rows], lanes)

    split = split_lanes(take, mesh)
    return jax.jit(lambda lanes, start: split(start, lanes))


def _wanted(asked: _Asked, shared, lanes) -> Wanted:
    """Return the program of a metric for such arrays, or shapes of some, not compiled yet."""
    shapes, known_by = compiling.shapes((shared, lanes))
    return Wanted(("metric", asked, known_by), functools.partial(_lowered, asked, shapes))


def _lowered(asked: _Asked, shapes) -> jax.stages.Lowered:
    """Trace a metric of some lanes of each device, every leaf [R, …], with what they share."""

    def score_each(shared, lanes):
        return jax.vmap(functools.partial(_score_lane, asked.name, shared))(lanes)

    return jax.jit(split_lanes(score_each, asked.mesh), compiler_options=RUN_ONCE).lower(*shapes)


def _score_lane(name, shared, lane):
    """Return every score by a metric of one lane (codes, log-variances or None, test codes or None)."""
    factors, key, test_factors = shared
    codes, logvar, test_codes = lane
    known, test, metric, more = jnp.isfinite(codes).all(), None, METRICS[name], {}
    if test_factors is not None:
        known &= jnp.isfinite(test_codes).all()
        test = (test_codes.astype(jnp.float32), test_factors)
    if metric.needs_logvar:
        known, more = known & jnp.isfinite(logvar).all(), {"logvar": logvar.astype(jnp.float32)}
    found = metric.function(codes.astype(jnp.float32), factors, jax.random.wrap_key_data(key), test=test, **more)
    return {key: jnp.where(known, value, jnp.nan) for key, value in found.items()}
