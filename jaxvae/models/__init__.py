"""Encoders, decoders and likelihoods, by name."""

from collections.abc import Callable

from jaxvae.models.conv import burgess, conv
from jaxvae.models.hierarchical import HierarchicalVAE, nvae
from jaxvae.models.mlp import mlp, mlp_dsprites, mlp_vade
from jaxvae.models.vae import LIKELIHOODS, VAE, Likelihood
from jaxvae.types import Program, look_up

ARCHITECTURES: dict[str, Callable[..., VAE | HierarchicalVAE]] = {
    "mlp": mlp,
    "mlp_dsprites": mlp_dsprites,
    "mlp_vade": mlp_vade,
    "conv": conv,
    "burgess": burgess,
    "nvae": nvae,
}
"""name -> function(image_shape, latent_dim, dtype) -> linen module; raises InputError for a shape it cannot take."""

SIZES: dict[str, tuple[str, ...]] = {"nvae": ("groups_per_scale", "stem_width")}
"""name -> further fields of Program that an architecture is built from, as keywords."""


def build(program: Program) -> VAE | HierarchicalVAE:
    """Return the linen module of a program.

    Raises:
        InputError: no such architecture, or it does not take the image shape.
    """
    architecture = look_up("architecture", program.architecture, ARCHITECTURES)
    sizes = {name: getattr(program, name) for name in SIZES.get(program.architecture, ())}
    return architecture(program.image_shape, program.latent_dim, program.dtype, **sizes)


def likelihood(program: Program) -> Likelihood:
    """Return the likelihood of a program; raises InputError for an unknown name."""
    return look_up("likelihood", program.likelihood, LIKELIHOODS)
