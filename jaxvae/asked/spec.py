"""What a sweep is: every choice in one frozen record, checked at the door and expanded into lanes. Knows no flags."""

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxvae import models, objectives
from jaxvae.asked import checking
from jaxvae.asked.axes import Axis, parse_axis
from jaxvae.asked.declared import every_size, sizes_of
from jaxvae.data import rules
from jaxvae.lane.step import hyper_defaults
from jaxvae.types import InputError, Program, Sizes, look_up

PROGRAM_FIELDS = ("likelihood", "latent_dim", "batch_size", "dtype")
"""Fields of a spec that every program of the sweep has alike."""

ONCE_FIELDS = ("critic_width", "critic_depth", "num_clusters", "groups_per_scale", "stem_width")
"""Sizes that were fields of a spec before their owners declared them."""


class Generation(NamedTuple):
    """What a sweep consisted of before it was extended."""

    objectives: tuple[str, ...]
    architectures: tuple[str, ...]
    sweep: tuple[Axis, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "objectives": list(self.objectives),
            "architectures": list(self.architectures),
            "sweep": [str(axis) for axis in self.sweep],
        }


@dataclasses.dataclass(frozen=True)
class Spec:
    """A whole sweep. Fields marked "how" say how it is run, not what it is: they may change between run and resume."""

    dataset: str = "mini_sprites"
    objectives: tuple[str, ...] = ("beta_vae",)
    architectures: tuple[str, ...] = ("conv",)
    likelihood: str = "bernoulli"
    latent_dim: int = 10
    batch_size: int = 64
    dtype: str = "float32"
    sizes: Mapping[str, Any] = Sizes()  # of those that objectives and architectures declare; see `complete`
    steps: int = 300_000
    lr: float = 1e-4
    seed: int = 0
    sweep: tuple[Axis, ...] = ()
    extends: tuple[Generation, ...] = ()  # what it was before it was extended, the earliest first
    hold_out: tuple[str, ...] = ()  # rules: images that match one are never trained on, see data.rules
    log_every: int = 100
    validation: float = 0.0  # the share of the training images that is held out and scored on; `seed` says which
    # Scores are read off the models and change nothing about them: a sweep can be scored anew, and otherwise.
    metrics: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"how": True})  # None: all there can be
    eval_every: int = dataclasses.field(default=0, metadata={"how": True})  # 0: only when training is over
    data_dir: str | None = dataclasses.field(default=None, metadata={"how": True})
    lanes: str = dataclasses.field(default="auto", metadata={"how": True})
    max_lanes: int | str = dataclasses.field(default="auto", metadata={"how": True})  # "auto": what fits into memory
    save_seconds: float = dataclasses.field(default=15.0, metadata={"how": True})
    plugins: tuple[str, ...] = dataclasses.field(default=(), metadata={"how": True})  # what else must be loaded
    log_to: tuple[str, ...] = dataclasses.field(default=(), metadata={"how": True})  # where else history.csv is told
    figure_format: tuple[str, ...] = dataclasses.field(default=("png",), metadata={"how": True})  # PNG is always there

    def __post_init__(self):
        object.__setattr__(self, "sizes", Sizes(self.sizes))
        object.__setattr__(self, "hold_out", rules.listed(self.hold_out))
        formats = self.figure_format.split(",") if isinstance(self.figure_format, str) else self.figure_format
        object.__setattr__(self, "figure_format", checking.figure_formats(formats))
        if isinstance(self.data_dir, os.PathLike):
            object.__setattr__(self, "data_dir", os.fspath(self.data_dir))

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {
            "objectives": list(self.objectives),
            "architectures": list(self.architectures),
            "sizes": {name: list(v) if isinstance(v, tuple) else v for name, v in self.sizes.items()},
            "hold_out": list(self.hold_out),
            "plugins": list(self.plugins),
            "log_to": list(self.log_to),
            "figure_format": list(self.figure_format),
            "metrics": None if self.metrics is None else list(self.metrics),
            "sweep": [str(axis) for axis in self.sweep],
            "extends": [earlier.to_json() for earlier in self.extends],
        }

    @property
    def generation(self) -> Generation:
        """What it consists of."""
        return Generation(self.objectives, self.architectures, self.sweep)


def from_json(saved: dict[str, Any]) -> Spec:
    """Return the spec that `Spec.to_json` wrote, by this version or an earlier one.

    Raises:
        InputError: it is none.
    """
    fields = {f.name: f for f in dataclasses.fields(Spec)}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items() if name in fields}
    try:
        sizes = {name: saved[name] for name in _used(ONCE_FIELDS, saved) if name in saved} | saved.get("sizes", {})
        sweep = tuple(parse_axis(text) for text in saved["sweep"])
        extends = tuple(
            Generation(tuple(g["objectives"]), tuple(g["architectures"]), tuple(map(parse_axis, g["sweep"])))
            for g in saved.get("extends", ())
        )
        return Spec(**values | {"sweep": sweep, "extends": extends, "sizes": sizes})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"spec.json is not that of a sweep ({error})") from None


def ask_for_plugins(names: Sequence[str]) -> str:
    """Return the sentence that asks for plug-ins, beside an error about something unknown; "" for none."""
    return f"The sweep was trained with plug-ins; load them first: {', '.join(names)}" if names else ""


def _used(names: Iterable[str], saved: dict[str, Any]) -> list[str]:
    """Return those names of sizes that a saved spec has a use for; all of them where its plug-ins are not there."""
    try:
        declared = sizes_of(saved["objectives"], saved["architectures"])
    except InputError:
        return list(names)
    return [name for name in names if name in declared]


def complete(spec: Spec) -> Spec:
    """Return the spec with a value for every size that its objectives and architectures declare.

    Raises:
        InputError: a size is given that none of them has, or is not what it may be; or two declare one differently.
    """
    declared = sizes_of(spec.objectives, spec.architectures)
    every = every_size()
    for name, value in spec.sizes.items():
        if name not in every:
            look_up("size", name, every)
        if name not in declared:
            raise InputError(
                f"--{name}={_as_flag(value)} means nothing to objective {', '.join(spec.objectives)} with architecture "
                f"{', '.join(spec.architectures)}; leave it out. It is a size of {', '.join(every[name].owners)}"
            )
        size = declared[name]
        numbers = value if isinstance(size.default, tuple) and isinstance(value, tuple) else (value,)
        kind = "whole numbers" if isinstance(size.default, tuple) else "a whole number"
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers) or not numbers:
            raise InputError(f"--{name}={_as_flag(value)}: expected {kind}, such as {_as_flag(size.default)}")
        if not size.range.holds(value):
            raise InputError(f"--{name} takes {size.range.words}, got {_as_flag(value)}")
        if max(numbers) > size.most:
            raise InputError(f"--{name} must be at most {size.most:,}, got {_as_flag(value)}")
    return dataclasses.replace(spec, sizes={name: spec.sizes.get(name, s.default) for name, s in declared.items()})


def _as_flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


QUICK_STEPS, QUICK_BATCH, QUICK_VALUES = 20, 16, 2


def quick(spec: Spec) -> Spec:
    """Return the sweep in a size that shows whether it runs, not what it finds: a few steps of a few lanes."""
    return dataclasses.replace(
        spec,
        steps=min(spec.steps, QUICK_STEPS),
        batch_size=min(spec.batch_size, QUICK_BATCH),
        eval_every=min(spec.eval_every, QUICK_STEPS // 2),
        log_every=min(spec.log_every, QUICK_STEPS // 2),
        sweep=tuple(axis._replace(values=axis.values[:QUICK_VALUES]) for axis in spec.sweep),
    )


class Group(NamedTuple):
    """Lanes that share one program: consecutive lanes of the sweep from `first` on.

    All lanes of the program, but where the sweep was extended: then each generation has a group of its own.
    """

    program: Program
    first: int
    hypers: dict[str, np.ndarray]  # name -> [R]
    generation: int = 0  # how often the sweep had been extended when these lanes came

    @property
    def num_lanes(self) -> int:
        return len(self.hypers["seed"])

    @property
    def name(self) -> str:
        return f"{self.program.objective}_{self.program.architecture}"

    @property
    def key(self) -> str:
        """Its name, and where lanes were added later the number of the first of them too: no two groups share it."""
        return f"{self.name}:{self.first}" if self.generation else self.name

    def rows(self, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """Return a dictionary for each lane from `start` to `stop`: its number in the sweep, its names, its hypers."""
        names = {"objective": self.program.objective, "architecture": self.program.architecture}
        return [
            {"lane": self.first + i} | names | {n: _number(values[i]) for n, values in self.hypers.items()}
            for i in range(self.num_lanes)[start:stop]
        ]


def _number(value: np.generic) -> int | float:
    """Return a float32 as the shortest decimal that means it, 0.1 and not 0.10000000149."""
    return int(value) if np.issubdtype(value.dtype, np.integer) else float(str(value))


def differences(saved: dict[str, Any], spec: Spec) -> list[str]:
    """Return one line for each field in which a saved spec (JSON types) is another sweep than this one.

    A field that an earlier version did not have yet is at its default there.
    """
    there, given = sides(saved, spec)
    names = [name for name in {**there, **given} if there.get(name) != given.get(name)]
    return [f"{name}: {there.get(name)!r} there, {given.get(name)!r} now" for name in names]


def sides(saved: dict[str, Any], spec: Spec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what says which sweep a saved spec (JSON types) is, and which this one: {field or size: JSON type}."""
    before, now = from_json(saved), spec
    with contextlib.suppress(InputError):  # of a plug-in that is gone
        before, now = complete(before), complete(now)
    others = {field.name for field in dataclasses.fields(Spec) if field.metadata.get("how")} | {"sizes", "extends"}
    there, given = (
        {name: value for name, value in (side.to_json() | side.to_json()["sizes"]).items() if name not in others}
        for side in (before, now)
    )
    return there, given


def expand(
    spec: Spec, image_shape: tuple[int, int, int], num_images: int, label_sizes: tuple[int, ...] = ()
) -> list[Group]:
    """Check everything that can be checked without compiling, and return the lanes as groups in sweep order.

    `label_sizes` is the number of values of each factor or label of the data (Dataset.factor_sizes), () without any.

    Of a sweep that was extended, lanes that were there before come first, as they were, and then those that were added.

    Axes multiply, the last varying fastest; of several axes for one number the last wins, so that a flag can override
    a flag file. An axis that one of several objectives does not have is left out for that objective.

    Raises:
        InputError: what was given, what is legal, what to change.
    """
    checking.check_numbers(spec, num_images)
    checking.check_architectures(spec, label_sizes)
    checking.check_objectives(spec, label_sizes)
    spec = complete(spec)
    programs = _programs(spec, image_shape, label_sizes)
    for program in programs:
        checking.check_shapes(program)
    checking.check_axes(spec.sweep, programs)
    checking.check_count(num_lanes := _count(programs, spec))
    groups: list[Group] = []
    named = {(program.objective, program.architecture): program for program in programs}
    for number, part in enumerate((*spec.extends, spec.generation)):
        then = dataclasses.replace(spec, **part._asdict())
        names = list(itertools.product(part.objectives, part.architectures))
        own = [named[pair] for pair in names if pair in named]
        checking.check_count(_count(own, then))
        groups += _added(groups, [(program, grid(program, then)) for program in own], number)
        if len(own) < len(names) or sum(group.num_lanes for group in groups) > num_lanes:
            raise InputError("the sweep was extended from one that had other lanes: its spec.json is damaged")
    return groups


def _added(before: Sequence[Group], grids: Iterable[tuple[Program, dict[str, np.ndarray]]], number: int) -> list[Group]:
    """Return those lanes of a generation that the groups before it have not, numbered on from theirs."""
    added, first = [], sum(group.num_lanes for group in before)
    for program, hypers in grids:
        taken = {lane for group in before if group.program == program for lane in _lanes(group.hypers)}
        if taken:
            new = np.array([lane not in taken for lane in _lanes(hypers)])
            hypers = {name: values[new] for name, values in hypers.items()}
        if len(hypers["seed"]):
            added.append(Group(program, first, hypers, number))
            first += added[-1].num_lanes
    return added


def _lanes(hypers: Mapping[str, np.ndarray]) -> Iterable[tuple[Any, ...]]:
    """Return the numbers of each lane."""
    return zip(*(values.tolist() for values in hypers.values()), strict=True)


def _count(programs: Sequence[Program], spec: Spec) -> int:
    return sum(math.prod(len(axis.values) for axis in _axes(program, spec).values()) for program in programs)


def _programs(spec: Spec, image_shape: tuple[int, int, int], label_sizes: tuple[int, ...]) -> list[Program]:
    """Return the program of every objective with every architecture, each with the sizes that it has a use for."""
    return [
        Program(
            architecture=architecture,
            objective=objective,
            image_shape=image_shape,
            label_sizes=tuple(label_sizes) if _needs_labels(objective, architecture) else (),
            sizes={name: spec.sizes[name] for name in sizes_of((objective,), (architecture,))},
            **{name: getattr(spec, name) for name in PROGRAM_FIELDS},
        )
        for objective in spec.objectives
        for architecture in spec.architectures
    ]


def grid(program: Program, spec: Spec) -> dict[str, np.ndarray]:
    """Return name -> [R], the numbers of a program's lanes: the product of the axes that are for it."""
    defaults = {**hyper_defaults(program), "seed": spec.seed, "lr": spec.lr}
    axes = _axes(program, spec)
    points = list(itertools.product(*(axis.values for axis in axes.values())))
    values = {name: [default] * len(points) for name, default in defaults.items()}
    values |= dict(zip(axes, map(list, zip(*points, strict=True)), strict=True)) if axes else {}
    return {n: np.asarray(v, np.uint32 if n == "seed" else np.float32) for n, v in values.items()}


def _axes(program: Program, spec: Spec) -> dict[str, Axis]:
    """Return the axes that are for a program, by name, each where the last one for its number stands."""
    defaults = hyper_defaults(program)
    axes: dict[str, Axis] = {}
    for axis in spec.sweep:
        if axis.name in defaults and axis.objective in (None, program.objective):
            # A scoped axis stands above a general one, whatever their order.
            if axis.objective is None and axes.get(axis.name, axis).objective is not None:
                continue
            axes.pop(axis.name, None)
            axes[axis.name] = axis
    return axes


def _needs_labels(objective: str, architecture: str) -> bool:
    return objectives.objective(objective).needs_labels or models.needs_labels(architecture)
