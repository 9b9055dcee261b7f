"""Several models as one: encode and decode side by side, those of one architecture in one compiled call."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from jaxvae import latents, models
from jaxvae.parallel.lanes import fetch, make_mesh, over_lanes, pad_lanes, padded_size, put_everywhere, put_lanes
from jaxvae.saved.model import Model
from jaxvae.types import InputError, Program, remember

BATCH = 64


class Coder(Protocol):
    """What can be navigated: a Model, or anything that encodes and decodes as one does."""

    def encode(self, images) -> tuple[Any, Any]:
        """Return mean and log-variance f32[B, D] of images uint8 or f32[B, H, W, C]."""

    def decode(self, z) -> Any:
        """Return images f32[B, H, W, C] in [0, 1] of codes f32[B, D]."""


@remember
def _compiled(program: Program, method: str, mesh, mode: str) -> Callable:
    """Return the jitted ((), (variables [R, …], x [R, B, …])) -> what `method` makes of x, [R, B, …]."""
    module, likelihood = models.build(program), models.likelihood(program)

    def one(_, lane):
        variables, x = lane
        made = module.apply(variables, x, None, method=method)
        return made if method == "encode" else likelihood.mean(made)

    return jax.jit(over_lanes(one, mesh, mode))


@remember
def _compiled_shared(program: Program, mesh, mode: str) -> Callable:
    """Return the jitted (images [B, …], variables [R, …]) -> encodings [R, B, D] of the same images."""
    module = models.build(program)
    return jax.jit(
        over_lanes(lambda images, variables: module.apply(variables, images, None, method="encode"), mesh, mode)
    )


class Coders:
    """M models that take the same images, used as one.

    Codes are f32[M, B, D], D the largest number of latents of any; a shorter code ends in zeros, which are ignored.
    """

    def __init__(self, coders: Sequence[Coder], image_shape: tuple[int, int, int]):
        """Check and group the models.

        Raises:
            InputError: a model takes other images, or is told labels.
        """
        self.coders, self.image_shape = list(coders), image_shape
        self._groups: dict[Program, list[int]] = {}
        self._alone: list[int] = []
        self._at_hand: dict[Program, tuple[Any, str, Any]] = {}
        for index, coder in enumerate(self.coders):
            if not isinstance(coder, Model):
                self._alone.append(index)
                continue
            if coder.program.image_shape != image_shape:
                height, width, channels = coder.program.image_shape
                raise InputError(
                    f"{coder!r} takes images {height}x{width}x{channels}, the data has "
                    f"{'x'.join(map(str, image_shape))}; choose data that it was trained on"
                )
            if coder.label_sizes:
                raise InputError(f"{coder!r} is told labels, so its codes hold what labels do not say; leave it out")
            # The objective changes nothing here: models that differ in it alone share a program.
            program = dataclasses.replace(coder.program, objective="vae", batch_size=1)
            self._groups.setdefault(program, []).append(index)
        self.sizes = self._code_sizes()

    def __len__(self) -> int:
        return len(self.coders)

    @property
    def num_latents(self) -> int:
        """The largest number of latents."""
        return max(self.sizes)

    def _code_sizes(self) -> list[int]:
        sizes = [0] * len(self.coders)
        for program, members in self._groups.items():
            for index in members:
                sizes[index] = latents.number_scored(program)
        for index in self._alone:
            probe = np.zeros((1, *self.image_shape), np.float32)
            sizes[index] = int(np.shape(self.coders[index].encode(probe)[0])[1])
        return sizes

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and log-variances f32[M, N, D] of the same images [N, H, W, C], uint8 or floats, for all."""
        means = np.zeros((len(self), len(images), self.num_latents), np.float32)
        logvars = np.zeros_like(means)
        for start in range(0, len(images), BATCH):
            rows = slice(start, min(start + BATCH, len(images)))
            for index, (mean, logvar) in self._encode_batch(padded(images[rows])).items():
                size, count = self.sizes[index], rows.stop - rows.start
                means[index, rows, :size] = mean[:count, :size]
                logvars[index, rows, :size] = logvar[:count, :size]
        return means, logvars

    def encode_own(self, images: np.ndarray) -> np.ndarray:
        """Return means f32[M, B, D] of images f32[M, B, H, W, C], each model's own."""
        means = np.zeros((len(self), images.shape[1], self.num_latents), np.float32)
        for program, members in self._groups.items():
            made = self._run(program, members, "encode", images[members])[0]
            means[members, :, : self.sizes[members[0]]] = made[:, :, : self.sizes[members[0]]]
        for index in self._alone:
            means[index, :, : self.sizes[index]] = self.coders[index].encode(images[index])[0]
        return means

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return images f32[M, B, H, W, C] in [0, 1] of codes f32[M, B, D]."""
        images = np.empty((*codes.shape[:2], *self.image_shape), np.float32)
        for program, members in self._groups.items():
            images[members] = self._run(program, members, "decode", codes[members, :, : self.sizes[members[0]]])
        for index in self._alone:
            images[index] = self.coders[index].decode(codes[index, :, : self.sizes[index]])
        return images

    def _encode_batch(self, images: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        as_floats = images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32)
        found = {}
        for program, members in self._groups.items():
            mesh, mode, variables = self._placed(program, members)
            both = fetch(_compiled_shared(program, mesh, mode)(put_everywhere(as_floats, mesh), variables))
            found |= {index: (both[0][lane], both[1][lane]) for lane, index in enumerate(members)}
        for index in self._alone:
            found[index] = tuple(map(np.asarray, self.coders[index].encode(as_floats)))
        return found

    def _placed(self, program: Program, members: list[int]) -> tuple[Any, str, Any]:
        """Return mesh, mode and variables [R', …] of the models of a program, put on the devices once."""
        if program in self._at_hand:
            return self._at_hand[program]
        mesh = make_mesh(len(members))
        # Side by side fills an accelerator; one after another stays in a CPU's cache.
        mode = "map" if mesh.devices.flat[0].platform == "cpu" else "vmap"
        variables = [self.coders[index].networks.variables for index in members]
        stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *variables)
        placed = put_lanes(pad_lanes(stacked, padded_size(len(members), mesh)), mesh)
        self._at_hand[program] = mesh, mode, placed
        return self._at_hand[program]

    def _run(self, program: Program, members: list[int], method: str, x: np.ndarray) -> Any:
        mesh, mode, variables = self._placed(program, members)
        own = put_lanes(pad_lanes(np.asarray(x, np.float32), padded_size(len(members), mesh)), mesh)
        made = fetch(_compiled(program, method, mesh, mode)((), (variables, own)))
        return jax.tree.map(lambda leaf: leaf[: len(members)], made)


def padded(images: np.ndarray) -> np.ndarray:
    """Repeat the last image until the batch is full, so that all batches share one program."""
    return np.concatenate([images, np.repeat(images[-1:], BATCH - len(images), axis=0)])
