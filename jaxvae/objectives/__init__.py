"""Objectives by the names papers use, and the terms they are made of."""

from jaxvae.objectives.base import Context, Objective, Term
from jaxvae.objectives.factor_vae import TC_CRITIC
from jaxvae.objectives.floors import FREE_BITS, KL_CLIP
from jaxvae.objectives.kl_l1 import KL_L1
from jaxvae.objectives.mixture import KL_MIXTURE
from jaxvae.objectives.prior import CAPACITY, KL
from jaxvae.objectives.structured import KL_ANISOTROPIC, KL_SPARSE, KL_STUDENT
from jaxvae.types import InputError, look_up

__all__ = ["OBJECTIVES", "TERMS", "Context", "Objective", "Term", "objective"]

_PRIORS = (KL, CAPACITY, FREE_BITS, KL_CLIP, KL_L1, KL_MIXTURE, KL_SPARSE, KL_ANISOTROPIC, KL_STUDENT)

TERMS: dict[str, Term] = {term.name: term for term in (*_PRIORS, TC_CRITIC)}

OBJECTIVES: dict[str, Objective] = {
    "vae": Objective((KL,), fixed={"beta": 1.0}),
    "beta_vae": Objective((KL,), defaults={"beta": 4.0}),
    "annealed_vae": Objective((CAPACITY,)),
    "factor_vae": Objective((KL, TC_CRITIC)),
    "free_bits_vae": Objective((FREE_BITS,)),
    "vade": Objective((KL_MIXTURE,)),
    "dd_vae": Objective((KL_SPARSE,)),
    "clipped_factor_vae": Objective((KL_CLIP, TC_CRITIC)),
}


def objective(name: str) -> Objective:
    """Return the objective of that name, or the one that terms joined by "+" make.

    Presets may be joined too: "annealed_vae+tc_critic" takes the preset's terms, with its defaults.

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
    composed = Objective(terms)
    settled = {}
    for kind in ("defaults", "fixed"):
        settled[kind] = {
            composed.hyper_name(term, hyper): value
            for part in parts
            for term in part.terms
            for hyper, value in ((h, getattr(part, kind).get(part.hyper_name(term, h))) for h in term.hypers)
            if value is not None
        }
    return Objective(terms, **settled)
