"""A judge that knows the truth: the factors of a picture are those of the nearest image of a grid that has them all.

On faces nobody knows whether a judge is right. Where data are rendered from factors, `nearest_factors` reads them off
with nothing trained, so that directions can be scored by what they do.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.navigate.attributes import attributes_of, question
from jaxvae.types import InputError, in_32_bits

BLOCK_PIXELS = 2**19
"""Pixels of the grid that are compared at once, whatever its size: 2 MB of floats, which stay in a cache."""
UNPACKED_BYTES = 2**27
"""Bits of a grid are kept as bytes, which are read faster, where these are no more."""


class NearestFactors:
    """Images f32[B, H, W, C] -> f32[B, A]: scores of attributes of the nearest image, by squared distance of pixels.

    The score of an attribute of an ordered factor, "scale>1", is its class in standard deviations over the grid, 0
    half way between the classes that the attribute parts; so it is above 0 for images that have the attribute, and
    moves before the attribute does. That of a single value, "shape=2", is 1 where the nearest image has it, else 0.

    Attributes:
        attributes: A names.
    """

    def __init__(self, data: Dataset, attributes: Sequence[str] | None = None, *, stride: int = 1):
        """See `nearest_factors`."""
        if not data.complete_grid:
            raise InputError(f"{data.name} is not a complete grid of factors: the nearest of its images proves little")
        if not 1 <= stride <= len(data) or stride != int(stride):
            raise InputError(f"stride must be a whole number in 1 … {len(data)}, got {stride}")
        self.attributes = attributes_of(data, attributes).names
        asked = [question(data, name) for name in self.attributes]
        rows = np.arange(0, len(data), int(stride))
        self._bits = data.binary and len(rows) * math.prod(data.shape) > UNPACKED_BYTES
        kept = data.pixels[rows] if self._bits else data.images(rows)
        self._known, self._name, self._shape = kept.reshape(len(rows), -1), data.name, data.shape
        self._stride = int(stride)
        columns = [np.asarray(data.factors[:, one.column]) for one in asked]
        self._scores = np.stack(
            [
                values == one.value if one.is_class else (values - (one.value + 0.5)) / values.std()
                for one, values in zip(asked, columns, strict=True)
            ],
            axis=1,
        ).astype(np.float32)

    def __repr__(self) -> str:
        return f"nearest of {len(self._known)} images of {self._name}"

    @in_32_bits
    def nearest(self, images) -> np.ndarray:
        """Return i32[B], the rows of the images of the grid that are nearest to images f32[B, H, W, C] in [0, 1].

        Of images at the same distance the first one.

        Raises:
            InputError: the images are of another shape.
        """
        images = np.asarray(images, np.float32)
        if images.shape[1:] != self._shape:
            raise InputError(f"the judge takes images [B, {', '.join(map(str, self._shape))}], got {images.shape}")
        return np.asarray(_nearest(self._known, images.reshape(len(images), -1), self._bits)) * self._stride

    def __call__(self, images) -> np.ndarray:
        """Return f32[B, A]."""
        return self._scores[self.nearest(images)]


@in_32_bits
def nearest_factors(data: Dataset, attributes: Sequence[str] | None = None, *, stride: int = 1) -> NearestFactors:
    """Return a judge, the `scorer` of a study, that reads attributes off the nearest image of a grid of factors.

    Every image is compared with all N of the grid, B H W C N multiplications, 2 MB of them at once. A batch of 64 takes
    3 GFLOP on mini_sprites, and 400 on sprites, which wants an accelerator or a stride.

    Differs from a trained judge: it sees no degrees between two images of the grid, and calls everything something, a
    blur too. Single pictures that two rows of the grid share are taken for the first.

    Not for factors that go in a circle, which "above the middle" does not fit: the orientation of `sprites`, whose last
    value is its first one again. That of `mini_sprites` stays within a quarter turn, and is in order but for squares,
    to which a quarter turn does nothing.

    Args:
        data: a complete grid of factors.
        attributes: names, as in attributes.attributes_of; a study may ask for some of them, in any order.
        stride: compare with every stride-th image alone. All values of all factors are left where no factor's size
            shares a divisor with it, as 7 or 11 for sprites.

    Raises:
        InputError: the data is no complete grid, or a name is unknown.
    """
    return NearestFactors(data, attributes, stride=stride)


@functools.partial(jax.jit, static_argnames="bits")
def _nearest(known: jax.Array, images: jax.Array, bits: bool) -> jax.Array:
    """Return i32[B] of images f32[B, P] among known ones, uint8[N, P] in 0 … 255 or bits uint8[N, ceil(P / 8)]."""
    num, size = len(known), images.shape[1]
    block = min(num, max(1, BLOCK_PIXELS // size))

    def compare(best, first):
        # The last block begins earlier, so that all are of one size: what is seen twice is no nearer.
        first = jnp.minimum(first, num - block)
        pixels = jax.lax.dynamic_slice_in_dim(known, first, block)
        there = jnp.unpackbits(pixels, axis=1, count=size) if bits else pixels
        there = there.astype(jnp.float32) * np.float32(1 if bits else 1 / 255)
        there = jax.lax.optimization_barrier(there)  # written out once, not worked out for both of its readers
        # Squared distance, but for |image|², which is the same for all rows.
        products = jnp.matmul(there, images.T, precision=jax.lax.Precision.HIGHEST)
        distance = jnp.square(there).sum(1, keepdims=True) - 2 * products  # [block, B]
        least, where = distance.min(0), first + distance.argmin(0).astype(jnp.int32)
        nearer = least < best[0]
        return (jnp.where(nearer, least, best[0]), jnp.where(nearer, where, best[1])), None

    start = jnp.full(len(images), jnp.inf), jnp.zeros(len(images), jnp.int32)
    return jax.lax.scan(compare, start, block * jnp.arange(-(-num // block), dtype=jnp.int32))[0][1]
