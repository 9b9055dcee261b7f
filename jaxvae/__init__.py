"""jaxvae: train, score and study whole grids of disentangled VAEs as one compiled JAX program."""

from jaxvae import data, evaluate, metrics
from jaxvae.load import Model, Sweep, load_sweep
from jaxvae.pretrained import load_pretrained

__version__ = "0.1.0"
__all__ = ["Model", "Sweep", "data", "evaluate", "load_pretrained", "load_sweep", "metrics"]
