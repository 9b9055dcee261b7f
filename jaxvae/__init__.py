"""jaxvae: train, score and study whole grids of disentangled VAEs as one compiled JAX program."""

from jaxvae import data, evaluate, metrics, models, navigate, objectives, report
from jaxvae.plugins import load as load_plugins
from jaxvae.saved import Model, load_model, load_pretrained
from jaxvae.study import Sweep, compare, load_sweep, train
from jaxvae.types import Hyper, InputError, Range, Size
from jaxvae.version import __version__

__all__ = [
    "Hyper",
    "InputError",
    "Model",
    "Range",
    "Size",
    "Sweep",
    "__version__",
    "compare",
    "data",
    "evaluate",
    "load_model",
    "load_plugins",
    "load_pretrained",
    "load_sweep",
    "metrics",
    "models",
    "navigate",
    "objectives",
    "report",
    "train",
]
