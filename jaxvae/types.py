"""Every record that crosses a doorway between rooms, with its shapes. Knows no room.

Letters: B batch, D latents, K factors, N images, R lanes (runs that share one compiled program), L lanes of a whole
sweep, H W C image. Images are float32 in [0, 1], NHWC; losses are nats per image (sums over pixels and latents).
"""

import collections
import dataclasses
import difflib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import flax.struct
import jax
import numpy as np


class InputError(ValueError):
    """What was given cannot be used. The message is one line: what was given, what is legal, what to change."""


Hypers = dict[str, jax.Array]
"""The numbers of one run, {"seed": …, "lr": …, "beta": …}; inside a sweep every leaf is [R]. All of them are traced."""

Logs = dict[str, jax.Array]
"""What one step reports, f32[] each: always "loss", "nll" and "kl", and what the objective's terms add. The KL is to
the prior that the objective trains against; "kl_standard" is beside it where that is not the architecture's own."""


class Posterior(NamedTuple):
    """q(z|x) of a batch, diagonal Gaussian, each f32[B, D]."""

    mean: jax.Array
    logvar: jax.Array
    z: jax.Array  # one reparameterised sample of q, whatever noise the decoder is given
    kl: jax.Array  # closed-form KL(q || p) per latent in nats, against the architecture's own prior


class ModelOutput(NamedTuple):
    """One pass of a VAE over a batch."""

    logits: jax.Array  # [B, H, W, C]; the likelihood turns them into a distribution over pixels
    q: Posterior
    # f32[], what a `spectral` term weighs (see models.spectral); 0 for architectures that do not measure it
    roughness: jax.Array | float = 0.0


class Range(NamedTuple):
    """The values that a number may take."""

    words: str  # as in "takes numbers from 0"
    holds: Callable[[Any], bool]


ANY = Range("any number", lambda value: True)
ABOVE_0 = Range("numbers above 0", lambda value: value > 0)
FROM_0 = Range("numbers from 0", lambda value: value >= 0)
FROM_1 = Range("numbers from 1", lambda value: value >= 1)
SHARE = Range("shares in 0 … 1", lambda value: 0 <= value <= 1)
WHOLE_FROM_0 = Range("whole numbers from 0", lambda value: value >= 0 and value == int(value))
WHOLE_FROM_1 = Range("whole numbers from 1", lambda value: value >= 1 and value == int(value))


def between(least: float, most: float) -> Range:
    """Return the numbers of an interval, its ends included."""
    return Range(f"numbers in {least:g} … {most:g}", lambda value: least <= value <= most)


class Hyper(NamedTuple):
    """A number of one run, traced: lanes of one program may differ in it. Declared by what reads it.

    Attributes:
        name: as swept on the command line.
        default: where nothing says otherwise.
        range: what is legal, checked before anything is compiled.
        meaning: one line, with its unit.
    """

    name: str
    default: float
    range: Range
    meaning: str


class Size(NamedTuple):
    """A whole number, or several, that changes a shape: static, one for all lanes of a program. Declared by its reader.

    Attributes:
        name: its flag on the command line, and its keyword in Python.
        default: an int, or a tuple of ints for a size that takes several.
        range: what is legal, checked before anything is compiled.
        meaning: one line.
        most: the largest number that is taken. What cannot be built would only take minutes or the machine to refuse.
    """

    name: str
    default: int | tuple[int, ...]
    range: Range
    meaning: str
    most: int = 65_536

    def of(self, program: "Program") -> Any:
        """Return the size that a program has, by default the declared one."""
        return program.sizes.get(self.name, self.default)


class Sizes(Mapping[str, int | tuple[int, ...]]):
    """A frozen mapping of sizes by name; hashable, whatever their order."""

    def __init__(self, sizes: Mapping[str, Any] | None = None):
        items = ((name, tuple(v) if isinstance(v, list) else v) for name, v in (sizes or {}).items())
        self._sizes = dict(sorted(items))

    def __getitem__(self, name: str) -> Any:
        return self._sizes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __hash__(self) -> int:
        return hash(tuple(self._sizes.items()))

    def __repr__(self) -> str:
        return f"Sizes({self._sizes})"


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
    label_sizes: tuple[int, ...] = ()  # values of each label of the data; () where nothing reads them
    sizes: Mapping[str, Any] = Sizes()  # what its architecture and its terms declare (see Size), by name

    def __post_init__(self):
        object.__setattr__(self, "sizes", Sizes(self.sizes))

    def to_json(self) -> dict[str, Any]:
        """Return the program as JSON types."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"sizes": dict(self.sizes)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Program":
        """Return the program that `to_json` wrote, by this version or an earlier one, which had sizes as fields."""
        fields = {field.name for field in dataclasses.fields(cls)}
        known = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items() if name in fields}
        others = {name: v for name, v in saved.items() if name not in fields}
        return cls(**known | {"sizes": others | dict(saved.get("sizes", {}))})


class Networks(NamedTuple):
    """A trained VAE: what its architecture and its objective have learned; leaves may lead with lanes [R, …]."""

    variables: dict[str, Any]  # of the architecture, as linen takes them: {"params": …, "batch_stats": …, …}
    extra: dict[str, Any]  # {term: parameters} of the objective's terms that have any


STALLED = 1 << 30
"""Added to the step in the status of a lane whose gradient's squares, and nothing else, are not finite."""


def fate(status: int) -> str:
    """Return the status of a lane in words, as in results.csv: "ok", "diverged at step 3" or "stalled at step 3".

    A lane diverged when its loss or gradient was not finite; it stalled when only the squares of the gradient were not,
    by which Adam scales its steps. Either way it is left in the state that this step, from 0, was asked of.
    """
    if status < 0:
        return "ok"
    return f"stalled at step {status - STALLED}" if status >= STALLED else f"diverged at step {status}"


@flax.struct.dataclass
class TrainState:
    """Everything one run remembers between steps. No random key: streams are functions of (seed, stream, step)."""

    step: jax.Array  # i32[], VAE updates made
    params: dict[str, Any]  # {"vae": {"model": …, "extra": …}, "critic": …}; {} where an objective has no critic
    opt: dict[str, Any]  # one Optax state per player, same keys as params
    model_state: dict[str, Any]  # batch statistics and the like, {} when there are none
    status: jax.Array  # i32[], -1 while healthy, else the step at which the lane was stopped; see `fate`

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
    numbers: jax.Array | None = None  # f32[N, K], what is to be read as numbers; None for the values themselves
    # The columns whose numbers hardly repeat, and whose values are bins of them; () where all are classes.
    continuous: tuple[bool, ...] = dataclasses.field(default=(), metadata={"static": True})


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
    takes_numbers: bool = False  # whether factors may be continuous: in bins, read as numbers, or not looked at
    needs_binary: bool = False  # whether it looks at factors of two values alone: also attributes that are only labels
    of_labels: bool = False  # whether it is meant for labels, and of generative factors only where it is asked for
    less_is_better: bool = False  # of all its keys

    @property
    def of_codes(self) -> bool:
        """Whether the codes of one model are all there is to score."""
        return not (self.of_siblings or self.of_clusters)


class Watch(NamedTuple):
    """What training calls between steps to see how its lanes do: `score(program, hypers, state, data) -> columns`.

    hypers {name: [R']} and the state (leaves [R', …]) lie on the devices, lanes split; lanes past those that
    are trained only pad. data is the training set as it lies there. The columns are NumPy [R'], one for every name in
    `columns`; they become columns of history.csv, NaN as an empty cell.
    """

    columns: tuple[str, ...]
    score: Callable[[Program, Hypers, TrainState, Any], dict[str, np.ndarray]]


class LabelSwap(NamedTuple):
    """Images decoded from their own codes with each value of one label in turn, the other labels as they are."""

    name: str  # of the label
    values: np.ndarray  # i32[T], those shown
    truth: np.ndarray  # i32[n], the images' own values
    images: np.ndarray  # f32[n, T, H, W, C] in [0, 1]; those of Showcase.originals, the first n
    called: tuple[Any, ...] = ()  # T, what the data calls the values; () for the values themselves


class ShownCodes(NamedTuple):
    """Codes of some images of the evaluation set, and what is known of each."""

    means: np.ndarray  # f32[P, D] of q(z|x); D as in Showcase
    values: np.ndarray  # i32[P] in 0 … C-1, the images' first label
    name: str  # of that label
    called: tuple[Any, ...]  # C, what the data calls the classes


class Manifold(NamedTuple):
    """Images decoded from a grid over the plane of two latents."""

    images: np.ndarray  # f32[T, T, H, W, C] in [0, 1]; latent 0 rises to the right, latent 1 from the last row up
    shares: np.ndarray  # [T], the quantiles of the prior at which the grid has its lines, ascending


class Responses(NamedTuple):
    """How each latent answers each factor, over the images that a lane on show was looked at with.

    The V = sum(sizes) columns are the values of factor 0, then those of factor 1, and so on.
    """

    means: np.ndarray  # f32[D, V], mean over images of that value of the latent, the mean of q(z|x); NaN without any
    spread: np.ndarray  # f32[D, V], standard deviation of the latent over the same images
    explained: np.ndarray  # f32[D, K], eta squared, 0 … 1: share of the latent's variance that such means have
    sizes: tuple[int, ...]  # K, values of each factor


class Showcase(NamedTuple):
    """One lane put on show: images are float32 in [0, 1]."""

    title: str  # "best", "median", "worst", …
    lane: int
    originals: np.ndarray  # [n, H, W, C]
    reconstructions: np.ndarray  # [n, H, W, C]
    # D latents: all of a flat code, the top group of a hierarchical one (see latents.number_scored)
    traversals: np.ndarray  # [D, T, H, W, C]: latent d set to traversal_values[t], the rest at the code of one image
    traversal_values: np.ndarray  # [T], standard deviations from the prior's mean
    kl: np.ndarray  # [D] nats, as in Results.kl_per_latent
    information: np.ndarray | None = None  # [D, K] I(latent; factor) / H(factor), 0 … 1; None without factors
    swaps: tuple[LabelSwap, ...] = ()  # one for each label that a conditional model is told
    codes: ShownCodes | None = None  # None for data without labels
    manifold: Manifold | None = None  # None unless the code has two latents
    responses: Responses | None = None  # None without factors


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
    # [L, D] nats, to the architecture's own prior (N(0, 1) of flat codes, whatever the objective's: not every prior has
    # a KL per latent), mean over the evaluation set; NaN past a shorter code's end
    kl_per_latent: np.ndarray
    showcases: list[Showcase]
    # {name of evaluate.encoding.LATENT_STATISTICS: [L, D]} over the evaluation set, NaN past a shorter code's end; {}
    # where results were read from tables
    latent_statistics: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    factor_names: tuple[str, ...] = ()  # of the evaluation set, () where it has no factors
    main_score: str | None = None  # the score that ranks lanes, more is better; None where no healthy lane has any
    ranked: tuple[int, ...] = ()  # numbers of the healthy lanes that have it, best first
    # Names of the sweeps that lanes come from, where there are several; () for a sweep of its own. Then each lane also
    # says its "sweep", and as "own_lane" the number that it has there.
    sources: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of results.csv."""
        where = ("sweep", "own_lane") if self.sources else ()
        return ("lane", *where, "objective", "architecture", *self.hyper_names, "step", "status", *self.score_names)


def in_32_bits(function: Callable) -> Callable:
    """Run a public function as if `jax_enable_x64` were off, whatever the caller has set.

    Types that nothing says, of constants and of random draws, would otherwise be other ones, and with them the numbers.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    run.in_32_bits = True
    return run


Entry = TypeVar("Entry")

_remembered: list[Callable[[], None]] = []


def remember(function: Callable) -> Callable:
    """Be functools.cache for what is made from names in a Table: forgotten when an entry is taken out of one."""
    cached = functools.cache(function)
    _remembered.append(cached.cache_clear)
    return cached


def forget_all() -> None:
    """Forget everything that was compiled."""
    jax.clear_caches()
    for forget in _remembered:
        forget()


class Table(collections.UserDict, Generic[Entry]):
    """What there is of one kind, by name. Plug-ins add to it: `TERMS["mine"] = Term(…)`.

    A name means one thing, since compiled programs are known by it. So one that is taken is refused; `del` it first,
    which also forgets everything that was compiled.

    Attributes:
        kind: what it holds, as an error calls it: "term", "metric", …
        built_in: the names that were there from the start.
    """

    def __init__(self, kind: str, of: type | None, built_in: Mapping[str, Entry]):
        self.kind, self._of, self.built_in = kind, of, frozenset()
        super().__init__(built_in)
        self.built_in = frozenset(built_in)

    def __setitem__(self, name: str, entry: Entry) -> None:
        """Add an entry.

        Raises:
            InputError: the name is taken, is no name, or the entry is of another kind.
        """
        if name in self.data and self.data[name] is not entry:
            raise InputError(f"there is a {self.kind} {name!r} already; choose another name for the new one")
        if not isinstance(name, str) or not name or set(name) & set("+,:=. ") or name[0] in "-@":
            raise InputError(f"{name!r} cannot name a {self.kind}: it takes letters, digits and _")
        if not (callable(entry) if self._of is None else isinstance(entry, self._of)):
            expected = "a function" if self._of is None else f"of type {self._of.__name__}"
            raise InputError(f"{self.kind} {name!r} must be {expected}, got {type(entry).__name__}")
        if getattr(entry, "name", name) != name:
            raise InputError(f"{self.kind} {name!r} calls itself {entry.name!r}; give it one name")
        super().__setitem__(name, entry)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        forget_all()

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.data, **other}

    @property
    def added(self) -> dict[str, Entry]:
        """Return what was not there from the start."""
        return {name: entry for name, entry in self.data.items() if name not in self.built_in}


def look_up(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """Return table[name].

    Raises:
        InputError: there is no such name; the message gives the nearest legal one and all of them.
    """
    if not isinstance(name, str):
        raise InputError(f"{kind} must be given by name, got {_short(name)}. Known: {', '.join(table)}")
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(table)}")
    return table[name]


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]} …"
