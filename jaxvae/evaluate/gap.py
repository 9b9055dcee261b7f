"""Losses of what was encoded, and of images that stand for a training set. Knows no metric."""

from typing import Any, NamedTuple

import numpy as np

from jaxvae import latents
from jaxvae.data.grid import Dataset
from jaxvae.data.splitting import in_any_order, rows_of
from jaxvae.evaluate.encoding import Encoded, encode
from jaxvae.evaluate.unseen import seen_in_training
from jaxvae.parallel.lanes import fetch
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import Networks, Program

MOST_COMPARED = 10_000
"""Training images, the same of every lane, that the evaluation set is compared with at most."""


def losses(program: Program, encoded: Encoded) -> dict[str, np.ndarray | None]:
    """Return {name of LOSSES: f64[R], or None} of what `encode` gives, nats an image."""
    return {
        "reconstruction": encoded.reconstruction,
        "kl": encoded.kl,
        "kl_standard": encoded.kl_per_latent.sum(-1) if latents.is_flat(program) else None,
        "elbo": -encoded.reconstruction - encoded.kl,
    }


class Trained(NamedTuple):
    """Images that stand for a training set."""

    data: Dataset
    seen: list[np.ndarray] | None  # of each lane of the sweep, which of them it saw; None where all saw all


def stand_in(sweep: SavedSweep, data: Dataset) -> Trained:
    """Return the images that stand for a training set, always the same."""
    seen = seen_in_training(sweep, data)
    if seen is None or len(data) <= MOST_COMPARED:
        return Trained(some(data), seen)
    return Trained(some(data), [own[_rows(data)] for own in seen])


def some(data: Dataset) -> Dataset:
    """Return as many images of a training set as are looked at."""
    return data if len(data) <= MOST_COMPARED else rows_of(data, _rows(data))


def _rows(data: Dataset) -> np.ndarray:
    return in_any_order(len(data), 0)[:MOST_COMPARED]


def elbo_of_seen(
    program: Program, lanes: list[dict[str, Any]], hypers: dict[str, np.ndarray], networks: Networks, trained: Trained
) -> np.ndarray:
    """Return the ELBO f64[R] of the images that each lane was trained on; NaN for one that saw none of those."""
    if trained.seen is None:
        return losses(program, encode(program, hypers, networks, trained.data))["elbo"][: len(lanes)]
    reconstruction, kl = fetch(encode(program, hypers, networks, trained.data, each_image=True).of_images)
    masks = [trained.seen[lane["lane"]] for lane in lanes]
    pairs = [(reconstruction[i, mask] + kl[i, mask]).astype(np.float64) for i, mask in enumerate(masks)]
    return np.array([-own.mean() if len(own) else np.nan for own in pairs])
