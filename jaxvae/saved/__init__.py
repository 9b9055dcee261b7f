"""Finished work as plain objects for analysis scripts: sweeps of ours, their models, and published networks."""

from jaxvae.saved.export import ModelError
from jaxvae.saved.model import Model, load_model
from jaxvae.saved.pretrained import load_pretrained
from jaxvae.saved.sweep import SavedSweep

__all__ = ["Model", "ModelError", "SavedSweep", "load_model", "load_pretrained"]
