"""Objectives by the names papers use, and the terms they are made of."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxvae import latents
from jaxvae.objectives.base import Context, Objective, Schedule, Term, standard_moments
from jaxvae.objectives.dip import DIP_I, DIP_II
from jaxvae.objectives.factor_vae import TC_CRITIC
from jaxvae.objectives.floors import FREE_BITS, KL_CLIP
from jaxvae.objectives.hfvae import HFVAE
from jaxvae.objectives.hierarchical import KL_BALANCED, SPECTRAL
from jaxvae.objectives.kl_l1 import KL_L1
from jaxvae.objectives.label import LABEL, LABEL_COSINE
from jaxvae.objectives.mixture import KL_MIXTURE
from jaxvae.objectives.mmd import MMD
from jaxvae.objectives.prior import CAPACITY, KL
from jaxvae.objectives.structured import KL_ANISOTROPIC, KL_SPARSE, KL_STUDENT
from jaxvae.objectives.tcvae import TC_MSS, TC_MWS
from jaxvae.types import InputError, Program, Table, in_32_bits, look_up

__all__ = ["OBJECTIVES", "TERMS", "Context", "Objective", "Schedule", "Term", "objective", "prior_moments"]

_PRIORS = (KL, CAPACITY, FREE_BITS, KL_CLIP, KL_L1, KL_MIXTURE, KL_SPARSE, KL_ANISOTROPIC, KL_STUDENT, KL_BALANCED)
_REGULARISERS = (TC_CRITIC, TC_MWS, TC_MSS, DIP_I, DIP_II, MMD, HFVAE, LABEL, LABEL_COSINE, SPECTRAL)

TERMS: Table[Term] = Table("term", Term, {term.name: term for term in (*_PRIORS, *_REGULARISERS)})

_PRESETS = {
    "vae": Objective((KL,), fixed={"beta": 1.0}),
    "beta_vae": Objective((KL,), defaults={"beta": 4.0}),
    "annealed_vae": Objective((CAPACITY,)),
    "factor_vae": Objective((KL, TC_CRITIC)),
    # Chen et al. 2018, eq. 4; beta as in the authors' code, which samples by minibatch weights.
    "beta_tcvae": Objective((KL, TC_MWS), fixed={"kl.beta": 1.0}),
    # Kumar et al. 2018, eq. 6 and 7; lambda_d is 10 and 1 times lambda_od as in the 12,600-model study.
    "dip_vae_i": Objective((KL, DIP_I), fixed={"beta": 1.0}),
    "dip_vae_ii": Objective((KL, DIP_II), fixed={"beta": 1.0}),
    # Esmaeili et al. 2019; the paper settles neither groups nor weights: pairs of latents, beta as in beta_tcvae.
    "hfvae": Objective((KL, HFVAE), fixed={"kl.beta": 1.0}),
    # Malecki 2023; meant for two latents and --likelihood=gaussian with sigma = sqrt(1/2), the plain squared error.
    "label_guided_vae": Objective((KL_L1, LABEL), fixed={"beta": 1.0}),
    "free_bits_vae": Objective((FREE_BITS,)),
    "vade": Objective((KL_MIXTURE,)),
    "dd_vae": Objective((KL_SPARSE, MMD)),
    "clipped_factor_vae": Objective((KL_CLIP, TC_CRITIC)),
}

OBJECTIVES: Table[Objective] = Table("objective", Objective, _PRESETS)


def objective(name: str) -> Objective:
    """Return the objective of that name, or the one that terms joined by "+" make.

    Presets may be joined too: "annealed_vae+tc_critic" takes the preset's terms, with its defaults. A name that is both
    ("hfvae") is the preset when it stands alone, and the term when it is joined: "kl+hfvae".

    Raises:
        InputError: an unknown name, a term given twice, or not exactly one prior term.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    parts = [
        look_up("objective or term", part, OBJECTIVES | {t: Objective((TERMS[t],)) for t in TERMS})
        for part in name.split("+")
    ]
    terms = tuple(term for part in parts for term in part.terms)
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise InputError(f"objective {name!r} has a term twice: {', '.join(names)}")
    priors = [term.name for term in terms if term.is_prior_term]
    if len(priors) != 1:
        legal = ", ".join(term.name for term in TERMS.values() if term.is_prior_term)
        raise InputError(
            f"objective {name!r} needs exactly one term that says how the KL is treated (one of: {legal}), "
            f"it has {len(priors)}{': ' + ', '.join(priors) if priors else ''}"
        )
    settled = {
        kind: {
            f"{term.name}.{hyper}": value
            for part in parts
            for term in part.terms
            for hyper in term.hypers
            if (value := part.settled(kind, term, hyper)) is not None
        }
        for kind in ("defaults", "fixed")
    }
    return Objective(terms, **settled)


@in_32_bits
def prior_moments(program: Program, extra: Any, hypers: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    """Return the means and standard deviations [D] of the prior of a model's code, of its top group in a hierarchy.

    The prior is that which its objective trains against; N(0, I) for an objective that is not known here.

    Args:
        program: of the model.
        extra: what the objective's terms have learned, {term: parameters}.
        hypers: of the model, among other things; what is not there is at its default.
    """
    num_latents = latents.number_scored(program)
    try:
        known = objective(program.objective)
    except InputError:
        return standard_moments({}, {}, num_latents)
    return known.prior_moments(extra, hypers, num_latents)
