"""How well scores tell attributes of images: areas under ROC curves, balanced accuracies. Knows no model."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.ranking import areas_under_curves


def areas(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return f32[A], the areas under the ROC curves of scores f32[A, N] for attributes bool[N, A]; NaN where no curve.

    The probability that an image with the attribute has a higher score than one without, ties counting one half.
    """
    found = np.asarray(_areas(jnp.asarray(scores, jnp.float32), jnp.asarray(values.T, jnp.uint32)))
    return np.where(values.any(0) & ~values.all(0), found, np.nan)


_areas = jax.jit(areas_under_curves)


def balanced_accuracy(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return f32[A], the balanced accuracy of scores f32[A, N] above 0 for attributes bool[N, A].

    Mean share that is right among the images with the attribute and among those without. 0 … 1, chance 1/2.
    """
    told = values.T
    right = (scores > 0) == told
    sides = [(right & side).sum(1) / np.maximum(side.sum(1), 1) for side in (told, ~told)]
    return np.mean(sides, 0).astype(np.float32)
