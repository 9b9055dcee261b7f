"""Dataset: images on the device with their factors; index arithmetic of complete factor grids. Knows no source."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.types import in_32_bits
from jaxvae.words import printable

EIGHT_PIXELS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * np.uint8(255)
"""The pixels of every byte of a binary image, uint8[256, 8]."""

MOST_SAID = 10
"""Factors that a Dataset names where it is printed; of more, the first few."""

ANNOTATIONS = ("factors", "labels", "none")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dataset:
    """N images with what is known of each; a pytree, so it travels into compiled code as an argument.

    Attributes:
        pixels: uint8[N, H, W, C] in 0 … 255, or, when `binary`, uint8[N, ceil(H*W*C/8)] bits (big-endian, 1 = white).
        factors: i32[N, K] class indices in 0 … factor_sizes[k]-1; K is 0 when nothing is known.
        name: the name it was loaded by.
        shape: (H, W, C) of one image.
        binary: whether pixels are bits.
        factor_names: K names.
        factor_sizes: number of values of each factor.
        annotation: "factors" (independent generative factors), "labels" (a class or attributes only) or "none".
        complete_grid: whether image i has the factors of i in mixed radix, last factor fastest.
        factor_values: what each class of each factor was called where the data was given, in order: numbers with gaps,
            names of folders. () for a factor whose classes are called 0 … size-1, and for all where every one is.
        unordered: names of the factors whose values have no order (shapes, categories, colours that go by name): that
            class 2 is nearer to 1 than to 0 means nothing there. Of the others it means that the values are (angles and
            hues along a circle), or that nobody says.
        identities: i32[N] from 0, which person each image shows, for splits that must not share one; None when nobody
            says. The numbers mean the same in every split of a data set.
    """

    pixels: jax.Array
    factors: jax.Array
    name: str = dataclasses.field(metadata={"static": True})
    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    binary: bool = dataclasses.field(metadata={"static": True})
    factor_names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    factor_sizes: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    annotation: str = dataclasses.field(metadata={"static": True})
    complete_grid: bool = dataclasses.field(metadata={"static": True}, default=False)
    factor_values: tuple[tuple[int | str, ...], ...] = dataclasses.field(metadata={"static": True}, default=())
    unordered: tuple[str, ...] = dataclasses.field(metadata={"static": True}, default=())
    identities: jax.Array | None = None

    def __len__(self) -> int:
        return self.pixels.shape[0]

    def __repr__(self) -> str:
        height, width, channels = self.shape
        ends = [(printable(values[0]), printable(values[-1])) if values else () for values in self.factor_values]
        called = [f" ({' … '.join(pair)})" if pair else "" for pair in ends]
        called = called or [""] * len(self.factor_names)
        columns = zip(self.factor_names, self.factor_sizes, called, strict=True)
        said = [f"{printable(name)}:{size}{words}" for name, size, words in columns] or ["none"]
        factors = ", ".join(said if len(said) <= MOST_SAID else [*said[:3], f"… {len(said)} in all"])
        return f"Dataset({self.name}, {len(self)} images {height}x{width}x{channels}, {self.annotation}: {factors})"

    def values_of(self, column: int) -> tuple[int | str, ...]:
        """Return what the classes 0 … size-1 of a factor are called."""
        return (self.factor_values and self.factor_values[column]) or tuple(range(self.factor_sizes[column]))

    @in_32_bits
    def images(self, indices) -> jax.Array:
        """Return images uint8[B, H, W, C] in 0 … 255 for integer indices [B] in 0 … N-1."""
        rows = self.pixels[jnp.asarray(indices)]
        if not self.binary:
            return rows
        # A table look-up is written out once; bit arithmetic would be fused into, and repeated by, every reader.
        pixels = jnp.asarray(EIGHT_PIXELS)[rows].reshape(*rows.shape[:-1], 8 * rows.shape[-1])
        pixels = pixels[..., : math.prod(self.shape)]
        return pixels.reshape(*rows.shape[:-1], *self.shape)

    @in_32_bits
    def batch(self, indices) -> jax.Array:
        """Return images f32[B, H, W, C] in [0, 1] for integer indices [B]; meant to be traced into a compiled step."""
        return self.images(indices).astype(jnp.float32) / 255.0

    @in_32_bits
    def index(self, factors) -> jax.Array:
        """Return i32[B], the images that have the factors i32[B, K].

        Raises:
            ValueError: the data is not a complete grid, so factors do not determine an index.
        """
        if not self.complete_grid:
            raise ValueError(f"{self.name} is not a complete grid of factors: an image cannot be found by its factors")
        return ravel(factors, self.factor_sizes)


def join(first: Dataset, second: Dataset) -> Dataset:
    """Return the images of two splits of one data set, those of the first one first."""
    unlike = [
        name
        for name in ("shape", "binary", "factor_names", "factor_sizes", "annotation", "factor_values", "unordered")
        if getattr(first, name) != getattr(second, name)
    ]
    if unlike:
        raise ValueError(f"{first} and {second} cannot be joined: they differ in {', '.join(unlike)}")
    known = first.identities is not None and second.identities is not None
    return dataclasses.replace(
        first,
        pixels=jnp.concatenate([first.pixels, second.pixels]),
        factors=jnp.concatenate([first.factors, second.factors]),
        identities=jnp.concatenate([first.identities, second.identities]) if known else None,
        complete_grid=False,
    )


def ravel(factors, sizes: tuple[int, ...]) -> jax.Array:
    """Return the index i32[...] of factors i32[..., K] in a complete grid, last factor fastest."""
    strides = np.array([math.prod(sizes[k + 1 :]) for k in range(len(sizes))], dtype=np.int32)
    return (jnp.asarray(factors, jnp.int32) * strides).sum(-1, dtype=jnp.int32)


def unravel(indices, sizes: tuple[int, ...]) -> jax.Array:
    """Return the factors i32[..., K] of indices i32[...] into a complete grid, last factor fastest."""
    return jnp.stack(jnp.unravel_index(jnp.asarray(indices, jnp.int32), sizes), axis=-1).astype(jnp.int32)


def pack(images: np.ndarray) -> np.ndarray:
    """Return images uint8[N, H, W, C] of two values (zero and not) as bits uint8[N, ceil(H*W*C/8)]."""
    return np.packbits(images.reshape(len(images), -1) != 0, axis=-1)


def assemble(
    name: str,
    images: np.ndarray,
    factors: np.ndarray | None = None,
    factor_names: tuple[str, ...] = (),
    *,
    annotation: str,
    factor_sizes: tuple[int, ...] | None = None,
    factor_values: tuple[tuple[int | str, ...], ...] = (),
    unordered: tuple[str, ...] = (),
    packed_shape: tuple[int, int, int] | None = None,
    identities: np.ndarray | None = None,
) -> Dataset:
    """Put host arrays on the device as a Dataset.

    Images that hold only {0, 255} or only {0, 1} become bits. Whether the factors form a complete grid is checked, not
    believed; rows may come in any order, and are sorted when they form one.

    Args:
        name: the name the data goes by.
        images: uint8[N, H, W, C]; 0 … 255, or 0/1 for data stored so.
        factors: integers [N, K] from 0, or None.
        factor_names: K names.
        annotation: one of ANNOTATIONS.
        factor_sizes: number of values of each factor; by default the largest one seen plus one.
        factor_values: what the classes are called, as Dataset has it.
        unordered: names of the factors whose values have no order.
        packed_shape: (H, W, C) when images are bits already, uint8[N, ceil(H*W*C/8)] as `pack` makes them.
        identities: integers [N] from 0, which person each image shows, or None.

    Raises:
        ValueError: shapes, dtypes or values are not as above.
    """
    if packed_shape is not None:
        if images.shape[1:] != (math.ceil(math.prod(packed_shape) / 8),) or images.dtype != np.uint8 or not len(images):
            raise ValueError(f"{name}: {images.dtype} {images.shape} are not the bits of images {packed_shape}")
    elif images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape:
        raise ValueError(f"{name}: images must be a non-empty uint8 [N, H, W, C], got {images.dtype} {images.shape}")
    if annotation not in ANNOTATIONS:
        raise ValueError(f"{name}: annotation must be one of {ANNOTATIONS}, got {annotation!r}")
    if factors is None:
        factors = np.zeros((len(images), 0), np.int32)
    if factors.ndim != 2 or len(factors) != len(images) or factors.shape[1] != len(factor_names):
        raise ValueError(
            f"{name}: factors of shape {factors.shape} do not fit {len(images)} images and {len(factor_names)} names"
        )
    if unknown := [factor for factor in unordered if factor not in factor_names]:
        raise ValueError(f"{name}: unordered names {unknown[0]!r}, which is none of the factors {factor_names}")
    if not np.issubdtype(factors.dtype, np.integer) or (factors.size and factors.min() < 0):
        raise ValueError(f"{name}: factors must be integers from 0, got {factors.dtype}")
    sizes = factor_sizes or tuple(int(m) + 1 for m in factors.max(axis=0, initial=0))
    if factors.size and (factors.max(axis=0) >= sizes).any():
        raise ValueError(f"{name}: factors reach {factors.max(axis=0).tolist()}, more than their sizes {sizes} allow")
    if identities is not None and (
        identities.shape != (len(images),) or not np.issubdtype(identities.dtype, np.integer) or identities.min() < 0
    ):
        raise ValueError(
            f"{name}: identities must be integers [{len(images)}] from 0, got {identities.dtype} {identities.shape}"
        )

    complete = annotation == "factors" and len(images) == math.prod(sizes) and len(sizes) > 0
    if complete:
        positions = np.ravel_multi_index(tuple(factors.T), sizes)
        complete = len(np.unique(positions)) == len(positions)
    if complete and (np.diff(positions) < 0).any():
        order = np.argsort(positions)
        images, factors = images[order], factors[order]
        identities = None if identities is None else identities[order]

    binary = packed_shape is not None or _two_valued(images)
    return Dataset(
        pixels=jnp.asarray(pack(images) if binary and packed_shape is None else images),
        factors=jnp.asarray(factors, jnp.int32),
        name=name,
        shape=tuple(packed_shape or images.shape[1:]),
        binary=binary,
        factor_names=tuple(factor_names),
        factor_sizes=tuple(sizes),
        annotation=annotation,
        complete_grid=complete,
        factor_values=tuple(factor_values),
        unordered=tuple(unordered),
        identities=None if identities is None else jnp.asarray(identities, jnp.int32),
    )


def _two_valued(images: np.ndarray) -> bool:
    """Return whether images uint8[N, ...] hold only {0, 255} or only {0, 1}."""
    largest = int(images.max())
    # In blocks, which stop at the first grey one: comparing 6 GB at once makes three temporaries as large.
    blocks = (images[start : start + 1024] for start in range(0, len(images), 1024))
    return largest in (1, 255) and all(((block == 0) | (block == largest)).all() for block in blocks)
