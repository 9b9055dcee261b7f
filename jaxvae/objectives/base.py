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
    num_images: jax.Array  # i32[] N, images of the training set that the lane sees
    key: jax.Array  # this step's randomness for the term
    labels: jax.Array  # i32[B, K] factors or labels of the batch, K may be 0
    other_codes: Callable[[], jax.Array]  # () -> z [B, D] of a second, independent batch; no gradient
    prior_codes: Callable[[], jax.Array] | None = None  # () -> z [B, D] of the objective's prior; no gradient


class Schedule(NamedTuple):
    """How long something in a term changes with the step, before it stays as it is."""

    words: str  # the numbers that say so, as swept: "capacity_steps"
    updates: Callable[[Mapping[str, Any]], Any]  # the term's hypers, numbers or arrays [R] -> updates until it stays


BETA = Hyper("beta", 1.0, FROM_0, "weight of the KL")
"""What most prior terms weigh their KL by."""

Penalty = Callable[[ModelOutput, Any, Any, Hypers, Context], tuple[jax.Array, Logs]]


def nothing(key: jax.Array, program: Program) -> dict[str, Any]:
    """Return the parameters of a network that is not there: {}."""
    return {}


def standard_normal(key: jax.Array, shape: tuple[int, ...], extra: Any, hypers: Hypers) -> jax.Array:
    """Sample N(0, I), the prior of all terms that do not say otherwise."""
    return jax.random.normal(key, shape, jnp.float32)


def standard_moments(extra: Any, hypers: Hypers, num_latents: int) -> tuple[jax.Array, jax.Array]:
    """Return the means and the standard deviations [D] of N(0, I)."""
    return jnp.zeros(num_latents), jnp.ones(num_latents)


def logs_of_kl(kl: jax.Array, out: ModelOutput) -> Logs:
    """Return what a prior term logs that measures the KL [B] to a prior of its own: `kl`, and `kl_standard` beside it.

    Means over the batch, nats; the second is to the architecture's own prior, N(0, I).
    """
    return {"kl": kl.mean(), "kl_standard": out.q.kl.sum(-1).mean()}


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
        min_batch: the smallest batch it is defined for: 2 where it compares the images of a batch.
        min_latents: the fewest latents it means something for: 2 where it compares latents.
        schedule: what of it changes with the step; None where nothing does.
        is_prior_term: whether it says how the KL to the prior is treated; an objective has exactly one such term.
        assign: (extra, codes f32[N, D]) -> i32[N] in 0 … num_clusters - 1, the clusters that codes belong to; None for
            a term that has none.
        num_clusters: (program) -> how many clusters there are.
        sizes: the static sizes that init_extra, init_critic and the penalty read.
        needs_flat: whether it assumes a code of one group of latents, with a normal posterior and the prior N(0, I).
        needs_roughness: whether it reads out.roughness, which only some architectures measure.
        sample_prior: (key, shape, extra, hypers) -> codes drawn from the prior that a prior term measures the KL to.
        prior_kl: (out, extra, hypers) -> f32[B] nats, KL(q(z|x) || p) to that prior for each image, unweighed: what
            lanes are evaluated with, and their ELBO. Its docstring says whether it is exact or estimated at out.q.z.
            None for a term whose prior is the architecture's own, out.q.kl.
        prior_moments: (extra, hypers, D) -> means [D] and standard deviations [D] of that prior's latents, in which
            traversals are measured.
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
    min_latents: int = 1
    schedule: Schedule | None = None
    is_prior_term: bool = False
    needs_flat: bool = False
    needs_roughness: bool = False
    sample_prior: Callable[[jax.Array, tuple[int, ...], Any, Hypers], jax.Array] = standard_normal
    prior_kl: Callable[[ModelOutput, Any, Hypers], jax.Array] | None = None
    prior_moments: Callable[[Any, Hypers, int], tuple[jax.Array, jax.Array]] = standard_moments
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

    @property
    def prior(self) -> Term:
        """Return the term that says how the KL to the prior is treated."""
        return next(term for term in self.terms if term.is_prior_term)

    @property
    def has_own_prior(self) -> bool:
        """Return whether its KL is to another prior than the architecture's own."""
        return self.prior.prior_kl is not None

    def prior_hypers(self) -> dict[str, float]:
        """Return name -> default of the numbers that `prior_kl` reads."""
        names = {self.hyper_name(self.prior, name) for name in self.prior.hypers} if self.has_own_prior else ()
        return {name: default for name, default in self.hypers().items() if name in names}

    def prior_kl(self, out: ModelOutput, extra: Any, hypers: Hypers) -> jax.Array:
        """Return the KL [B] to the prior that it trains against, nats an image (see Term).

        `extra` is {term name: parameters}; of `hypers` only those of the prior term are read.
        """
        if not self.has_own_prior:
            return out.q.kl.sum(-1)
        return self.prior.prior_kl(out, extra.get(self.prior.name, {}), self._term_hypers(self.prior, hypers))

    def prior_moments(self, extra: Any, hypers: Mapping[str, float], num_latents: int) -> tuple[jax.Array, jax.Array]:
        """Return the means and standard deviations [D] of the prior that it trains against (see Term).

        Args:
            extra: {term name: parameters}; without those of a prior that has some, the prior is taken to be N(0, I).
            hypers: what is not there is at its default.
            num_latents: D.
        """
        term = self.prior
        if term.init_extra is not nothing and term.name not in extra:
            return standard_moments({}, {}, num_latents)
        there = self.hypers() | {name: value for name, value in hypers.items() if value is not None}
        return term.prior_moments(extra.get(term.name, {}), self._term_hypers(term, there), num_latents)

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
            prior = self.prior
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
