"""Encoders, decoders and likelihoods, by name."""

from collections.abc import Callable

from jaxvae.models.conv import burgess, conv
from jaxvae.models.mlp import mlp, mlp_dsprites, mlp_vade
from jaxvae.models.vae import LIKELIHOODS, VAE, Likelihood
from jaxvae.types import Program, look_up

ARCHITECTURES: dict[str, Callable[[tuple[int, int, int], int, str], VAE]] = {
    "mlp": mlp,
    "mlp_dsprites": mlp_dsprites,
    "mlp_vade": mlp_vade,
    "conv": conv,
    "burgess": burgess,
}
"""name -> function(image_shape, latent_dim, dtype) -> linen module; raises InputError for a shape it cannot take."""


def build(program: Program) -> VAE:
    """Return the linen module of a program.

    Raises:
        InputError: no such architecture, or it does not take the image shape.
    """
    architecture = look_up("architecture", program.architecture, ARCHITECTURES)
    return architecture(program.image_shape, program.latent_dim, program.dtype)


def likelihood(program: Program) -> Likelihood:
    """Return the likelihood of a program; raises InputError for an unknown name."""
    return look_up("likelihood", program.likelihood, LIKELIHOODS)
