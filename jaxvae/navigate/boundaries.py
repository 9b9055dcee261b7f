"""Where codes with an attribute end and codes without it begin: a hyperplane for every attribute of every model."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.hyperplanes import fit
from jaxvae.learners.moments import deviation
from jaxvae.learners.ranking import areas_of_columns
from jaxvae.models.vae import standard_normal_kl
from jaxvae.navigate.accuracy import areas, balanced_accuracy
from jaxvae.types import in_32_bits

DEAD = 0.01
"""Nats of KL to the prior below which a latent is left out: it holds noise, to which a fit would give weight."""


class Space(NamedTuple):
    """How codes are standardised: unit = (code - mean) / deviation, in the latents that are alive, 0 in others."""

    mean: np.ndarray  # f32[M, D], over the images that boundaries are fitted on
    deviation: np.ndarray  # f32[M, D]; 1 where a latent is not alive
    alive: np.ndarray  # bool[M, D]

    def standardise(self, codes: np.ndarray) -> np.ndarray:
        """Return codes f32[M, B, D] in units of a standard deviation."""
        unit = (codes - self.mean[:, None]) / self.deviation[:, None]
        return np.where(self.alive[:, None], unit, 0.0).astype(np.float32)

    def restore(self, unit: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return codes f32[M, B, D] from units; latents that are not alive are taken from `codes`."""
        return np.where(self.alive[:, None], unit * self.deviation[:, None] + self.mean[:, None], codes)


class Boundaries(NamedTuple):
    """Of A attributes in the standardised codes of M models: an image has attribute a where normal · u + offset > 0.

    Attributes:
        normals: f32[M, A, D], of length 1; 0 where a fit found no direction.
        offsets: f32[M, A], so that normal · u + offset is the signed distance of code u, in standard deviations.
        resampled: f32[M, S, A, D], the normals of fits to S halves of the people (or images) fitted on; the first and
            the second half share nobody, and so on, pair by pair.
        accuracy: f32[M, A], balanced, of images that were not fitted on: mean share that is right among those with and
            those without. 0 … 1, chance 1/2.
        area: f32[M, A], under the ROC curve of signed distances of those images: the probability that one with the
            attribute lies further than one without. 0 … 1, chance 1/2.
        latent_area: f32[M, A, D], the same of each single latent on the images fitted on, above 1/2 where more of it
            goes with the attribute.
    """

    normals: np.ndarray
    offsets: np.ndarray
    resampled: np.ndarray
    accuracy: np.ndarray
    area: np.ndarray
    latent_area: np.ndarray

    @property
    def stability(self) -> np.ndarray:
        """f32[M, A], mean cosine between the normals of two halves that share nobody. -1 … 1; about 0 by chance.

        Resamples that share images would agree by what they share: bootstrap resamples have cosines of 1/2 by chance.
        """
        pairs = self.resampled.shape[1] // 2
        one, other = (self.resampled[:, start : 2 * pairs : 2] for start in (0, 1))
        return (one * other).sum(-1).mean(1)

    @property
    def alignment(self) -> np.ndarray:
        """f32[M, A], largest |n_d|: 1 where the normal is a single latent; 1/√D is the least."""
        return np.abs(self.normals).max(-1)

    @property
    def participation(self) -> np.ndarray:
        """f32[M, A], 1 / Σ_d n_d⁴, the number of latents that share the normal. 1 … D."""
        fourth = (self.normals**4).sum(-1)
        return np.where(fourth > 0, 1.0 / np.where(fourth > 0, fourth, 1.0), np.nan)

    @property
    def cosines(self) -> np.ndarray:
        """f32[M, A, A], between the normals of two attributes, before anything is projected out. -1 … 1."""
        return np.einsum("mad,mbd->mab", self.normals, self.normals)

    @property
    def best_latents(self) -> np.ndarray:
        """i32[M, A], the latent that tells each attribute best by itself."""
        return np.abs(self.latent_area - 0.5).argmax(-1)


def space_of(means: np.ndarray, logvars: np.ndarray) -> Space:
    """Return how to standardise the codes of M models.

    Args:
        means: f32[M, N, D] of q(z|x).
        logvars: f32[M, N, D].
    """
    kl = np.asarray(standard_normal_kl(jnp.asarray(means), jnp.asarray(logvars))).mean(1)
    spread = np.stack([np.asarray(deviation(jnp.asarray(own))) for own in means])
    alive = (kl >= DEAD) & (spread > 0) & np.isfinite(spread)
    return Space(means.mean(1), np.where(alive, spread, 1.0).astype(np.float32), alive)


def resample(num_rows: int, identities: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """Return f32[S, N], 1 for the rows of each of S halves; people are drawn, with all their images.

    The first two halves are what one cut by chance makes, the next two another; the last of an odd number is alone.
    """
    who = np.arange(num_rows) if identities is None else np.unique(identities, return_inverse=True)[1]
    people = who.max() + 1
    random = np.random.default_rng(seed)
    firsts = np.stack([random.permutation(people) < people // 2 for _ in range(-(-count // 2))])
    halves = np.stack([firsts, ~firsts], axis=1).reshape(-1, people)[:count]
    return halves[:, who].astype(np.float32)


@in_32_bits
def fit_boundaries(
    fitted: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    *,
    cost: float = 1.0,
) -> Boundaries:
    """Fit a linear support vector machine for every attribute, model and resample, in one compiled call.

    The normal of InterFaceGAN (Shen, Gu, Tang, Zhou 2020, https://arxiv.org/abs/1907.10786, section 3.1), with two
    differences: both sides of an attribute weigh the same (labels say yes or no, so there are no extremes to choose
    from), and the offset is kept, since codes of a VAE are not centred on the boundary.

    Args:
        fitted: standardised codes f32[M, N, D] and attributes bool[N, A] of the images to fit on.
        held_out: the same of other images, to report on.
        weights: f32[S, N], how often each row counts in each resample, see `resample`.
        cost: C of the machines, see learners.hyperplanes.
    """
    codes, values = fitted
    rows = np.concatenate([np.ones((1, codes.shape[1]), np.float32), weights])
    planes = _fit(jnp.asarray(codes), jnp.asarray(values), jnp.asarray(rows), cost)
    length = np.linalg.norm(planes.weights, axis=-1)
    size = np.where(length > 0, length, 1.0)
    normals = np.asarray(planes.weights) / size[..., None]
    offsets = np.asarray(planes.bias) / size
    there, told = held_out
    distance = np.einsum("mad,mnd->man", normals[:, 0], there) + offsets[:, 0, :, None]
    accuracy = np.stack([balanced_accuracy(own, told) for own in distance])
    area = np.stack([np.asarray(areas(own, told)) for own in distance])
    latent_area = np.moveaxis(np.asarray(_latent_areas(jnp.asarray(codes), jnp.asarray(values))), 1, 2)
    return Boundaries(
        *(array.astype(np.float32) for array in (normals[:, 0], offsets[:, 0], normals[:, 1:], accuracy, area)),
        latent_area.astype(np.float32),
    )


@functools.partial(jax.jit, static_argnames="cost")
def _fit(codes: jax.Array, values: jax.Array, rows: jax.Array, cost: float):
    """Return hyperplanes [M, 1 + S, A, …]."""

    def one_model(own):
        return jax.lax.map(lambda weights: fit(own, values, cost=cost, weights=weights), rows)

    return jax.lax.map(one_model, codes)


_latent_areas = jax.jit(jax.vmap(areas_of_columns, in_axes=(0, None)))  # f32[M, D, A]
