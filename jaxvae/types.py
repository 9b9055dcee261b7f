"""Every record that crosses a doorway between rooms, with its shapes. Knows no room.

Letters: B batch, D latents, K factors, N images, R lanes (runs that share one compiled program), L lanes of a whole
sweep, H W C image. Images are float32 in [0, 1], NHWC; losses are nats per image (sums over pixels and latents).
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import numpy as np


class InputError(ValueError):
    """What was given cannot be used. The message is one line: what was given, what is legal, what to change."""


Hypers = dict[str, jax.Array]
"""The numbers of one run, {"seed": …, "lr": …, "beta": …}; inside a sweep every leaf is [R]. All of them are traced."""

Logs = dict[str, jax.Array]
"""What one step reports, f32[] each: always "loss", "nll" and "kl", and what the objective's terms add."""


class Posterior(NamedTuple):
    """q(z|x) of a batch, diagonal Gaussian, each f32[B, D]."""

    mean: jax.Array
    logvar: jax.Array
    z: jax.Array  # one reparameterised sample
    kl: jax.Array  # closed-form KL(q || p) per latent in nats, against the architecture's own prior


class ModelOutput(NamedTuple):
    """One pass of a VAE over a batch."""

    logits: jax.Array  # [B, H, W, C]; the likelihood turns them into a distribution over pixels
    q: Posterior
    # f32[], what a `spectral` term weighs (see models.spectral); 0 for architectures that do not measure it
    roughness: jax.Array | float = 0.0


@dataclasses.dataclass(frozen=True)
class Program:
    """What changes the graph or a shape of one compiled sweep; hashable, so it is a static argument.

    A number that only changes a number belongs in Hypers.
    """

    architecture: str  # a name in ARCHITECTURES, or one behind a modifier: "cvae+conv"
    objective: str  # a name in OBJECTIVES, or terms joined by "+"
    image_shape: tuple[int, int, int]  # H, W, C
    likelihood: str = "bernoulli"
    latent_dim: int = 10  # latents; of a hierarchical architecture those at each place of each group (see latents.py)
    batch_size: int = 64
    dtype: str = "float32"  # of the networks' arithmetic; parameters and losses stay float32
    critic_width: int = 1000
    critic_depth: int = 6
    label_sizes: tuple[int, ...] = ()  # values of each label of the data; () where nothing reads them
    num_clusters: int = 10  # components of a mixture prior
    groups_per_scale: tuple[int, ...] = (2, 2)  # of a hierarchical architecture, the coarsest scale first
    stem_width: int = 16  # channels of its first features; they double whenever the image is halved


class Networks(NamedTuple):
    """A trained VAE: what its architecture and its objective have learned; leaves may lead with lanes [R, …]."""

    variables: dict[str, Any]  # of the architecture, as linen takes them: {"params": …, "batch_stats": …, …}
    extra: dict[str, Any]  # {term: parameters} of the objective's terms that have any


@flax.struct.dataclass
class TrainState:
    """Everything one run remembers between steps. No random key: streams are functions of (seed, stream, step)."""

    step: jax.Array  # i32[], VAE updates made
    params: dict[str, Any]  # {"vae": {"model": …, "extra": …}, "critic": …}; {} where an objective has no critic
    opt: dict[str, Any]  # one Optax state per player, same keys as params
    model_state: dict[str, Any]  # batch statistics and the like, {} when there are none
    status: jax.Array  # i32[], -1 while healthy, else the step whose loss or gradient was first not finite

    @property
    def networks(self) -> Networks:
        """Return the VAE as it is now."""
        return Networks({"params": self.params["vae"]["model"], **self.model_state}, self.params["vae"]["extra"])


class RowGroups(NamedTuple):
    """The rows that share a value of a factor, side by side: "fix factor k" is then index arithmetic.

    The V = sum(sizes) pairs (factor, value) are numbered factor by factor; group g is
    order[starts[g] : starts[g] + counts[g]].
    """

    order: jax.Array  # i32[K * N] row numbers, sorted by value within each factor
    starts: jax.Array  # i32[V]
    counts: jax.Array  # i32[V], 0 where a declared value never occurs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Factors:
    """Ground truth beside codes: i32[N, K] in 0 … sizes[k]-1, with the static number of values of each factor."""

    values: jax.Array
    sizes: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    groups: RowGroups | None = None  # worked out once by whoever scores many lanes against the same factors


class Metric(NamedTuple):
    """A score of codes, in one of three forms; all are pure and jittable.

    Of one model, `function(codes f32[N, D], factors, key, *, test=None) -> {key: f32[]}`: `test` is None or a pair
    (codes, factors) of held-out points for metrics that fit a predictor. One that needs_logvar is also given
    `logvar=f32[N, D]`, the log-variances of q(z|x) whose means the codes are.

    Of siblings, S models of one setting that differ in their seed alone:
    `function(codes f32[S, N, D], kl f32[S, D], key) -> {key: f32[S]}`. All have encoded the same N images; kl is each
    latent's KL to the prior in nats, mean over the data. S >= 2.

    Of clusters, which an objective's prior puts the codes of one model into:
    `function(clusters i32[N], labels, num_clusters) -> {key: f32[]}`, where labels are Factors of one column.
    """

    function: Any
    keys: tuple[str, ...]  # of the dict it returns
    needs_factors: bool
    reference: str
    needs_logvar: bool = False
    of_siblings: bool = False
    fixes_factors: bool = (
        False  # whether it draws rows that share a factor's value: they are grouped once for all lanes
    )
    of_clusters: bool = False

    @property
    def of_codes(self) -> bool:
        """Whether the codes of one model are all there is to score."""
        return not (self.of_siblings or self.of_clusters)


class Watch(NamedTuple):
    """What training calls between steps to see how its lanes do: `score(program, hypers, networks, data) -> columns`.

    hypers {name: [R']} and networks (leaves [R', …]) lie on the devices, lanes split; lanes past those that
    are trained only pad. data is the training set as it lies there. The columns are NumPy [R'], one for every name in
    `columns`; they become columns of history.csv.
    """

    columns: tuple[str, ...]
    score: Callable[[Program, Hypers, Networks, Any], dict[str, np.ndarray]]


class LabelSwap(NamedTuple):
    """Images decoded from their own codes with each value of one label in turn, the other labels as they are."""

    name: str  # of the label
    values: np.ndarray  # i32[T], those shown
    truth: np.ndarray  # i32[n], the images' own values
    images: np.ndarray  # f32[n, T, H, W, C] in [0, 1]; those of Showcase.originals, the first n


class Showcase(NamedTuple):
    """One lane put on show: images are float32 in [0, 1]."""

    title: str  # "best", "median", "worst", …
    lane: int
    originals: np.ndarray  # [n, H, W, C]
    reconstructions: np.ndarray  # [n, H, W, C]
    # D latents: all of a flat code, the top group of a hierarchical one (see latents.number_scored)
    traversals: np.ndarray  # [D, T, H, W, C]: latent d set to traversal_values[t], the rest at the code of one image
    traversal_values: np.ndarray  # [T], in units of the prior's standard deviation
    kl: np.ndarray  # [D] nats
    information: np.ndarray | None = None  # [D, K] I(latent; factor) / H(factor), 0 … 1; None without factors
    swaps: tuple[LabelSwap, ...] = ()  # one for each label that a conditional model is told


@dataclasses.dataclass
class Results:
    """A finished sweep as plain objects; all that plots and the report see."""

    spec: dict[str, Any]  # resolved flags, JSON types
    environment: dict[str, Any]  # device, versions, wall-clock seconds, images per second, …
    lanes: list[dict[str, Any]]  # L rows: lane, objective, architecture, hypers, status, scores; as in results.csv
    hyper_names: tuple[str, ...]  # columns of `lanes` that are hypers
    swept: tuple[str, ...]  # those that take more than one value
    score_names: tuple[str, ...]  # columns of `lanes` that are scores
    omitted: dict[str, str]  # metric -> why it was left out
    history: dict[str, np.ndarray]  # columns of history.csv, equal lengths: lane, step, loss, nll, kl, …, scores
    kl_per_latent: np.ndarray  # [L, D] nats, mean over the evaluation set; NaN past a shorter code's end
    showcases: list[Showcase]
    factor_names: tuple[str, ...] = ()  # of the evaluation set, () where it has no factors
    main_score: str | None = None  # the score that ranks lanes, more is better; None where no healthy lane has any
    ranked: tuple[int, ...] = ()  # numbers of the healthy lanes that have it, best first

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of results.csv."""
        return ("lane", "objective", "architecture", *self.hyper_names, "step", "status", *self.score_names)


def look_up(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """Return table[name].

    Raises:
        InputError: there is no such name; the message gives the nearest legal one and all of them.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(table)}")
    return table[name]
