"""dSprites (Matthey, Higgins, Hassabis & Lerchner 2017) rendered from its factors. Reads no file, downloads nothing.

The geometry was measured on the 320 frames of the animation published with the data set: 318 come out exactly, 2 with
one pixel differing. Lengths are in half sides of the square, 0.15 of the image; at orientation 0 u points right and v
down.

    square   |u|, |v| <= 1
    ellipse  regular 100-gon stretched to semi-axes 1.3298 along u and 0.7518 along v
    heart    100-gon with u = 1.0005 sin³t, v = -0.1501 - 0.06898 (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t),
             t = π(2i + 1)/100

A shape is enlarged by the scale, turned counter-clockwise by the orientation, and its origin put at 1/4 + position/2 of
the image along each axis, y downwards. The originals were drawn by a graphics card, which moves every vertex to the
nearest 1/256 of a pixel and then lights the pixels whose centre lies inside, without antialiasing. So does this file,
in integers: a pixel is the same alone or in a batch, mapped or not, on any device.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset, unravel
from jaxvae.data.telling import progress

SHAPES = ("square", "ellipse", "heart")
FACTOR_NAMES = ("shape", "scale", "orientation", "x_position", "y_position")
NAMES = (SHAPES, (), (), (), ())
"""What the classes of each factor are called, as a Dataset has it."""

HALF_SIDE = 0.15  # of the square at scale 1, as a fraction of the image
LARGEST_SCALE = 1.1  # up to it a turned square, √2 half sides from its centre to a corner, stays inside image and WORD
FINE_BITS = 16  # vertices are kept in steps of 2^-16 pixel until their sprite is placed …
SNAP_BITS = 8  # … and then snapped to steps of 2^-8
PIXEL = 1 << SNAP_BITS
WORD = 32  # pixels of a row that are computed as the bits of one integer


@dataclasses.dataclass(frozen=True)
class SpriteGrid:
    """The values that the factors take; hashable, so it is a static argument.

    Attributes:
        size: height and width of an image, 32 or 64 pixels.
        scales: above 0 and at most 1.1, where 1 is the largest of dSprites.
        orientations: radians.
        num_positions: along each axis, at least 2; position k has the value k / (num_positions - 1).
    """

    size: int
    scales: tuple[float, ...]
    orientations: tuple[float, ...]
    num_positions: int

    def __post_init__(self):
        if self.size not in (32, 64):
            raise ValueError(f"sprites are rendered at 32 or 64 pixels, got size {self.size}")
        if not all(0 < scale <= LARGEST_SCALE for scale in self.scales):
            raise ValueError(f"scales must be above 0 and at most {LARGEST_SCALE}, got {self.scales}")
        if self.num_positions < 2:
            raise ValueError(f"an axis needs at least 2 positions, got {self.num_positions}")

    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        """The value of each class of each factor, in the order of the factors; shapes count from 1 as in dSprites."""
        positions = tuple(k / (self.num_positions - 1) for k in range(self.num_positions))
        columns = (tuple(range(1, len(SHAPES) + 1)), self.scales, self.orientations, positions, positions)
        return dict(zip(FACTOR_NAMES, columns, strict=True))

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.values.values())


SPRITES = SpriteGrid(64, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), tuple(2 * math.pi * k / 39 for k in range(40)), 32)
# Large, so that shapes can be told apart at 32 pixels; within a quarter turn, after which a square repeats; and off the
# square's axes by a third of a step. With these values no two of the images are the same.
MINI_SPRITES = SpriteGrid(32, (0.8, 0.9, 1.0, 1.1), tuple(math.pi * (k + 1 / 3) / 16 for k in range(8)), 16)

LATENT_VALUES = SPRITES.values
"""`latents_values` of the real data set, by factor, without its column of colour (always 1)."""


def load_sprites(split: str = "train", data_dir=None) -> Dataset:
    """Render dSprites: 737,280 images of 64x64x1 as bits, 377 MB.

    The rows are in the order of the real file, y position fastest, so codes and scores of either can be exchanged. The
    factors are the five that vary. The real file has a column more, before them: the colour, a factor of one value,
    which has no entropy and so nothing to disentangle.

    Args:
        split: "train", there is no other.
        data_dir: ignored, nothing is read.
    """
    return _load("sprites", SPRITES)


def load_mini_sprites(split: str = "train", data_dir=None) -> Dataset:
    """Render a small dSprites for CPUs: 24,576 images of 32x32x1 as bits, a grid of 3 x 4 x 8 x 16 x 16 factors.

    Arguments as for `load_sprites`.
    """
    return _load("mini_sprites", MINI_SPRITES)


@functools.partial(jax.jit, static_argnames="grid")
def render(factors: jax.Array, *, grid: SpriteGrid = SPRITES) -> jax.Array:
    """Return the images bool[..., size, size, 1] of factor classes i32[..., 5] (shape, scale, orientation, x, y).

    Class k of a factor has the value `grid.values[name][k]`; to draw sprites of other values, make a grid of them.
    """
    factors = jnp.asarray(factors, jnp.int32)
    shape, scale, orientation, x, y = factors.reshape(-1, len(FACTOR_NAMES)).T
    shapes = outlines(grid)
    longest = max(outline.shape[-1] for outline in shapes)
    # Repeating a vertex adds edges of no length, which cross no row.
    table = jnp.stack([jnp.pad(o, [(0, 0)] * 3 + [(0, longest - o.shape[-1])], "edge") for o in shapes])
    outline_x, outline_y = jnp.moveaxis(table[shape, scale, orientation], 0, -1)
    centre = jnp.asarray(centres(grid))
    bits = jnp.unpackbits(_fill(outline_x, outline_y, centre[x], centre[y], grid.size), axis=-1)
    return bits.astype(bool).reshape(*factors.shape[:-1], grid.size, grid.size, 1)


def outlines(grid: SpriteGrid) -> list[np.ndarray]:
    """Return the vertices of each shape around its centre, i32[scales, orientations, 2 (x, y), V] in 2^-16 pixel.

    Computed on the host in double precision, so that no device's sine decides over a pixel.
    """
    turn = np.arange(100) * 2 * np.pi / 100
    t = turn + np.pi / 100
    heart_v = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    shapes = (
        np.array([(-1, 1, 1, -1), (-1, -1, 1, 1)]),
        np.array([1.3298 * np.cos(turn), 0.7518 * np.sin(turn)]),
        np.array([1.0005 * np.sin(t) ** 3, -0.1501 - 0.06898 * heart_v]),
    )
    cos, sin = np.cos(grid.orientations), np.sin(grid.orientations)
    rotations = np.array([[cos, sin], [-sin, cos]])  # [2 (x, y), 2 (u, v), orientations]
    half_sides = (grid.size * HALF_SIDE * 2**FINE_BITS) * np.array(grid.scales)
    return [np.rint(np.einsum("s,cdo,dv->socv", half_sides, rotations, uv)).astype(np.int32) for uv in shapes]


def centres(grid: SpriteGrid) -> np.ndarray:
    """Return the coordinate i32[num_positions] of each position along an axis, in 2^-16 pixel."""
    fractions = 0.25 + 0.5 * np.linspace(0, 1, grid.num_positions)
    return np.rint(grid.size * fractions * 2**FINE_BITS).astype(np.int32)


def _fill(outline_x: jax.Array, outline_y: jax.Array, x: jax.Array, y: jax.Array, size: int) -> jax.Array:
    """Fill B polygons of V vertices; return the images as bits uint8[B, size * size / 8].

    Where an edge crosses the line through a row's pixel centres, every pixel to the right of the crossing is lit, or
    darkened when the edge runs the other way. As the bits of an integer such a run is 2^n or -2^n modulo 2^32, so a row
    is a plain sum over edges, the same in any order. The batch stays the last axis to the end: it is what vectorises.

    Args:
        outline_x, outline_y: i32[V, B] around the centre, in 2^-16 pixel.
        x, y: i32[B], the centre, in 2^-16 pixel.
        size: of the image, in pixels.
    """

    def snap(fine):
        return (fine + (1 << (FINE_BITS - SNAP_BITS - 1))) >> (FINE_BITS - SNAP_BITS)

    # Only the WORD columns around the centre are computed; `window` is the first of them.
    window = (x >> FINE_BITS) - WORD // 2
    x1, y1 = snap(outline_x + x) - PIXEL * window, snap(outline_y + y)
    x2, y2 = jnp.roll(x1, -1, axis=0), jnp.roll(y1, -1, axis=0)
    down = y2 > y1
    left, top = jnp.where(down, x1, x2), jnp.where(down, y1, y2)
    width, height = jnp.where(down, x2 - x1, x1 - x2), abs(y2 - y1)
    inverse = 1 / jnp.maximum(PIXEL * height, 1).astype(jnp.float32)
    edges = jnp.where(down, -1, 1), left, top, width, height, inverse

    def add_edge(rows, edge):
        sign, left, top, width, height, inverse = edge
        depth = PIXEL * jnp.arange(size)[:, None] + PIXEL // 2 - top
        # Pixel centres strictly left of the crossing: ceil(numerator / (PIXEL * height)). The float quotient is never
        # off by 1/2, so the integer nearest to it is the answer or one less, and exact integers tell which.
        numerator = depth * width + (left - PIXEL // 2) * height
        nearest = jnp.rint(numerator.astype(jnp.float32) * inverse).astype(jnp.int32)
        dark = nearest + (numerator > nearest * (PIXEL * height))
        crossed = (depth >= 0) & (depth < height)
        return rows + (jnp.where(crossed, sign, 0) << jnp.clip(WORD - dark, 0, WORD - 1)), None

    rows, _ = jax.lax.scan(add_edge, jnp.zeros((size, len(x)), jnp.int32), edges)  # [size, B]

    # The byte of columns 8k … 8k+7 is that part of the window which `above` shifts down to it; outside all is dark.
    above = window + (WORD - 8) - jnp.arange(0, size, 8)[:, None]
    lifted = rows.astype(jnp.uint32)[:, None, :] << jnp.clip(-above, 0, 8).astype(jnp.uint32)
    images = jnp.where(above < WORD, lifted >> jnp.clip(above, 0, WORD - 1).astype(jnp.uint32), 0).astype(jnp.uint8)
    return jnp.moveaxis(images, -1, 0).reshape(len(x), -1)


@functools.partial(jax.jit, static_argnames="size")
def _everywhere(outline: jax.Array, centre: jax.Array, size: int) -> jax.Array:
    """Return the images uint8[N * P * P, size * size / 8] of N outlines i32[N, 2, V] at i32[P] x i32[P] centres."""
    x, y = jnp.repeat(centre, len(centre)), jnp.tile(centre, len(centre))

    def one(outline):
        return _fill(outline[0, :, None], outline[1, :, None], x, y, size)

    # One outline after the other: what is held beside the bits stays a few megabytes.
    return jax.lax.map(one, outline).reshape(-1, size * size // 8)


def _load(name: str, grid: SpriteGrid) -> Dataset:
    sizes, centre = grid.factor_sizes, centres(grid)
    # Shape by shape, because a square has 4 edges where the others have 100.
    shapes, todo = [], outlines(grid)
    with progress(f"rendering {name}", len(todo), "shapes") as tick:
        for outline in todo:
            drawn = _everywhere(outline.reshape(-1, *outline.shape[2:]), centre, grid.size)
            shapes.append(jax.block_until_ready(drawn))
            tick(1)
    return Dataset(
        pixels=jnp.concatenate(shapes),
        factors=unravel(jnp.arange(math.prod(sizes)), sizes),
        name=name,
        shape=(grid.size, grid.size, 1),
        binary=True,
        factor_names=FACTOR_NAMES,
        factor_sizes=sizes,
        annotation="factors",
        complete_grid=True,
        factor_values=NAMES,
        unordered=("shape",),
    )
