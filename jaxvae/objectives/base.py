"""What an objective is: a tuple of terms whose penalties add up. Knows no architecture, no optimiser, no lane."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae.types import Hypers, Logs, ModelOutput, Program


class Context(NamedTuple):
    """What a penalty may know besides the batch it is given."""

    program: Program
    step: jax.Array  # i32[], VAE updates made so far
    num_images: int  # N, size of the training set
    key: jax.Array  # this step's randomness for the term
    labels: jax.Array  # i32[B, K] factors or labels of the batch, K may be 0
    other_codes: Callable[[], jax.Array]  # () -> z [B, D] of a second, independent batch; no gradient
    prior_codes: Callable[[], jax.Array] | None = None  # () -> z [B, D] sampled from the objective's prior


Penalty = Callable[[ModelOutput, Any, Any, Hypers, Context], tuple[jax.Array, Logs]]


def nothing(key: jax.Array, program: Program) -> dict[str, Any]:
    """Return the parameters of a network that is not there: {}."""
    return {}


def standard_normal(key: jax.Array, shape: tuple[int, ...], extra: Any, hypers: Hypers) -> jax.Array:
    """Sample N(0, I), the prior of all terms that do not say otherwise."""
    return jax.random.normal(key, shape)


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes:
        name: as written on the command line.
        hypers: name -> default of the numbers it takes.
        penalty: (out, extra, critic, hypers, ctx) -> (f32[] nats per image, logs).
        reference: paper and equation.
        init_extra: (key, program) -> parameters trained with the VAE, by the VAE's optimiser.
        init_critic: (key, program) -> parameters of the second player, with its own optimiser.
        needs_labels: whether it reads ctx.labels.
        is_prior_term: whether it says how the KL to the prior is treated; an objective has exactly one such term.
        sample_prior: (key, shape, extra, hypers) -> codes drawn from the prior that a prior term measures the KL to.
    """

    name: str
    hypers: Mapping[str, float]
    penalty: Penalty
    reference: str
    init_extra: Callable[[jax.Array, Program], Any] = nothing
    init_critic: Callable[[jax.Array, Program], Any] = nothing
    needs_labels: bool = False
    is_prior_term: bool = False
    sample_prior: Callable[[jax.Array, tuple[int, ...], Any, Hypers], jax.Array] = standard_normal


@dataclasses.dataclass(frozen=True)
class Objective:
    """Terms under one name; the loss is the negative log-likelihood plus the sum of their penalties.

    Attributes:
        terms: the summands.
        defaults: hyper name -> default, where it differs from the term's own.
        fixed: hyper name -> value, for numbers that the name itself settles (a "vae" has beta 1); not sweepable.
    """

    terms: tuple[Term, ...]
    defaults: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def hyper_name(self, term: Term, name: str) -> str:
        """Return the name under which an objective knows a term's hyper: qualified where two terms share it."""
        shared = sum(name in other.hypers for other in self.terms) > 1
        return f"{term.name}.{name}" if shared else name

    def hypers(self) -> dict[str, float]:
        """Return name -> default of every number that can be swept."""
        union = {self.hyper_name(term, name): value for term in self.terms for name, value in term.hypers.items()}
        return {name: self.defaults.get(name, value) for name, value in union.items() if name not in self.fixed}

    def _term_hypers(self, term: Term, hypers: Hypers) -> Hypers:
        known = {**self.fixed, **hypers}
        return {name: jnp.asarray(known[self.hyper_name(term, name)], jnp.float32) for name in term.hypers}

    def penalty(
        self, out: ModelOutput, extra: Any, critic: Any, hypers: Hypers, ctx: Context
    ) -> tuple[jax.Array, Logs]:
        """Return the sum of the terms' penalties, nats per image, and their logs.

        `extra` and `critic` are {term name: parameters}; each term sees its own and a key of its own.
        """

        def prior_codes():
            prior = next(term for term in self.terms if term.is_prior_term)
            key = jax.random.fold_in(ctx.key, len(self.terms))
            return prior.sample_prior(key, out.q.z.shape, extra.get(prior.name, {}), self._term_hypers(prior, hypers))

        total, logs = jnp.float32(0.0), {}
        for index, term in enumerate(self.terms):
            own = ctx._replace(key=jax.random.fold_in(ctx.key, index), prior_codes=prior_codes)
            value, reported = term.penalty(
                out, extra.get(term.name, {}), critic.get(term.name, {}), self._term_hypers(term, hypers), own
            )
            total, logs = total + value, logs | reported
        return total, logs

    def init_extra(self, key: jax.Array, program: Program) -> dict[str, Any]:
        """Return {term name: parameters trained with the VAE} of the terms that have any."""
        return _init(key, program, {term.name: term.init_extra for term in self.terms})

    def init_critic(self, key: jax.Array, program: Program) -> dict[str, Any]:
        """Return {term name: parameters of the second player} of the terms that have any."""
        return _init(key, program, {term.name: term.init_critic for term in self.terms})


def _init(
    key: jax.Array, program: Program, makers: Mapping[str, Callable[[jax.Array, Program], Any]]
) -> dict[str, Any]:
    made = {name: maker(jax.random.fold_in(key, i), program) for i, (name, maker) in enumerate(makers.items())}
    return {name: parameters for name, parameters in made.items() if parameters}
