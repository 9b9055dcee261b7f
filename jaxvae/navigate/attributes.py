"""What can be asked of an image with yes or no, from the labels of a data set; and parts that share nobody."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.types import InputError, look_up

FEWEST = 5
"""Images with, and images without an attribute that each part must have: fewer cannot be resampled."""


class Attributes(NamedTuple):
    """A attributes of N images."""

    names: tuple[str, ...]
    values: np.ndarray  # bool[N, A]

    def rows(self, indices: np.ndarray) -> "Attributes":
        """Return the attributes of some images, in their order."""
        return Attributes(self.names, self.values[indices])


def attributes_of(data: Dataset, wanted: Sequence[str] | None = None) -> Attributes:
    """Return the binary attributes of a data set.

    A label or factor of two values is one attribute, which images of its second value have. A label of more values,
    such as a class, gives one for each, "digit=3". A factor of more values, which is ordered, gives one that the upper
    half of its values have, "scale>0.9".

    Args:
        data: with labels or factors.
        wanted: names of attributes, in the order wanted; None for all of them.

    Raises:
        InputError: the data has no labels, a name is unknown, or an attribute that was asked for does not vary. Without
            `wanted`, those that do not vary are left out.
    """
    if not data.factor_names:
        raise InputError(f"{data.name} has no labels, so it has no attributes to navigate by; choose data that has")
    every = {}
    for column, (name, size) in enumerate(zip(data.factor_names, data.factor_sizes, strict=True)):
        values, called = np.asarray(data.factors[:, column]), data.values_of(column)
        if size == 2:
            every[name] = values == 1
        elif data.annotation == "labels":
            every |= {f"{name}={called[value]}": values == value for value in range(size)}
        elif size > 2:
            middle = (size - 1) // 2
            every[f"{name}>{called[middle]}"] = values > middle
    varying = {name: values for name, values in every.items() if values.any() and not values.all()}
    if wanted is None:
        names = tuple(varying)
    else:
        names = tuple(dict.fromkeys(wanted))
        for name in names:
            if not look_up("attribute", name, every).any() or every[name].all():
                raise InputError(f"attribute {name!r} is the same in all {len(data)} images: leave it out")
    if not names:
        raise InputError(f"no attribute of {data.name} varies, so there is nothing to navigate by")
    return Attributes(names, np.stack([every[name] for name in names], axis=1))


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
