"""Scores that compare lanes which differ in their seed alone, across waves. Knows no model."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxvae import metrics
from jaxvae.parallel.lanes import fetch
from jaxvae.types import remember


def kept_points(means: jax.Array) -> list[np.ndarray]:
    """Return, lane by lane, the codes [P, D] of the images that siblings are compared on; all lanes see the same."""
    return rows_of_lanes(means, metrics.sibling_points(means.shape[1], seed=0))


def rows_of_lanes(means: jax.Array, rows: np.ndarray) -> list[np.ndarray]:
    """Return, lane by lane, the codes [P, D] at rows i32[P] of codes [R, N, D] that lie on the devices."""
    return list(fetch(_taking(means.sharding)(means, rows)))


@remember
def _taking(sharding: jax.sharding.Sharding):
    """Return the jitted (codes [R, N, D], rows [P]) -> [R, P, D], which stay where they are."""
    return jax.jit(lambda codes, rows: codes[:, rows], out_shardings=sharding)


def compare_siblings(
    rows: list[dict[str, Any]],
    hyper_names: Sequence[str],
    codes: Sequence[np.ndarray],
    kl: Sequence[np.ndarray],
    names: Sequence[str],
) -> bool:
    """Give each row the scores that compare it with its siblings: None for one that cannot be compared.

    Where none can be, no row gets any, and the answer is False.

    Args:
        rows: one for each of L lanes, with its names, its hypers and its status.
        hyper_names: the hypers; siblings share all of them but the seed.
        codes: L of [P, D], of the same images.
        kl: L of [D] nats to the architecture's own prior, mean over the evaluation set; of a hierarchical code more
            than is in `codes`.
        names: metrics of siblings.
    """
    keys = [key for name in names for key in metrics.METRICS[name].keys]
    shared = ("objective", "architecture", *(name for name in hyper_names if name != "seed"))
    families: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        if row["status"] == "ok" and np.isfinite(codes[index]).all() and np.isfinite(kl[index]).all():
            families.setdefault(tuple(row.get(name) for name in shared), []).append(index)
    compared = [family for family in families.values() if len(family) > 1]
    for row in rows if compared else ():
        row |= dict.fromkeys(keys)
    for family in compared:
        scores = metrics.score_siblings(
            [codes[index] for index in family],
            np.stack([kl[index][: codes[index].shape[-1]] for index in family]),
            names=names,
            seed=0,
        )
        for place, index in enumerate(family):
            rows[index] |= {key: float(values[place]) for key, values in scores.items()}
    return bool(compared)
