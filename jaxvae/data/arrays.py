"""Arrays of one's own as a Dataset: what is taken, and what is said of what is not. Knows no file."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.arguments import as_array, shortened
from jaxvae.data.errors import DataError
from jaxvae.data.grid import Dataset, assemble
from jaxvae.types import in_32_bits

NAME = "arrays"
"""What a data set made of arrays is called in a sweep's spec."""

LONGEST_NAME = 200
"""Signs of the name of a factor: it stands on axes of figures and over columns of tables."""

_ROUNDING = 1e-5  # floats this far outside [0, 1] are rounding


@in_32_bits
def from_arrays(
    images,
    *,
    factors=None,
    labels=None,
    factor_names: Sequence[str] | None = None,
    name: str = NAME,
    where: str = "arrays",
) -> Dataset:
    """Return a Dataset of images that are in memory, with what is known of each.

    Args:
        images: [N, H, W, C] or [N, H, W]: uint8 in 0 … 255 (or 0/1), booleans, or floats in [0, 1], which are kept as
            uint8.
        factors: integers [N, K] from 0 or booleans, independent generative factors; or None. A column whose values
            leave gaps, such as 0, 45, … 315 or identifiers, is numbered anew in their order; Dataset.factor_values has
            what the numbers stand for.
        labels: the same [N] or [N, K], classes or attributes; or None. Not beside factors.
        factor_names: K names; by default factor_0, … or label.
        name: what the data set is called.
        where: what to begin an error with.

    Raises:
        DataError: something is not as above; one line that says what was given and what is wanted.
    """
    images = checked_images(where, images)
    if labels is not None and factors is not None:
        raise DataError(f"{where}: both 'factors' and 'labels' are given: leave one out")
    if labels is None and factors is None:
        if factor_names is not None:
            raise DataError(f"{where}: factor_names are given without factors or labels")
        return assemble(name, images, annotation="none")
    kind, known = ("factors", factors) if labels is None else ("labels", labels)
    values, called = numbered(checked_indices(where, kind, as_array(f"{where}: {kind}", known, DataError), len(images)))
    width = values.shape[1]
    default = ("label",) if kind == "labels" and width == 1 else tuple(f"{kind[:-1]}_{k}" for k in range(width))
    names = default if factor_names is None else _names(where, factor_names, width)
    return assemble(name, images, values, names, annotation=kind, factor_values=called)


def white_of(where: str, images, *, whole: bool) -> int:
    """Return the number that white has in images: 1 or 255. Data sets and models alike ask here, and nowhere else.

    Floats are in [0, 1] and booleans are black or white. uint8 are 0 … 255, with one exception: a whole data set that
    holds nothing but 0 and 1 is black and white, the form in which dSprites is stored. A batch that does might as well
    be nearly black images of 0 … 255, so it is refused rather than guessed. Other types are refused.

    Args:
        where: what to begin an error with.
        images: an array of NumPy or JAX; of one that is being traced only the type is known, and floats are trusted.
        whole: whether they are all images of a data set, rather than some.

    Raises:
        DataError: they are none of the above; one line that says what was given and what is wanted.
    """
    traced = isinstance(images, jax.core.Tracer)
    if images.dtype == bool:
        return 1
    if jnp.issubdtype(images.dtype, jnp.floating):
        if images.size and not traced:
            least, most = float(images.min()), float(images.max())
            if not (least >= -_ROUNDING and most <= 1 + _ROUNDING):
                raise DataError(
                    f"{where}: images are {images.dtype} from {least:g} to {most:g}; floats must be in [0, 1], and "
                    "integers uint8 in 0 … 255: images.astype(np.uint8) where they are 0 … 255"
                )
        return 1
    if images.dtype != np.uint8:
        raise DataError(
            f"{where}: images are {images.dtype}, they must be uint8 0..255 or floats in [0, 1]: "
            "images.astype(np.uint8) where they are 0 … 255"
        )
    if traced:
        raise DataError(f"{where}: uint8 images are looked at, which cannot be done inside jit: give floats in [0, 1]")
    if not images.size or int(images.max()) != 1:
        return 255
    if not whole:
        raise DataError(
            f"{where}: images are uint8 of nothing but 0 and 1, either black and white or nearly black of 0 … 255: "
            "images.astype(bool) where 1 is white, images / 255 where 255 is"
        )
    return 1


def checked_images(where: str, images) -> np.ndarray:
    """Return all images of a data set as uint8[N, H, W, C] in 0 … 255, or 0/1 where `white_of` them is 1.

    Args:
        where: what to begin an error with.
        images: as for `from_arrays`.

    Raises:
        DataError: another dtype, floats outside [0, 1], another shape, or channels that come first.
    """
    images = as_array(f"{where}: images", images, DataError)
    if white_of(where, images, whole=True) == 1 and images.dtype != np.uint8:
        images = images.astype(np.uint8) if images.dtype == bool else np.round(255 * images).astype(np.uint8)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(f"{where}: images must be [N, H, W] or [N, H, W, C] and not empty, got shape {images.shape}")
    if _channels_first(images.shape):
        raise DataError(
            f"{where}: images of shape {images.shape} look channel-first: images.transpose(0, 2, 3, 1) is wanted"
        )
    return images


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether [N, H, W, C] rather reads as [N, C, H, W], whatever the number of channels.

    It does where the last axis is too long for channels and the second one is the shortest, or alone different from a
    square; and where the second one is 1 or 3 and the last one is neither.
    """
    _, first, middle, last = shape
    odd = first < min(middle, last) or middle == last != first
    return (last > 4 and odd) or (first in (1, 3) and last not in (1, 3))


def checked_indices(where: str, key: str, values: np.ndarray, count: int) -> np.ndarray:
    """Return values as integers [count, K] from 0; labels may also be [count], a single one of each image.

    Raises:
        DataError: they are no integers from 0, or not one row an image.
    """
    single = key == "labels"
    if values.ndim not in ((1, 2) if single else (2,)) or len(values) != count or 0 in values.shape:
        expected = f"[{count}] or " * single + f"[{count}, K]"
        raise DataError(f"{where}: {key} must be integers {expected}, one row an image, got shape {values.shape}")
    if values.dtype == bool:
        values = values.astype(np.uint8)
    integers = np.issubdtype(values.dtype, np.integer)
    if not integers or values.min() < 0:
        reach = f", {values.min()} to {values.max()}" if integers else ""
        raise DataError(
            f"{where}: {key} must be class indices, integers from 0, got {values.dtype}{reach}: "
            "np.unique(column, return_inverse=True)[1] turns a column of values into indices"
        )
    return values.reshape(count, -1)


def numbered(values: np.ndarray) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    """Return integers [N, K] numbered 0, 1, 2, … in each column in their order, and what the numbers stand for.

    A column that is numbered so already comes back as it is, with () for what its numbers stand for; where all are,
    there is one () for all.
    """
    numbers, called = np.empty(values.shape, np.int32), []
    for k, column in enumerate(values.T):
        distinct, numbers[:, k] = np.unique(column, return_inverse=True)
        called.append(() if int(distinct[-1]) == len(distinct) - 1 else tuple(distinct.tolist()))
    return numbers, tuple(called) if any(called) else ()


def numbered_as(where: str, data: Dataset, other: Dataset) -> Dataset:
    """Return data with the classes of its labels numbered as they are in another data set, by what they are called.

    Args:
        where: what to begin an error with.
        data: the data set; it comes back as it is where its numbers mean the same already.
        other: a data set that knows all of its values.

    Raises:
        DataError: it does not.
    """
    if len(data.factor_sizes) != len(other.factor_sizes):
        raise DataError(
            f"{where} has {len(data.factor_sizes) or 'no'} labels of each image, the training set has "
            f"{len(other.factor_sizes) or 'none'}: give the same"
        )
    factors = np.asarray(data.factors)
    moved = factors.copy()
    for k, name in enumerate(other.factor_names):
        places = {value: place for place, value in enumerate(other.values_of(k))}
        unknown = [value for value in data.values_of(k) if value not in places]
        if unknown:
            raise DataError(
                f"{where} has {name} {unknown[0]}, which the training set lacks: leave such images out, or train on "
                "all values"
            )
        moved[:, k] = np.array([places[value] for value in data.values_of(k)], np.int32)[factors[:, k]]
    if (moved == factors).all():
        return data
    return dataclasses.replace(
        data,
        factors=jnp.asarray(moved),
        factor_sizes=other.factor_sizes,
        factor_values=other.factor_values,
        complete_grid=False,
    )


def _names(where: str, given: Sequence[str], width: int) -> tuple[str, ...]:
    names = as_array(f"{where}: factor_names", given, DataError)
    if names.dtype.kind not in "US" or names.shape != (width,) or len(set(names.tolist())) < width:
        raise DataError(f"{where}: factor_names must be {width} different strings, got {shortened(names.tolist())}")
    found = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names.tolist()]
    for name in found:
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise DataError(
                f"{where}: factor_names must be words of at most {LONGEST_NAME} signs that can be printed, got "
                f"{shortened(name)}"
            )
    return tuple(found)
