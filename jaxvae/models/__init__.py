"""Encoders, decoders and likelihoods, by name."""

import dataclasses
from collections.abc import Callable

from jaxvae.latents import GROUPS_PER_SCALE
from jaxvae.models.conditional import condition
from jaxvae.models.conv import burgess, conv
from jaxvae.models.hierarchical import STEM_WIDTH, HierarchicalVAE, nvae
from jaxvae.models.mlp import mlp, mlp_dsprites, mlp_vade
from jaxvae.models.resnet import resnet
from jaxvae.models.vae import LIKELIHOODS, VAE, Architecture, Likelihood
from jaxvae.types import InputError, Program, Size, Table, look_up

ARCHITECTURES: Table[Architecture] = Table(
    "architecture",
    Architecture,
    {
        "mlp": Architecture(mlp),
        "mlp_dsprites": Architecture(mlp_dsprites),
        "mlp_vade": Architecture(mlp_vade),
        "conv": Architecture(conv),
        "burgess": Architecture(burgess),
        "resnet": Architecture(resnet),
        "nvae": Architecture(nvae, sizes=(GROUPS_PER_SCALE, STEM_WIDTH)),
    },
)

MODIFIERS: dict[str, Callable[[VAE, Program], VAE]] = {
    "cvae": condition,
}
"""name -> function(VAE of an architecture, program) -> VAE; written before the architecture: "cvae+conv".

Each is told the labels: a program with one has label_sizes."""


def parse(name: str) -> tuple[tuple[str, ...], str]:
    """Return the modifiers and the architecture that a name such as "cvae+conv" joins by "+".

    Raises:
        InputError: a part is unknown or given twice, or there is not exactly one architecture, at the end.
    """
    parts = name.split("+")
    for part in parts:
        look_up("architecture", part, ARCHITECTURES | MODIFIERS)
    modifiers = tuple(part for part in parts if part in MODIFIERS)
    example = "+".join([*dict.fromkeys(modifiers), next((p for p in parts if p in ARCHITECTURES), "conv")])
    if len(set(parts)) < len(parts):
        raise InputError(f"architecture {name!r} has a part twice; write {example!r}")
    if len(parts) != len(modifiers) + 1:
        number = len(parts) - len(modifiers)
        raise InputError(
            f"architecture {name!r} names {number or 'no'} networks, and one is needed after what changes it "
            f"({', '.join(MODIFIERS)}), as in {example!r}"
        )
    if parts[-1] in MODIFIERS:
        raise InputError(f"architecture {name!r}: what changes a network is written before it, {example!r}")
    return modifiers, parts[-1]


def needs_labels(name: str) -> bool:
    """Return whether an architecture is told the labels of its images; raises InputError as `parse` does."""
    return bool(parse(name)[0])


def sizes(name: str) -> tuple[Size, ...]:
    """Return the static sizes that an architecture declares; raises InputError as `parse` does."""
    return ARCHITECTURES[parse(name)[1]].sizes


def network_of(program: Program) -> Program:
    """Return the program of the same networks and likelihood, and of no objective of their own.

    What only runs networks is the same for all objectives of an architecture, and is compiled once by this.
    """
    own = {size.name: size.of(program) for size in sizes(program.architecture)}
    return dataclasses.replace(program, objective="vae", batch_size=1, sizes=own)


def build(program: Program) -> VAE | HierarchicalVAE:
    """Return the linen module of a program.

    Raises:
        InputError: no such architecture, it does not take the image shape, or it needs labels and there are none.
    """
    modifiers, architecture = parse(program.architecture)
    chosen = ARCHITECTURES[architecture]
    sizes = {size.name: size.of(program) for size in chosen.sizes}
    built = chosen.build(program.image_shape, program.latent_dim, program.dtype, **sizes)
    for modifier in reversed(modifiers):
        built = MODIFIERS[modifier](built, program)
    return built


def likelihood(program: Program) -> Likelihood:
    """Return the likelihood of a program; raises InputError for an unknown name."""
    return look_up("likelihood", program.likelihood, LIKELIHOODS)
