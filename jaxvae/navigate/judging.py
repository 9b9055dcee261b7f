"""What the judge says of images that nothing was fitted on, and of models' reconstructions of them."""

import jax.numpy as jnp
import numpy as np

from jaxvae.models.vae import standard_normal_kl
from jaxvae.navigate.accuracy import areas, balanced_accuracy
from jaxvae.navigate.attributes import Attributes
from jaxvae.navigate.coders import Coders
from jaxvae.navigate.responses import Scorer, score_in_batches


def judge_images(
    coders: Coders, codes: np.ndarray, held_out: tuple[np.ndarray, Attributes], scorer: Scorer
) -> dict[str, np.ndarray]:
    """Return the fields of Judge, and the reconstruction errors f32[M]."""
    images, attributes = held_out
    told, num = attributes.values, len(attributes.names)
    originals = images.astype(np.float32) / 255.0
    real = score_in_batches(scorer, originals, num)
    rebuilt = np.empty((len(coders), len(images), num), np.float32)
    error = np.zeros(len(coders))
    for start in range(0, len(images), 128):
        rows = slice(start, start + 128)
        pictures = coders.decode(codes[:, rows])
        for model, own in enumerate(pictures):
            rebuilt[model, rows] = score_in_batches(scorer, own, num)
            error[model] += cross_entropy(originals[rows], own)
    return {
        "share": told.mean(0).astype(np.float32),
        "deviation": np.maximum(real.std(0), 1e-12).astype(np.float32),
        "area": areas(real.T, told),
        "accuracy": balanced_accuracy(real.T, told),
        "rebuilt_area": np.stack([areas(own.T, told) for own in rebuilt]),
        "rebuilt_accuracy": np.stack([balanced_accuracy(own.T, told) for own in rebuilt]),
        "reconstruction": (error / len(images)).astype(np.float32),
    }


def cross_entropy(images: np.ndarray, shares: np.ndarray) -> float:
    """Return the sum over images, pixels and channels of -x log p - (1 - x) log (1 - p), nats."""
    p = np.clip(shares.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-(images * np.log(p) + (1 - images) * np.log1p(-p)).sum())


def kl_to_prior(means: np.ndarray, logvars: np.ndarray) -> np.ndarray:
    """Return f32[M], KL(q(z|x) || N(0, I)) in nats, mean over images, of codes f32[M, N, D] as they are encoded."""
    per_latent = np.asarray(standard_normal_kl(jnp.asarray(means), jnp.asarray(logvars))).mean(1)
    return per_latent.sum(-1).astype(np.float32)
