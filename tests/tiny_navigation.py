"""Pictures of two halves, bright or dark; a coder that knows them, a judge that sees them, and untrained models."""

import numpy as np

from jaxvae.data import Dataset, from_arrays
from jaxvae.lane import step
from jaxvae.navigate import study
from jaxvae.saved import Model
from jaxvae.types import Program

SIZE = 8
NUM = 160
QUICK = {"faces": 6, "steps": (1.0, 2.0), "resamples": 2, "bootstraps": 20, "say": lambda line: None}


def halves(num: int = NUM, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8[N, 8, 8, 1] and how bright their left and their right half is, [N, 2] in 0 … 255."""
    levels = np.random.default_rng(seed).integers(0, 256, (num, 2))
    return np.repeat(np.tile(levels[:, None, :, None], (1, SIZE, 1, 1)), SIZE // 2, axis=2).astype(np.uint8), levels


def halves_data(num: int = NUM, seed: int = 0) -> Dataset:
    """Return them with labels "left" and "right", whether a half is bright."""
    images, levels = halves(num, seed)
    return from_arrays(images, labels=(levels > 127).astype(int), factor_names=["left", "right"], name="halves")


def judge(images: np.ndarray) -> np.ndarray:
    """Return f32[B, 2], how much brighter than grey each half is."""
    sides = np.asarray(images)[..., 0].reshape(len(images), SIZE, 2, SIZE // 2)
    return sides.mean((1, 3)) - 0.5


class Halves:
    """Three latents: the left half, the right half, and one that does nothing. `calls` counts images encoded."""

    def __init__(self, name: str = "halves", mixed: float = 0.0):
        self.name, self.calls = name, 0
        self._matrix = np.array([[1, mixed], [mixed, 1]]) * 3

    def __repr__(self) -> str:
        return f"Halves({self.name})"

    def encode(self, images):
        self.calls += len(images)
        mean = np.pad(judge(images) @ self._matrix, ((0, 0), (0, 1))).astype(np.float32)
        return mean, np.broadcast_to(np.array([-3, -3, 0], np.float32), mean.shape)

    def decode(self, z):
        sides = np.clip(np.asarray(z)[:, :2] @ np.linalg.inv(self._matrix) + 0.5, 0, 1)
        return np.repeat(np.tile(sides[:, None, :, None], (1, SIZE, 1, 1)), SIZE // 2, axis=2).astype(np.float32)


def model(architecture: str = "mlp", seed: int = 0, *, objective: str = "vae", **fields) -> Model:
    """Return an untrained model of images 8x8x1."""
    program = Program(architecture, objective, **{"image_shape": (SIZE, SIZE, 1), "latent_dim": 3} | fields)
    hypers = {name: np.float32(value) for name, value in step.hyper_defaults(program).items()}
    return Model(
        program, step.init_state(program, hypers | {"seed": np.uint32(seed)}).networks, {"objective": objective}
    )


def quick_study(models, data, **options):
    """Return a study that takes a second."""
    return study(models, data, **QUICK | {"scorer": judge} | options)
