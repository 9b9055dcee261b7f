"""Scores of lanes on images that they were trained on, and on images that they were not, apart. Knows no plot.

Of a lane that has not seen every image of the evaluation set as many seen images as unseen ones are drawn, 10,000 at
most, the same for every lane that has seen the same ones. Their columns stand beside the scores of the whole set:

reconstruction_seen, _unseen   nats per image, means over those images
kl_seen, _unseen               likewise, to the prior that the lane was trained with
probe_seen, _unseen            mean over factors: how often a logistic regression tells a factor's value from codes
NAME_unseen                    a metric of METRICS_OF_PARTS that was asked for, on the unseen images alone
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import metrics
from jaxvae.data.grid import Dataset
from jaxvae.data.rules import held_out
from jaxvae.data.splitting import rows_of
from jaxvae.evaluate.encoding import Encoded
from jaxvae.evaluate.known import factors_of
from jaxvae.lane import seeing
from jaxvae.lane.keys import Stream, key_for
from jaxvae.learners import logistic
from jaxvae.metrics.scoring import MAX_VALUES
from jaxvae.parallel.lanes import fetch, over_lanes, pad_lanes, put_lanes
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import Factors, InputError, remember
from jaxvae.workdir.plan import fingerprint

MOST = 10_000
"""Images of either kind that are looked at, at the most."""

FEWEST_PROBED = 8
"""Images of either kind without which no probe is fitted."""

METRICS_OF_PARTS = ("mig", "sap", "factor_vae", "dci")
"""Metrics that mean something on a few thousand images of any combinations."""

ENDINGS = ("_seen", "_unseen")


def is_apart(column: str) -> bool:
    """Return whether a column of results.csv is of seen or unseen images alone."""
    return column.endswith(ENDINGS)


def columns(names: Sequence[str], data: Dataset) -> list[str]:
    """Return the columns that there are of seen and of unseen images, where metrics of these names are asked for."""
    probed = ("probe",) if _can_be_probed(data) else ()
    pairs = [f"{name}{ending}" for name in ("reconstruction", "kl", *probed) for ending in ENDINGS]
    return pairs + [f"{key}_unseen" for name in _of_parts(names) for key in metrics.METRICS[name].keys]


def seen_images(sweep: SavedSweep, data: Dataset) -> list[np.ndarray] | None:
    """Return, for every lane, which images of a data set it was trained on, bool[N]; None where all saw all.

    None also where the data does not hold the images that the sweep was trained on, as a split of its own does not.
    """
    rules = sweep.spec.get("hold_out", ())
    if _saw_all(sweep) and not rules:
        return None
    try:
        there = np.flatnonzero(~held_out(data, rules))
    except InputError:  # of other factors, which the rules mean nothing for
        return None
    train = rows_of(data, there) if rules else data
    if fingerprint(train) != sweep.trained_on:
        return None
    masks = seen_in_training(sweep, train) or [np.ones(len(train), bool)] * len(sweep.lanes)
    whole: dict[int, np.ndarray] = {}  # lanes that have seen the same share a mask: all of them would not fit in memory
    for mask in masks:
        if id(mask) not in whole:
            whole[id(mask)] = np.zeros(len(data), bool)
            whole[id(mask)][there] = mask
    return [whole[id(mask)] for mask in masks]


def seen_in_training(sweep: SavedSweep, train: Dataset) -> list[np.ndarray] | None:
    """Return, for every lane, which images of the training set it was trained on, bool[N]; None where all saw all."""
    if _saw_all(sweep):
        return None
    see = jax.jit(functools.partial(seeing.seen, train))

    @functools.cache
    def mask(sparsity: float, fraction: float, seed: int) -> np.ndarray:
        own = {"sparsity": np.float32(sparsity), "fraction": np.float32(fraction), "seed": np.uint32(seed)}
        return np.asarray(see(own))

    rows = zip(*(_numbers(sweep)[name] for name in ("sparsity", "fraction", "seed")), strict=True)
    return [mask(sparsity, fraction, seed if fraction < 1 else 0) for sparsity, fraction, seed in rows]


def _numbers(sweep: SavedSweep) -> dict[str, np.ndarray]:
    """Return what says what lanes see, [R] by name; lanes of an earlier version saw all."""
    defaults = seeing.DEFAULTS | {"seed": 0}
    return {name: np.array([lane.get(name, default) for lane in sweep.lanes]) for name, default in defaults.items()}


def _saw_all(sweep: SavedSweep) -> bool:
    return seeing.is_whole(_numbers(sweep))


def score_apart(
    encoded: Encoded, data: Dataset, seen: Sequence[np.ndarray], names: Sequence[str]
) -> list[dict[str, float | None]]:
    """Score R lanes on images that they have seen and on others; a value, or None, for every one of `columns`.

    Args:
        encoded: the whole data set, with the losses of each image.
        data: the evaluation set, N images.
        seen: R of bool[N], the images that a lane was trained on. A lane that has seen all, or none, has no scores.
        names: the metrics that are asked for.
    """
    order = np.asarray(jax.random.permutation(key_for(0, Stream.SCORE), len(data)))
    chosen = [_draw(order, mask) for mask in seen]
    empty: dict[str, float | None] = dict.fromkeys(columns(names, data))
    if not any(len(known) for known, _ in chosen):
        return [dict(empty) for _ in seen]
    codes, reconstruction, kl = _pick(encoded, [np.concatenate(rows) for rows in chosen])
    factors = np.asarray(data.factors)
    found = []
    for lane, (known, new) in enumerate(chosen):
        scores, number = dict(empty), len(known)
        if number:
            parts = {"_seen": slice(0, number), "_unseen": slice(number, 2 * number)}
            for ending, part in parts.items():
                scores[f"reconstruction{ending}"] = float(reconstruction[lane, part].mean(dtype=np.float64))
                scores[f"kl{ending}"] = float(kl[lane, part].mean(dtype=np.float64))
            scores |= _probe_scores(codes[lane, : 2 * number], factors[np.concatenate([known, new])], data)
            scores |= _metrics_of(codes[lane, parts["_unseen"]], data, new, names)
        found.append(scores)
    return found


def _draw(order: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return equally many images that were seen and that were not, as they come first in an order of all."""
    known, new = order[mask[order]], order[~mask[order]]
    number = min(len(known), len(new), MOST)
    return known[:number], new[:number]


@remember
def _compiled_pick(mesh):
    """Return the jitted (arrays [R, N, …], rows [R, P]) -> arrays [R, P, …]."""
    pick = over_lanes(lambda _, lane: jax.tree.map(lambda leaf: leaf[lane[1]], lane[0]), mesh, "map")
    return jax.jit(lambda arrays, rows: pick((), (arrays, rows)))


def _pick(encoded: Encoded, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes [R, P, D] and losses [R, P] of some images of each lane, P the most of any; what is over is any."""
    width = max(map(len, rows))
    table = np.stack([np.pad(own, (0, width - len(own))) for own in rows]).astype(np.int32)
    mesh = encoded.means.sharding.mesh
    table = put_lanes(pad_lanes(table, len(encoded.means)), mesh)
    picked = fetch(_compiled_pick(mesh)((encoded.means, *encoded.of_images), table))
    return tuple(leaf[: len(rows)] for leaf in picked)


def _can_be_probed(data: Dataset) -> bool:
    return 0 < sum(data.factor_sizes) <= MAX_VALUES


def _probe_scores(codes: np.ndarray, factors: np.ndarray, data: Dataset) -> dict[str, float]:
    """Return how well factors are told from codes [2n, D] by a probe fitted to seen images, the first n of them.

    The probe is a multinomial logistic regression for each factor (see learners.logistic), fitted to codes of the first
    half of the seen images and asked about the other half, and about as many unseen ones. Its score is the share that
    it tells right, a mean over factors: how far what is read off one set of combinations holds for another. It is not
    asked for values that no image it was fitted to has (those between the values of a coarse grid), which it could not
    know; factors of which it could only know one are left out.
    """
    if not _can_be_probed(data) or len(codes) < 2 * FEWEST_PROBED:
        return {}
    number = len(codes) // 2
    half = number // 2
    fitted, seen, unseen = slice(0, half), slice(half, 2 * half), slice(number, number + half)
    if not np.isfinite(codes).all():
        return {"probe_seen": np.nan, "probe_unseen": np.nan}
    known = [np.isin(factors[:, k], factors[fitted, k]) for k in range(factors.shape[1])]
    varies = np.ptp(factors[fitted], axis=0) > 0
    told = [k for k in np.flatnonzero(varies) if known[k][seen].any() and known[k][unseen].any()]
    if not told:
        return {}
    sizes = data.factor_sizes
    right = np.asarray(_probe(codes[fitted], factors[fitted], codes, sizes)) == factors
    return {
        f"probe{ending}": float(np.mean([right[part, k][known[k][part]].mean() for k in told]))
        for ending, part in (("_seen", seen), ("_unseen", unseen))
    }


@functools.partial(jax.jit, static_argnames="sizes")
def _probe(codes: jax.Array, factors: jax.Array, asked: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return i32[P, K], the values that probes fitted to codes f32[N, D] and factors i32[N, K] tell of f32[P, D]."""
    logits = logistic.logits_of(logistic.fit_each(codes, factors, sizes), asked)  # [C, P]
    ends = np.cumsum(sizes)
    parts = [logits[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return jnp.stack([jnp.argmax(part, axis=0).astype(jnp.int32) for part in parts], axis=1)


def _of_parts(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in METRICS_OF_PARTS if name in names)


def _metrics_of(codes: np.ndarray, data: Dataset, rows: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of one lane's codes [n, D] of some images, of the factors that vary among them."""
    names, whole = _of_parts(names), factors_of(data)
    values = np.asarray(whole.values)[rows]
    vary = np.flatnonzero(np.ptp(values, axis=0)) if len(rows) > 1 else []
    if not names or not len(vary):
        return {}
    numbers = None if whole.numbers is None else whole.numbers[rows][:, vary]
    factors = Factors(jnp.asarray(values[:, vary]), tuple(whole.sizes[k] for k in vary), numbers=numbers)
    scores = metrics.score_lanes(jnp.asarray(codes)[None], factors, names, seed=0)
    return {f"{key}_unseen": float(own[0]) for key, own in scores.items()}
