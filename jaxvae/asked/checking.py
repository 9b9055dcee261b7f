"""Whether a spec can be run: every number in its range, every name known, every shape inferred. Compiles nothing."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxvae import latents, models, objectives
from jaxvae.asked.axes import MOST_LANES, Axis, check_float32
from jaxvae.lane.step import numbers
from jaxvae.types import STALLED, Hyper, InputError, Program, look_up

if TYPE_CHECKING:
    from jaxvae.asked.spec import Spec

LANE_MODES = ("auto", "vmap", "map", "split")

FIGURE_FORMATS = ("png", "pdf", "svg")

MOST_LATENTS = 65_536

MOST_STEPS = STALLED - 1
"""A lane's status is a step, in 32 bits, beside which there must be room for STALLED."""


def figure_formats(given: Iterable[str]) -> tuple[str, ...]:
    """Return the formats of figures that are asked for, each once.

    Raises:
        InputError: there is no such format, or none is named.
    """
    if not isinstance(given, Iterable):
        raise InputError(f"--figure_format must name formats ({', '.join(FIGURE_FORMATS)}), got {given!r}")
    names = tuple(dict.fromkeys(name.strip() if isinstance(name, str) else name for name in given))
    for name in names or ("",):
        look_up("--figure_format", name, dict.fromkeys(FIGURE_FORMATS))
    return names


def check_numbers(spec: "Spec", num_images: int) -> None:
    """Refuse numbers of a spec that are none, or outside of their ranges."""
    kinds = {int: "a whole number", float: "a number"}
    for field in dataclasses.fields(spec):
        kind, value = type(field.default), getattr(spec, field.name)
        legal = kind if kind is int else (int, float)
        if kind in kinds and (not isinstance(value, legal) or isinstance(value, bool)):
            raise InputError(f"--{field.name} must be {kinds[kind]}, got {value!r}")
    for name in ("steps", "batch_size", "latent_dim", "log_every"):
        if getattr(spec, name) < 1:
            raise InputError(f"--{name} must be at least 1, got {getattr(spec, name)}")
    if spec.eval_every < 0:
        raise InputError(f"--eval_every must be a number of steps, or 0 for none, got {spec.eval_every}")
    most = {"latent_dim": MOST_LATENTS} | dict.fromkeys(("steps", "log_every", "eval_every"), MOST_STEPS)
    for name, bound in most.items():
        if getattr(spec, name) > bound:
            raise InputError(f"--{name} must be at most {bound:,}, got {getattr(spec, name):,}")
    if not (math.isfinite(spec.save_seconds) and spec.save_seconds >= 0):
        raise InputError(f"--save_seconds must be a number of seconds from 0, got {spec.save_seconds:g}")
    if spec.max_lanes != "auto" and not (type(spec.max_lanes) is int and spec.max_lanes >= 1):
        raise InputError(f"--max_lanes must be a whole number from 1, or auto, got {spec.max_lanes!r}")
    if spec.batch_size > num_images:
        raise InputError(
            f"--batch_size={spec.batch_size} is more than the {num_images} images of {spec.dataset!r}"
            f"{f' that --validation={spec.validation:g} leaves' if spec.validation else ''}; lower it"
        )
    if not (math.isfinite(spec.lr) and spec.lr > 0):
        raise InputError(f"--lr must be a finite number above 0, got {spec.lr:g}")
    check_float32("--lr", [spec.lr])
    if not isinstance(spec.data_dir, str | None):
        raise InputError(f"--data_dir must be a path, got {spec.data_dir!r}")
    if not 0 <= spec.seed < 2**32:
        raise InputError(f"--seed must be in 0 … 2^32 - 1, got {spec.seed}")
    for kind, names in (("objective", spec.objectives), ("architecture", spec.architectures)):
        if not names:
            raise InputError(f"--{kind} names nothing; give at least one")
        if len(set(names)) < len(names):
            raise InputError(f"--{kind}={','.join(names)} names one twice")
    look_up("--lanes mode", spec.lanes, dict.fromkeys(LANE_MODES))
    look_up("--dtype", spec.dtype, dict.fromkeys(("float32", "bfloat16")))
    look_up("--likelihood", spec.likelihood, models.LIKELIHOODS)


def check_architectures(spec: "Spec", label_sizes: tuple[int, ...]) -> None:
    """Refuse architectures that need labels, for data that has none."""
    for name in spec.architectures:
        if models.needs_labels(name) and not label_sizes:
            raise InputError(
                f"architecture {name!r} needs labels, and {spec.dataset!r} has none; choose data with labels or "
                "factors, or another architecture"
            )


def check_objectives(spec: "Spec", label_sizes: tuple[int, ...]) -> None:
    """Refuse terms that need labels, images or latents that are not there."""
    for name in spec.objectives:
        for term in objectives.objective(name).terms:
            if term.needs_labels and not label_sizes:
                raise InputError(
                    f"objective {name!r} needs labels for its term {term.name!r}, and {spec.dataset!r} has none; "
                    "choose data with labels or factors, or another objective"
                )
            if spec.batch_size < term.min_batch:
                raise InputError(
                    f"--batch_size={spec.batch_size} is too small for the term {term.name!r} of objective {name!r}, "
                    f"which compares the images of a batch; it takes at least {term.min_batch}"
                )
            if spec.latent_dim < term.min_latents:
                raise InputError(
                    f"--latent_dim={spec.latent_dim} is too small for the term {term.name!r} of objective {name!r}, "
                    f"which compares latents; it takes at least {term.min_latents}"
                )


def check_shapes(program: Program) -> None:
    """Refuse an architecture that cannot take the images, and terms that mean nothing for an architecture."""
    module = models.build(program)
    variables = jax.eval_shape(  # shapes are inferred without arithmetic
        functools.partial(module.init, labels=np.zeros((1, len(program.label_sizes)), np.int32)),
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, *program.image_shape), np.float32),
        jax.random.key(0),
    )
    places = min((number for number, _ in latents.maps(program)), default=1)
    if "batch_stats" in variables and program.batch_size * places < 2:
        raise InputError(
            f"--batch_size={program.batch_size} is too small for architecture {program.architecture!r}, which "
            "normalises over a batch and would over a single value; it takes at least 2"
        )
    for term in objectives.objective(program.objective).terms:
        if term.needs_flat and not latents.is_flat(program):
            legal = [name for name, other in objectives.TERMS.items() if not other.needs_flat]
            raise InputError(
                f"the term {term.name!r} of objective {program.objective!r} assumes one group of latents with the "
                f"prior N(0, I), and architecture {program.architecture!r} has {len(latents.groups(program))} groups; "
                f"use terms that do not ({', '.join(legal)}), --groups_per_scale=1, or another architecture"
            )
        if term.needs_roughness and "spectral" not in variables:
            raise InputError(
                f"the term {term.name!r} of objective {program.objective!r} weighs spectral norms, which architecture "
                f"{program.architecture!r} does not measure; leave it out, or use --architecture=nvae"
            )


def check_axes(sweep: Iterable[Axis], programs: Sequence[Program]) -> None:
    """Refuse axes that no program has, and values outside of their ranges."""
    known: dict[str, dict[str, Hyper]] = {program.objective: numbers(program) for program in programs}
    for axis in sweep:
        if axis.objective is None:
            together = {name: None for own in known.values() for name in own}
            look_up(f"swept number of {', '.join(known)}:", axis.name, together)
            meant = [own[axis.name] for own in known.values() if axis.name in own]
        else:
            look_up(f"--sweep={axis.brief}: objective", axis.objective, known)
            meant = [look_up(f"swept number of {axis.objective}:", axis.name, known[axis.objective])]
        for number in meant:
            if wrong := [_number(value) for value in axis.values if not number.range.holds(value)]:
                more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
                raise InputError(
                    f"--sweep={axis.brief}: {axis.name} takes {number.range.words}, got {', '.join(wrong[:5])}{more}"
                )


def check_count(lanes: int) -> None:
    """Refuse a grid of more lanes than can be kept account of."""
    if lanes > MOST_LANES:
        raise InputError(
            f"the grid has {lanes:,} lanes, and a sweep takes {MOST_LANES:,} at most: sweep fewer values, or one part "
            "of the grid after the other, each in a --workdir of its own"
        )


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else f"{value:g}"
