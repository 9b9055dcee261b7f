"""Which images the judge is trained on, which boundaries are fitted on, which are held out: they share nobody."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.navigate.attributes import Attributes, attributes_of
from jaxvae.types import InputError

CLASSIFIER_SHARE = 0.75
"""Of the images that are not held out; boundaries are fitted on the rest."""
HELD_OUT_SHARE = 0.15
FEWEST = 5
"""Images with, and images without an attribute that each part must have: fewer cannot be resampled."""


class Parts(NamedTuple):
    """Images uint8[N, H, W, C], attributes and identities of those that something is fitted on, and of the others."""

    judged: tuple[np.ndarray, Attributes]  # what the classifier is trained on; empty where a scorer was given
    fitted: tuple[np.ndarray, Attributes, np.ndarray | None]  # … and the boundaries
    held_out: tuple[np.ndarray, Attributes]


def cut_up(data: Dataset, held_out: Dataset | None, known: Attributes, with_classifier: bool, seed: int) -> Parts:
    """Cut the images into those to train the classifier on, those to fit boundaries on, and those held out."""
    identities = None if data.identities is None else np.asarray(data.identities)
    rest = 1.0 if held_out is not None else 1.0 - HELD_OUT_SHARE
    share = CLASSIFIER_SHARE * rest if with_classifier else 0.0
    judged, fitted, apart = cut(len(data), (share, rest - share, 1.0 - rest), identities, seed)
    if held_out is None:
        others, other_attributes, apart = data, known, apart
    else:
        if held_out.shape != data.shape:
            raise InputError(f"held-out images are {held_out.shape}, those to fit on {data.shape}; give images alike")
        others, other_attributes, apart = held_out, attributes_of(held_out, known.names), np.arange(len(held_out))
        if identities is not None and held_out.identities is not None:
            shared = np.isin(np.asarray(held_out.identities), identities)
            if shared.any():
                raise InputError(
                    f"{shared.sum()} held-out images show people who are also in the images to fit on; cut by identity"
                )
    if with_classifier:
        check_enough(known.rows(judged), "that the classifier would be trained on")
    check_enough(known.rows(fitted), "that boundaries would be fitted on")
    check_enough(other_attributes.rows(apart), "that are held out")
    return Parts(
        (np.asarray(data.images(judged)), known.rows(judged)),
        (np.asarray(data.images(fitted)), known.rows(fitted), None if identities is None else identities[fitted]),
        (np.asarray(others.images(apart)), other_attributes.rows(apart)),
    )


def cut(
    num_images: int, shares: Sequence[float], identities: np.ndarray | None = None, seed: int = 0
) -> list[np.ndarray]:
    """Cut images into parts by chance, so that no two parts show the same person.

    Args:
        num_images: N.
        shares: of each part, in 0 … 1; they sum to 1.
        identities: integers [N], who is shown; None where that is not known, and every image is somebody else.
        seed: of the cut.

    Returns:
        The rows of each part, ascending.
    """
    who = np.arange(num_images) if identities is None else np.unique(identities, return_inverse=True)[1]
    counts = np.bincount(who)
    order = np.random.default_rng(seed).permutation(len(counts))
    reached = np.cumsum(counts[order]) / num_images
    part_of = np.empty(len(counts), int)
    part_of[order] = np.searchsorted(np.cumsum(shares)[:-1], reached - counts[order] / 2 / num_images, side="right")
    return [np.flatnonzero(part_of[who] == part) for part in range(len(shares))]


def check_enough(attributes: Attributes, part: str) -> None:
    """Check that a part has images with and without each attribute.

    Raises:
        InputError: it has fewer than FEWEST of either; the message names the attributes.
    """
    having = attributes.values.sum(0)
    short = [
        f"{name} ({count} with it)"
        for name, count in zip(attributes.names, having.tolist(), strict=True)
        if min(count, len(attributes.values) - count) < FEWEST
    ]
    if short:
        raise InputError(
            f"the {len(attributes.values)} images {part} need {FEWEST} with and {FEWEST} without each attribute, and "
            f"have not of {', '.join(short)}: give more images, or leave these attributes out"
        )
