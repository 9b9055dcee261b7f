"""A part of a data set set aside, never to be trained on: drawn by a seed, or by person. Knows no source, no sweep."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.types import InputError, in_32_bits

FEWEST = 4
"""Images that must be held out at the least, for a mean over them to be one."""


@in_32_bits
def split_off(dataset: Dataset, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return (kept, held out): a data set in two parts that share no image, and no person where it knows any.

    The same arguments give the same parts on every machine. Images stay in the order that they had. Neither part is a
    complete grid of factors, whatever the whole was.

    Args:
        dataset: N images.
        share: the part of them to hold out, above 0 and below 1; of `Dataset.identities` the persons, drawn one by one,
            whose images together come nearest to it.
        seed: which images; 0 … 2^32 - 1.

    Raises:
        InputError: the share is none, or leaves fewer than FEWEST images on either side.
    """
    if not isinstance(dataset, Dataset):
        raise InputError(f"split_off takes a Dataset, as jaxvae.data.load gives one, got {type(dataset).__name__}")
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share < 1:
        raise InputError(f"--validation must be a share of the training images in 0 … 1, 1 excluded, got {share!r}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"--seed must be a whole number in 0 … 2^32 - 1, got {seed!r}")
    chosen = _chosen(dataset, share, seed)
    held_out = int(chosen.sum())
    if min(held_out, len(dataset) - held_out) < FEWEST:
        people = "" if dataset.identities is None else f", whole persons of {len(np.unique(dataset.identities))},"
        raise InputError(
            f"--validation={share:g} of the {len(dataset)} images of {dataset.name!r}{people} holds out {held_out} and "
            f"leaves {len(dataset) - held_out} to train on; each part must have at least {FEWEST}: choose another share"
        )
    return rows_of(dataset, np.flatnonzero(~chosen)), rows_of(dataset, np.flatnonzero(chosen))


def rows_of(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return the images i64[M] of a data set, in that order, as a data set that is no complete grid."""
    rows = jnp.asarray(rows, jnp.int32)
    return dataclasses.replace(
        dataset,
        pixels=dataset.pixels[rows],
        factors=dataset.factors[rows],
        identities=None if dataset.identities is None else dataset.identities[rows],
        complete_grid=False,
    )


def in_any_order(count: int, seed: int) -> np.ndarray:
    """Return the numbers 0 … count - 1 in an order that the seed decides, the same in every version of NumPy."""
    # NumPy promises the raw bits of a generator for good, and not what it makes of them.
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def _chosen(dataset: Dataset, share: float, seed: int) -> np.ndarray:
    """Return which images to hold out, bool[N]."""
    if dataset.identities is None:
        chosen = np.zeros(len(dataset), bool)
        chosen[in_any_order(len(dataset), seed)[: round(share * len(dataset))]] = True
        return chosen
    _, person, images = np.unique(np.asarray(dataset.identities), return_inverse=True, return_counts=True)
    order = in_any_order(len(images), seed)
    so_far = np.concatenate([[0], np.cumsum(images[order])])
    number = int(np.argmin(np.abs(so_far - share * len(dataset))))
    return np.isin(person, order[:number])
