"""What an objective is: a tuple of terms whose penalties add up. Knows no architecture, no optimiser, no lane."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput, Program, Size


class Context(NamedTuple):
    """What a penalty may know besides the batch it is given."""

    program: Program
    step: jax.Array  # i32[], VAE updates made so far
    num_images: int  # N, size of the training set
    key: jax.Array  # this step's randomness for the term
    labels: jax.Array  # i32[B, K] factors or labels of the batch, K may be 0
    other_codes: Callable[[], jax.Array]  # () -> z [B, D] of a second, independent batch; no gradient
    prior_codes: Callable[[], jax.Array] | None = None  # () -> z [B, D] of the objective's prior; no gradient


BETA = Hyper("beta", 1.0, FROM_0, "weight of the KL")
"""What most prior terms weigh their KL by."""

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
        numbers: the hypers it takes.
        penalty: (out, extra, critic, hypers, ctx) -> (f32[] nats per image, logs).
        reference: paper and equation.
        init_extra: (key, program) -> parameters trained with the VAE, by the VAE's optimiser.
        init_critic: (key, program) -> parameters of the second player, with its own optimiser.
        needs_labels: whether it reads ctx.labels; Program.label_sizes is then set.
        min_batch: the smallest batch it is defined for.
        is_prior_term: whether it says how the KL to the prior is treated; an objective has exactly one such term.
        assign: (extra, codes f32[N, D]) -> i32[N] in 0 … num_clusters - 1, the clusters that codes belong to; None for
            a term that has none.
        num_clusters: (program) -> how many clusters there are.
        sizes: the static sizes that init_extra, init_critic and the penalty read.
        needs_flat: whether it assumes a code of one group of latents, with a normal posterior and the prior N(0, I).
        needs_roughness: whether it reads out.roughness, which only some architectures measure.
        sample_prior: (key, shape, extra, hypers) -> codes drawn from the prior that a prior term measures the KL to.
    """

    name: str
    numbers: tuple[Hyper, ...]
    penalty: Penalty
    reference: str
    sizes: tuple[Size, ...] = ()
    init_extra: Callable[[jax.Array, Program], Any] = nothing
    init_critic: Callable[[jax.Array, Program], Any] = nothing
    needs_labels: bool = False
    min_batch: int = 1
    is_prior_term: bool = False
    needs_flat: bool = False
    needs_roughness: bool = False
    sample_prior: Callable[[jax.Array, tuple[int, ...], Any, Hypers], jax.Array] = standard_normal
    assign: Callable[[Any, jax.Array], jax.Array] | None = None
    num_clusters: Callable[[Program], int] | None = None

    @property
    def hypers(self) -> dict[str, float]:
        """Return name -> default of the numbers it takes."""
        return {number.name: number.default for number in self.numbers}


@dataclasses.dataclass(frozen=True)
class Objective:
    """Terms under one name; the loss is the negative log-likelihood plus the sum of their penalties.

    Attributes:
        terms: the summands.
        defaults: hyper -> default, where it differs from the term's own.
        fixed: hyper -> value, for numbers that the name itself settles (a "vae" has beta 1); not sweepable.

    Both are keyed by the hyper's name, or by "term.name" where only one of several terms with such a hyper is meant.
    """

    terms: tuple[Term, ...]
    defaults: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        known = {n for term in self.terms for name in term.hypers for n in (name, f"{term.name}.{name}")}
        unknown = {*self.defaults, *self.fixed} - known
        if unknown:
            raise ValueError(f"no term of {[term.name for term in self.terms]} has {', '.join(sorted(unknown))}")

    @property
    def needs_labels(self) -> bool:
        return any(term.needs_labels for term in self.terms)

    @property
    def clusters(self) -> Term | None:
        """Return the term that puts codes into clusters, None where none does."""
        return next((term for term in self.terms if term.assign is not None), None)

    def settled(self, kind: str, term: Term, name: str) -> float | None:
        """Return what the objective says of a term's hyper in its `defaults` or `fixed`, None when it is silent."""
        table = getattr(self, kind)
        return table.get(f"{term.name}.{name}", table.get(name))

    def hyper_name(self, term: Term, name: str) -> str:
        """Return the name under which an objective knows a term's hyper: qualified where two free ones share it."""
        free = [t for t in self.terms if name in t.hypers and self.settled("fixed", t, name) is None]
        return name if free == [term] else f"{term.name}.{name}"

    @property
    def numbers(self) -> tuple[Hyper, ...]:
        """Return every number that can be swept, by the name and with the default that it has here."""
        found = []
        for term in self.terms:
            for number in term.numbers:
                if self.settled("fixed", term, number.name) is None:
                    default = self.settled("defaults", term, number.name)
                    default = number.default if default is None else default
                    found.append(number._replace(name=self.hyper_name(term, number.name), default=default))
        return tuple(found)

    def hypers(self) -> dict[str, float]:
        """Return name -> default of every number that can be swept."""
        return {number.name: number.default for number in self.numbers}

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Return the static sizes that its terms declare."""
        return tuple(dict.fromkeys(size for term in self.terms for size in term.sizes))

    def _term_hypers(self, term: Term, hypers: Hypers) -> Hypers:
        settled = {name: self.settled("fixed", term, name) for name in term.hypers}
        return {
            name: jnp.asarray(hypers[self.hyper_name(term, name)] if value is None else value, jnp.float32)
            for name, value in settled.items()
        }

    def penalty(
        self, out: ModelOutput, extra: Any, critic: Any, hypers: Hypers, ctx: Context
    ) -> tuple[jax.Array, Logs]:
        """Return the sum of the terms' penalties, nats per image, and their logs.

        `extra` and `critic` are {term name: parameters}; each term sees its own and a key of its own. Of two terms that
        log the same name, the second one's is qualified.
        """

        def prior_codes():
            prior = next(term for term in self.terms if term.is_prior_term)
            key = jax.random.fold_in(ctx.key, len(self.terms))
            # Constants: what compares codes with the prior draws codes to it, and leaves the prior to the prior term.
            learned = jax.lax.stop_gradient(extra.get(prior.name, {}))
            return prior.sample_prior(key, out.q.z.shape, learned, self._term_hypers(prior, hypers))

        total, logs = jnp.float32(0.0), {}
        for index, term in enumerate(self.terms):
            own = ctx._replace(key=jax.random.fold_in(ctx.key, index), prior_codes=prior_codes)
            value, reported = term.penalty(
                out, extra.get(term.name, {}), critic.get(term.name, {}), self._term_hypers(term, hypers), own
            )
            total = total + value
            logs |= {f"{term.name}.{name}" if name in logs else name: value for name, value in reported.items()}
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
