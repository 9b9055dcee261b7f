"""What the scale suite varies, one thing at a time, and how a line of it begins. Knows no flags and no clock."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from contestants import Lanes
from jaxvae.data.grid import Dataset, assemble
from jaxvae.types import Program

LATENTS = (2, 10, 50)
SIDES = (32, 64, 128)
IMAGES = (1_000, 10_000, 100_000)
STEPS = (10, 30, 100, 300)
CALL = 10  # steps a call; while one runs, XLA's CPU client keeps some 3 MB a step until it ends


class Cell(NamedTuple):
    """One program on one data set, and the value of what is varied."""

    value: int
    program: Program
    data: Dataset


def variants(program: Program, train: Dataset, quick: bool) -> dict[str, list[Cell]]:
    """Return what is varied -> cells, each differing from the next in that alone.

    Pixels are random: what a step costs does not depend on what they show.
    """

    def noise(images: int, shape: tuple[int, int, int]) -> Dataset:
        drawn = np.random.default_rng(0).integers(0, 2, (images, *shape), dtype=np.uint8)
        return assemble("noise", drawn, annotation="none")

    channels = program.image_shape[-1]
    number = 2 if quick else None
    sides = [(side, (side, side, channels)) for side in SIDES[:number]]
    return {
        "latents": [Cell(n, dataclasses.replace(program, latent_dim=n), train) for n in LATENTS[:number]],
        "image side": [
            Cell(side, dataclasses.replace(program, image_shape=shape), noise(2_000, shape)) for side, shape in sides
        ],
        "images": [Cell(n, program, noise(n, program.image_shape)) for n in IMAGES[:number]]
        + [Cell(len(train), program, train)],
    }


def mode() -> str:
    """Return how lanes run, the same for every cell so that nothing else differs."""
    return "map" if jax.default_backend() == "cpu" else "vmap"


def about(program: Program, made: Lanes) -> dict:
    """Return how a line begins."""
    return {
        "suite": "scale",
        "implementation": "jaxvae",
        "objective": program.objective,
        "architecture": program.architecture,
        "dtype": program.dtype,
        "image_shape": program.image_shape,
        "batch_size": program.batch_size,
        "latent_dim": program.latent_dim,
        "dataset": made.data.name,
        "lanes": made.num_lanes,
        "mode": made.mode,
    }
