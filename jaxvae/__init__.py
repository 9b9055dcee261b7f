"""jaxvae: train, score and study whole grids of disentangled VAEs as one compiled JAX program."""

from jaxvae import data, evaluate, metrics
from jaxvae.saved import Model, Sweep, load_pretrained, load_sweep

__version__ = "0.1.0"
__all__ = ["Model", "Sweep", "data", "evaluate", "load_pretrained", "load_sweep", "metrics"]
