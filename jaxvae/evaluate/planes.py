"""Codes of some images, and the plane that two latents span decoded: what lanes on show make of classes, as arrays."""

import itertools
import statistics

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents, objectives
from jaxvae.data.grid import Dataset
from jaxvae.metrics.rows import draw_distinct
from jaxvae.saved.model import Model
from jaxvae.types import Manifold, ShownCodes

SHOWN_CODES = 1_500  # more cover each other, and t-SNE takes two seconds for these
BATCH = 512
SHARES = np.linspace(0.02, 0.98, 15)
"""Quantiles of the prior at which a plane is decoded: as far out as in the two-dimensional learned manifolds of Kingma
and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, figure 4."""


def shown_codes(model: Model, data: Dataset) -> ShownCodes | None:
    """Return the codes of at most SHOWN_CODES images with their first label; None for data without labels.

    Data made from independent factors has a class for every combination of them: its codes are looked at factor by
    factor, in maps of information.
    """
    if data.annotation != "labels":
        return None
    rows = np.asarray(draw_distinct(jax.random.key(0), len(data), SHOWN_CODES))
    values = np.asarray(data.factors[jnp.asarray(rows), 0])
    return ShownCodes(means_of(model, data, rows), values, data.factor_names[0], data.values_of(0))


def means_of(model: Model, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return f32[P, D], the posterior means of the images at rows i32[P]; of the latents that are scored."""
    blocks = np.resize(rows, -(-len(rows) // BATCH) * BATCH).reshape(-1, BATCH)
    means = [model.encode(data.batch(jnp.asarray(block)), labels_for(model, data, block))[0] for block in blocks]
    return np.concatenate(means)[: len(rows), : latents.number_scored(model.program)]


def labels_for(model: Model, data: Dataset, indices) -> np.ndarray | None:
    """Return the labels i32[B, K] of some images for a model that is told them, None for one that is not."""
    return np.asarray(data.factors[jnp.asarray(indices)]) if model.label_sizes else None


def manifold(model: Model) -> Manifold | None:
    """Decode the plane of a model whose code has two latents; None for other models.

    A conditional model has none either: its plane is another one for each label (see `label_swaps`).
    """
    if latents.number_scored(model.program) != 2 or model.label_sizes:
        return None
    mean, deviation = objectives.prior_moments(model.program, model.networks.extra, model.about)
    across = np.array([statistics.NormalDist().inv_cdf(share) for share in SHARES])
    codes = np.array([(x, y) for y, x in itertools.product(across[::-1], across)])
    images = model.decode(np.asarray(mean) + np.asarray(deviation) * codes)
    return Manifold(np.asarray(images).reshape(len(SHARES), len(SHARES), *model.program.image_shape), SHARES)
