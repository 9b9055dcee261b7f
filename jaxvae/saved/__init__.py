"""Finished work as plain objects for analysis scripts: sweeps of ours, their models, and published networks."""

from jaxvae.saved.model import Model
from jaxvae.saved.pretrained import load_pretrained
from jaxvae.saved.sweep import Sweep, load_sweep

__all__ = ["Model", "Sweep", "load_pretrained", "load_sweep"]
