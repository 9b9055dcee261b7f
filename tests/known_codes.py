"""Sprites of few factors, and coders of them whose codes are known: the factors, turned, shuffled or stretched."""

import math

import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset, unravel
from jaxvae.data.sprites import FACTOR_NAMES, SpriteGrid, render
from jaxvae.navigate import nearest_factors

GRID = SpriteGrid(32, (0.8, 0.95, 1.1), tuple(math.pi * (k + 1 / 3) / 8 for k in range(4)), 8)
ATTRIBUTES = ("shape=2", "scale>1", "orientation>1", "x_position>3", "y_position>3")
NUM_LATENTS = len(FACTOR_NAMES)


def few_sprites() -> Dataset:
    """Return 2,304 images of 32x32, a complete grid of 3 x 3 x 4 x 8 x 8 factors."""
    factors = unravel(jnp.arange(math.prod(GRID.factor_sizes)), GRID.factor_sizes)
    pixels = np.asarray(render(factors, grid=GRID)).reshape(len(factors), -1)
    return Dataset(
        pixels=jnp.asarray(np.packbits(pixels, axis=1)),
        factors=factors,
        name="few_sprites",
        shape=(32, 32, 1),
        binary=True,
        factor_names=FACTOR_NAMES,
        factor_sizes=GRID.factor_sizes,
        annotation="factors",
        complete_grid=True,
    )


def turned(seed: int) -> np.ndarray:
    """Return a random rotation [D, D]."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(NUM_LATENTS, NUM_LATENTS)))[0]


def turned_in_pairs() -> np.ndarray:
    """Return [D, D] that turns scale with orientation, and x with y position, by 45 degrees."""
    matrix, half = np.eye(NUM_LATENTS), math.sqrt(0.5)
    for a, b in ((1, 2), (3, 4)):
        matrix[np.ix_((a, b), (a, b))] = [[half, half], [-half, half]]
    return matrix


class KnownCoder:
    """Encodes a sprite as its factors in standard deviations, times a matrix; decodes to the nearest sprite there is.

    Args:
        data: a complete grid.
        matrix: [D, D], invertible.
        order: i32[N], the image whose factors each image has for its code; None for its own.
        dead: the number of latents, the last ones, that hold nothing.
    """

    def __init__(self, data: Dataset, matrix: np.ndarray | None = None, order: np.ndarray | None = None, dead: int = 0):
        self._nearest, self._dead = nearest_factors(data).nearest, dead
        self._images, self._factors = np.asarray(data.batch(np.arange(len(data)))), np.asarray(data.factors)
        self._matrix = np.eye(NUM_LATENTS) if matrix is None else matrix
        self._order = np.arange(len(data)) if order is None else order
        self._mean, self._deviation = self._factors.mean(0), self._factors.std(0)
        self._sizes = np.array(data.factor_sizes)

    def encode(self, images):
        factors = self._factors[self._order[self._nearest(images)]]
        mean = np.pad((factors - self._mean) / self._deviation @ self._matrix, ((0, 0), (0, self._dead)))
        logvar = np.where(np.arange(mean.shape[1]) < NUM_LATENTS, -4.0, 0.0)
        return mean.astype(np.float32), np.broadcast_to(logvar, mean.shape).astype(np.float32)

    def decode(self, z):
        factors = np.asarray(z, float)[:, :NUM_LATENTS] @ np.linalg.inv(self._matrix) * self._deviation + self._mean
        classes = np.clip(np.rint(factors), 0, self._sizes - 1).astype(int)
        return self._images[np.argsort(self._order)[np.ravel_multi_index(tuple(classes.T), self._sizes)]]
